// SPDX-License-Identifier: Apache-2.0
// The data plane: runs for every I/O, so it makes no promise, closure or array.
import type { BdevFnTable, BdevSpec, DescChannel, VbdevBase } from '@bdevkit/module-sdk'
import type { MyFilterCreateParams } from './rpc.js'

/** One bdev: what the functions below get as their first argument. */
export interface MyFilterBdev {
  readonly name: string
  readonly base: VbdevBase
}

/** Forwards every I/O to the base, until you write something better. */
const myFilterFn: BdevFnTable<MyFilterBdev, DescChannel> = {
  // The bdev goes: give back what it took. May return a promise.
  destruct(filter) {
    return filter.base.close()
  },

  // A filter that changes data must answer false for every type that it does not treat in submitRequest.
  ioTypeSupported(filter, type) {
    return filter.base.ioTypeSupported(type)
  },

  // The channel of the calling thread: the first argument of submitRequest. Here it is the base's own.
  getIoChannel(filter) {
    return filter.base.getIoChannel()
  },

  // One I/O, on its own thread. Forward or complete it once, now or later.
  submitRequest(base, io) {
    io.forward(base)
  },

  // Shown by bdev_get_bdevs as `driver_specific`.
  dumpInfoJson({ name, base }) {
    return { my_filter: { name, base_bdev_name: base.bdev.name } }
  },
}

/** The bdev that `params` ask for, on its base: here of the same size and shape. */
export function myFilterAttach(base: VbdevBase, { name }: MyFilterCreateParams): BdevSpec<MyFilterBdev, DescChannel> {
  return { ...base.geometry(), name, productName: 'my_filter', ctx: { name, base }, fn: myFilterFn }
}
