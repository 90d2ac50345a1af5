// SPDX-License-Identifier: Apache-2.0
// data plane
import type { DmaBuffer } from '@bdevkit/module-sdk'
import { ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import { CHILDREN_IN_FLIGHT } from '../limits.js'
import { IoFlag, Iov, type BdevIo } from './bdev-io.js'
import { finishLater, submitIo } from './io-submit.js'
import { queueIoWaiter } from './io-wait.js'

/** What the framework does where a module lacks a type that can be made of others. The I/O is on its channel. */
export function emulateIo(io: BdevIo): void {
  if (io.type === IoType.WriteZeroes) startWriteZeroes(io)
  else if (io.type === IoType.Compare) startCompare(io)
  else {
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

/** A COMPARE as a read into the framework's memory. */
function startCompare(io: BdevIo): void {
  const host = io.bdev.host
  const buffer = host.dma.alloc(io.numBlocks * io.bdev.blockSizeBytes, Math.max(64, io.bdev.requiredAlignmentBytes))
  if (buffer === undefined) {
    io.setErrno(-ERRNO.ENOMEM)
    finishLater(io, IoStatus.AioError)
    return
  }
  io.parts = buffer
  io.flags |= IoFlag.HasBuffer
  readToCompare(io)
}

function readToCompare(io: BdevIo): void {
  const child = takeChild(io)
  if (child === null) {
    queueIoWaiter(io.ch.thread, { fn: readToCompare, arg: io, next: null, parent: null })
    return
  }
  const buffer = io.parts as DmaBuffer
  const iov = child.own[0]!
  iov.buf = buffer.buf
  iov.off = buffer.off
  iov.len = buffer.len
  child.type = IoType.Read
  child.offsetBlocks = io.offsetBlocks
  child.numBlocks = io.numBlocks
  child.cb = compareRead
  submitIo(child)
}

function compareRead(child: BdevIo, success: boolean, io: BdevIo): void {
  const buffer = io.parts as DmaBuffer
  let status: number = IoStatus.Failed
  if (success) {
    const same = io.bdev.host.accel.compareIovs(io.iovs, io.iovCnt, buffer.buf, buffer.off, buffer.len) < 0
    status = same ? IoStatus.Success : IoStatus.Miscompare
  }
  child.free()
  finishLater(io, status)
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
