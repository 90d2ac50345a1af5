// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule } from '@bdevkit/module-sdk'
import type { MallocIo, MallocModule } from './bdev-malloc.js'
import { mallocBdevCreate, mallocCreateCall, rpc } from './rpc.js'

/** RAM disks on the host's DMA heap. SPDK's `module/bdev/malloc`. */
export default defineBdevModule({
  name: 'malloc',
  sdk: '0.1',
  rpc,
  setup(host) {
    const device = host.registerIoDevice<MallocModule>({ name: 'bdev_malloc', createChannel: () => module })
    const module: MallocModule = { accel: host.accel, dma: host.dma, log: host.log, device, nextName: 0 }
    return {
      handlers: {
        bdev_malloc_create: params => mallocBdevCreate(module, host, params),
        bdev_malloc_delete: ({ name }) => host.unregisterBdev(name).then(() => true),
      },
      createIoContext: (): MallocIo => ({ nextByte: 0, leftBytes: 0 }),
      moduleFini: () => device.unregister(),
      configJson: () => host.ownBdevs().map(mallocCreateCall),
    }
  },
})
