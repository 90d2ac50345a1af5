// SPDX-License-Identifier: Apache-2.0
// data plane
import type { BdevIo as SdkBdevIo, ExtIoOptions, IoCallback, IoWaitEntry, Iov } from '@bdevkit/module-sdk'
import type { NvmeDescChannel } from '@bdevkit/module-sdk/experimental'
import { ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import type { BdevChannel } from '../channel/bdev-channel.js'
import { IoPhase, type BdevIo, type IoDone } from '../io/bdev-io.js'
import { startAbort } from '../io/io-abort.js'
import { submitIo, submitReturned, submitThrew, submitUncommon } from '../io/io-submit.js'
import { queueIoWaiter } from '../io/io-wait.js'
import { endZcopy } from '../io/io-zcopy.js'
import { forget, type IoChannel } from '../thread/io-device.js'
import type { SpdkThread } from '../thread/thread.js'
import { Access } from '../io/access.js'
import type { Desc } from './desc.js'
import { submitCompareAndWrite, submitCopy, submitNvme, submitNvmeReset, submitSeek, submitZcopyStart } from './submit-uncommon-types.js'

const NO_IOVS: readonly Iov[] = []

/** Types whose data a module would take for whole blocks. */
const BLOCKS_COMPARED_OR_MOVED = (1 << IoType.Compare) | (1 << IoType.CompareAndWrite) | (1 << IoType.Copy) | (1 << IoType.Zcopy)

/** A descriptor's channel on one thread: the submission API. Checks here, once; nothing below checks again. */
export class DescChannel implements NvmeDescChannel {
  readonly desc: Desc
  readonly bdev: Bdev
  readonly thread: SpdkThread
  /** The channel of the bdev, which other descriptors share. @internal */
  readonly ch: BdevChannel
  readonly ctx: DescChannel
  /** Block size of I/O through this descriptor. */
  readonly blockSizeBytes: number
  /** Whether metadata is hidden from it. @internal */
  readonly hidesMetadata: boolean
  /** Types that the module serves as they come through this descriptor: what data is compared or moved without its metadata is not. @internal */
  readonly nativeTypes: number
  /** Types that go to the module without any help. @internal */
  readonly fastTypes: number
  /** Whether a READ may come without buffers: it completes with memory of the module. */
  readonly lendsReadBuffers: boolean
  /** Holders: `getIoChannel` takes one, `put` gives it back. @internal */
  refs = 1
  readonly #ioChannel: IoChannel<BdevChannel>

  /** Made by `Desc.getIoChannel`. @internal */
  constructor(desc: Desc, ioChannel: IoChannel<BdevChannel>) {
    this.desc = desc
    this.bdev = desc.bdev
    this.ch = ioChannel.ctx
    this.thread = ioChannel.thread
    this.ctx = this
    const { bdev, hideMetadata } = desc
    const hidesMetadata = hideMetadata && bdev.mdSizeBytes > 0
    this.blockSizeBytes = desc.blockSizeBytes
    this.hidesMetadata = hidesMetadata
    this.nativeTypes = hidesMetadata ? bdev.supportedTypes & ~BLOCKS_COMPARED_OR_MOVED : bdev.supportedTypes
    this.fastTypes = hidesMetadata ? bdev.fastTypes & ~(BLOCKS_COMPARED_OR_MOVED | (1 << IoType.Read) | (1 << IoType.Write)) : bdev.fastTypes
    this.lendsReadBuffers = bdev.lendsReadBuffers && !hidesMetadata
    this.#ioChannel = ioChannel
  }

  put(): void {
    if (this.refs === 0) {
      this.bdev.host.misuse(`${this.desc.owner}: a channel of bdev "${this.bdev.name}" was put once too often`)
      return
    }
    const current = this.thread.reactor.executing()
    if (current !== this.thread) {
      this.bdev.host.misuse(`${this.desc.owner}: a channel of bdev "${this.bdev.name}" on thread "${this.thread.name}" was put on thread "${current.name}"; put it where it was got`)
    }
    forget(this.thread, this)
    if (--this.refs > 0) return
    this.desc.channels.delete(this.thread)
    this.#ioChannel.put()
  }

  readBlocks<Arg>(buf: Uint8Array, bufOff: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
    return submitRw(this, IoType.Read, Access.Read, buf, bufOff, NO_IOVS, 0, offsetBlocks, numBlocks, cb, arg)
  }

  writeBlocks<Arg>(buf: Uint8Array, bufOff: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
    return submitRw(this, IoType.Write, Access.Write, buf, bufOff, NO_IOVS, 0, offsetBlocks, numBlocks, cb, arg)
  }

  readvBlocks<Arg>(iovs: readonly Iov[], iovCnt: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
    if (iovCnt === 0 && !this.lendsReadBuffers && numBlocks > 0) return -ERRNO.EINVAL
    return submitRw(this, IoType.Read, Access.Read, null, 0, iovs, iovCnt, offsetBlocks, numBlocks, cb, arg)
  }

  writevBlocks<Arg>(iovs: readonly Iov[], iovCnt: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
    if (iovCnt === 0 && numBlocks > 0) return -ERRNO.EINVAL
    return submitRw(this, IoType.Write, Access.Write, null, 0, iovs, iovCnt, offsetBlocks, numBlocks, cb, arg)
  }

  comparevBlocks<Arg>(iovs: readonly Iov[], iovCnt: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
    if (iovCnt === 0 && numBlocks > 0) return -ERRNO.EINVAL
    return submitRw(this, IoType.Compare, Access.Read, null, 0, iovs, iovCnt, offsetBlocks, numBlocks, cb, arg)
  }

  readBlocksWithMd<Arg>(
    buf: Uint8Array, bufOff: number, mdBuf: Uint8Array | null, mdOff: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg,
  ): number {
    if (mdBuf === null) return this.readBlocks(buf, bufOff, offsetBlocks, numBlocks, cb, arg)
    return submitMd(this, IoType.Read, Access.Read, buf, bufOff, NO_IOVS, 0, mdBuf, mdOff, 0, offsetBlocks, numBlocks, cb, arg)
  }

  readvBlocksWithMd<Arg>(
    iovs: readonly Iov[], iovCnt: number, mdBuf: Uint8Array | null, mdOff: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg,
  ): number {
    if (mdBuf === null) return this.readvBlocks(iovs, iovCnt, offsetBlocks, numBlocks, cb, arg)
    return submitMd(this, IoType.Read, Access.Read, null, 0, iovs, iovCnt, mdBuf, mdOff, 0, offsetBlocks, numBlocks, cb, arg)
  }

  writeBlocksWithMd<Arg>(
    buf: Uint8Array, bufOff: number, mdBuf: Uint8Array | null, mdOff: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg,
  ): number {
    if (mdBuf === null) return this.writeBlocks(buf, bufOff, offsetBlocks, numBlocks, cb, arg)
    return submitMd(this, IoType.Write, Access.Write, buf, bufOff, NO_IOVS, 0, mdBuf, mdOff, 0, offsetBlocks, numBlocks, cb, arg)
  }

  writevBlocksWithMd<Arg>(
    iovs: readonly Iov[], iovCnt: number, mdBuf: Uint8Array | null, mdOff: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg,
  ): number {
    if (mdBuf === null) return this.writevBlocks(iovs, iovCnt, offsetBlocks, numBlocks, cb, arg)
    return submitMd(this, IoType.Write, Access.Write, null, 0, iovs, iovCnt, mdBuf, mdOff, 0, offsetBlocks, numBlocks, cb, arg)
  }

  comparevBlocksWithMd<Arg>(
    iovs: readonly Iov[], iovCnt: number, mdBuf: Uint8Array | null, mdOff: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg,
  ): number {
    if (mdBuf === null) return this.comparevBlocks(iovs, iovCnt, offsetBlocks, numBlocks, cb, arg)
    return submitMd(this, IoType.Compare, Access.Read, null, 0, iovs, iovCnt, mdBuf, mdOff, 0, offsetBlocks, numBlocks, cb, arg)
  }

  readvBlocksExt<Arg>(
    iovs: readonly Iov[], iovCnt: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg, options: ExtIoOptions,
  ): number {
    const { mdBuf = null, mdOff = 0, difCheckFlagsExcludeMask: exclude = 0 } = options
    return submitMd(this, IoType.Read, Access.Read, null, 0, iovs, iovCnt, mdBuf, mdOff, exclude, offsetBlocks, numBlocks, cb, arg)
  }

  writevBlocksExt<Arg>(
    iovs: readonly Iov[], iovCnt: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg, options: ExtIoOptions,
  ): number {
    const { mdBuf = null, mdOff = 0, difCheckFlagsExcludeMask: exclude = 0 } = options
    return submitMd(this, IoType.Write, Access.Write, null, 0, iovs, iovCnt, mdBuf, mdOff, exclude, offsetBlocks, numBlocks, cb, arg)
  }

  unmapBlocks<Arg>(offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
    return submitRange(this, IoType.Unmap, offsetBlocks, numBlocks, cb, arg)
  }

  writeZeroesBlocks<Arg>(offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
    return submitRange(this, IoType.WriteZeroes, offsetBlocks, numBlocks, cb, arg)
  }

  flushBlocks<Arg>(offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
    return submitRange(this, IoType.Flush, offsetBlocks, numBlocks, cb, arg)
  }

  comparevAndWritevBlocks<Arg>(
    compareIovs: readonly Iov[], compareIovCnt: number, writeIovs: readonly Iov[], writeIovCnt: number,
    offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg,
  ): number {
    return submitCompareAndWrite(this, compareIovs, compareIovCnt, writeIovs, writeIovCnt, offsetBlocks, numBlocks, cb, arg)
  }

  copyBlocks<Arg>(dstOffsetBlocks: number, srcOffsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
    return submitCopy(this, dstOffsetBlocks, srcOffsetBlocks, numBlocks, cb, arg)
  }

  zcopyStart<Arg>(offsetBlocks: number, numBlocks: number, populate: boolean, cb: IoCallback<Arg>, arg: Arg): number {
    return submitZcopyStart(this, offsetBlocks, numBlocks, populate, cb, arg)
  }

  zcopyEnd<Arg>(io: SdkBdevIo, commit: boolean, cb: IoCallback<Arg>, arg: Arg): number {
    return endZcopy(this, io as BdevIo, commit, cb as IoDone, arg)
  }

  seekData<Arg>(offsetBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
    return submitSeek(this, IoType.SeekData, offsetBlocks, cb, arg)
  }

  seekHole<Arg>(offsetBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
    return submitSeek(this, IoType.SeekHole, offsetBlocks, cb, arg)
  }

  writeUncorrectableBlocks<Arg>(offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
    return submitRange(this, IoType.WriteUncorrectable, offsetBlocks, numBlocks, cb, arg)
  }

  nvmeAdminPassthru<Arg>(cmd: Uint8Array, iovs: readonly Iov[], iovCnt: number, lengthBytes: number, cb: IoCallback<Arg>, arg: Arg): number {
    return submitNvme(this, IoType.NvmeAdmin, cmd, iovs, iovCnt, lengthBytes, null, cb, arg)
  }

  nvmeIoPassthru<Arg>(cmd: Uint8Array, iovs: readonly Iov[], iovCnt: number, lengthBytes: number, cb: IoCallback<Arg>, arg: Arg): number {
    return submitNvme(this, IoType.NvmeIo, cmd, iovs, iovCnt, lengthBytes, null, cb, arg)
  }

  nvmeIoPassthruMd<Arg>(
    cmd: Uint8Array, iovs: readonly Iov[], iovCnt: number, lengthBytes: number, md: Iov, cb: IoCallback<Arg>, arg: Arg,
  ): number {
    return submitNvme(this, IoType.NvmeIoMd, cmd, iovs, iovCnt, lengthBytes, md, cb, arg)
  }

  nvmeIovPassthruMd<Arg>(
    cmd: Uint8Array, iovs: readonly Iov[], iovCnt: number, lengthBytes: number, md: Iov | null, cb: IoCallback<Arg>, arg: Arg,
  ): number {
    return submitNvme(this, IoType.NvmeIovMd, cmd, iovs, iovCnt, lengthBytes, md, cb, arg)
  }

  nvmeNssr<Arg>(cb: IoCallback<Arg>, arg: Arg): number {
    return submitNvmeReset(this, cb, arg)
  }

  reset<Arg>(cb: IoCallback<Arg>, arg: Arg): number {
    if (this.desc.access === 0) return -ERRNO.EBADF
    const io = this.ch.pool.take()
    if (io === null) return -ERRNO.ENOMEM
    fill(this, io, IoType.Reset, 0, 0, cb, arg)
    io.iovCnt = 0
    submitIo(io)
    return 0
  }

  abort<Arg>(ioArg: unknown, cb: IoCallback<Arg>, arg: Arg): number {
    if (ioArg === null || ioArg === undefined) return -ERRNO.EINVAL
    if (this.desc.access === 0) return -ERRNO.EBADF
    if ((this.bdev.supportedTypes & (1 << IoType.Abort)) === 0) return -ERRNO.ENOTSUP
    const io = this.ch.pool.take()
    if (io === null) return -ERRNO.ENOMEM
    fill(this, io, IoType.Abort, 0, 0, cb, arg)
    io.iovCnt = 0
    startAbort(io, ioArg, false)
    return 0
  }

  queueIoWait(entry: IoWaitEntry): number {
    const thread = this.thread
    if (thread.ioWaitHead === null && this.ch.pool.budget.hasFor(thread)) return -ERRNO.EINVAL
    queueIoWaiter(thread, { fn: entry.fn, arg: entry.arg, next: null, parent: null })
    return 0
  }
}

/**
 * The hot path of READ, WRITE and COMPARE, written out in one piece: `IoPool.take`, `submitIo` and `sendToModule` with
 * their common cases. Calls cost more here than lines (see bench/README.md).
 */
function submitRw<Arg>(
  channel: DescChannel,
  type: number,
  access: number,
  buf: Uint8Array | null,
  bufOff: number,
  iovs: readonly Iov[],
  iovCnt: number,
  offsetBlocks: number,
  numBlocks: number,
  cb: IoCallback<Arg>,
  arg: Arg,
): number {
  const ch = channel.ch
  const bdev = ch.bdev
  if ((channel.desc.access & access) === 0) return -ERRNO.EBADF
  if (!(Number.isInteger(offsetBlocks) && Number.isInteger(numBlocks))) return -ERRNO.EINVAL
  if (!(offsetBlocks >= 0 && numBlocks >= 0 && offsetBlocks + numBlocks <= bdev.numBlocks)) return -ERRNO.EINVAL
  const len = numBlocks * channel.blockSizeBytes
  if (buf === null ? !iovsHold(iovs, iovCnt, len) : !(bufOff >= 0 && bufOff + len <= buf.length)) return -ERRNO.EINVAL
  if ((bdev.allowedTypes & (1 << type)) === 0) return -ERRNO.ENOTSUP
  const thread = ch.thread
  const pool = ch.pool
  let io = pool.head
  if (thread.ioCredits === 0 || io === null) {
    io = pool.take()
    if (io === null) return -ERRNO.ENOMEM
  } else {
    thread.ioCredits--
    pool.head = io.poolNext
  }
  if (buf === null) {
    io.iovs = iovs
    io.iovCnt = iovCnt
  } else {
    const iov = io.own[0]!
    iov.buf = buf
    iov.off = bufOff
    iov.len = len
    io.iovs = io.own
    io.iovCnt = 1
  }
  io.channel = channel
  io.type = type
  io.offsetBlocks = offsetBlocks
  io.numBlocks = numBlocks
  io.cb = cb
  io.cbArg = arg
  io.status = IoStatus.Pending
  if (numBlocks === 0) {
    succeedEmpty(io)
    return 0
  }
  const head = ch.submitted
  const last = head.prev!
  io.prev = last
  io.next = head
  last.next = io
  head.prev = io
  io.submitTickMs = thread.tickMs
  if (ch.flags !== 0 || (channel.fastTypes & (1 << type)) === 0) {
    submitUncommon(ch, io)
    return 0
  }
  ch.outstanding++
  io.phase = IoPhase.Submitting
  try {
    const returned: unknown = ch.submitRequest.call(ch.fn, ch.moduleCtx, io)
    if (returned !== undefined) submitReturned(io, returned)
  } catch (thrown) {
    submitThrew(io, thrown)
  }
  if (io.phase === IoPhase.Submitting) io.phase = IoPhase.Outstanding
  return 0
}

/** READ, WRITE and COMPARE with separate metadata or with checks to go without: beside the hot path. */
function submitMd<Arg>(
  channel: DescChannel,
  type: number,
  access: number,
  buf: Uint8Array | null,
  bufOff: number,
  iovs: readonly Iov[],
  iovCnt: number,
  mdBuf: Uint8Array | null,
  mdOff: number,
  exclude: number,
  offsetBlocks: number,
  numBlocks: number,
  cb: IoCallback<Arg>,
  arg: Arg,
): number {
  const bdev = channel.bdev
  const borrows = buf === null && iovCnt === 0 && numBlocks > 0
  if (mdBuf !== null && (bdev.mdSizeBytes === 0 || bdev.mdInterleave || borrows)) return -ERRNO.EINVAL
  if (borrows && !(type === IoType.Read && channel.lendsReadBuffers)) return -ERRNO.EINVAL
  if ((channel.desc.access & access) === 0) return -ERRNO.EBADF
  if (!(Number.isInteger(offsetBlocks) && Number.isInteger(numBlocks))) return -ERRNO.EINVAL
  if (!(offsetBlocks >= 0 && numBlocks >= 0 && offsetBlocks + numBlocks <= bdev.numBlocks)) return -ERRNO.EINVAL
  const len = numBlocks * channel.blockSizeBytes
  if (buf === null ? !iovsHold(iovs, iovCnt, len) : !(bufOff >= 0 && bufOff + len <= buf.length)) return -ERRNO.EINVAL
  if (mdBuf !== null && !(mdOff >= 0 && mdOff + numBlocks * bdev.mdSizeBytes <= mdBuf.length)) return -ERRNO.EINVAL
  if ((bdev.allowedTypes & (1 << type)) === 0) return -ERRNO.ENOTSUP
  const io = channel.ch.pool.take()
  if (io === null) return -ERRNO.ENOMEM
  fill(channel, io, type, offsetBlocks, numBlocks, cb, arg)
  io.iovs = iovs
  io.iovCnt = iovCnt
  if (buf !== null) {
    const iov = io.own[0]!
    iov.buf = buf
    iov.off = bufOff
    iov.len = len
    io.iovs = io.own
    io.iovCnt = 1
  }
  io.setMd(mdBuf, mdOff)
  io.difExclude = exclude
  if (numBlocks !== 0) submitIo(io)
  else succeedEmpty(io)
  return 0
}

/** Whether the first `iovCnt` elements are `len` bytes of existing memory. None at all asks to borrow. */
export function iovsHold(iovs: readonly Iov[], iovCnt: number, len: number): boolean {
  if (iovCnt === 0) return true
  let left = len
  for (let i = 0; i < iovCnt; i++) {
    const iov = iovs[i]
    if (iov === undefined || !(iov.off >= 0 && iov.len >= 0 && iov.off + iov.len <= iov.buf.length)) return false
    left -= iov.len
  }
  return left === 0
}

/** Whether the blocks are there. */
export function inRange(bdev: Bdev, offsetBlocks: number, numBlocks: number): boolean {
  if (!(Number.isInteger(offsetBlocks) && Number.isInteger(numBlocks))) return false
  return offsetBlocks >= 0 && numBlocks >= 0 && offsetBlocks + numBlocks <= bdev.numBlocks
}

function submitRange<Arg>(channel: DescChannel, type: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
  const bdev = channel.bdev
  if ((channel.desc.access & Access.Write) === 0) return -ERRNO.EBADF
  if (type === IoType.Flush && (bdev.allowedTypes & (1 << IoType.Flush)) === 0) return -ERRNO.ENOTSUP
  if (!inRange(bdev, offsetBlocks, numBlocks)) return -ERRNO.EINVAL
  if ((bdev.allowedTypes & (1 << type)) === 0) return -ERRNO.ENOTSUP
  const io = channel.ch.pool.take()
  if (io === null) return -ERRNO.ENOMEM
  fill(channel, io, type, offsetBlocks, numBlocks, cb, arg)
  io.iovCnt = 0
  if (numBlocks !== 0 || type === IoType.Flush) submitIo(io)
  else succeedEmpty(io)
  return 0
}

export function fill<Arg>(channel: DescChannel, io: BdevIo, type: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): void {
  io.channel = channel
  io.type = type
  io.offsetBlocks = offsetBlocks
  io.numBlocks = numBlocks
  io.cb = cb
  io.cbArg = arg
  io.status = IoStatus.Pending
}

/** An I/O of no blocks succeeds without its module. */
export function succeedEmpty(io: BdevIo): void {
  io.status = IoStatus.Success
  io.phase = IoPhase.Completed
  io.ch.thread.sendMsg(finishEmpty, io)
}

/** It was on no channel and is in no statistics. */
function finishEmpty(io: BdevIo): void {
  io.cb(io, true, io.cbArg)
}
