// SPDX-License-Identifier: Apache-2.0
// data plane
// What writes and reads of a stripe have in common: members are read into the operation's memory, and the end.
import { ERRNO, IoStatus } from '@bdevkit/module-sdk'
import type { BdevIo, DescChannel } from '@bdevkit/module-sdk'
import type { RaidIo } from '../raid-io.js'
import type { Strip, StripeOp } from './stripe-op.js'

/** Begins to send to members: `send` is called now, and again when it had to wait for an I/O. */
export function sendFrom(op: StripeOp, send: (op: StripeOp) => void): void {
  op.next = 0
  op.left = 1
  op.wait.fn = send
  send(op)
}

/** Reads `readRows` of every strip into the operation's memory; `done` runs when all have answered. */
export function readStrips(op: StripeOp, done: (op: StripeOp) => void): void {
  op.lost = false
  op.status = IoStatus.Success
  op.whenRead = done
  sendFrom(op, sendReads)
}

function sendReads(op: StripeOp): void {
  const { blockBytes, mdBytes } = op.pool
  while (op.next < op.strips.length && op.status === IoStatus.Success) {
    const strip = op.strips[op.next]
    if (strip.readRows === 0) {
      op.next++
      continue
    }
    const leg = op.ch.readLegs[strip.slot]
    if (leg === null) {
      stripLost(strip, IoStatus.Failed)
      op.next++
      continue
    }
    const block = op.memberBlock(strip.slot, strip.readRow)
    const off = strip.bufferOff + strip.readRow * blockBytes
    const rc = op.io!.mdBuf === null
      ? leg.readBlocks(op.buffer!.buf, off, block, strip.readRows, stripRead, strip)
      : leg.readBlocksWithMd(op.buffer!.buf, off, op.md!.buf, strip.mdBufferOff + strip.readRow * mdBytes, block, strip.readRows, stripRead, strip)
    if (!readSent(strip, leg, rc)) return
  }
  if (--op.left === 0) op.whenRead(op)
}

/** What a member has answered to a read that was submitted. Returns whether to go on; if not, the operation waits for an I/O. */
export function readSent(strip: Strip, leg: DescChannel, rc: number): boolean {
  const { op } = strip
  if (rc === -ERRNO.ENOMEM) return leg.queueIoWait(op.wait) !== 0
  if (rc === 0) op.left++
  else stripLost(strip, IoStatus.Failed)
  op.next++
  return true
}

/** A member has answered a read. */
export function stripRead(child: BdevIo, success: boolean, strip: Strip): void {
  const { op } = strip
  if (!success) stripLost(strip, child.status)
  child.free()
  if (--op.left === 0) op.whenRead(op)
}

/** A strip could not be read: another plan is to be made, unless a reset of the array has ended it. */
export function stripLost(strip: Strip, status: number): void {
  const { op } = strip
  if (status === IoStatus.Aborted && op.ch.raid.resets > 0) op.status = status
  else {
    strip.lost = true
    op.lost = true
  }
}

/** The operation is over, its stripe free: what its I/O has come to. */
export function endOp(op: StripeOp, status: number): void {
  let { io } = op
  op.pool.give(op)
  while (io !== null) {
    const next: BdevIo<RaidIo> | null = io.ctx.nextInStripe
    io.ctx.nextInStripe = null
    io.complete(status)
    io = next
  }
}

/** Members that are there and could not be read are given anew what they lack. */
export function repairLost(op: StripeOp): void {
  const { stripeBlocks } = op.pool
  for (let slot = 0; slot < op.strips.length; slot++) {
    if (op.strips[slot].lost && op.ch.readLegs[slot] !== null) op.ch.raid.repairLater(slot, op.stripe * stripeBlocks, stripeBlocks)
  }
}
