// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule } from '@bdevkit/module-sdk'
import { rpc, type MyFilterCreateParams } from './rpc.js'
import { myFilterAttach, type MyFilterBdev } from './vbdev-my-filter.js'

/** The module: importing it does nothing; a host that uses it calls `setup`, once. */
export default defineBdevModule({
  name: 'my_filter',
  sdk: '0.1', // the SDK release that this code was built against
  rpc,
  setup(host) {
    // Waits for bases that are not there yet, opens and claims them, removes a vbdev with its base, makes it again with it.
    const filters = host.vbdevs<MyFilterCreateParams, MyFilterBdev>({
      attach: myFilterAttach,
      uuidNamespace: '00000000-0000-4000-8000-000000000000', // UUIDs of bdevs are derived from it and from the base's
      onResize: 'follow',
    })
    return {
      handlers: {
        bdev_my_filter_create: params => filters.create(params),
        bdev_my_filter_delete: ({ name }) => filters.delete(name).then(() => true),
      },
      // The calls that make the present bdevs again: what `bdev rpc save_config` writes.
      configJson: () => filters.createCalls('bdev_my_filter_create', ['name', 'base_bdev_name', 'uuid']),
    }
  },
})
