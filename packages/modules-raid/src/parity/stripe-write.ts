// SPDX-License-Identifier: Apache-2.0
// data plane
import { ERRNO, IoStatus } from '@bdevkit/module-sdk'
import type { BdevIo, DescChannel } from '@bdevkit/module-sdk'
import type { RaidChannel } from '../raid-channel.js'
import { settleStripe } from '../raid-fn.js'
import type { RaidIo } from '../raid-io.js'
import { cutIo, joinWrite } from './stripe-cut.js'
import { makeParity } from './stripe-math.js'
import { StripePhase, StripePlan, type Strip, type StripeOp } from './stripe-op.js'
import { planWrite } from './stripe-plan.js'
import type { StripePool } from './stripe-pool.js'
import { endOp, readStrips, repairLost, sendFrom } from './stripe-run.js'

/** A WRITE that lies in one stripe. */
export function submitWrite(ch: RaidChannel, io: BdevIo<RaidIo>): void {
  const pool = ch.ctx as StripePool
  const { stripeBlocks, geometry } = pool
  const inStripe = io.offsetBlocks % stripeBlocks
  if (inStripe + io.numBlocks > stripeBlocks || (!geometry.partialWrites && io.numBlocks !== stripeBlocks)) {
    io.complete(IoStatus.Failed)
    return
  }
  const op = pool.take(io, (io.offsetBlocks - inStripe) / stripeBlocks, true)
  cutIo(op, io)
  ch.raid.stripes.acquire(op, start)
}

/** The stripe is the operation's. */
function start(op: StripeOp): void {
  op.wrote = false
  op.missed = false
  op.journaled = false
  op.failed = null
  op.good = 0
  op.status = IoStatus.Success
  if (!op.pool.lend(op)) {
    end(op, IoStatus.Nomem)
    return
  }
  takeFollowers(op)
  plan(op)
}

/** Writes that wait and go on where this one ends are carried out with it: small ones in sequence then cost one operation. */
function takeFollowers(op: StripeOp): void {
  const { stripes } = op.ch.raid
  for (let next = stripes.follower(op); next !== null && joinWrite(op, next); next = stripes.follower(op)) {
    stripes.takeFollower(op)
    op.pool.give(next)
  }
}

function plan(op: StripeOp): void {
  op.phase = StripePhase.Reading
  if (!planWrite(op)) end(op, IoStatus.Failed)
  else readStrips(op, dataRead)
}

function dataRead(op: StripeOp): void {
  if (op.status !== IoStatus.Success) end(op, op.status)
  else if (op.lost) plan(op)
  else {
    makeParity(op)
    const { journal } = op.ch.raid
    if (journal?.wanted(op) !== true) writeInPlace(op)
    else {
      op.journaled = true
      op.phase = StripePhase.Logging
      journal.append(op)
    }
  }
}

/** The journal has it, and it may be written in place; or it could not be, and nothing of it may. On the operation's thread. */
export function stripeLogged(op: StripeOp, success: boolean): void {
  if (success) writeInPlace(op)
  else end(op, IoStatus.Failed)
}

function writeInPlace(op: StripeOp): void {
  op.phase = StripePhase.Writing
  for (let slot = 0; slot < op.strips.length; slot++) op.strips[slot].again = true
  sendFrom(op, sendWrites)
}

function sendWrites(op: StripeOp): void {
  while (op.next < op.strips.length) {
    const strip = op.strips[op.next]
    const { leg } = strip
    if (!strip.again || strip.numRows === 0) op.next++
    else if (leg === null || leg !== op.ch.writeLegs[strip.slot]) {
      // It was not there, and parity has what it lacks; or it has left since.
      if (leg !== null) {
        op.missed = true
        op.ch.raid.missedWrites = true
      }
      op.next++
    } else {
      const rc = writeStrip(op, strip, leg)
      if (rc === -ERRNO.ENOMEM) {
        if (leg.queueIoWait(op.wait) === 0) return
      } else {
        if (rc === 0) sentTo(op, strip)
        else stripFailed(strip, IoStatus.Failed)
        op.next++
      }
    }
  }
  if (--op.left === 0) allWritten(op)
}

