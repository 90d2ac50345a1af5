// SPDX-License-Identifier: Apache-2.0
// data plane
import { ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevIo, DescChannel, IoWaitEntry } from '@bdevkit/module-sdk'
import type { MemberRange, RaidLevel } from './levels/level.js'
import type { RaidChannel } from './raid-channel.js'
import { failMembersOf } from './raid-fn.js'

/** What is kept with each I/O of an array. */
export class RaidIo {
  ch: RaidChannel = null as unknown as RaidChannel
  /** The slot to go on with. */
  next = 0
  /** Children under way, and one while they are being sent. */
  left = 0
  /** Members that have carried it out. */
  good = 0
  /** How the first failure ended. */
  status: number = IoStatus.Success
  /** A reset of the array has aborted it on a member that stays: without that one it is not carried out. */
  cut = false
  /** The slot that is read from. */
  slot = 0
  /** Slots of members that failed; made where there is one. */
  failed: number[] | null = null
  /** The next I/O that the same stripe operation carries out. */
  nextInStripe: BdevIo<RaidIo> | null = null
  /** What the level keeps. */
  ctx: any = null
  /** The member that it goes to, where it may have to wait. */
  leg: DescChannel | null = null
  readonly wait: IoWaitEntry<BdevIo<RaidIo>> = { fn: sendAll, arg: null as unknown as BdevIo<RaidIo> }
}

const range: MemberRange = { offsetBlocks: 0, numBlocks: 0 }

/** Carries out an I/O of an array. */
export function submitRaid(level: RaidLevel, ch: RaidChannel, io: BdevIo<RaidIo>): void {
  switch (io.type) {
    case IoType.Read:
      io.ctx.ch = ch
      level.submitRw(ch, io)
      break
    case IoType.Write:
      io.ctx.ch = ch
      if (ch.dirtyMap === null || ch.dirtyMap.admits(io)) level.submitRw(ch, io)
      break
    case IoType.Unmap:
    case IoType.WriteZeroes:
      io.ctx.ch = ch
      if (ch.dirtyMap === null || ch.dirtyMap.admits(io)) startAll(ch, io, sendRanges)
      break
    case IoType.Flush:
      startAll(ch, io, sendRanges)
      break
    case IoType.Reset:
      ch.raid.resets++
      startAll(ch, io, sendResets)
      break
    default:
      io.complete(IoStatus.Failed)
  }
}

/** A write that the dirty map has kept may go on. */
export function resumeWrite(io: BdevIo<RaidIo>): void {
  const { ch } = io.ctx
  submitRaid(ch.raid.level, ch, io)
}

/** Begins something that goes to several members: `send` is called now, and again when it had to wait. */
export function startAll(ch: RaidChannel, io: BdevIo<RaidIo>, send: (io: BdevIo<RaidIo>) => void): void {
  const own = io.ctx
  own.ch = ch
  own.next = 0
  own.left = 1
  own.good = 0
  own.status = IoStatus.Success
  own.cut = false
  own.failed = null
  own.wait.fn = send
  own.wait.arg = io
  send(io)
}

/** The first value of `RaidIo.wait.fn`. */
function sendAll(_io: BdevIo<RaidIo>): void {}

/**
 * What a submit call to a member has answered. Returns whether to go on; if not, the I/O waits, and its `send` is called again.
 */
export function legSent(io: BdevIo<RaidIo>, leg: DescChannel, rc: number): boolean {
  const own = io.ctx
  if (rc === 0) {
    own.left++
    own.next++
    return true
  }
  if (rc === -ERRNO.ENOMEM) return leg.queueIoWait(own.wait) !== 0
  legFailed(own, own.next, IoStatus.Failed)
  own.next++
  return true
}

/** Remembers that the member in `slot`, -1 for one that has left meanwhile, has failed this I/O. */
export function legFailed(own: RaidIo, slot: number, status: number): void {
  if (own.status === IoStatus.Success) own.status = status
  // Aborted by a reset of the array: the member is not to blame.
  if (slot >= 0 && status === IoStatus.Aborted && own.ch.raid.resets > 0) own.cut = true
  else if (own.failed === null) own.failed = [slot] // cold: a failure
  else own.failed.push(slot)
}

/** Writes all of `io` to a member, from its block `offsetBlocks` on. */
export function writeTo(leg: DescChannel, io: BdevIo<RaidIo>, offsetBlocks: number): number {
  if (io.mdBuf === null) return leg.writevBlocks(io.iovs, io.iovCnt, offsetBlocks, io.numBlocks, legDone, io)
  return leg.writevBlocksWithMd(io.iovs, io.iovCnt, io.mdBuf, io.mdOff, offsetBlocks, io.numBlocks, legDone, io)
}

