// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule } from '@bdevkit/module-sdk'
import { mallocStart } from './bdev-malloc.js'
import { mallocBdevCreate, mallocCreateCall, rpc } from './rpc.js'

/** RAM disks on the host's DMA heap. SPDK's `module/bdev/malloc`. */
export default defineBdevModule({
  name: 'malloc',
  sdk: '0.1',
  rpc,
  setup(host) {
    const module = mallocStart(host)
    return {
      handlers: {
        bdev_malloc_create: params => mallocBdevCreate(module, host, params),
        bdev_malloc_delete: ({ name }) => host.unregisterBdev(name).then(() => true),
      },
      moduleFini: () => module.device.unregister(),
      configJson: () => host.ownBdevs().map(mallocCreateCall),
    }
  },
})
