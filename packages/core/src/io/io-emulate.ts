// SPDX-License-Identifier: Apache-2.0
// data plane
import type { DmaBuffer } from '@bdevkit/module-sdk'
import { ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import { CHILDREN_IN_FLIGHT } from '../limits.js'
import { IoFlag, Iov, type BdevIo } from './bdev-io.js'
import { waitForBuffer } from './io-buffer.js'
import type { PoolBuffer } from './iobuf.js'
import { startCompareAndWrite } from './io-compare-and-write.js'
import { startCopy } from './io-copy.js'
import { extOf, isSeek } from './io-ext.js'
import { finishLater, submitAdmitted, submitIo } from './io-submit.js'
import { queueIoWaiter } from './io-wait.js'

/** What the framework does where a module lacks a type that can be made of others. The I/O is on its channel. */
export function emulateIo(io: BdevIo): void {
  if (io.type === IoType.WriteZeroes) startWriteZeroes(io)
  else if (io.type === IoType.Compare) startCompare(io)
  else if (io.type === IoType.Copy) startCopy(io)
  else if (io.type === IoType.CompareAndWrite) startCompareAndWrite(io)
  else if (isSeek(io.type)) {
    // All of the device is data.
    extOf(io).seekOffsetBlocks = io.type === IoType.SeekData ? io.offsetBlocks : Infinity
    finishLater(io, IoStatus.Success)
  } else if (io.type === IoType.NvmeIovMd && (io.bdev.allowedTypes & (1 << IoType.NvmeIovMd)) !== 0) {
    // Raw commands with a scatter list go to a module that serves raw commands.
    submitAdmitted(io.ch, io)
  } else {
    io.setErrno(-ERRNO.ENOTSUP)
    finishLater(io, IoStatus.AioError)
  }
}

/** A WRITE_ZEROES as writes from the host's buffer of zeroes. */
interface WriteZeroesParts {
  nextBlock: number
  leftBlocks: number
  outstanding: number
  status: number
}

function startWriteZeroes(io: BdevIo): void {
  const parts: WriteZeroesParts = { nextBlock: io.offsetBlocks, leftBlocks: io.numBlocks, outstanding: 0, status: IoStatus.Success }
  io.parts = parts
  sendZeroes(io)
}

function sendZeroes(io: BdevIo): void {
  const parts = io.parts as WriteZeroesParts
  const bdev = io.bdev
  const zeroes = bdev.host.zeroBuffer()
  const unit = bdev.writeUnitSizeBlocks
  const most = Math.max(unit, Math.floor(zeroes.len / bdev.blockSizeBytes / unit) * unit)
  while (parts.leftBlocks > 0 && parts.outstanding < CHILDREN_IN_FLIGHT && parts.status === IoStatus.Success) {
    const child = takeChild(io)
    if (child === null) {
      if (parts.outstanding === 0) queueIoWaiter(io.ch.thread, { fn: sendZeroes, arg: io, next: null, parent: null }, true)
      return
    }
    const blocks = Math.min(parts.leftBlocks, most)
    const lengthBytes = blocks * bdev.blockSizeBytes
    if (lengthBytes > zeroes.len) {
      // One block, or one unit of writing, is larger than the buffer: it is written from it several times over.
      child.iovs = zeroIovs(zeroes, lengthBytes)
      child.iovCnt = child.iovs.length
    } else {
      const iov = child.own[0]!
      iov.buf = zeroes.buf
      iov.off = zeroes.off
      iov.len = lengthBytes
    }
    child.type = IoType.Write
    child.offsetBlocks = parts.nextBlock
    child.numBlocks = blocks
    child.cb = zeroesWritten
    parts.nextBlock += blocks
    parts.leftBlocks -= blocks
    parts.outstanding++
    submitIo(child)
  }
}

function zeroIovs(zeroes: DmaBuffer, lengthBytes: number): Iov[] {
  const iovs: Iov[] = []
  for (let left = lengthBytes; left > 0; left -= zeroes.len) iovs.push(new Iov(zeroes.buf, zeroes.off, Math.min(left, zeroes.len)))
  return iovs
}

function zeroesWritten(child: BdevIo, success: boolean, io: BdevIo): void {
  const parts = io.parts as WriteZeroesParts
  parts.outstanding--
  if (!success && parts.status === IoStatus.Success) {
    parts.status = child.status
    io.copyDetails(child)
  }
  child.free()
  if (parts.status === IoStatus.Success && parts.leftBlocks > 0) sendZeroes(io)
  else if (parts.outstanding === 0) {
    io.parts = null
    finishLater(io, parts.status)
  }
}

/** A COMPARE as reads into one buffer of the pool. */
interface CompareParts {
  readonly buffer: PoolBuffer
  doneBlocks: number
}

function startCompare(io: BdevIo): void {
  const { ch } = io
  const blockBytes = io.bdev.blockSizeBytes
  const most = Math.max(blockBytes, ch.iobuf.large.pool.sizeBytes)
  const lengthBytes = Math.min(io.numBlocks * blockBytes, most)
  if (!ch.iobuf.serves(lengthBytes)) {
    io.bdev.host.log.error(`COMPARE on bdev "${io.bdev.name}": wanted a buffer of one block of ${blockBytes} bytes, found large ones of ${ch.iobuf.large.pool.sizeBytes}; raise large_bufsize (iobuf_set_options)`)
    finishLater(io, IoStatus.Failed)
    return
  }
  const buffer = ch.iobuf.cacheFor(lengthBytes).get(lengthBytes)
  if (buffer === null) waitForBuffer(io, lengthBytes, compareWith)
  else compareWith(io, buffer)
}

function compareWith(io: BdevIo, buffer: PoolBuffer | null): void {
  io.flags &= ~IoFlag.BufWait
  if (buffer === null) {
    finishLater(io, IoStatus.Aborted)
    return
  }
  const parts: CompareParts = { buffer, doneBlocks: 0 }
  io.parts = parts
  readToCompare(io)
}

function readToCompare(io: BdevIo): void {
  const child = takeChild(io)
  if (child === null) {
    queueIoWaiter(io.ch.thread, { fn: readToCompare, arg: io, next: null, parent: null })
    return
  }
  const { buffer, doneBlocks } = io.parts as CompareParts
  const blockBytes = io.bdev.blockSizeBytes
  const iov = child.own[0]!
  child.type = IoType.Read
  child.offsetBlocks = io.offsetBlocks + doneBlocks
  child.numBlocks = Math.min(io.numBlocks - doneBlocks, Math.max(1, Math.floor(buffer.len / blockBytes)))
  iov.buf = buffer.buf
  iov.off = buffer.off
  iov.len = child.numBlocks * blockBytes
  child.cb = compareRead
  submitIo(child)
}

function compareRead(child: BdevIo, success: boolean, io: BdevIo): void {
  const parts = io.parts as CompareParts
  let status: number = IoStatus.Failed
  if (success) status = sameData(child, io, parts) ? IoStatus.Success : IoStatus.Miscompare
  parts.doneBlocks += child.numBlocks
  child.free()
  if (status === IoStatus.Success && parts.doneBlocks < io.numBlocks) {
    readToCompare(io)
    return
  }
  io.parts = null
  parts.buffer.owner!.give(parts.buffer)
  finishLater(io, status)
}

/** Whether what `child` has read is what `io` brought for that part of its range. */
function sameData(child: BdevIo, io: BdevIo, { buffer, doneBlocks }: CompareParts): boolean {
  const { accel } = io.bdev.host
  const blockBytes = io.bdev.blockSizeBytes
  let skip = doneBlocks * blockBytes
  let left = child.numBlocks * blockBytes
  let at = buffer.off
  for (let i = 0; i < io.iovCnt && left > 0; i++) {
    const iov = io.iovs[i]!
    const from = Math.min(skip, iov.len)
    skip -= from
    const length = Math.min(iov.len - from, left)
    if (length > 0 && accel.compare(iov.buf, iov.off + from, buffer.buf, at, length) >= 0) return false
    at += length
    left -= length
  }
  return true
}

/** A child on the same channel, its argument the parent and its buffer its own element; `null` where no I/O is left. */
export function takeChild(io: BdevIo): BdevIo | null {
  const child = io.ch.pool.take()
  if (child === null) return null
  child.channel = io.channel
  child.iovs = child.own
  child.iovCnt = 1
  child.status = IoStatus.Pending
  child.cbArg = io
  return child
}
