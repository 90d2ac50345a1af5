// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule } from '@bdevkit/module-sdk'
import { rpc, type PassthruCreateParams } from './rpc.js'
import { passthruAttach, type Passthru } from './vbdev-passthru.js'

/** Bdevs that forward every I/O to a base bdev: the least that a vbdev is. SPDK's `module/bdev/passthru`. */
export default defineBdevModule({
  name: 'passthru',
  sdk: '0.1',
  rpc,
  setup(host) {
    const passthrus = host.vbdevs<PassthruCreateParams, Passthru>({
      attach: passthruAttach,
      uuidNamespace: '7e25812e-c8c0-4d3f-8599-16d790555b85',
      onResize: 'follow',
    })
    return {
      handlers: {
        bdev_passthru_create: params => passthrus.create(params),
        bdev_passthru_delete: ({ name }) => passthrus.delete(name).then(() => true),
      },
      configJson: () => passthrus.createCalls('bdev_passthru_create', ['base_bdev_name', 'name', 'uuid']),
    }
  },
})
