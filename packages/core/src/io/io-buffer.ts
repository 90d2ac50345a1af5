// SPDX-License-Identifier: Apache-2.0
// data plane
import type { AuxBufCallback, DmaBuffer, GetBufCallback } from '@bdevkit/module-sdk'
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import { ChannelFlag } from '../channel/bdev-channel.js'
import { FOREIGN_ALIGN_BYTES, IOBUF_ALIGN_BYTES } from '../limits.js'
import { IoFlag, Iov, type BdevIo } from './bdev-io.js'
import { takeBuffer } from './io-buffer-wait.js'
import type { PoolBuffer } from './iobuf-pool.js'
import { submitReturned, submitThrew } from './io-submit.js'

/** The buffers of an I/O while its module works on a copy of them. */
export class Bounce {
  /** The copy. */
  readonly iovs: readonly Iov[]
  readonly iov: Iov
  buffer: PoolBuffer | null = null
  /** The submitter's own. */
  origIovs: readonly Iov[]
  origIovCnt = 0
  /** Where the submitter's separate metadata is, and the module's copy. */
  origMdBuf: Uint8Array | null = null
  origMdOff = 0

  constructor(io: BdevIo) {
    this.iov = new Iov(io.own[0]!.buf, 0, 0)
    this.iovs = [this.iov]
    this.origIovs = this.iovs
  }
}

/**
 * What `BdevIo.getBuf` does: a READ that came without buffers gets one until it is freed; buffers that are not aligned as
 * the bdev requires are replaced by a copy until it completes. Waits where there is none.
 */
export function getBuf(io: BdevIo, lengthBytes: number, cb: GetBufCallback): void {
  const ch = io.ch
  const align = ch.bdev.requiredAlignmentBytes
  if (io.iovCnt !== 0 && (align === 1 || isAligned(io, align))) {
    cb(ch.moduleCtx, io, true)
    return
  }
  const dataBytes = io.numBlocks * io.bdev.blockSizeBytes
  if (lengthBytes < dataBytes) throw new RangeError(`getBuf: wanted at least the ${dataBytes} bytes of the I/O, found ${lengthBytes}`)
  replaceBuffers(io, lengthBytes, cb)
}

/** Lets the module work on a copy of the buffers until the I/O completes, aligned or not. */
export function bounceBuffers(io: BdevIo, cb: GetBufCallback): void {
  replaceBuffers(io, io.numBlocks * io.bdev.blockSizeBytes, cb)
}

function replaceBuffers(io: BdevIo, lengthBytes: number, cb: GetBufCallback): void {
  const { ch } = io
  const align = ch.bdev.requiredAlignmentBytes
  const wantBytes = mdPlace(io, lengthBytes, align) + mdBytes(io) + slackBytes(align)
  if (!ch.iobuf.serves(wantBytes)) {
    ch.bdev.module.log.error(`module "${ch.bdev.module.name}" asked for a buffer of ${wantBytes} bytes for bdev "${ch.bdev.name}", more than the pool has (iobuf_set_options); register maxRwSizeBlocks`)
    cb(ch.moduleCtx, io, false)
    return
  }
  io.bufCb = cb
  const buffer = takeBuffer(io, wantBytes, bufferCame)
  if (buffer === null) return
  io.bufCb = null
  use(io, buffer, align)
  cb(ch.moduleCtx, io, true)
}

/** What `BdevIo.getAuxBuf` does. */
export function getAuxBuf(io: BdevIo, cb: AuxBufCallback): void {
  const ch = io.ch
  const wantBytes = io.numBlocks * io.bdev.blockSizeBytes
  if (!ch.iobuf.serves(wantBytes)) {
    cb(ch.moduleCtx, io, null)
    return
  }
  io.bufCb = cb
  const buffer = takeBuffer(io, wantBytes, auxBufferCame)
  if (buffer === null) return
  io.bufCb = null
  io.auxBuffers++
  cb(ch.moduleCtx, io, buffer)
}

/** What `BdevIo.putAuxBuf` does. */
export function putAuxBuf(io: BdevIo, buffer: DmaBuffer): void {
  if (io.auxBuffers > 0) io.auxBuffers--
  io.bdev.host.iobuf.put(buffer)
}

/** Separate metadata of the blocks, in bytes. */
export function mdBytes(io: BdevIo): number {
  const { bdev } = io
  return bdev.mdInterleave ? 0 : io.numBlocks * bdev.mdSizeBytes
}

/** Where separate metadata starts behind so much data. */
function mdPlace(io: BdevIo, lengthBytes: number, align: number): number {
  return mdBytes(io) === 0 ? lengthBytes : alignUp(lengthBytes, align)
}

/** The next multiple of `align`, a power of two. */
export function alignUp(bytes: number, align: number): number {
  return bytes + (-bytes & (align - 1))
}

/** The slack that an alignment beyond that of the pool takes. */
export function slackBytes(align: number): number {
  return align > IOBUF_ALIGN_BYTES ? align - 1 : 0
}

