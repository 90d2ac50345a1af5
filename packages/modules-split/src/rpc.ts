// SPDX-License-Identifier: Apache-2.0
import { method } from '@bdevkit/module-sdk'

/** Parameters of `bdev_split_create`. */
export type SplitCreateParams = { base_bdev: string; split_count: number; split_size_mb?: number }

const base_bdev = { type: 'string', minLength: 1, description: 'Name of the base bdev' }
const decodeError = { code: -32602, message: 'Invalid parameters' }

export const rpc = {
  bdev_split_create: method<SplitCreateParams, readonly string[]>({
    description: 'Cut a base bdev into parts named <base>p0, <base>p1, …, now or when the base appears; answers the names of those made',
    cli: { positional: ['base_bdev', 'split_count'], flags: { split_size_mb: '-s' } },
    result: { type: 'array', items: { type: 'string' } },
    decodeError,
    params: {
      type: 'object',
      additionalProperties: false,
      required: ['base_bdev', 'split_count'],
      properties: {
        base_bdev: { ...base_bdev, description: 'Name of the base bdev; it may appear later' },
        split_count: { type: 'integer', minimum: 0, maximum: 4_294_967_295, description: 'Number of parts' },
        split_size_mb: {
          type: 'integer',
          minimum: 0,
          maximum: Number.MAX_SAFE_INTEGER,
          default: 0,
          description: 'Size of each part in MiB; 0: the base in equal parts',
        },
      },
    },
  }),
  bdev_split_delete: method<{ base_bdev: string }, boolean>({
    description: 'Delete all parts of a base bdev, or forget a split that still waits for its base',
    cli: { positional: ['base_bdev'] },
    result: { type: 'boolean' },
    decodeError,
    params: { type: 'object', additionalProperties: false, required: ['base_bdev'], properties: { base_bdev } },
  }),
}
