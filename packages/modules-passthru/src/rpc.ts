// SPDX-License-Identifier: Apache-2.0
import { method } from '@bdevkit/module-sdk'

/** Parameters of `bdev_passthru_create`. */
export type PassthruCreateParams = { name: string; base_bdev_name: string; uuid?: string }

const uuid = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'

export const rpc = {
  bdev_passthru_create: method<PassthruCreateParams, string>({
    description: 'Create a bdev that forwards every I/O to a base bdev, now or when the base appears; answers its name',
    cli: { flags: { base_bdev_name: '-b', name: '-p', uuid: '-u' } },
    result: { type: 'string' },
    params: {
      type: 'object',
      additionalProperties: false,
      required: ['name', 'base_bdev_name'],
      properties: {
        name: { type: 'string', description: 'Name of the bdev' },
        base_bdev_name: { type: 'string', description: 'Name, alias or UUID of the base bdev; it may appear later' },
        uuid: { type: 'string', pattern: uuid, description: 'UUID; default: derived from the base\'s' },
      },
    },
  }),
  bdev_passthru_delete: method<{ name: string }, boolean>({
    description: 'Delete a passthru bdev, or forget one that still waits for its base',
    cli: { positional: ['name'] },
    result: { type: 'boolean' },
    params: {
      type: 'object',
      additionalProperties: false,
      required: ['name'],
      properties: { name: { type: 'string', description: 'Name of the bdev' } },
    },
  }),
}
