// SPDX-License-Identifier: Apache-2.0
// The methods that create and delete bdevs: plain data, so that help and documentation need no running host. Parameters are
// checked against the schema before a handler sees them.
import { method } from '@bdevkit/module-sdk'

export type MyDiskCreateParams = { name: string; num_blocks: number; block_size: number; uuid?: string }

const name = { type: 'string', description: 'Name of the bdev' }

export const rpc = {
  bdev_my_disk_create: method<MyDiskCreateParams, string>({
    description: 'Create a bdev; answers its name',
    params: {
      type: 'object',
      additionalProperties: false,
      required: ['name', 'num_blocks', 'block_size'],
      properties: {
        name,
        num_blocks: { type: 'integer', minimum: 1, description: 'Size in blocks' },
        block_size: { type: 'integer', enum: [512, 4096], description: 'Block size in bytes' },
        uuid: { type: 'string', description: 'UUID; default: random' },
      },
    },
  }),
  bdev_my_disk_delete: method<{ name: string }, boolean>({
    description: 'Delete a bdev',
    params: { type: 'object', additionalProperties: false, required: ['name'], properties: { name } },
  }),
}
