// SPDX-License-Identifier: Apache-2.0
// data plane
import { ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import { ChannelFlag } from '../channel/bdev-channel.js'
import { abortHeld } from '../lba-range/lba-range-lock.js'
import { removeLimited } from '../qos/qos.js'
import { IoPhase, type BdevIo, type IoDone } from './bdev-io.js'
import { abortBufWait } from './io-buffer-wait.js'
import { abortLockWait } from './io-compare-and-write.js'
import { failUnsubmitted, finishLater, readTick, sendToModule } from './io-submit.js'
import { queueIoWaiter, removeIoWaiters } from './io-wait.js'

/** An ABORT of several I/Os: one child for each. */
interface AbortParts {
  readonly targets: BdevIo[]
  readonly generations: number[]
  next: number
  outstanding: number
  failed: boolean
}

/** What an ABORT has found. */
interface Found {
  /** I/O that its module is asked to abort. */
  readonly targets: BdevIo[]
  /** A RESET or an ABORT was among it. */
  refused: boolean
  /** Something was taken out of a queue. */
  aborted: boolean
}

/**
 * Carries out an ABORT: every I/O of the channel that was submitted with `ioArg` as its argument is taken out of the queue
 * that it waits in, or its module is asked to abort it (`spdk_bdev_abort`). `io` is filled in but not submitted. `forwarded`: it
 * stands for an ABORT of the bdev above, whose own target may go on when that of `io` has completed.
 */
export function startAbort(io: BdevIo, ioArg: unknown, forwarded: boolean): void {
  const ch = io.ch
  const head = ch.submitted
  const found: Found = { targets: [], refused: false, aborted: false }
  io.target = null
  if (ioArg === null) {
    // A forwarded ABORT whose target has completed.
    failUnsubmitted(io, -ERRNO.ENOENT)
    return
  }
  for (let at = head.next!; at !== head; at = at.next!) if (at.cbArg === ioArg) collect(at, found)
  if ((ch.flags & ChannelFlag.Locked) !== 0 && abortHeld(ch, ioArg)) found.aborted = true
  const { targets, refused } = found
  // A vbdev's I/O may still wait for a child on this thread.
  if (targets.length === 0 && removeIoWaiters(ch.thread, ioArg as BdevIo)) {
    ch.thread.sendMsg(abortWaiting, ioArg as BdevIo)
    found.aborted = true
  }
  if (targets.length === 0) {
    if (found.aborted && !refused) succeedUnsubmitted(io)
    else failUnsubmitted(io, -ERRNO.ENOENT)
    return
  }
  link(io)
  io.phase = IoPhase.Framework
  if (targets.length === 1 && !refused) {
    const target = targets[0]!
    io.target = target
    io.targetGeneration = target.generation
    if (!forwarded) {
      io.parts = io.cb
      io.cb = singleDone
    }
    sendToModule(ch, io)
    return
  }
  const generations = targets.map(generationOf) // cold: an ABORT of several I/Os
  const parts: AbortParts = { targets, generations, next: 0, outstanding: 0, failed: refused }
  io.parts = parts
  sendParts(io)
}

/** Takes an I/O out of the queue that it waits in, or adds it to the targets; one that is made of children by each of them. */
function collect(io: BdevIo, found: Found): void {
  const ch = io.ch
  if (io.phase === IoPhase.Completed) return
  if (io.type === IoType.Abort || io.type === IoType.Reset) {
    found.refused = true
  } else if (io.phase === IoPhase.Framework && (ch.shared.remove(io) || removeLimited(ch, io))) {
    finishLater(io, IoStatus.Aborted)
    found.aborted = true
  } else if (abortBufWait(io) || (io.phase === IoPhase.Framework && abortLockWait(io))) {
    found.aborted = true
  } else if (io.phase === IoPhase.Framework) {
    const head = ch.submitted
    for (let part = head.next!; part !== head; part = part.next!) if (part.cbArg === io) collect(part, found)
  } else {
    found.targets.push(io)
  }
}

function generationOf(io: BdevIo): number {
  return io.generation
}

function sendParts(io: BdevIo): void {
  const ch = io.ch
  const parts = io.parts as AbortParts
  while (parts.next < parts.targets.length) {
    const child = ch.pool.take()
    if (child === null) {
      queueIoWaiter(ch.thread, { fn: sendParts, arg: io, next: null, parent: io })
      return
    }
    const at = parts.next++
    child.channel = io.channel
    child.type = IoType.Abort
    child.offsetBlocks = 0
    child.numBlocks = 0
    child.iovCnt = 0
    child.status = IoStatus.Pending
    child.cb = partDone
    child.cbArg = io
    child.target = parts.targets[at]!
    child.targetGeneration = parts.generations[at]!
    parts.outstanding++
    link(child)
    sendToModule(ch, child)
  }
  finishIfDone(io)
}

/** The module has answered an ABORT of one I/O. A target that has completed meanwhile needs none: that is success. */
function singleDone(io: BdevIo, _success: boolean, arg: unknown): void {
  io.cb = io.parts as IoDone
  io.parts = null
  if (io.abortTarget === null) io.status = IoStatus.Success
  io.cb(io, io.status === IoStatus.Success, arg)
}

function partDone(child: BdevIo, success: boolean, io: BdevIo): void {
  const parts = io.parts as AbortParts
  if (!success && child.abortTarget !== null) parts.failed = true
  parts.outstanding--
  child.free()
  finishIfDone(io)
}

function finishIfDone(io: BdevIo): void {
  const parts = io.parts as AbortParts
  if (parts.outstanding > 0 || parts.next < parts.targets.length) return
  io.parts = null
  finishLater(io, parts.failed ? IoStatus.Failed : IoStatus.Success)
}

function abortWaiting(parent: BdevIo): void {
  parent.phase = IoPhase.Outstanding
  parent.complete(IoStatus.Aborted)
}

function succeedUnsubmitted(io: BdevIo): void {
  io.submitTickMs = io.ch.thread.tickMs
  io.prev = io
  io.next = io
  finishLater(io, IoStatus.Success)
}

function link(io: BdevIo): void {
  const head = io.ch.submitted
  const last = head.prev!
  io.prev = last
  io.next = head
  last.next = io
  head.prev = io
  io.submitTickMs = (io.ch.flags & ChannelFlag.Histogram) === 0 ? io.ch.thread.tickMs : readTick(io.ch)
}
