// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevChannel } from '../channel/bdev-channel.js'
import { CHILD_IOVS, CHILDREN_IN_FLIGHT } from '../limits.js'
import { IoFlag, IoPhase, Iov, type BdevIo } from './bdev-io.js'
import { finishParent } from './io-complete.js'
import { dataBuffer, mdBytes } from './io-buffer.js'
import { takeBuffer } from './io-buffer-wait.js'
import { extOf } from './io-ext.js'
import { finishParentLater, submitIo } from './io-submit.js'
import { queueIoWaiter } from './io-wait.js'
import type { PoolBuffer } from './iobuf-pool.js'

/**
 * Fills in a child of `io` that begins at `parts.nextBlock`: its type, `numBlocks` and buffers. May use at most `slots`, of
 * which a round has so many. Returns how many it has used; 0 where not even one block fits into them.
 */
export type FillChild = (io: BdevIo, parts: SplitParts, child: BdevIo, slots: number) => number

/** An I/O that is made of children, in rounds: the next one begins when every child of the last has ended. */
export class SplitParts {
  fill: FillChild = fillRange
  /** What the children of a round share. */
  slots = CHILDREN_IN_FLIGHT
  /** Most blocks of a child, for types without data. */
  stepBlocks = 0
  nextBlock = 0
  leftBlocks = 0
  outstanding = 0
  status: number = IoStatus.Success
  /** Where the data of `nextBlock` begins: an element of the parent's, and bytes into it. */
  iovAt = 0
  iovOff = 0
  nextSpare: SplitParts | null = null
}

/** Whether an I/O goes beyond what its bdev takes at once. Asked for types in `splitTypes` only. */
export function shouldSplit(io: BdevIo): boolean {
  const { limits } = io.bdev
  const { numBlocks } = io
  switch (io.type) {
    case IoType.Read:
      return dataTooLarge(io, limits.readBoundaryBlocks)
    case IoType.Write:
      return dataTooLarge(io, limits.writeBoundaryBlocks)
    case IoType.Unmap:
      return numBlocks > limits.maxUnmapBlocks * limits.maxUnmapSegments
    case IoType.WriteZeroes:
      return numBlocks > limits.maxWriteZeroesBlocks
    case IoType.Copy:
      return numBlocks > limits.maxCopyBlocks
    default:
      return false
  }
}

function dataTooLarge(io: BdevIo, boundaryBlocks: number): boolean {
  const { maxNumSegments, maxSegmentSizeBytes, maxRwSizeBlocks } = io.bdev.limits
  if (boundaryBlocks > 0 && (io.offsetBlocks % boundaryBlocks) + io.numBlocks > boundaryBlocks) return true
  if (maxNumSegments > 0 && io.iovCnt > maxNumSegments) return true
  if (maxSegmentSizeBytes > 0) {
    for (let i = 0; i < io.iovCnt; i++) if (io.iovs[i]!.len > maxSegmentSizeBytes) return true
  }
  return maxRwSizeBlocks > 0 && io.numBlocks > maxRwSizeBlocks
}

/** Whether an I/O is a child that was cut to measure: it is not cut again. A write that zeroes was not. */
export function isSplitChild(io: BdevIo): boolean {
  return io.cb === childDone && (io.cbArg as BdevIo).type === io.type
}

/** Cuts up an I/O that {@link shouldSplit}. It is on its channel. */
export function splitIo(io: BdevIo): void {
  const { limits } = io.bdev
  switch (io.type) {
    case IoType.Read:
    case IoType.Write:
      startData(io)
      break
    case IoType.Unmap:
      startParts(io, fillRange, limits.maxUnmapBlocks * limits.maxUnmapSegments)
      break
    case IoType.WriteZeroes:
      startParts(io, fillRange, limits.maxWriteZeroesBlocks)
      break
    default:
      startParts(io, fillCopy, limits.maxCopyBlocks)
  }
}

/** Makes an I/O of children of `stepBlocks` or less, {@link CHILDREN_IN_FLIGHT} at a time. */
export function startParts(io: BdevIo, fill: FillChild, stepBlocks: number): void {
  const parts = takeParts(io, fill, CHILDREN_IN_FLIGHT)
  parts.stepBlocks = stepBlocks
  sendRound(io)
}

