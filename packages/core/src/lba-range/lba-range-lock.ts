// SPDX-License-Identifier: Apache-2.0
// data plane
import { ERRNO, IoStatus } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { ChannelFlag, type BdevChannel } from '../channel/bdev-channel.js'
import { walkChannels } from '../channel/walk-channels.js'
import { isPart, type BdevIo } from '../io/bdev-io.js'
import { finishLater, submitIo } from '../io/io-submit.js'
import { LbaRange } from './lba-range.js'

/**
 * Takes a lock, or queues it behind the one that it overlaps. Every channel then holds back I/O that conflicts with it, and
 * `range.done` is called when what was submitted before has ended.
 */
export function lockRange(bdev: Bdev, range: LbaRange): void {
  const { locked, pending } = bdev.ranges
  if (overlapsOneOf(range, locked)) {
    pending.push(range)
    return
  }
  locked.push(range)
  spread(bdev, range)
}

/** Gives a lock back; `done` is called on the lock's thread when every channel knows, and I/O that it held goes on. */
export function unlockRange(bdev: Bdev, range: LbaRange, done: () => void): void {
  const { locked } = bdev.ranges
  locked.splice(locked.indexOf(range), 1)
  walkChannels(bdev, range.thread, ch => release(ch, range), () => { // cold: a lock ends
    lockPending(bdev, range)
    bdev.changed?.()
    done()
  })
}

/**
 * Locks blocks against writes of everybody but I/O of `ch` with the argument `ctx` (`bdev_lock_lba_range`). Returns a negative
 * errno where it cannot.
 */
export function lockLbaRange(ch: BdevChannel, offsetBlocks: number, numBlocks: number, ctx: unknown, done: (range: LbaRange) => void): number {
  if (ctx === null || ctx === undefined) return -ERRNO.EINVAL
  lockRange(ch.bdev, new LbaRange(offsetBlocks, numBlocks, ch.thread, done, { owner: ch, ctx }))
  return 0
}

/** Ends a lock of {@link lockLbaRange}: -EINVAL unless range, channel and argument are those that it was taken with. */
export function unlockLbaRange(ch: BdevChannel, offsetBlocks: number, numBlocks: number, ctx: unknown, done: () => void): number {
  for (const range of ch.lockedRanges) {
    if (!range.granted || range.owner !== ch || range.ctx !== ctx || range.offsetBlocks !== offsetBlocks || range.numBlocks !== numBlocks) continue
    if (!ch.bdev.ranges.locked.includes(range)) continue
    unlockRange(ch.bdev, range, done)
    return 0
  }
  return -ERRNO.EINVAL
}

/** A new channel keeps the locks that there are. */
export function inheritLocks(ch: BdevChannel): void {
  for (const range of ch.bdev.ranges.locked) keep(ch, range)
}

/** Holds an I/O back where a lock of its channel forbids it. Returns whether it did. */
export function holdIfLocked(ch: BdevChannel, io: BdevIo): boolean {
  // What the framework makes of an I/O that was let through goes through too.
  if (isPart(io)) return false
  for (let i = 0; i < ch.lockedRanges.length; i++) {
    if (!ch.lockedRanges[i]!.conflictsWith(io)) continue
    io.prev!.next = io.next
    io.next!.prev = io.prev
    io.prev = io
    io.next = io
    ch.heldIos.push(io)
    return true
  }
  return false
}

/** Ends the I/O that is held back and was submitted with `arg`, as aborted. Returns whether there was one. */
export function abortHeld(ch: BdevChannel, arg: unknown): boolean {
  const held = ch.heldIos
  let kept = 0
  for (let i = 0; i < held.length; i++) {
    const io = held[i]!
    if (io.cbArg === arg) finishLater(io, IoStatus.Aborted)
    else held[kept++] = io
  }
  const aborted = kept < held.length
  held.length = kept
  return aborted
}

/** An I/O of a channel with locks has ended: it may have been the last one in the way of one of them. */
export function lockedChannelFinished(ch: BdevChannel): void {
  for (let i = ch.drainingRanges.length - 1; i >= 0; i--) {
    const range = ch.drainingRanges[i]!
    if (isBusy(ch, range)) continue
    ch.drainingRanges.splice(i, 1)
    range.busyChannels--
    if (range.everywhere && range.busyChannels === 0) range.thread.sendMsg(grant, range)
  }
}

function overlapsOneOf(range: LbaRange, others: readonly LbaRange[]): boolean {
  return others.some(other => other.overlaps(range)) // cold: a lock is taken
}

/** Every channel learns of the lock on its own thread. */
function spread(bdev: Bdev, range: LbaRange): void {
  walkChannels(bdev, range.thread, ch => keepAndDrain(ch, range), () => { // cold: a lock is taken
    range.everywhere = true
    if (range.busyChannels === 0) grant(range)
  })
}

function keepAndDrain(ch: BdevChannel, range: LbaRange): void {
  // A channel made meanwhile has it already, and had no I/O before.
  if (!keep(ch, range) || !isBusy(ch, range)) return
  ch.drainingRanges.push(range)
  range.busyChannels++
}

function keep(ch: BdevChannel, range: LbaRange): boolean {
  if (ch.lockedRanges.includes(range)) return false
  ch.lockedRanges.push(range)
  ch.flags |= ChannelFlag.Locked
  return true
}

/** Whether I/O that was submitted before the lock is still in its way. */
function isBusy(ch: BdevChannel, range: LbaRange): boolean {
  for (let io = ch.submitted.next!; io !== ch.submitted; io = io.next!) if (range.conflictsWith(io)) return true
  return false
}

function grant(range: LbaRange): void {
  range.granted = true
  range.done(range)
}

function release(ch: BdevChannel, range: LbaRange): void {
  const at = ch.lockedRanges.indexOf(range)
  if (at >= 0) ch.lockedRanges.splice(at, 1)
  if (ch.lockedRanges.length === 0) ch.flags &= ~ChannelFlag.Locked
  for (const io of ch.heldIos.splice(0)) submitIo(io)
}

/** Starts the locks that have waited for `unlocked` and for no other. */
function lockPending(bdev: Bdev, unlocked: LbaRange): void {
  const { locked, pending } = bdev.ranges
  let kept = 0
  for (let i = 0; i < pending.length; i++) {
    const range = pending[i]!
    if (!unlocked.overlaps(range) || overlapsOneOf(range, locked)) {
      pending[kept++] = range
      continue
    }
    locked.push(range)
    range.thread.sendMsg(spreadOnThread, { bdev, range })
  }
  pending.length = kept
}

function spreadOnThread({ bdev, range }: { bdev: Bdev; range: LbaRange }): void {
  spread(bdev, range)
}