function sentTo(op: StripeOp, strip: Strip): void {
  op.left++
  op.wrote = true
  strip.writing = true
  strip.again = false
}

function writeStrip(op: StripeOp, strip: Strip, leg: DescChannel): number {
  const block = op.memberBlock(strip.slot, strip.firstRow)
  if (strip.mdBuf === null) return leg.writevBlocks(strip.iovs, strip.iovCnt, block, strip.numRows, stripWritten, strip)
  return leg.writevBlocksWithMd(strip.iovs, strip.iovCnt, strip.mdBuf, strip.mdOff, block, strip.numRows, stripWritten, strip)
}

function stripWritten(child: BdevIo, success: boolean, strip: Strip): void {
  const { op } = strip
  strip.writing = false
  if (success) op.good++
  else stripFailed(strip, child.status)
  child.free()
  if (--op.left === 0) allWritten(op)
  op.ch.raid.stripes.onWritten?.()
}

/** A member was not written. Where a reset of the array has ended that, it is sent again: a stripe is not left half written. */
function stripFailed(strip: Strip, status: number): void {
  const { op } = strip
  const { slot } = strip
  if (status === IoStatus.Aborted && op.ch.raid.resets > 0) {
    strip.again = true
    return
  }
  strip.again = false
  if (op.status === IoStatus.Success) op.status = status
  const left = strip.leg !== op.ch.writeLegs[slot] ? -1 : slot
  if (op.failed === null) op.failed = [left] // cold: a failure
  else op.failed.push(left)
}

function allWritten(op: StripeOp): void {
  const { raid } = op.ch
  if (mustGoOn(op)) {
    if (raid.resets === 0) sendFrom(op, sendWrites)
    else {
      op.wait.fn = resume
      raid.stripes.parked.push(op)
    }
  } else if (op.failed === null) end(op, op.missed && op.ch.broken ? IoStatus.Failed : IoStatus.Success)
  else if (op.good === 0) end(op, op.status)
  else {
    op.phase = StripePhase.Settling
    settleStripe(raid, op.failed, op)
  }
}

/** Whether a reset has ended writes to members that are still there. */
function mustGoOn(op: StripeOp): boolean {
  for (let slot = 0; slot < op.strips.length; slot++) {
    const { again, numRows, leg } = op.strips[slot]
    if (again && numRows > 0 && leg !== null && leg === op.ch.writeLegs[slot]) return true
  }
  return false
}

/** The reset is over. */
function resume(op: StripeOp): void {
  sendFrom(op, sendWrites)
}

/** The array has decided on members that failed: it is without them now, or cannot be. */
export function stripeSettled(op: StripeOp, without: boolean): void {
  op.ch.thread.execMsg(without ? endWithout : endFailed, op)
}

function endWithout(op: StripeOp): void {
  end(op, op.ch.broken ? IoStatus.Failed : IoStatus.Success)
}

function endFailed(op: StripeOp): void {
  end(op, op.status)
}

function end(op: StripeOp, status: number): void {
  const { raid, stripBlocks } = op.ch
  const { torn } = raid.stripes
  op.status = status
  if (op.journaled) raid.journal?.wrote(op)
  if (status === IoStatus.Success) {
    if (torn.size > 0 && op.plan === StripePlan.Reconstruct && op.numRows === stripBlocks) torn.delete(op.stripe)
    repairLost(op)
  } else if (op.wrote) {
    torn.add(op.stripe)
    raid.writeFailed(op.stripe * op.pool.stripeBlocks, op.pool.stripeBlocks)
  }
  raid.stripes.release(op)
  endOp(op, status)
}
