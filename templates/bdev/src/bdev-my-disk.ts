// SPDX-License-Identifier: Apache-2.0
// The data plane: runs for every I/O, so it makes no promise, closure or array.
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { Accel, BdevFnTable, IoDevice } from '@bdevkit/module-sdk'

/** One bdev: what the functions below get as their first argument. */
export interface MyDiskBdev {
  readonly accel: Accel
  readonly device: IoDevice<null>
}

/** Reads return zeros and writes are dropped, until you write something better. */
export const myDiskFn: BdevFnTable<MyDiskBdev, null> = {
  // The bdev goes: give back what it took. May return a promise.
  destruct() {},

  // What is declared here must be served below. The conformance kit holds you to it.
  ioTypeSupported(_disk, type) {
    return type === IoType.Read || type === IoType.Write || type === IoType.WriteZeroes || type === IoType.Reset
  },

  // The channel of the calling thread: the first argument of submitRequest.
  getIoChannel(disk) {
    return disk.device.getIoChannel()
  },

  // One I/O, on its own thread. Complete it once, now or later.
  submitRequest(_channel, io) {
    switch (io.type) {
      case IoType.Read:
        (io.bdev.ctx as MyDiskBdev).accel.fillIovs(io.iovs, io.iovCnt, 0)
        return io.complete(IoStatus.Success)
      case IoType.Write:
      case IoType.WriteZeroes:
      case IoType.Reset:
        return io.complete(IoStatus.Success)
      default: // a later release of the SDK may know more types than this code
        return io.complete(IoStatus.Failed)
    }
  },
}