function startData(io: BdevIo): void {
  takeParts(io, fillData, CHILD_IOVS)
  if (io.iovCnt > 0) {
    sendRound(io)
    return
  }
  // A READ that borrows: what its children read has to lie in one piece.
  const lengthBytes = io.numBlocks * io.bdev.blockSizeBytes + mdBytes(io)
  if (!io.ch.iobuf.serves(lengthBytes)) {
    io.bdev.host.log.error(`READ of ${lengthBytes} bytes without buffers on bdev "${io.bdev.name}": it has to be split, and no pool has a buffer that long; bring buffers, or raise large_pool_count (iobuf_set_options)`)
    endParts(io, IoStatus.Failed)
    finishParentLater(io, IoStatus.Failed)
    return
  }
  const buffer = takeBuffer(io, lengthBytes, readInto)
  if (buffer !== null) readInto(io, buffer)
}

function readInto(io: BdevIo, buffer: PoolBuffer | null): void {
  io.flags &= ~IoFlag.BufWait
  if (buffer === null) {
    endParts(io, IoStatus.Aborted)
    finishParentLater(io, IoStatus.Aborted)
    return
  }
  dataBuffer(io, buffer, 1)
  sendRound(io)
}

function sendRound(io: BdevIo): void {
  const parts = io.parts as SplitParts
  let { slots } = parts
  while (parts.leftBlocks > 0 && slots > 0 && parts.status === IoStatus.Success) {
    // While children are out, the last of them goes on. (Nobody can ABORT it here: an ABORT needs an I/O, too.)
    const child = parts.outstanding === 0 ? childOrWait(io, sendRound) : takeChild(io)
    if (child === null) return
    child.cb = childDone
    child.offsetBlocks = parts.nextBlock
    const used = parts.fill(io, parts, child, slots)
    if (used === 0) {
      dropChild(child)
      if (parts.outstanding === 0) refuse(io)
      return
    }
    slots -= used
    parts.nextBlock += child.numBlocks
    parts.leftBlocks -= child.numBlocks
    parts.outstanding++
    submitIo(child)
  }
}

function childDone(child: BdevIo, success: boolean, io: BdevIo): void {
  const parts = io.parts as SplitParts
  if (!success && parts.status === IoStatus.Success) {
    parts.status = child.status
    io.copyDetails(child)
  }
  const left = --parts.outstanding
  // Whoever waits for an I/O runs here, and may end other children.
  child.free()
  if (left > 0) return
  if (parts.status === IoStatus.Success && parts.leftBlocks > 0) {
    sendRound(io)
    return
  }
  const { status } = parts
  endParts(io, status)
  finishParent(io)
}

function refuse(io: BdevIo): void {
  io.bdev.host.log.warn(`I/O of ${io.numBlocks} blocks at ${io.offsetBlocks} on bdev "${io.bdev.name}": its limits of segments leave no room for one block; it fails`)
  endParts(io, IoStatus.Failed)
  finishParentLater(io, IoStatus.Failed)
}

function fillRange(io: BdevIo, parts: SplitParts, child: BdevIo): number {
  child.type = io.type
  child.iovCnt = 0
  child.numBlocks = Math.min(parts.leftBlocks, parts.stepBlocks)
  return 1
}

/** Where source and target overlap, one piece at a time, in the order that overwrites no block before it is copied. */
function fillCopy(io: BdevIo, parts: SplitParts, child: BdevIo): number {
  fillRange(io, parts, child)
  const src = io.srcOffsetBlocks
  const dst = io.offsetBlocks
  const backward = src < dst && dst < src + io.numBlocks
  const at = backward ? parts.leftBlocks - child.numBlocks : parts.nextBlock - dst
  child.offsetBlocks = dst + at
  extOf(child).srcOffsetBlocks = src + at
  return backward || (dst < src && src < dst + io.numBlocks) ? CHILDREN_IN_FLIGHT : 1
}