/** Whether each element begins where the bdev requires it. Where memory of others lies is not known, but for a few bytes. */
function isAligned(io: BdevIo, align: number): boolean {
  const heap = io.bdev.host.heap.u8
  for (let i = 0; i < io.iovCnt; i++) {
    const { buf, off } = io.iovs[i]!
    if (buf === heap ? (off & (align - 1)) !== 0 : align > FOREIGN_ALIGN_BYTES || ((buf.byteOffset + off) & (align - 1)) !== 0) return false
  }
  return true
}

/** Gives a READ that came without buffers one, until it is freed. */
export function dataBuffer(io: BdevIo, buffer: PoolBuffer, align: number): void {
  const own = io.own[0]!
  own.buf = buffer.buf
  own.off = alignUp(buffer.off, align)
  own.len = io.numBlocks * io.bdev.blockSizeBytes
  io.iovs = io.own
  io.iovCnt = 1
  io.buffer = buffer
  io.flags |= IoFlag.HasBuffer
  if (mdBytes(io) > 0) io.setMd(buffer.buf, own.off + mdPlace(io, own.len, align))
}

function use(io: BdevIo, buffer: PoolBuffer, align: number): void {
  if (io.iovCnt === 0) dataBuffer(io, buffer, align)
  else startBounce(io, buffer, align)
}

function startBounce(io: BdevIo, buffer: PoolBuffer, align: number): void {
  const ch = io.ch
  const lengthBytes = io.numBlocks * io.bdev.blockSizeBytes
  const off = alignUp(buffer.off, align)
  const mdOff = off + mdPlace(io, lengthBytes, align)
  const bounce = (io.bounce ??= new Bounce(io))
  const { iov } = bounce
  iov.buf = buffer.buf
  iov.off = off
  iov.len = lengthBytes
  bounce.buffer = buffer
  bounce.origIovs = io.iovs
  bounce.origIovCnt = io.iovCnt
  if (io.type !== IoType.Read) ch.bdev.host.accel.copyFromIovs(buffer.buf, off, io.iovs, io.iovCnt, lengthBytes)
  io.iovs = bounce.iovs
  io.iovCnt = 1
  io.flags |= IoFlag.Bounced
  if (io.mdBuf !== null) bounceMd(io, bounce, mdOff)
  ch.bounced++
  ch.flags |= ChannelFlag.Bounced
}

/** The module works on a copy of separate metadata, too. */
function bounceMd(io: BdevIo, bounce: Bounce, mdOff: number): void {
  const { buf } = bounce.iov
  if (io.type !== IoType.Read) io.bdev.host.accel.copy(buf, mdOff, io.mdBuf!, io.mdOff, mdBytes(io))
  bounce.origMdBuf = io.mdBuf
  bounce.origMdOff = io.mdOff
  io.mdBuf = buf
  io.mdOff = mdOff
}

/** The I/O has completed: the submitter gets its own buffers back, with what was read. */
export function endBounce(io: BdevIo): void {
  const ch = io.ch
  const bounce = io.bounce!
  const { iov } = bounce
  if (io.type === IoType.Read && io.status === IoStatus.Success) {
    ch.bdev.host.accel.copyToIovs(bounce.origIovs, bounce.origIovCnt, iov.buf, iov.off, iov.len)
    if (bounce.origMdBuf !== null) ch.bdev.host.accel.copy(bounce.origMdBuf, bounce.origMdOff, io.mdBuf!, io.mdOff, mdBytes(io))
  }
  if (bounce.origMdBuf !== null) {
    io.mdBuf = bounce.origMdBuf
    io.mdOff = bounce.origMdOff
    bounce.origMdBuf = null
  }
  io.iovs = bounce.origIovs
  io.iovCnt = bounce.origIovCnt
  io.flags &= ~IoFlag.Bounced
  if (--ch.bounced === 0) ch.flags &= ~ChannelFlag.Bounced
  const buffer = bounce.buffer!
  bounce.buffer = null
  buffer.owner!.give(buffer)
}

function bufferCame(io: BdevIo, buffer: PoolBuffer | null): void {
  if (buffer !== null) use(io, buffer, io.bdev.requiredAlignmentBytes)
  goOn(io, buffer !== null)
}

function auxBufferCame(io: BdevIo, buffer: PoolBuffer | null): void {
  if (buffer !== null) io.auxBuffers++
  goOn(io, buffer)
}

/** Calls the module that waited, as it would have been called at once. */
function goOn(io: BdevIo, answer: unknown): void {
  const cb = io.bufCb as (channelCtx: unknown, io: BdevIo, answer: unknown) => unknown
  io.bufCb = null
  io.flags &= ~IoFlag.BufWait
  try {
    const returned = cb(io.ch.moduleCtx, io, answer)
    if (returned !== undefined) submitReturned(io, returned)
  } catch (thrown) {
    submitThrew(io, thrown)
  }
}
