// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevFnTable, BdevIo, DifContext } from '@bdevkit/module-sdk'
import { nullFn, type NullDisk, type NullModule } from './bdev-null.js'

function prepare(io: BdevIo, dif: DifContext): DifContext {
  dif.difCheckFlags = io.difCheckFlags
  dif.initRefTag = io.offsetBlocks >>> 0
  return dif
}

/** Null bdevs with protection information: reads carry it, and writes are checked before they are dropped. */
export const nullDifFn: BdevFnTable<NullDisk, NullModule> = {
  ...nullFn, // cold: once
  submitRequest(module, io) {
    const disk = io.bdev.ctx as NullDisk
    const { accel } = module
    if (io.type === IoType.Read) {
      accel.fillIovs(io.iovs, io.iovCnt, 0)
      accel.dif.generate(prepare(io, disk.dif!), io.iovs, io.iovCnt, io.numBlocks)
      return io.complete(IoStatus.Success)
    }
    if (io.type === IoType.Write && !accel.dif.verify(prepare(io, disk.dif!), io.iovs, io.iovCnt, io.numBlocks)) {
      const { type, expected, actual, offsetBlocks } = disk.dif!.error
      // A client could fill the log: the first failure is a warning, the others are detail.
      const level = disk.difFailures++ === 0 ? 'warn' : 'debug'
      module.log[level](`WRITE to bdev "${io.bdev.name}": protection information of block ${io.offsetBlocks + offsetBlocks}, error type ${type}: expected ${expected}, found ${actual}`)
      return io.complete(IoStatus.Failed)
    }
    nullFn.submitRequest(module, io)
  },
}