/** The blocks up to the next boundary, with as many of the parent's bytes as fit into the elements that a child may have. */
function fillData(io: BdevIo, parts: SplitParts, child: BdevIo, slots: number): number {
  const { limits, mdSizeBytes } = io.bdev
  const { blockSizeBytes } = io.channel
  const boundary = io.type === IoType.Write ? limits.writeBoundaryBlocks : limits.readBoundaryBlocks
  let blocks = parts.leftBlocks
  if (boundary > 0) blocks = Math.min(blocks, boundary - (parts.nextBlock % boundary))
  if (limits.maxRwSizeBlocks > 0) blocks = Math.min(blocks, limits.maxRwSizeBlocks)
  const most = limits.maxNumSegments > 0 ? Math.min(slots, limits.maxNumSegments) : slots
  const pieceMax = limits.maxSegmentSizeBytes || Infinity
  const { own } = child
  let left = blocks * blockSizeBytes
  let at = parts.iovAt
  let off = parts.iovOff
  let count = 0
  while (left > 0 && count < most) {
    const iov = io.iovs[at]!
    const length = Math.min(iov.len - off, pieceMax, left)
    if (length > 0) {
      const piece = pieceOf(own, count++)
      piece.buf = iov.buf
      piece.off = iov.off + off
      piece.len = length
      left -= length
      off += length
    }
    if (off === iov.len) {
      at++
      off = 0
    }
  }
  child.type = io.type
  child.iovs = own
  const used = count
  // Out of elements in the middle of a block: that one is left to the next child.
  const surplus = (blocks * blockSizeBytes - left) % blockSizeBytes
  if (surplus > 0) count = trim(own, count, surplus)
  if (count === 0) return 0
  child.iovCnt = count
  child.numBlocks = blocks - Math.ceil(left / blockSizeBytes)
  if ((io.flags & IoFlag.Md) !== 0) {
    child.setMd(io.mdBuf, io.mdOff + (parts.nextBlock - io.offsetBlocks) * mdSizeBytes)
    child.difExclude = io.difExclude
  }
  if (surplus > 0) {
    advance(io, parts, child.numBlocks * blockSizeBytes)
  } else {
    parts.iovAt = at
    parts.iovOff = off
  }
  return used
}

/** An element of an I/O's own; made when it is first needed. */
export function pieceOf(own: Iov[], index: number): Iov {
  if (index === own.length) own.push(new Iov(own[0]!.buf, 0, 0))
  return own[index]!
}

/** Takes bytes off the end of the first `count` elements; returns how many are left. */
function trim(own: readonly Iov[], count: number, lengthBytes: number): number {
  let left = lengthBytes
  let kept = count
  while (left > 0 && kept > 0) {
    const last = own[kept - 1]!
    const length = Math.min(left, last.len)
    last.len -= length
    left -= length
    if (last.len === 0) kept--
  }
  return kept
}

function advance(io: BdevIo, parts: SplitParts, lengthBytes: number): void {
  let left = lengthBytes
  while (left > 0) {
    const rest = io.iovs[parts.iovAt]!.len - parts.iovOff
    if (left < rest) {
      parts.iovOff += left
      return
    }
    left -= rest
    parts.iovAt++
    parts.iovOff = 0
  }
}

/** A child on the same channel, its argument the parent and its buffer its own element; `null` where no I/O is left. */
function takeChild(io: BdevIo): BdevIo | null {
  const child = io.ch.pool.take()
  if (child === null) return null
  child.channel = io.channel
  child.iovs = child.own
  child.iovCnt = 1
  child.status = IoStatus.Pending
  child.cbArg = io
  return child
}

/**
 * As `takeChild`, for an I/O that has no other child out: where no I/O is left it waits, before those that have not begun, and `again`
 * is called with it when there is one.
 */
export function childOrWait(io: BdevIo, again: (io: BdevIo) => void): BdevIo | null {
  const child = takeChild(io)
  if (child === null) queueIoWaiter(io.ch.thread, { fn: again, arg: io, next: null, parent: io }, true)
  return child
}

/** Gives back a child that was not needed. */
function dropChild(child: BdevIo): void {
  child.phase = IoPhase.Completed
  child.free()
}

function takeParts(io: BdevIo, fill: FillChild, slots: number): SplitParts {
  const { ch } = io
  const parts = ch.spareParts ?? new SplitParts()
  ch.spareParts = parts.nextSpare
  parts.nextSpare = null
  parts.fill = fill
  parts.slots = slots
  parts.nextBlock = io.offsetBlocks
  parts.leftBlocks = io.numBlocks
  parts.outstanding = 0
  parts.status = IoStatus.Success
  parts.iovAt = 0
  parts.iovOff = 0
  io.parts = parts
  return parts
}

function endParts(io: BdevIo, status: number): void {
  const ch: BdevChannel = io.ch
  const parts = io.parts as SplitParts
  parts.nextSpare = ch.spareParts
  ch.spareParts = parts
  io.parts = null
  io.status = status
  io.phase = IoPhase.Completed
}
