// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { Accel, BdevFnTable, BdevIo, DifContext, Dma, DmaBuffer, IoDevice, Logger } from '@bdevkit/module-sdk'

/** First length of the zeros that bufferless reads borrow. SPDK stops at 64 KiB; here longer reads make them longer. */
const ZEROS_MIN_BYTES = 64 * 1024

/** What all null bdevs of a host share; context of their channels. */
export interface NullModule {
  readonly accel: Accel
  readonly dma: Dma
  readonly log: Logger
  readonly device: IoDevice<NullModule>
  /** Zeros to lend, the longest last. Shorter ones may still be lent, so all stay: together less than twice the longest. */
  readonly zeros: DmaBuffer[]
}

/** One null bdev. */
export interface NullDisk {
  readonly module: NullModule
  /** Protection information; `null` without. */
  readonly dif: DifContext | null
  /** Writes that it did not fit. */
  difFailures: number
}

function lendZeros(module: NullModule, io: BdevIo): IoStatus {
  const lengthBytes = io.numBlocks * io.bdev.blockSizeBytes
  let zeros = module.zeros.at(-1)
  if (zeros === undefined || zeros.len < lengthBytes) {
    let zerosBytes = ZEROS_MIN_BYTES
    while (zerosBytes < lengthBytes) zerosBytes *= 2
    zeros = module.dma.alloc(zerosBytes)
    if (zeros === undefined) return IoStatus.Failed
    module.zeros.push(zeros)
  }
  io.lend(zeros.buf, zeros.off, lengthBytes)
  return IoStatus.Success
}

export const nullFn: BdevFnTable<NullDisk, NullModule> = {
  destruct() {},
  ioTypeSupported(_disk, type) {
    const { Read, Write, WriteZeroes, Reset, Abort } = IoType
    return type === Read || type === Write || type === WriteZeroes || type === Reset || type === Abort
  },
  getIoChannel(disk) {
    return disk.module.device.getIoChannel()
  },
  submitRequest(module, io) {
    switch (io.type) {
      case IoType.Read:
        if (io.iovCnt === 0) return io.complete(lendZeros(module, io))
        module.accel.fillIovs(io.iovs, io.iovCnt, 0)
        return io.complete(IoStatus.Success)
      case IoType.Write:
      case IoType.WriteZeroes:
      case IoType.Reset:
        return io.complete(IoStatus.Success)
      default: // ABORT too: nothing ever waits here
        return io.complete(IoStatus.Failed)
    }
  },
}
