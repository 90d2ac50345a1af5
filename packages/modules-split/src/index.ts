// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule } from '@bdevkit/module-sdk'
import { rpc } from './rpc.js'
import { Splits } from './vbdev-split.js'

/** Cuts a base bdev into equal parts. SPDK's `module/bdev/split`. */
export default defineBdevModule({
  name: 'split',
  sdk: '0.1',
  rpc,
  setup(host) {
    const splits = new Splits(host)
    return {
      handlers: {
        bdev_split_create: params => splits.create(params),
        bdev_split_delete: ({ base_bdev }) => splits.delete(base_bdev),
      },
      examineConfig: bdev => splits.examine(bdev),
      configJson: () => splits.createCalls(),
    }
  },
})
