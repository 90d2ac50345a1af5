// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import { ChannelFlag, type BdevChannel } from '../channel/bdev-channel.js'
import { IoFlag, IoPhase, type BdevIo } from './bdev-io.js'
import { holdIfLocked } from '../lba-range/lba-range-lock.js'
import { submitLimited } from '../qos/qos.js'
import { finishIo, finishParent } from './io-complete.js'
import { emulateIo } from './io-emulate.js'
import { startHiddenMd } from './io-metadata.js'
import { startReset } from './io-reset.js'
import { isSplitChild, shouldSplit, splitIo } from './io-split.js'
import { shadowBuffers } from './io-strict.js'

/** The one way down: a filled-in I/O enters its channel. Its callback follows, never before this has returned. */
export function submitIo(io: BdevIo): void {
  const ch = io.ch
  const head = ch.submitted
  const last = head.prev!
  io.prev = last
  io.next = head
  last.next = io
  head.prev = io
  io.submitTickMs = ch.thread.tickMs
  if (ch.flags !== 0 || (io.channel.fastTypes & (1 << io.type)) === 0) submitUncommon(ch, io)
  else sendToModule(ch, io)
}

/** Hands an I/O to its module. */
export function sendToModule(ch: BdevChannel, io: BdevIo): void {
  ch.outstanding++
  io.phase = IoPhase.Submitting
  try {
    const returned: unknown = ch.submitRequest.call(ch.fn, ch.moduleCtx, io)
    if (returned !== undefined) submitReturned(io, returned)
  } catch (thrown) {
    submitThrew(io, thrown)
  }
  if (io.phase === IoPhase.Submitting) io.phase = IoPhase.Outstanding
}

/** Enters a channel where something special goes on, or with a type that does not go to the module as it comes. */
export function submitUncommon(ch: BdevChannel, io: BdevIo): void {
  const type = io.type
  io.phase = IoPhase.Framework
  if ((ch.flags & ChannelFlag.Histogram) !== 0) io.submitTickMs = readTick(ch)
  if ((ch.flags & ChannelFlag.Locked) !== 0 && holdIfLocked(ch, io)) return
  if (type === IoType.Reset) {
    startReset(io)
    return
  }
  if ((ch.flags & ChannelFlag.Reset) !== 0) {
    finishLater(io, IoStatus.Aborted)
    return
  }
  const { limits } = ch.bdev
  if ((limits.splitTypes & (1 << type)) !== 0 && !isSplitChild(io) && shouldSplit(io)) {
    splitIo(io)
    return
  }
  if ((io.channel.nativeTypes & (1 << type)) === 0) {
    emulateIo(io)
    return
  }
  if (limits.splitOnWriteUnit && type === IoType.Write && io.numBlocks < ch.bdev.writeUnitSizeBlocks) {
    warnOfUnit(ch, io)
    finishLater(io, IoStatus.Failed)
    return
  }
  if (io.channel.hidesMetadata && (type === IoType.Read || type === IoType.Write)) startHiddenMd(io)
  else submitToQos(ch, io)
}

/** cold: a consumer does not heed the write unit. */
function warnOfUnit(ch: BdevChannel, io: BdevIo): void {
  const { host, name, writeUnitSizeBlocks, unitWarnings } = ch.bdev
  const leftOut = unitWarnings.next(host.reactor.clock.nowMs())
  if (leftOut < 0) return
  const others = leftOut === 0 ? '' : `, as did ${leftOut} others since the last message`
  host.log.warn(`WRITE of ${io.numBlocks} block(s) at ${io.offsetBlocks} on bdev "${name}": wanted whole units of ${writeUnitSizeBlocks} blocks; it fails${others}`)
}

/** On the way to the module, after everything that the framework makes of an I/O. */
export function submitToQos(ch: BdevChannel, io: BdevIo): void {
  if ((ch.flags & ChannelFlag.Qos) !== 0) submitLimited(ch, io)
  else submitAdmitted(ch, io)
}

/** The last step to the module, after every check and the rate limits. */
export function submitAdmitted(ch: BdevChannel, io: BdevIo): void {
  if ((ch.flags & ChannelFlag.Strict) !== 0) {
    checkThread(io)
    shadowBuffers(io)
  }
  if ((ch.flags & ChannelFlag.Distrusted) !== 0) io.flags |= IoFlag.Retire
  if ((ch.flags & ChannelFlag.Nomem) !== 0 && io.type !== IoType.Abort) ch.shared.append(io)
  else sendToModule(ch, io)
}

/** Strict mode: a channel is of one thread. */
function checkThread(io: BdevIo): void {
  const { thread } = io.ch
  const { current } = thread.reactor
  if (current === null || current === thread) return
  io.bdev.host.misuse(`${io.channel.desc.owner}: an I/O to bdev "${io.bdev.name}" was submitted on thread "${current.name}" by the channel of thread "${thread.name}"; use the channel of the current thread`)
}

/** Reads the clock for a channel whose latencies are wanted finer than by the batch. */
export function readTick(ch: BdevChannel): number {
  const thread = ch.thread
  thread.tickMs = thread.reactor.clock.nowMs()
  return thread.tickMs
}

/** Completes an I/O that the framework has, by message. */
export function finishLater(io: BdevIo, status: number): void {
  io.status = status
  io.phase = IoPhase.Completed
  io.ch.thread.sendMsg(finishIo, io)
}

/** As `finishLater`, for an I/O that was made of others: they are counted, it is not. */
export function finishParentLater(io: BdevIo, status: number): void {
  io.status = status
  io.phase = IoPhase.Completed
  io.ch.thread.sendMsg(finishParent, io)
}

/** Completes an I/O that never entered a channel, by message, with a negative errno. */
export function failUnsubmitted(io: BdevIo, errno: number): void {
  io.prev = io
  io.next = io
  io.submitTickMs = io.ch.thread.tickMs
  io.setErrno(errno)
  finishLater(io, IoStatus.AioError)
}

/** A module's promise cannot be waited for here: the I/O fails now and its object is never used again. */
export function submitReturned(io: BdevIo, returned: unknown): void {
  const module = io.pool.module
  const isPromise = typeof (returned as PromiseLike<unknown> | null)?.then === 'function'
  module.distrust()
  module.log.error(
    `submitRequest of module "${module.name}" returned ${isPromise ? 'a promise' : `a ${typeof returned}`}: it must return nothing, and complete the I/O by io.complete(); ` +
      `the I/O on bdev "${io.bdev.name}" fails`,
  )
  if (!isPromise) return failWithModule(io)
  const rejected = (reason: unknown): void => module.log.error(`the promise of submitRequest rejected: ${String(reason)}`) // cold: misuse
  ;(returned as PromiseLike<unknown>).then(undefined, rejected)
  failWithModule(io)
}

/** A throw fails the I/O; its object is never used again. */
export function submitThrew(io: BdevIo, thrown: unknown): void {
  const module = io.pool.module
  module.distrust()
  module.reportThrow(`submitRequest of module "${module.name}" for bdev "${io.bdev.name}"`, thrown)
  failWithModule(io)
}

/** The module has misbehaved with an I/O: it fails, and its object is not used again. */
export function failWithModule(io: BdevIo): void {
  io.flags |= IoFlag.Retire
  if (io.phase === IoPhase.Submitting || io.phase === IoPhase.Outstanding) io.complete(IoStatus.Failed)
  // Its child still works on the submitter's buffers.
  else if (io.phase === IoPhase.Forwarded) io.phase = IoPhase.Failing
}
