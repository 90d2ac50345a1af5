// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus } from '@bdevkit/module-sdk'
import type { BdevIo } from '@bdevkit/module-sdk'
import type { RaidChannel } from '../raid-channel.js'
import type { RaidIo } from '../raid-io.js'
import { cutIo } from './stripe-cut.js'
import { copyToReader, recoverData } from './stripe-math.js'
import { StripePhase, type StripeOp } from './stripe-op.js'
import { planDegradedRead, readable } from './stripe-plan.js'
import type { StripePool } from './stripe-pool.js'
import { endOp, readSent, readStrips, repairLost, sendFrom, stripLost, stripRead } from './stripe-run.js'

/** A READ that lies in one stripe. */
export function submitRead(ch: RaidChannel, io: BdevIo<RaidIo>): void {
  const { stripBlocks } = ch
  const { stripeBlocks, geometry } = ch.ctx as StripePool
  const inStrip = io.offsetBlocks % stripBlocks
  if (inStrip + io.numBlocks > stripBlocks) {
    readSeveral(ch, io)
    return
  }
  const inStripe = io.offsetBlocks % stripeBlocks
  const stripe = (io.offsetBlocks - inStripe) / stripeBlocks
  const own = io.ctx
  own.slot = geometry.slotOf(stripe, (inStripe - inStrip) / stripBlocks, ch.numMembers)
  const leg = ch.readLegs[own.slot]
  if (leg === null) readDegraded(opOf(ch, io))
  else io.forwardThen(leg, readDone, ch.dataOffsets[own.slot] + stripe * stripBlocks + inStrip - io.offsetBlocks)
}

function readDone(child: BdevIo, io: BdevIo<RaidIo>): void {
  const { ch, slot } = io.ctx
  if (child.status === IoStatus.Success) {
    io.complete(IoStatus.Success)
    return
  }
  if (child.status === IoStatus.Aborted && ch.raid.resets > 0) {
    io.completeFrom(child)
    return
  }
  const op = opOf(ch, io)
  op.strips[slot].lost = true
  if (planDegradedRead(op)) readDegraded(op)
  else {
    op.pool.give(op)
    io.completeFrom(child)
  }
}

function opOf(ch: RaidChannel, io: BdevIo<RaidIo>): StripeOp {
  const pool = ch.ctx as StripePool
  const op = pool.take(io, Math.floor(io.offsetBlocks / pool.stripeBlocks), false)
  cutIo(op, io)
  return op
}

/** From several strips, each into the submitter's memory, as long as all can be read. */
function readSeveral(ch: RaidChannel, io: BdevIo<RaidIo>): void {
  const { stripeBlocks } = ch.ctx as StripePool
  if ((io.offsetBlocks % stripeBlocks) + io.numBlocks > stripeBlocks) {
    io.complete(IoStatus.Failed)
    return
  }
  const op = opOf(ch, io)
  for (let slot = 0; slot < op.strips.length; slot++) {
    if (op.strips[slot].numRows > 0 && !readable(op, op.strips[slot])) {
      readDegraded(op)
      return
    }
  }
  op.phase = StripePhase.Reading
  op.lost = false
  op.status = IoStatus.Success
  op.whenRead = severalRead
  sendFrom(op, sendReads)
}

function sendReads(op: StripeOp): void {
  while (op.next < op.strips.length) {
    const strip = op.strips[op.next]
    const leg = op.ch.readLegs[strip.slot]
    if (strip.numRows === 0) op.next++
    else if (leg === null) {
      stripLost(strip, IoStatus.Failed)
      op.next++
    } else {
      const block = op.memberBlock(strip.slot, strip.firstRow)
      const rc = strip.mdBuf === null
        ? leg.readvBlocks(strip.iovs, strip.iovCnt, block, strip.numRows, stripRead, strip)
        : leg.readvBlocksWithMd(strip.iovs, strip.iovCnt, strip.mdBuf, strip.mdOff, block, strip.numRows, stripRead, strip)
      if (!readSent(strip, leg, rc)) return
    }
  }
  if (--op.left === 0) severalRead(op)
}

function severalRead(op: StripeOp): void {
  if (op.lost && op.status === IoStatus.Success) readDegraded(op)
  else endOp(op, op.status)
}

/** With the help of parity: no write may be under way in the stripe meanwhile. */
function readDegraded(op: StripeOp): void {
  op.ch.raid.stripes.acquire(op, start)
}

function start(op: StripeOp): void {
  op.phase = StripePhase.Reading
  if (op.pool.lend(op)) plan(op)
  else end(op, IoStatus.Nomem)
}

function plan(op: StripeOp): void {
  if (planDegradedRead(op)) readStrips(op, sourcesRead)
  else end(op, IoStatus.Failed)
}

function sourcesRead(op: StripeOp): void {
  if (op.status !== IoStatus.Success) end(op, op.status)
  else if (op.lost) plan(op)
  else {
    recoverData(op)
    copyToReader(op)
    repairLost(op)
    end(op, IoStatus.Success)
  }
}

function end(op: StripeOp, status: number): void {
  op.ch.raid.stripes.release(op)
  endOp(op, status)
}
