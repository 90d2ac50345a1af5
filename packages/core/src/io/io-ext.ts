// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoType } from '@bdevkit/module-sdk'
import type { BdevIo, Iov } from './bdev-io.js'

const NO_IOVS: readonly Iov[] = []
const NO_COMMAND = new Uint8Array(64)

/** Fields of the types in {@link EXT_TYPES}: most I/O objects never need them. */
export class IoExt {
  /** COPY: first block to copy from. */
  srcOffsetBlocks = 0
  /** COMPARE_AND_WRITE: what is written. */
  fusedIovs: readonly Iov[] = NO_IOVS
  fusedIovCnt = 0
  /** ZCOPY. */
  zcopyStart = false
  zcopyPopulate = false
  zcopyCommit = false
  /** SEEK_DATA, SEEK_HOLE: the answer, `Infinity` for none. */
  seekOffsetBlocks = Infinity
  /** Raw NVMe commands. */
  nvmeCmd: Uint8Array = NO_COMMAND
  nvmeLengthBytes = 0
  nvmeMd: Iov | null = null
}

/** What a read-only I/O object without an `ext` shows. */
export const NO_EXT = new IoExt()

const RAW_NVME = (1 << IoType.NvmeAdmin) | (1 << IoType.NvmeIo) | (1 << IoType.NvmeIoMd) | (1 << IoType.NvmeIovMd)
const SEEKS = (1 << IoType.SeekData) | (1 << IoType.SeekHole)

/** Types that use `BdevIo.ext`, as bits. */
export const EXT_TYPES = (1 << IoType.Copy) | (1 << IoType.CompareAndWrite) | (1 << IoType.Zcopy) | SEEKS | RAW_NVME

/** Fields of `io` to fill in. */
export function extOf(io: BdevIo): IoExt {
  return (io.ext ??= new IoExt())
}

/** Gives a child what its parent has, `offsetBlocks` further on. */
export function copyExt(child: BdevIo, parent: BdevIo, offsetBlocks: number): void {
  const from = parent.ext ?? NO_EXT
  const to = extOf(child)
  to.srcOffsetBlocks = from.srcOffsetBlocks + offsetBlocks
  to.fusedIovs = from.fusedIovs
  to.fusedIovCnt = from.fusedIovCnt
  to.zcopyStart = from.zcopyStart
  to.zcopyPopulate = from.zcopyPopulate
  to.zcopyCommit = from.zcopyCommit
  to.seekOffsetBlocks = Infinity
  to.nvmeCmd = from.nvmeCmd
  to.nvmeLengthBytes = from.nvmeLengthBytes
  to.nvmeMd = from.nvmeMd
}

/** Takes the answer of a SEEK over from a child that was sent `offsetBlocks` further on. */
export function copySeekAnswer(parent: BdevIo, child: BdevIo): void {
  const at = child.seekOffsetBlocks - (child.offsetBlocks - parent.offsetBlocks)
  extOf(parent).seekOffsetBlocks = at >= 0 && at < parent.bdev.numBlocks ? at : Infinity
}

/** Whether an I/O is a SEEK. */
export function isSeek(type: number): boolean {
  return ((1 << type) & SEEKS) !== 0
}

/** Type as which an I/O is charged and counted: a ZCOPY start and a raw command are the READ or WRITE that they stand for, 0 is nothing. */
export function dataTypeOf(io: BdevIo): number {
  switch (io.type) {
    case IoType.Read:
    case IoType.Write:
      return io.type
    case IoType.Zcopy:
      return !io.zcopyStart ? 0 : io.zcopyPopulate ? IoType.Read : IoType.Write
    case IoType.NvmeIo:
    case IoType.NvmeIoMd:
      // Bit 1 of an NVMe opcode: data to the host.
      return ((io.ext ?? NO_EXT).nvmeCmd[0]! & 2) !== 0 ? IoType.Read : IoType.Write
    default:
      return 0
  }
}

/** Bytes that an I/O moves. */
export function dataBytesOf(io: BdevIo): number {
  return ((1 << io.type) & RAW_NVME) !== 0 ? (io.ext ?? NO_EXT).nvmeLengthBytes : io.numBlocks * io.bdev.blockSizeBytes
}

