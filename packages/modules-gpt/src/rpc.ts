// SPDX-License-Identifier: Apache-2.0
import { method } from '@bdevkit/module-sdk'

/** Parameters of `bdev_gpt_set_options`. */
export type GptOptions = { all_partitions: boolean }

export const rpc = {
  bdev_gpt_set_options: method<GptOptions, boolean>({
    description: 'Choose which partitions become bdevs; for disks that appear afterwards. SPDK has no such method',
    result: { type: 'boolean' },
    states: 'any',
    params: {
      type: 'object',
      additionalProperties: false,
      required: ['all_partitions'],
      properties: {
        all_partitions: { type: 'boolean', description: 'Partitions of every type, not only of SPDK\'s' },
      },
    },
  }),
}
