// SPDX-License-Identifier: Apache-2.0
// data plane
import { ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import { IoFlag, type BdevIo } from './bdev-io.js'
import { mdBytes } from './io-buffer.js'
import { takeBuffer } from './io-buffer-wait.js'
import type { PoolBuffer } from './iobuf-pool.js'
import { startCompareAndWrite } from './io-compare-and-write.js'
import { startCopy } from './io-copy.js'
import { extOf, isSeek } from './io-ext.js'
import { childOrWait, pieceOf, startParts, type SplitParts } from './io-split.js'
import { finishLater, submitAdmitted, submitIo } from './io-submit.js'

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
function startWriteZeroes(io: BdevIo): void {
  const { limits, writeUnitSizeBlocks } = io.bdev
  startParts(io, fillZeroes, limits.maxWriteZeroesBlocks || writeUnitSizeBlocks)
}

function fillZeroes(io: BdevIo, parts: SplitParts, child: BdevIo): number {
  const zeroes = io.bdev.host.zeroBuffer()
  child.type = IoType.Write
  child.numBlocks = Math.min(parts.leftBlocks, parts.stepBlocks)
  let count = 0
  // One block, or one unit of writing, may be larger than the buffer: it is written from it several times over.
  for (let left = child.numBlocks * io.channel.blockSizeBytes; left > 0; left -= zeroes.len) {
    const iov = pieceOf(child.own, count++)
    iov.buf = zeroes.buf
    iov.off = zeroes.off
    iov.len = Math.min(left, zeroes.len)
  }
  child.iovCnt = count
  // As many zeroes as the blocks' data, at least: the limit counts both.
  if (mdBytes(io) > 0) child.setMd(zeroes.buf, zeroes.off)
  return 1
}

/** A COMPARE as reads into one buffer of the pool. */
interface CompareParts {
  readonly buffer: PoolBuffer
  doneBlocks: number
}

function startCompare(io: BdevIo): void {
  const { ch } = io
  const blockBytes = bytesToCompare(io)
  const most = Math.max(blockBytes, ch.iobuf.large.pool.sizeBytes)
  const lengthBytes = Math.min(io.numBlocks * blockBytes, most)
  if (!ch.iobuf.serves(lengthBytes)) {
    io.bdev.host.log.error(`COMPARE on bdev "${io.bdev.name}": wanted a buffer of one block of ${blockBytes} bytes, found large ones of ${ch.iobuf.large.pool.sizeBytes}; raise large_bufsize (iobuf_set_options)`)
    finishLater(io, IoStatus.Failed)
    return
  }
  const buffer = takeBuffer(io, lengthBytes, compareWith)
  if (buffer !== null) compareWith(io, buffer)
}

/** What a block takes in the buffer: its data, and its separate metadata where the submitter brought that. */
function bytesToCompare(io: BdevIo): number {
  return io.channel.blockSizeBytes + (io.mdBuf === null ? 0 : io.bdev.mdSizeBytes)
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
  const child = childOrWait(io, readToCompare)
  if (child === null) return
  const { buffer, doneBlocks } = io.parts as CompareParts
  const iov = child.own[0]!
  child.type = IoType.Read
  child.offsetBlocks = io.offsetBlocks + doneBlocks
  child.numBlocks = Math.min(io.numBlocks - doneBlocks, Math.max(1, Math.floor(buffer.len / bytesToCompare(io))))
  iov.buf = buffer.buf
  iov.off = buffer.off
  iov.len = child.numBlocks * io.channel.blockSizeBytes
  if (io.mdBuf !== null) child.setMd(buffer.buf, buffer.off + iov.len)
  child.difExclude = io.difExclude
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
  const blockBytes = io.channel.blockSizeBytes
  const { mdBuf, mdOff } = io
  const { mdSizeBytes } = io.bdev
  if (mdBuf !== null && accel.compare(mdBuf, mdOff + doneBlocks * mdSizeBytes, child.mdBuf!, child.mdOff, child.numBlocks * mdSizeBytes) >= 0) return false
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
