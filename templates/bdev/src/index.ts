// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule } from '@bdevkit/module-sdk'
import { myDiskFn } from './bdev-my-disk.js'
import { rpc, type MyDiskCreateParams } from './rpc.js'

/** The module: importing it does nothing; a host that uses it calls `setup`, once. */
export default defineBdevModule({
  name: 'my_disk',
  sdk: '0.1', // the SDK release that this code was built against
  rpc,
  setup(host) {
    // The bdevs keep nothing of their own per thread, so that one device gives all of them their channels.
    const device = host.registerIoDevice({ name: 'my_disk', createChannel: () => null })
    return {
      handlers: {
        bdev_my_disk_create: (params: MyDiskCreateParams) =>
          host.registerBdev({
            name: params.name,
            productName: 'my_disk',
            blockSizeBytes: params.block_size,
            numBlocks: params.num_blocks,
            ctx: { accel: host.accel, device },
            fn: myDiskFn,
            ...(params.uuid !== undefined && { uuid: params.uuid }),
          }).name,
        bdev_my_disk_delete: ({ name }) => host.unregisterBdev(name).then(() => true),
      },
      // The calls that make the present bdevs again: what `bdev rpc save_config` writes.
      configJson: () => host.ownBdevs().map(({ name, uuid, numBlocks, blockSizeBytes }) => ({
        method: 'bdev_my_disk_create',
        params: { name, num_blocks: numBlocks, block_size: blockSizeBytes, uuid },
      })),
      moduleFini: () => device.unregister(),
    }
  },
})
