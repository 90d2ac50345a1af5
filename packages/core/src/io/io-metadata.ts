// SPDX-License-Identifier: Apache-2.0
// data plane
import { DifErrorType, DifFlag, DifType, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { ChannelFlag } from '../channel/bdev-channel.js'
import { IoFlag, type BdevIo } from './bdev-io.js'
import { alignUp, Bounce, slackBytes } from './io-buffer.js'
import { takeBuffer } from './io-buffer-wait.js'
import type { PoolBuffer } from './iobuf-pool.js'
import { finishLater, submitToQos } from './io-submit.js'

/** NVMe status code type of media errors, and its codes for protection information (NVM command set specification). */
const NVME_SCT_MEDIA_ERROR = 2
const NVME_SC_GUARD_CHECK_ERROR = 0x82
const NVME_SC_APPLICATION_TAG_CHECK_ERROR = 0x83
const NVME_SC_REFERENCE_TAG_CHECK_ERROR = 0x84

/**
 * A READ or WRITE whose descriptor hides metadata goes on with whole blocks in a buffer of the pool: metadata is inserted into
 * what is written, and checked and stripped from what was read. Waits where there is no buffer.
 */
export function startHiddenMd(io: BdevIo): void {
  const { ch } = io
  const wantBytes = io.numBlocks * ch.bdev.blockSizeBytes + slackBytes(ch.bdev.requiredAlignmentBytes)
  if (!ch.iobuf.serves(wantBytes)) {
    ch.bdev.host.log.error(`I/O with hidden metadata on bdev "${ch.bdev.name}": wanted a buffer of ${wantBytes} bytes, more than the pool has; raise large_bufsize (iobuf_set_options) or send less at once`)
    finishLater(io, IoStatus.Failed)
    return
  }
  const buffer = takeBuffer(io, wantBytes, bufferCame)
  if (buffer !== null) goOn(io, buffer)
}

function bufferCame(io: BdevIo, buffer: PoolBuffer | null): void {
  io.flags &= ~IoFlag.BufWait
  if (buffer === null) finishLater(io, IoStatus.Aborted)
  else goOn(io, buffer)
}

function goOn(io: BdevIo, buffer: PoolBuffer): void {
  const { ch } = io
  const { bdev } = ch
  const hidden = (io.hiddenMd ??= new Bounce(io))
  const { iov } = hidden
  iov.buf = buffer.buf
  iov.off = alignUp(buffer.off, bdev.requiredAlignmentBytes)
  iov.len = io.numBlocks * bdev.blockSizeBytes
  hidden.buffer = buffer
  hidden.origIovs = io.iovs
  hidden.origIovCnt = io.iovCnt
  if (io.type === IoType.Write) {
    const context = bdev.difContext!
    context.difCheckFlags = io.difCheckFlags
    context.initRefTag = io.offsetBlocks >>> 0
    bdev.host.accel.dif.generateCopy(context, hidden.iovs, 1, io.iovs, io.iovCnt, io.numBlocks)
  }
  io.iovs = hidden.iovs
  io.iovCnt = 1
  io.flags |= IoFlag.HiddenMd
  ch.bounced++
  ch.flags |= ChannelFlag.Bounced
  submitToQos(ch, io)
}

/** The I/O has completed: the submitter gets its own buffers back, and in them the data that was read, if it is intact. */
export function endHiddenMd(io: BdevIo): void {
  const { ch } = io
  const { bdev } = ch
  const hidden = io.hiddenMd!
  if (io.type === IoType.Read && io.status === IoStatus.Success) {
    const context = bdev.difContext!
    context.difCheckFlags = io.difCheckFlags
    context.initRefTag = io.offsetBlocks >>> 0
    const { origIovs, origIovCnt, iovs } = hidden
    if (!bdev.host.accel.dif.verifyCopy(context, origIovs, origIovCnt, iovs, 1, io.numBlocks)) failCheck(io, context.error.type)
  }
  io.iovs = hidden.origIovs
  io.iovCnt = hidden.origIovCnt
  io.flags &= ~IoFlag.HiddenMd
  if (--ch.bounced === 0) ch.flags &= ~ChannelFlag.Bounced
  const buffer = hidden.buffer!
  hidden.buffer = null
  buffer.owner!.give(buffer)
}

/** What was read does not fit its protection information: an NVMe media error, as a drive that checks would answer. */
function failCheck(io: BdevIo, type: number): void {
  io.flags |= IoFlag.Details
  io.nvmeSct = NVME_SCT_MEDIA_ERROR
  if (type === DifErrorType.Guard) io.nvmeSc = NVME_SC_GUARD_CHECK_ERROR
  else if (type === DifErrorType.Apptag) io.nvmeSc = NVME_SC_APPLICATION_TAG_CHECK_ERROR
  else io.nvmeSc = NVME_SC_REFERENCE_TAG_CHECK_ERROR
  io.status = IoStatus.NvmeError
}

/** Whether blocks of a bdev carry reference tags that are checked: they belong to one place only. */
export function hasRefTags(bdev: Bdev): boolean {
  return bdev.difType !== DifType.Disable && (bdev.difCheckFlags & DifFlag.ReftagCheck) !== 0
}

/** Checks the reference tags of an I/O's blocks, which count from `from`, and makes them count from `to`. */
export function remapRefTags(io: BdevIo, from: number, to: number): boolean {
  const { bdev, mdBuf } = io
  const { dif } = bdev.host.accel
  const context = bdev.difContext!
  context.difCheckFlags = io.difCheckFlags
  context.initRefTag = from >>> 0
  context.remappedInitRefTag = to >>> 0
  let fits = true
  if (bdev.mdInterleave) fits = dif.remapRefTag(context, io.iovs, io.iovCnt, io.numBlocks)
  else if (mdBuf !== null) fits = dif.dixRemapRefTag(context, mdBuf, io.mdOff, io.numBlocks)
  if (!fits) {
    const { expected, actual, offsetBlocks } = context.error
    bdev.module.log.debug(`bdev "${bdev.name}": block ${io.offsetBlocks + offsetBlocks}: wanted reference tag ${expected}, found ${actual}; the I/O fails`)
  }
  return fits
}
