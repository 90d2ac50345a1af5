// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { Accel, BdevFnTable, BdevIo, Dma, DmaBuffer, IoDevice } from '@bdevkit/module-sdk'

/** Zeroing looks before it writes, in pieces of this size: an UNMAP of memory that was never used costs no RAM. */
const ZERO_PIECE_BYTES = 64 * 1024
/** After this many bytes zeroing lets other I/O pass: the UNMAP of a whole disk takes long. */
const ZERO_STEP_BYTES = 256 * 1024

/** What all malloc bdevs of a host share; context of their channels. */
export interface MallocModule {
  readonly accel: Accel
  readonly dma: Dma
  readonly device: IoDevice<MallocModule>
  /** Number in the next default name. */
  nextName: number
}

/** One RAM disk. */
export interface MallocDisk {
  readonly module: MallocModule
  /** Its memory, in the order of its bytes. */
  readonly extents: readonly DmaBuffer[]
  /** The first extent's fields: nearly every disk has just one. */
  readonly buf: Uint8Array
  readonly off: number
  readonly len: number
  /** UNMAP and WRITE_ZEROES under way. */
  zeroing: number
}

/** What is left to zero of an UNMAP or WRITE_ZEROES. */
export interface MallocIo {
  nextByte: number
  leftBytes: number
}

export const mallocFn: BdevFnTable<MallocDisk, MallocModule, MallocIo> = {
  destruct(disk) {
    disk.module.dma.freeBulk(disk.extents)
  },
  ioTypeSupported(_disk, type) {
    switch (type) {
      case IoType.Read:
      case IoType.Write:
      case IoType.Unmap:
      case IoType.Flush:
      case IoType.Reset:
      case IoType.WriteZeroes:
      case IoType.Compare:
      case IoType.Abort:
        return true
      default:
        return false
    }
  },
  getIoChannel(disk) {
    return disk.module.device.getIoChannel()
  },
  submitRequest({ accel }, io) {
    const disk = io.bdev.ctx as MallocDisk
    const startByte = io.offsetBlocks * io.bdev.blockSizeBytes
    const lengthBytes = io.numBlocks * io.bdev.blockSizeBytes
    switch (io.type) {
      case IoType.Read:
        if (io.iovCnt === 0) io.lend(disk.buf, disk.off + startByte, lengthBytes) // offered only where one extent holds all
        else if (startByte + lengthBytes > disk.len) transferExtents(accel, disk, io, startByte)
        else accel.copyToIovs(io.iovs, io.iovCnt, disk.buf, disk.off + startByte, lengthBytes)
        return io.complete(IoStatus.Success)
      case IoType.Write:
        if (startByte + lengthBytes > disk.len) transferExtents(accel, disk, io, startByte)
        else accel.copyFromIovs(disk.buf, disk.off + startByte, io.iovs, io.iovCnt, lengthBytes)
        return io.complete(IoStatus.Success)
      case IoType.Compare:
        return io.complete(transferExtents(accel, disk, io, startByte) ? IoStatus.Success : IoStatus.Miscompare)
      case IoType.Unmap:
      case IoType.WriteZeroes:
        io.ctx.nextByte = startByte
        io.ctx.leftBytes = lengthBytes
        disk.zeroing++
        return zeroStep(io)
      case IoType.Flush:
        return io.complete(IoStatus.Success)
      case IoType.Reset:
        return resetWhenIdle(io)
      default: // ABORT too, as in SPDK: what runs here cannot be stopped
        return io.complete(IoStatus.Failed)
    }
  },
}

/** Carries out READ, WRITE or COMPARE piece by piece, where iovecs and extents meet; false where a COMPARE finds a difference. */
function transferExtents(accel: Accel, disk: MallocDisk, io: BdevIo, startByte: number): boolean {
  let extentIndex = 0
  let inExtent = startByte
  for (let i = 0; i < io.iovCnt; i++) {
    const iov = io.iovs[i]
    let inIov = 0
    while (inIov < iov.len) {
      while (inExtent >= disk.extents[extentIndex].len) inExtent -= disk.extents[extentIndex++].len
      const extent = disk.extents[extentIndex]
      const pieceBytes = Math.min(iov.len - inIov, extent.len - inExtent)
      const at = extent.off + inExtent
      if (io.type === IoType.Read) accel.copy(iov.buf, iov.off + inIov, extent.buf, at, pieceBytes)
      else if (io.type === IoType.Write) accel.copy(extent.buf, at, iov.buf, iov.off + inIov, pieceBytes)
      else if (accel.compare(extent.buf, at, iov.buf, iov.off + inIov, pieceBytes) !== -1) return false
      inIov += pieceBytes
      inExtent += pieceBytes
    }
  }
  return true
}

function zeroStep(io: BdevIo<MallocIo>): void {
  const disk = io.bdev.ctx as MallocDisk
  const stepBytes = Math.min(io.ctx.leftBytes, ZERO_STEP_BYTES)
  zeroExtents(disk.module.accel, disk, io.ctx.nextByte, stepBytes)
  io.ctx.nextByte += stepBytes
  io.ctx.leftBytes -= stepBytes
  if (io.ctx.leftBytes > 0) return io.thread.sendMsg(zeroStep, io)
  disk.zeroing--
  io.complete(IoStatus.Success)
}

/** A RESET answers after everything that is outstanding. */
function resetWhenIdle(io: BdevIo): void {
  if ((io.bdev.ctx as MallocDisk).zeroing === 0) io.complete(IoStatus.Success)
  else io.thread.sendMsg(resetWhenIdle, io)
}

function zeroExtents(accel: Accel, disk: MallocDisk, startByte: number, lengthBytes: number): void {
  let extentIndex = 0
  let inExtent = startByte
  let left = lengthBytes
  while (left > 0) {
    while (inExtent >= disk.extents[extentIndex].len) inExtent -= disk.extents[extentIndex++].len
    const extent = disk.extents[extentIndex]
    const pieceBytes = Math.min(left, extent.len - inExtent, ZERO_PIECE_BYTES)
    const at = extent.off + inExtent
    if (pieceBytes < ZERO_PIECE_BYTES || !accel.isZero(extent.buf, at, pieceBytes)) accel.fill(extent.buf, at, 0, pieceBytes)
    inExtent += pieceBytes
    left -= pieceBytes
  }
}