/** A member has answered. */
export function legDone(child: BdevIo, success: boolean, io: BdevIo<RaidIo>): void {
  const own = io.ctx
  if (success) own.good++
  else legFailed(own, own.ch.slotOf(child.channel), child.status)
  child.free()
  if (--own.left === 0) finishAll(io)
}

/** Everything is sent: ends what `startAll` began. */
export function allSent(io: BdevIo<RaidIo>): void {
  if (--io.ctx.left === 0) finishAll(io)
}

/** All members have answered. Success, unless one that is still in the array has failed. */
export function finishAll(io: BdevIo<RaidIo>): void {
  const own = io.ctx
  if (io.type === IoType.Reset) {
    const { raid } = own.ch
    if (--raid.resets === 0) raid.journal?.resetDone()
    raid.stripes.membersReset(io)
  } else if (own.failed !== null) settleFailures(io, own.failed)
  else if (own.status !== IoStatus.Success) completeFailed(io)
  else io.complete(own.good === 0 ? IoStatus.Failed : IoStatus.Success)
}

/** The array decides: the members leave it, and the I/O is good without them; or it cannot do without, and the I/O fails. */
function settleFailures(io: BdevIo<RaidIo>, failed: readonly number[]): void {
  const own = io.ctx
  const { raid } = own.ch
  own.failed = null
  if (!raid.level.redundant || own.good === 0 || own.cut) {
    completeFailed(io)
    return
  }
  failMembersOf(raid, failed, io)
}

/** Called when the array has decided. */
export function failuresSettled(io: BdevIo<RaidIo>, without: boolean): void {
  io.thread.execMsg(without ? completeWithout : completeFailed, io)
}

function completeWithout(io: BdevIo<RaidIo>): void {
  io.complete(io.ctx.ch.broken ? IoStatus.Failed : IoStatus.Success)
}

/** Some members may have what others have not. */
function completeFailed(io: BdevIo<RaidIo>): void {
  if (io.type !== IoType.Flush) io.ctx.ch.raid.writeFailed(io.offsetBlocks, io.numBlocks)
  io.complete(io.ctx.status)
}

/** UNMAP, FLUSH and WRITE_ZEROES go to each member that has a part of the range. */
function sendRanges(io: BdevIo<RaidIo>): void {
  const own = io.ctx
  const { ch } = own
  const { level } = ch.raid
  while (own.next < ch.numMembers) {
    level.memberRange(ch, io, own.next, range)
    const leg = ch.writeLegs[own.next]
    if (range.numBlocks === 0) own.next++
    else if (leg === null) {
      if (!level.redundant) own.status = IoStatus.Failed
      ch.raid.missedWrites = true
      own.next++
    } else if (io.type === IoType.Flush && !leg.bdev.ioTypeSupported(IoType.Flush)) passOver(own)
    else {
      const rc = sendRange(io, leg, ch.dataOffsets[own.next] + range.offsetBlocks, range.numBlocks)
      if (!legSent(io, leg, rc)) return
    }
  }
  allSent(io)
}

/** The member has nothing to do: it came when the array served the type already, and has none of it. */
function passOver(own: RaidIo): void {
  own.good++
  own.next++
}

function sendRange(io: BdevIo<RaidIo>, leg: DescChannel, offsetBlocks: number, numBlocks: number): number {
  switch (io.type) {
    case IoType.Unmap:
      // A member that came later may lack it.
      if (!leg.bdev.ioTypeSupported(IoType.Unmap)) return leg.writeZeroesBlocks(offsetBlocks, numBlocks, legDone, io)
      return leg.unmapBlocks(offsetBlocks, numBlocks, legDone, io)
    case IoType.Flush:
      return leg.flushBlocks(offsetBlocks, numBlocks, legDone, io)
    default:
      return leg.writeZeroesBlocks(offsetBlocks, numBlocks, legDone, io)
  }
}

function sendResets(io: BdevIo<RaidIo>): void {
  const own = io.ctx
  const { ch } = own
  while (own.next < ch.numMembers) {
    const leg = ch.writeLegs[own.next]
    if (leg === null) own.next++
    else if (!leg.bdev.ioTypeSupported(IoType.Reset)) passOver(own)
    else if (!legSent(io, leg, leg.reset(legDone, io))) return
  }
  allSent(io)
}
