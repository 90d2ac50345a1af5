// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule } from '@bdevkit/module-sdk'
import type { AioIoContext } from './bdev-aio.js'
import { aioBdevCreate, aioBdevRescan, rpc } from './rpc.js'

/** Files and block devices. SPDK's `module/bdev/aio`. */
export default defineBdevModule({
  name: 'aio',
  sdk: '0.1',
  rpc,
  setup: host => ({
    handlers: {
      bdev_aio_create: params => aioBdevCreate(host, params),
      bdev_aio_rescan: params => aioBdevRescan(host, params),
      bdev_aio_delete: ({ name }) => host.unregisterBdev(name).then(() => true),
    },
    createIoContext: (): AioIoContext => ({ next: null }),
  }),
})
