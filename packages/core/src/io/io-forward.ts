// SPDX-License-Identifier: Apache-2.0
// data plane
import type { ForwardCallback } from '@bdevkit/module-sdk'
import { ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import { Access, WRITING_TYPES } from './access.js'
import type { DescChannel } from '../descriptor/desc-channel.js'
import { IoFlag, IoPhase, type BdevIo } from './bdev-io.js'
import { startAbort } from './io-abort.js'
import { misuse } from './io-complete.js'
import { copyExt, copySeekAnswer, EXT_TYPES, isSeek } from './io-ext.js'
import { failUnsubmitted, failWithModule, submitIo } from './io-submit.js'
import { queueIoWaiter } from './io-wait.js'
import { submitZcopyEnd } from './io-zcopy.js'

/**
 * Sends `parent` down to `base` as a child that shares its buffers. `done`, where given, looks at the child first and then
 * answers for the parent; else the parent completes as the child does. What cannot be sent fails as a child would.
 */
export function forwardIo(parent: BdevIo, base: DescChannel, done: ForwardCallback | null, offsetBlocks: number): void {
  if (parent.phase !== IoPhase.Submitting && parent.phase !== IoPhase.Outstanding) {
    misuse(parent, 'forwarded')
    return
  }
  parent.phase = IoPhase.Forwarded
  // What is rare stays out of this function: the larger it is the less of it the compiler joins to its callers.
  if (parent.flags !== 0 && !readyToForward(parent, done)) return
  const ch = base.ch
  const child = ch.pool.take()
  if (child === null) {
    waitAndForward(parent, base, done, offsetBlocks)
    return
  }
  const bdev = ch.bdev
  const type = parent.type
  const offset = parent.offsetBlocks + offsetBlocks
  child.channel = base
  child.type = type
  child.offsetBlocks = offset
  child.numBlocks = parent.numBlocks
  child.iovs = parent.iovs
  child.iovCnt = parent.iovCnt
  child.status = IoStatus.Pending
  child.cbArg = parent
  if (done === null) {
    child.cb = completeParent
  } else {
    child.cb = callForwardFn
    child.forwardFn = done
  }
  const bit = 1 << type
  if (
    (bit & bdev.allowedTypes) !== 0 &&
    (base.desc.access & ((bit & WRITING_TYPES) !== 0 ? Access.Write : Access.Read)) !== 0 &&
    offset >= 0 &&
    offset + parent.numBlocks <= bdev.numBlocks &&
    (child.iovCnt !== 0 || type !== IoType.Read || base.lendsReadBuffers || child.numBlocks === 0)
  ) {
    if (((bit & SPECIAL_TYPES) | parent.flags) !== 0) submitSpecial(child, parent, offsetBlocks)
    else submitIo(child)
  } else {
    failUnsubmitted(child, refusal(child, base))
  }
}

/** Sees to what the I/O holds of an earlier answer. Returns whether a child is to be made. */
function readyToForward(parent: BdevIo, done: ForwardCallback | null): boolean {
  if ((parent.flags & (IoFlag.Lent | IoFlag.HasLender)) === 0) return true
  if (parent.type === IoType.Zcopy && !parent.zcopyStart) {
    forwardZcopyEnd(parent, done)
    return false
  }
  giveLentBack(parent)
  return true
}

/** Types of which more than the range and the buffers goes down, or comes up, as bits. */
const SPECIAL_TYPES = EXT_TYPES | (1 << IoType.Abort)

function submitSpecial(child: BdevIo, parent: BdevIo, offsetBlocks: number): void {
  const { bdev, type } = child
  if ((parent.flags & IoFlag.Md) !== 0) passMdDown(parent, child)
  if (((1 << type) & SPECIAL_TYPES) === 0) {
    submitIo(child)
    return
  }
  if (type === IoType.Abort) {
    startAbort(child, parent.abortTarget, true)
    return
  }
  copyExt(child, parent, offsetBlocks)
  let fits = true
  if (type === IoType.Copy) fits = child.srcOffsetBlocks >= 0 && child.srcOffsetBlocks + child.numBlocks <= bdev.numBlocks
  else if (type === IoType.CompareAndWrite) fits = child.numBlocks <= bdev.acwuBlocks
  else if (isSeek(type)) {
    fits = child.offsetBlocks < bdev.numBlocks
    child.cb = child.cb === completeParent ? completeSeek : callForwardFnOfSeek
  } else if (type === IoType.Zcopy) {
    child.iovs = child.own
    child.flags |= IoFlag.ZcopyOpen
  }
  if (fits) submitIo(child)
  else failUnsubmitted(child, -ERRNO.EINVAL)
}

function completeSeek(child: BdevIo, success: boolean, parent: BdevIo): void {
  if (success) copySeekAnswer(parent, child)
  completeParent(child, success, parent)
}

function callForwardFnOfSeek(child: BdevIo, success: boolean, parent: BdevIo): void {
  if (success) copySeekAnswer(parent, child)
  callForwardFn(child, success, parent)
}

/** The end of a ZCOPY goes to the child that its start left open below. */
function forwardZcopyEnd(parent: BdevIo, done: ForwardCallback | null): void {
  const child = parent.lender
  if (child === null || (child.flags & IoFlag.ZcopyOpen) === 0) {
    parent.phase = IoPhase.Outstanding
    parent.completeAio(-ERRNO.EINVAL)
    return
  }
  child.forwardFn = done
  submitZcopyEnd(child, parent.zcopyCommit, zcopyEnded, parent)
}

/** It is freed with its parent, whose buffer it still holds. */
function zcopyEnded(child: BdevIo, success: boolean, parent: BdevIo): void {
  if (child.forwardFn !== null && parent.phase !== IoPhase.Failing) {
    parent.phase = IoPhase.Outstanding
    answerFor(child, parent)
  } else if (success) {
    parent.completeForwarded()
  } else {
    parent.phase = IoPhase.Outstanding
    parent.completeFrom(child)
  }
}

/** The child works on the parent's metadata, and checks what the parent would have had checked. */
function passMdDown(parent: BdevIo, child: BdevIo): void {
  child.setMd(parent.mdBuf, parent.mdOff)
  child.difExclude = parent.difExclude
}

/** Whether an I/O was made by `forward` or `forwardThen`: it shares the buffers of its parent. */
export function isForwarded(io: BdevIo): boolean {
  return io.cb === completeParent || io.cb === callForwardFn
}

/** Completes the parent of a forwarded I/O as its child did. */
function completeParent(child: BdevIo, success: boolean, parent: BdevIo): void {
  if (success) {
    if (child.flags === 0) child.free()
    else passLentOn(child, parent)
    parent.completeForwarded()
  } else {
    parent.phase = IoPhase.Outstanding
    parent.completeFrom(child)
    child.free()
  }
}

/** Lets the function given to `forwardThen` answer for the parent. */
function callForwardFn(child: BdevIo, success: boolean, parent: BdevIo): void {
  if (parent.phase === IoPhase.Failing) {
    child.free()
    parent.completeForwarded()
    return
  }
  parent.phase = IoPhase.Outstanding
  const lent = success && (child.flags & IoFlag.HoldsData) !== 0
  if (lent) passLentOn(child, parent)
  answerFor(child, parent)
  if (!lent) child.free()
}

function answerFor(child: BdevIo, parent: BdevIo): void {
  try {
    const returned: unknown = child.forwardFn!(child, parent)
    if (returned !== undefined) refuseAnswer(parent, returned)
  } catch (thrown) {
    callbackThrew(parent, thrown)
  }
}

function callbackThrew(parent: BdevIo, thrown: unknown): void {
  const module = parent.pool.module
  module.distrust()
  module.reportThrow(`the forwardThen callback of module "${module.name}" on bdev "${parent.bdev.name}"`, thrown)
  failWithModule(parent)
}

/** An async callback: its child is freed by now, and what comes later belongs to nobody. */
function refuseAnswer(parent: BdevIo, returned: unknown): void {
  const module = parent.pool.module
  if (typeof (returned as PromiseLike<unknown> | null)?.then !== 'function') return
  ;(returned as PromiseLike<unknown>).then(undefined, thrown => module.reportThrow(`the promise of a forwardThen callback of module "${module.name}"`, thrown)) // cold: misuse
  callbackThrew(parent, new TypeError('it returned a promise: it must return nothing, and complete the parent now or by a later callback'))
}

/** The memory that a READ without buffers was answered with goes on to the parent; the child that answers for it is freed with the parent. */
function passLentOn(child: BdevIo, parent: BdevIo): void {
  if ((child.flags & IoFlag.HoldsData) === 0) {
    child.free()
    return
  }
  parent.iovs = child.iovs
  parent.iovCnt = child.iovCnt
  if (child.mdBuf !== null) parent.setMd(child.mdBuf, child.mdOff)
  parent.lender = child
  parent.flags |= IoFlag.HasLender
}

/** It was answered with lent memory and goes down once more: a base must not read into that memory. */
function giveLentBack(parent: BdevIo): void {
  const flags = parent.flags
  parent.flags = flags & ~(IoFlag.Lent | IoFlag.HasLender)
  parent.iovs = parent.own
  parent.iovCnt = 0
  parent.mdBuf = null
  if ((flags & IoFlag.Lent) !== 0) parent.ch.lent--
  if ((flags & IoFlag.HasLender) !== 0) {
    const lender = parent.lender!
    parent.lender = null
    lender.free()
  }
}

function refusal(child: BdevIo, base: DescChannel): number {
  const bit = 1 << child.type
  if ((bit & child.bdev.allowedTypes) === 0) return -ERRNO.ENOTSUP
  if ((base.desc.access & ((bit & WRITING_TYPES) !== 0 ? Access.Write : Access.Read)) === 0) return -ERRNO.EBADF
  return -ERRNO.EINVAL
}

/** The pool is empty: the rare case, which may allocate. */
function waitAndForward(parent: BdevIo, base: DescChannel, done: ForwardCallback | null, offsetBlocks: number): void {
  const arg = { parent, base, done, offsetBlocks }
  queueIoWaiter(base.ch.thread, { fn: forwardWaiting, arg, next: null, parent })
}

function forwardWaiting(waiting: { parent: BdevIo; base: DescChannel; done: ForwardCallback | null; offsetBlocks: number }): void {
  const { parent } = waiting
  if (parent.phase === IoPhase.Failing) {
    parent.completeForwarded()
    return
  }
  parent.phase = IoPhase.Outstanding
  forwardIo(parent, waiting.base, waiting.done, waiting.offsetBlocks)
}
