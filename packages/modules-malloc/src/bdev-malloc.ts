// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { Accel, BdevFnTable, BdevIo, Dma, DmaBuffer, IoDevice, Iov, Logger } from '@bdevkit/module-sdk'
import type { MallocMd } from './malloc-md.js'

/** Zeroing looks before it writes, in pieces of this size: an UNMAP of memory that was never used costs no RAM. */
const ZERO_PIECE_BYTES = 64 * 1024
/** After this many bytes zeroing and copying let other I/O pass: the UNMAP of a whole disk takes long. */
export const STEP_BYTES = 256 * 1024

/** What all malloc bdevs of a host share; context of their channels. */
export interface MallocModule {
  readonly accel: Accel
  readonly dma: Dma
  readonly log: Logger
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
  /** Metadata; `null` without. */
  readonly md: MallocMd | null
  /** UNMAP, WRITE_ZEROES and COPY under way. */
  stepping: number
}

/** What is left to do of an UNMAP, WRITE_ZEROES or COPY. */
export interface MallocIo {
  nextByte: number
  leftBytes: number
}

export const mallocFn: BdevFnTable<MallocDisk, MallocModule, MallocIo> = {
  destruct(disk) {
    disk.module.dma.freeBulk(disk.extents)
  },
  ioTypeSupported(disk, type) {
    switch (type) {
      case IoType.Read:
      case IoType.Write:
      case IoType.Unmap:
      case IoType.Flush:
      case IoType.Reset:
      case IoType.WriteZeroes:
      case IoType.Compare:
      case IoType.Copy:
      case IoType.Abort:
        return true
      case IoType.Zcopy: // one piece of memory is lent
        return disk.extents.length === 1 && (disk.md === null || disk.md.extents.length <= 1)
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
        else if (startByte + lengthBytes > disk.len) transferExtents(accel, disk.extents, io.type, io.iovs, io.iovCnt, startByte)
        else accel.copyToIovs(io.iovs, io.iovCnt, disk.buf, disk.off + startByte, lengthBytes)
        return io.complete(IoStatus.Success)
      case IoType.Write:
        if (startByte + lengthBytes > disk.len) transferExtents(accel, disk.extents, io.type, io.iovs, io.iovCnt, startByte)
        else accel.copyFromIovs(disk.buf, disk.off + startByte, io.iovs, io.iovCnt, lengthBytes)
        return io.complete(IoStatus.Success)
      case IoType.Compare:
        return io.complete(transferExtents(accel, disk.extents, io.type, io.iovs, io.iovCnt, startByte) ? IoStatus.Success : IoStatus.Miscompare)
      case IoType.Unmap:
      case IoType.WriteZeroes:
        io.ctx.nextByte = startByte
        io.ctx.leftBytes = lengthBytes
        disk.stepping++
        return zeroStep(io)
      case IoType.Copy:
        io.ctx.leftBytes = lengthBytes
        disk.stepping++
        return copyStep(io)
      case IoType.Zcopy: // what is written to lent memory is written to the disk: the end has nothing to do
        if (io.zcopyStart) io.lend(disk.buf, disk.off + startByte, lengthBytes)
        return io.complete(IoStatus.Success)
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
export function transferExtents(
  accel: Accel, extents: readonly DmaBuffer[], type: IoType, iovs: readonly Iov[], iovCnt: number, startByte: number,
): boolean {
  let extentIndex = 0
  let inExtent = startByte
  for (let i = 0; i < iovCnt; i++) {
    const iov = iovs[i]
    let inIov = 0
    while (inIov < iov.len) {
      while (inExtent >= extents[extentIndex].len) inExtent -= extents[extentIndex++].len
      const extent = extents[extentIndex]
      const pieceBytes = Math.min(iov.len - inIov, extent.len - inExtent)
      const at = extent.off + inExtent
      if (type === IoType.Read) accel.copy(iov.buf, iov.off + inIov, extent.buf, at, pieceBytes)
      else if (type === IoType.Write) accel.copy(extent.buf, at, iov.buf, iov.off + inIov, pieceBytes)
      else if (accel.compare(extent.buf, at, iov.buf, iov.off + inIov, pieceBytes) !== -1) return false
      inIov += pieceBytes
      inExtent += pieceBytes
    }
  }
  return true
}

function zeroStep(io: BdevIo<MallocIo>): void {
  const disk = io.bdev.ctx as MallocDisk
  const stepBytes = Math.min(io.ctx.leftBytes, STEP_BYTES)
  zeroExtents(disk.module.accel, disk.extents, io.ctx.nextByte, stepBytes)
  io.ctx.nextByte += stepBytes
  io.ctx.leftBytes -= stepBytes
  if (io.ctx.leftBytes > 0) return io.thread.sendMsg(zeroStep, io)
  disk.stepping--
  io.complete(IoStatus.Success)
}

/** Copies a piece: the first one that is left, or the last one where the target begins inside the source. */
function copyStep(io: BdevIo<MallocIo>): void {
  const disk = io.bdev.ctx as MallocDisk
  const { blockSizeBytes } = io.bdev
  const { leftBytes } = io.ctx
  const stepBytes = Math.min(leftBytes, STEP_BYTES)
  const backward = io.srcOffsetBlocks < io.offsetBlocks && io.offsetBlocks < io.srcOffsetBlocks + io.numBlocks
  const at = backward ? leftBytes - stepBytes : io.numBlocks * blockSizeBytes - leftBytes
  copyExtents(disk.module.accel, disk.extents, io.offsetBlocks * blockSizeBytes + at, io.srcOffsetBlocks * blockSizeBytes + at, stepBytes, backward)
  io.ctx.leftBytes -= stepBytes
  if (io.ctx.leftBytes > 0) return io.thread.sendMsg(copyStep, io)
  disk.stepping--
  io.complete(IoStatus.Success)
}

/** A RESET answers after everything that is outstanding. */
function resetWhenIdle(io: BdevIo): void {
  if ((io.bdev.ctx as MallocDisk).stepping === 0) io.complete(IoStatus.Success)
  else io.thread.sendMsg(resetWhenIdle, io)
}

/** Zeroes what is not zero yet. */
export function zeroExtents(accel: Accel, extents: readonly DmaBuffer[], startByte: number, lengthBytes: number): void {
  let extentIndex = 0
  let inExtent = startByte
  let left = lengthBytes
  while (left > 0) {
    while (inExtent >= extents[extentIndex].len) inExtent -= extents[extentIndex++].len
    const extent = extents[extentIndex]
    const pieceBytes = Math.min(left, extent.len - inExtent, ZERO_PIECE_BYTES)
    const at = extent.off + inExtent
    if (pieceBytes < ZERO_PIECE_BYTES || !accel.isZero(extent.buf, at, pieceBytes)) accel.fill(extent.buf, at, 0, pieceBytes)
    inExtent += pieceBytes
    left -= pieceBytes
  }
}

/** Copies, `backward` from the end. */
export function copyExtents(
  accel: Accel, extents: readonly DmaBuffer[], dstByte: number, srcByte: number, lengthBytes: number, backward: boolean,
): void {
  let left = lengthBytes
  while (left > 0) {
    // Backward, the piece ends where what is left ends.
    const done = backward ? left - 1 : lengthBytes - left
    const dst = extentAt(extents, dstByte + done)
    const src = extentAt(extents, srcByte + done)
    const inDst = dstByte + done - dst.startByte
    const inSrc = srcByte + done - src.startByte
    const room = backward ? Math.min(inDst, inSrc) + 1 : Math.min(dst.extent.len - inDst, src.extent.len - inSrc)
    const pieceBytes = Math.min(left, room)
    const back = backward ? pieceBytes - 1 : 0
    accel.copy(dst.extent.buf, dst.extent.off + inDst - back, src.extent.buf, src.extent.off + inSrc - back, pieceBytes)
    left -= pieceBytes
  }
}

function extentAt(extents: readonly DmaBuffer[], atByte: number): { extent: DmaBuffer; startByte: number } {
  let startByte = 0
  let index = 0
  while (atByte - startByte >= extents[index].len) startByte += extents[index++].len
  return { extent: extents[index], startByte } // cold: a COPY moves far more than this
}
