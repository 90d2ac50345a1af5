// SPDX-License-Identifier: Apache-2.0
// data plane
// Which members an operation reads.
import { StripePlan, type Strip, type StripeOp } from './stripe-op.js'

/** Whether what is on the member can be had. */
export function readable(op: StripeOp, strip: Strip): boolean {
  return !strip.lost && op.ch.readLegs[strip.slot] !== null
}

/**
 * Plans a write: the way that reads the fewest blocks. Returns `false` where nothing leads to it: members are missing that it
 * cannot do without.
 */
export function planWrite(op: StripeOp): boolean {
  const { pool, ch } = op
  const { numData, geometry } = pool
  let missing = 0
  let unread = 0
  /** Blocks to read for each way; Infinity: no way. */
  let modify = 0
  let reconstruct = 0
  let recover = 0
  for (let role = 0; role < ch.numMembers; role++) {
    const strip = op.byRole[role]
    const isParity = role >= numData
    strip.readRows = 0
    const written = isParity || strip.numRows > 0
    strip.leg = written ? ch.writeLegs[strip.slot] : null
    // Said now: a member that comes before the write is sent would be taken to have it.
    if (written && strip.leg === null) ch.raid.missedWrites = true
    if (ch.readLegs[strip.slot] === null) missing++
    const known = readable(op, strip)
    if (isParity) {
      // Without its member there is no parity to keep.
      if (strip.leg !== null) modify += known ? op.numRows : Infinity
      continue
    }
    if (strip.numRows > 0) modify += known ? strip.numRows : Infinity
    if (known) recover += op.numRows
    else unread++
    const rest = rowsBeside(op, strip)
    if (rest > 0) reconstruct += known ? rest : Infinity
  }
  if (missing > geometry.numParity) return false
  if (!anyParity(op)) {
    op.plan = StripePlan.Plain
    return true
  }
  const fits = !pool.ch.raid.stripes.torn.has(op.stripe)
  recover += unread * op.numRows
  if (!fits || unread > parityToRead(op) || (unread > 0 && doubtful(op))) recover = Infinity
  // What does not fit would go on not fitting: of two parities, not even with one another.
  if (!fits || (reconstruct > 0 && recover < Infinity && isUnsynced(op))) modify = Infinity
  const least = Math.min(reconstruct, modify, recover)
  if (least === Infinity) return false
  if (reconstruct === least) planReconstruct(op)
  else if (modify === least) planModify(op)
  else planRecover(op, unread)
  return true
}

/** Plans a read that needs parity. Returns `false` where it does not suffice. */
export function planDegradedRead(op: StripeOp): boolean {
  let unread = 0
  for (let role = 0; role < op.pool.numData; role++) if (!readable(op, op.byRole[role])) unread++
  if (unread > parityToRead(op) || op.ch.raid.stripes.torn.has(op.stripe) || doubtful(op)) return false
  for (let slot = 0; slot < op.strips.length; slot++) op.strips[slot].readRows = 0
  planRecover(op, unread)
  return true
}

/** After a crash, and all members are there: what one of them cannot read is not made from a parity that may not fit. */
function doubtful(op: StripeOp): boolean {
  const { dirtyMap, torn } = op.ch.raid
  const { stripeBlocks } = op.pool
  if (!torn || dirtyMap === null || !dirtyMap.isUnsynced(op.stripe * stripeBlocks, stripeBlocks)) return false
  for (let slot = 0; slot < op.strips.length; slot++) if (op.ch.readLegs[slot] === null) return false
  return true
}

/** Whether nobody knows that parity fits: then it is made anew as long as that is possible. */
function isUnsynced(op: StripeOp): boolean {
  const { dirtyMap } = op.ch.raid
  const { stripeBlocks } = op.pool
  return dirtyMap === null || dirtyMap.isUnsynced(op.stripe * stripeBlocks, stripeBlocks)
}

/** Rows of the operation that are not written of a data strip, but for those that would have to be read in two pieces: then all. */
function rowsBeside(op: StripeOp, strip: Strip): number {
  const rest = op.numRows - strip.numRows
  if (rest === 0 || strip.numRows === 0) return rest
  const atOneEnd = strip.firstRow === op.firstRow || strip.firstRow + strip.numRows === op.firstRow + op.numRows
  return atOneEnd ? rest : op.numRows
}

function anyParity(op: StripeOp): boolean {
  for (let role = op.pool.numData; role < op.byRole.length; role++) if (op.byRole[role].leg !== null) return true
  return false
}

function parityToRead(op: StripeOp): number {
  let count = 0
  for (let role = op.pool.numData; role < op.byRole.length; role++) if (readable(op, op.byRole[role])) count++
  return count
}

function planReconstruct(op: StripeOp): void {
  op.plan = StripePlan.Reconstruct
  for (let role = 0; role < op.pool.numData; role++) {
    const strip = op.byRole[role]
    const rows = rowsBeside(op, strip)
    if (rows === 0) continue
    // What is written ends where the operation ends, or begins where it begins: the rest is on the other side.
    const behind = strip.numRows > 0 && strip.firstRow === op.firstRow && rows < op.numRows
    strip.readRow = behind ? strip.firstRow + strip.numRows : op.firstRow
    strip.readRows = rows
  }
}

function planModify(op: StripeOp): void {
  op.plan = StripePlan.Modify
  for (let role = 0; role < op.byRole.length; role++) {
    const strip = op.byRole[role]
    const isParity = role >= op.pool.numData
    if (isParity ? strip.leg === null : strip.numRows === 0) continue
    strip.readRow = isParity ? op.firstRow : strip.firstRow
    strip.readRows = isParity ? op.numRows : strip.numRows
  }
}

/** Every data strip that can be read, and as many parities as there are strips that cannot. */
function planRecover(op: StripeOp, unread: number): void {
  op.plan = StripePlan.Recover
  let parities = unread
  for (let role = 0; role < op.byRole.length; role++) {
    const strip = op.byRole[role]
    if (!readable(op, strip)) continue
    if (role >= op.pool.numData && parities-- <= 0) continue
    strip.readRow = op.firstRow
    strip.readRows = op.numRows
  }
}
