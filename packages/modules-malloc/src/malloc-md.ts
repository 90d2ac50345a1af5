// SPDX-License-Identifier: Apache-2.0
// data plane
import { DIF_APPTAG_IGNORE, DIF_REFTAG_IGNORE, DifFlag, DifType, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { Bdev, BdevFnTable, BdevHost, BdevIo, DifContext, DmaBuffer, Iov } from '@bdevkit/module-sdk'
import { copyExtents, mallocFn, transferExtents, STEP_BYTES, zeroExtents } from './bdev-malloc.js'
import type { MallocDisk, MallocIo, MallocModule } from './bdev-malloc.js'

/** Metadata of a RAM disk. */
export interface MallocMd {
  /** Separate metadata, in the order of its bytes; empty where it is interleaved. */
  readonly extents: readonly DmaBuffer[]
  /** Protection information; `null` without. */
  readonly dif: DifContext | null
  /** Metadata of a block that was not written: checks are off there. */
  readonly blank: Iov
  /** Room for the metadata of one block that is copied, and its format as if it were separate. */
  readonly tag: { readonly buf: Uint8Array; readonly off: number; readonly dif: DifContext | null }
  /** The metadata of the I/O at hand, as a list of one element. */
  readonly iovs: readonly Iov[]
  /** Checks that failed. */
  failures: number
}

/** RAM disks with metadata. */
export const mallocMdFn: BdevFnTable<MallocDisk, MallocModule, MallocIo> = {
  ...mallocFn, // cold: once
  destruct(disk) {
    const { dma } = disk.module
    dma.freeBulk(disk.extents)
    dma.freeBulk(disk.md!.extents)
  },
  submitRequest(channel, io) {
    const disk = io.bdev.ctx as MallocDisk
    const startByte = io.offsetBlocks * io.bdev.blockSizeBytes
    switch (io.type) {
      case IoType.Read:
        if (io.iovCnt === 0) lend(disk, io, startByte)
        else {
          transferExtents(disk.module.accel, disk.extents, io.type, io.iovs, io.iovCnt, startByte)
          if (io.mdBuf !== null) transferMd(disk, io)
          if (!intact(disk, io)) return io.complete(IoStatus.Failed)
        }
        return io.complete(IoStatus.Success)
      case IoType.Write:
        if (!intact(disk, io)) return io.complete(IoStatus.Failed)
        transferExtents(disk.module.accel, disk.extents, io.type, io.iovs, io.iovCnt, startByte)
        if (io.mdBuf !== null) transferMd(disk, io)
        return io.complete(IoStatus.Success)
      case IoType.Compare: {
        const same = transferExtents(disk.module.accel, disk.extents, io.type, io.iovs, io.iovCnt, startByte)
        return io.complete(same && (io.mdBuf === null || transferMd(disk, io)) ? IoStatus.Success : IoStatus.Miscompare)
      }
      case IoType.Unmap:
      case IoType.WriteZeroes:
        io.ctx.nextByte = io.offsetBlocks
        io.ctx.leftBytes = io.numBlocks
        disk.stepping++
        return blankStep(io)
      case IoType.Copy:
        io.ctx.leftBytes = io.numBlocks
        disk.stepping++
        return copyBlocksStep(io)
      case IoType.Zcopy:
        if (io.zcopyStart) lend(disk, io, startByte)
        return io.complete(IoStatus.Success)
      default:
        return mallocFn.submitRequest(channel, io)
    }
  },
}

/** Memory is lent only where one extent holds all. */
function lend(disk: MallocDisk, io: BdevIo, startByte: number): void {
  const { extents } = disk.md!
  const lengthBytes = io.numBlocks * io.bdev.blockSizeBytes
  if (extents.length === 0) io.lend(disk.buf, disk.off + startByte, lengthBytes)
  else io.lend(disk.buf, disk.off + startByte, lengthBytes, extents[0].buf, extents[0].off + io.offsetBlocks * io.bdev.mdSizeBytes)
}

/** Reads, writes or compares separate metadata; false where a COMPARE finds a difference. */
function transferMd(disk: MallocDisk, io: BdevIo): boolean {
  const { extents, iovs } = disk.md!
  const { mdSizeBytes } = io.bdev
  const iov = iovs[0]
  iov.buf = io.mdBuf!
  iov.off = io.mdOff
  iov.len = io.numBlocks * mdSizeBytes
  return transferExtents(disk.module.accel, extents, io.type, iovs, 1, io.offsetBlocks * mdSizeBytes)
}

/** Whether the protection information in the buffers fits. Where the framework inserts and strips it, it checks, too. */
function intact(disk: MallocDisk, io: BdevIo): boolean {
  const { dif } = disk.md!
  if (dif === null || io.channel.desc.hideMetadata) return true
  const { accel, log } = disk.module
  dif.difCheckFlags = io.difCheckFlags
  dif.initRefTag = io.offsetBlocks >>> 0
  if (io.bdev.mdInterleave) {
    if (accel.dif.verify(dif, io.iovs, io.iovCnt, io.numBlocks)) return true
  } else if (io.mdBuf === null || accel.dif.dixVerify(dif, io.iovs, io.iovCnt, io.mdBuf, io.mdOff, io.numBlocks)) return true
  const { type, expected, actual, offsetBlocks } = dif.error
  // A client could fill the log: the first failure is a warning, the others are detail.
  const level = disk.md!.failures++ === 0 ? 'warn' : 'debug'
  log[level](`bdev "${io.bdev.name}": protection information of block ${io.offsetBlocks + offsetBlocks}, error type ${type}: expected ${expected}, found ${actual}`)
  return false
}

/** UNMAP and WRITE_ZEROES, some blocks at a time: `io.ctx` counts blocks here. */
function blankStep(io: BdevIo<MallocIo>): void {
  const disk = io.bdev.ctx as MallocDisk
  const { blockSizeBytes } = io.bdev
  const blocks = Math.min(io.ctx.leftBytes, Math.max(1, Math.floor(STEP_BYTES / blockSizeBytes)))
  zeroExtents(disk.module.accel, disk.extents, io.ctx.nextByte * blockSizeBytes, blocks * blockSizeBytes)
  writeBlankMd(disk, io.bdev, io.ctx.nextByte, blocks)
  io.ctx.nextByte += blocks
  io.ctx.leftBytes -= blocks
  if (io.ctx.leftBytes > 0) return io.thread.sendMsg(blankStep, io)
  disk.stepping--
  io.complete(IoStatus.Success)
}

/** As `copyStep`, in whole blocks: reference tags are made to fit the blocks that they are copied to. */
function copyBlocksStep(io: BdevIo<MallocIo>): void {
  const disk = io.bdev.ctx as MallocDisk
  const { accel } = disk.module
  const { blockSizeBytes, mdSizeBytes } = io.bdev
  const blocks = Math.min(io.ctx.leftBytes, Math.max(1, Math.floor(STEP_BYTES / blockSizeBytes)))
  const backward = io.srcOffsetBlocks < io.offsetBlocks && io.offsetBlocks < io.srcOffsetBlocks + io.numBlocks
  const at = backward ? io.ctx.leftBytes - blocks : io.numBlocks - io.ctx.leftBytes
  const dst = io.offsetBlocks + at
  const src = io.srcOffsetBlocks + at
  copyExtents(accel, disk.extents, dst * blockSizeBytes, src * blockSizeBytes, blocks * blockSizeBytes, backward)
  const { extents } = disk.md!
  if (extents.length > 0) copyExtents(accel, extents, dst * mdSizeBytes, src * mdSizeBytes, blocks * mdSizeBytes, backward)
  let fits = true
  for (let i = 0; i < blocks && fits; i++) fits = remapTag(disk, io.bdev, src + i, dst + i)
  io.ctx.leftBytes -= blocks
  if (fits && io.ctx.leftBytes > 0) return io.thread.sendMsg(copyBlocksStep, io)
  disk.stepping--
  io.complete(fits ? IoStatus.Success : IoStatus.Failed)
}

/** Makes the reference tag of a block that was copied fit. Its metadata may lie in two extents. */
function remapTag(disk: MallocDisk, bdev: Bdev, src: number, dst: number): boolean {
  const { dif, extents, iovs, tag } = disk.md!
  if (dif === null || (bdev.difCheckFlags & DifFlag.ReftagCheck) === 0) return true
  const { accel } = disk.module
  const { mdSizeBytes } = bdev
  const separate = extents.length > 0
  const where = separate ? extents : disk.extents
  const startByte = separate ? dst * mdSizeBytes : dst * bdev.blockSizeBytes + bdev.dataBlockSizeBytes
  const iov = iovs[0]
  iov.buf = tag.buf
  iov.off = tag.off
  iov.len = mdSizeBytes
  transferExtents(accel, where, IoType.Read, iovs, 1, startByte)
  tag.dif!.difCheckFlags = bdev.difCheckFlags
  tag.dif!.initRefTag = src >>> 0
  tag.dif!.remappedInitRefTag = dst >>> 0
  if (!accel.dif.dixRemapRefTag(tag.dif!, tag.buf, tag.off, 1)) return false
  transferExtents(accel, where, IoType.Write, iovs, 1, startByte)
  return true
}

type MdPlace = Pick<Bdev, 'blockSizeBytes' | 'mdSizeBytes' | 'dataBlockSizeBytes'>

/** Gives blocks the metadata of blocks that were not written. Without protection information it is zero, as the rest of them. */
export function writeBlankMd(disk: MallocDisk, bdev: MdPlace, offsetBlocks: number, numBlocks: number): void {
  const { extents, dif, blank, iovs } = disk.md!
  const separate = extents.length > 0
  if (dif === null && !separate) return
  const iov = iovs[0]
  iov.buf = blank.buf
  iov.off = blank.off
  iov.len = blank.len
  const stride = separate ? bdev.mdSizeBytes : bdev.blockSizeBytes
  const first = separate ? 0 : bdev.dataBlockSizeBytes
  for (let block = offsetBlocks; block < offsetBlocks + numBlocks; block++) {
    transferExtents(disk.module.accel, separate ? extents : disk.extents, IoType.Write, iovs, 1, block * stride + first)
  }
}

/** Metadata of a block of zeroes whose tags switch its checks off. */
export function makeBlank(host: BdevHost, dif: DifContext | null, dataBytes: number, mdBytes: number): Iov {
  const [blank] = host.allocIovs(1)
  blank.buf = new Uint8Array(mdBytes)
  blank.len = mdBytes
  if (dif === null || dif.difType === DifType.Disable) return blank
  dif.difCheckFlags = DifFlag.GuardCheck | DifFlag.ApptagCheck | DifFlag.ReftagCheck
  dif.initRefTag = DIF_REFTAG_IGNORE
  dif.appTag = DIF_APPTAG_IGNORE
  const [iov] = host.allocIovs(1)
  iov.buf = new Uint8Array(dif.blockSizeBytes)
  iov.len = dif.blockSizeBytes
  if (dif.mdInterleave) {
    host.accel.dif.generate(dif, [iov], 1, 1)
    blank.buf.set(iov.buf.subarray(dataBytes)) // cold: once a disk
  } else {
    host.accel.dif.dixGenerate(dif, [iov], 1, blank.buf, 0, 1)
  }
  dif.appTag = 0
  return blank
}
