// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule } from '@bdevkit/module-sdk'
import { rpc } from './rpc.js'
import { examineGpt } from './vbdev-gpt.js'

/** The partitions of a GUID partition table as bdevs. SPDK's `module/bdev/gpt`. */
export default defineBdevModule({
  name: 'gpt',
  sdk: '0.1',
  rpc,
  setup(host) {
    let allPartitions = false
    return {
      handlers: {
        bdev_gpt_set_options(params) {
          allPartitions = params.all_partitions
          return true
        },
      },
      examineDisk: bdev => examineGpt(host, bdev, allPartitions),
      configJson: () => (allPartitions ? [{ method: 'bdev_gpt_set_options', params: { all_partitions: true } }] : []),
    }
  },
})
