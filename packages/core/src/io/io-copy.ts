// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import { IoFlag, type BdevIo } from './bdev-io.js'
import { takeBuffer } from './io-buffer-wait.js'
import { childOrWait } from './io-split.js'
import { hasRefTags, remapRefTags } from './io-metadata.js'
import { finishParentLater, submitIo } from './io-submit.js'
import type { PoolBuffer } from './iobuf-pool.js'

/** A COPY as reads and writes through one buffer. */
interface CopyParts {
  readonly buffer: PoolBuffer
  readonly stepBlocks: number
  /** Source and target overlap so that the last blocks must be copied first. */
  readonly backward: boolean
  leftBlocks: number
}

/** Copies for a module that cannot, piece by piece. The I/O is on its channel. */
export function startCopy(io: BdevIo): void {
  const { bdev, ch } = io
  const blockBytes = bytesOf(io)
  const unitBytes = bdev.writeUnitSizeBlocks * blockBytes
  const most = Math.max(1, Math.floor(ch.iobuf.large.pool.sizeBytes / unitBytes)) * unitBytes
  const lengthBytes = Math.min(io.numBlocks * blockBytes, most)
  if (!ch.iobuf.serves(lengthBytes)) {
    bdev.host.log.error(`COPY on bdev "${bdev.name}": wanted a buffer of one unit of writing, ${unitBytes} bytes, found large ones of ${ch.iobuf.large.pool.sizeBytes}; raise large_bufsize (iobuf_set_options)`)
    finishParentLater(io, IoStatus.Failed)
    return
  }
  const buffer = takeBuffer(io, lengthBytes, copyWith)
  if (buffer !== null) copyWith(io, buffer)
}

function copyWith(io: BdevIo, buffer: PoolBuffer | null): void {
  io.flags &= ~IoFlag.BufWait
  if (buffer === null) {
    finishParentLater(io, IoStatus.Aborted)
    return
  }
  const { bdev } = io
  const unit = bdev.writeUnitSizeBlocks
  const stepBlocks = Math.max(unit, Math.floor(buffer.len / bytesOf(io) / unit) * unit)
  const src = io.srcOffsetBlocks
  const backward = src < io.offsetBlocks && io.offsetBlocks < src + io.numBlocks
  const parts: CopyParts = { buffer, stepBlocks, backward, leftBlocks: io.numBlocks }
  io.parts = parts
  sendRead(io)
}

function hasSeparateMd(io: BdevIo): boolean {
  return io.bdev.mdSizeBytes > 0 && !io.bdev.mdInterleave
}

/** What a block takes in the buffer: its data, and its separate metadata. */
function bytesOf(io: BdevIo): number {
  return io.channel.blockSizeBytes + (hasSeparateMd(io) ? io.bdev.mdSizeBytes : 0)
}

/** Reference tags count from the place where a block lies. Where metadata is hidden it is made anew. */
function remap(io: BdevIo, child: BdevIo): boolean {
  if (io.channel.hidesMetadata || !hasRefTags(io.bdev)) return true
  return remapRefTags(child, child.offsetBlocks, child.offsetBlocks - io.srcOffsetBlocks + io.offsetBlocks)
}

/** First block of the piece at work, within the range, and its length. */
function pieceOf(io: BdevIo, parts: CopyParts, child: BdevIo): number {
  child.numBlocks = Math.min(parts.stepBlocks, parts.leftBlocks)
  return parts.backward ? parts.leftBlocks - child.numBlocks : io.numBlocks - parts.leftBlocks
}

function sendRead(io: BdevIo): void {
  const child = childOrWait(io, sendRead)
  if (child === null) return
  child.type = IoType.Read
  child.offsetBlocks = io.srcOffsetBlocks + pieceOf(io, io.parts as CopyParts, child)
  child.cb = pieceRead
  sendWithBuffer(io, child)
}

function pieceRead(child: BdevIo, success: boolean, io: BdevIo): void {
  if (success && !remap(io, child)) child.status = IoStatus.Failed
  if (child.status === IoStatus.Success) {
    child.free()
    sendWrite(io)
  } else end(io, child)
}

function sendWrite(io: BdevIo): void {
  const child = childOrWait(io, sendWrite)
  if (child === null) return
  child.type = IoType.Write
  child.offsetBlocks = io.offsetBlocks + pieceOf(io, io.parts as CopyParts, child)
  child.cb = pieceWritten
  sendWithBuffer(io, child)
}

function pieceWritten(child: BdevIo, success: boolean, io: BdevIo): void {
  const parts = io.parts as CopyParts
  if (success) parts.leftBlocks -= child.numBlocks
  if (success && parts.leftBlocks > 0) {
    child.free()
    sendRead(io)
  } else end(io, child)
}

function sendWithBuffer(io: BdevIo, child: BdevIo): void {
  const { buffer } = io.parts as CopyParts
  const iov = child.own[0]!
  iov.buf = buffer.buf
  iov.off = buffer.off
  iov.len = child.numBlocks * io.channel.blockSizeBytes
  if (hasSeparateMd(io)) child.setMd(buffer.buf, buffer.off + iov.len)
  submitIo(child)
}

/** The last piece has ended, or one has failed. */
function end(io: BdevIo, child: BdevIo): void {
  const { status } = child
  if (status !== IoStatus.Success) io.copyDetails(child)
  child.free()
  const { buffer } = io.parts as CopyParts
  io.parts = null
  buffer.owner!.give(buffer)
  finishParentLater(io, status)
}
