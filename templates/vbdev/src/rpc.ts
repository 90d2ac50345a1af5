// SPDX-License-Identifier: Apache-2.0
// The methods that create and delete bdevs: plain data, so that help and documentation need no running host. Parameters are
// checked against the schema before a handler sees them.
import { method } from '@bdevkit/module-sdk'

export type MyFilterCreateParams = { name: string; base_bdev_name: string; uuid?: string }

const name = { type: 'string', description: 'Name of the bdev' }

export const rpc = {
  bdev_my_filter_create: method<MyFilterCreateParams, string>({
    description: 'Create a bdev on a base bdev, now or when the base appears; answers its name',
    params: {
      type: 'object',
      additionalProperties: false,
      required: ['name', 'base_bdev_name'],
      properties: {
        name,
        base_bdev_name: { type: 'string', description: 'Name, alias or UUID of the base bdev; it may appear later' },
        uuid: { type: 'string', description: 'UUID; default: derived from the base\'s' },
      },
    },
  }),
  bdev_my_filter_delete: method<{ name: string }, boolean>({
    description: 'Delete a bdev, or forget one that still waits for its base',
    params: { type: 'object', additionalProperties: false, required: ['name'], properties: { name } },
  }),
}
