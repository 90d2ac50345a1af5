// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule } from '@bdevkit/module-sdk'
import type { NullModule } from './bdev-null.js'
import { nullBdevCreate, nullBdevResize, nullCreateCall, rpc } from './rpc.js'

/** Bdevs that keep nothing: reads return zeros, writes are dropped. SPDK's `module/bdev/null`. */
export default defineBdevModule({
  name: 'null',
  sdk: '0.1',
  rpc,
  setup(host) {
    const device = host.registerIoDevice<NullModule>({ name: 'bdev_null', createChannel: () => module })
    const module: NullModule = { accel: host.accel, dma: host.dma, log: host.log, device, zeros: [] }
    return {
      handlers: {
        bdev_null_create: params => nullBdevCreate(module, host, params),
        bdev_null_resize: params => nullBdevResize(host, params),
        bdev_null_delete: ({ name }) => host.unregisterBdev(name).then(() => true),
      },
      async moduleFini() {
        await device.unregister()
        for (const zeros of module.zeros) host.dma.free(zeros)
      },
      configJson: () => host.ownBdevs().map(nullCreateCall),
    }
  },
})
