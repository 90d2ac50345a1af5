// SPDX-License-Identifier: Apache-2.0
// data plane
// Parity of what is written, and data from parity: over the rows of an operation, in its memory.
import { gfPower, solveData } from './gf-solve.js'
import { setIov } from './stripe-cut.js'
import { StripePlan, type Strip, type StripeOp } from './stripe-op.js'

/** Everything that was planned is read: makes the parity strips that will be written. */
export function makeParity(op: StripeOp): void {
  if (op.plan === StripePlan.Plain) return
  if (op.plan === StripePlan.Modify) modifyParity(op)
  else {
    if (op.plan === StripePlan.Recover) recoverData(op)
    parityOfData(op)
  }
  for (let role = op.pool.numData; role < op.byRole.length; role++) writeFromBuffer(op, op.byRole[role])
}

/** A parity strip is written in all rows of the operation. */
function writeFromBuffer(op: StripeOp, strip: Strip): void {
  const { blockBytes } = op.pool
  strip.firstRow = op.firstRow
  strip.numRows = op.numRows
  strip.iovCnt = 0
  setIov(strip, op.buffer!.buf, strip.bufferOff + op.firstRow * blockBytes, op.numRows * blockBytes)
  const { io } = op
  strip.mdBuf = io!.mdBuf === null ? null : op.md!.buf
  strip.mdOff = strip.mdBufferOff + op.firstRow * op.pool.mdBytes
}

/**
 * Makes data strips that cannot be read from the others and parity, into the operation's memory: what `planRecover` has let
 * be read is there.
 */
export function recoverData(op: StripeOp): void {
  const { pool } = op
  let x = -1
  let y = -1
  for (let role = 0; role < pool.numData; role++) {
    // As it was planned: a member that was rebuilt since can be read now, but was not.
    if (op.byRole[role].readRows > 0) continue
    if (x < 0) x = role
    else y = role
  }
  if (x < 0) return
  const withoutP = op.byRole[pool.numData].readRows === 0
  const { accel } = pool.host
  bufferSources(op)
  solveData(accel, op.sources, pool.numData, x, y, withoutP, op.numRows * pool.blockBytes)
  if (op.io!.mdBuf === null) return
  mdSources(op)
  solveData(accel, op.sources, pool.numData, x, y, withoutP, op.numRows * pool.mdBytes)
}

function bufferSources(op: StripeOp): void {
  const { blockBytes } = op.pool
  for (let role = 0; role < op.byRole.length; role++) {
    const source = op.sources[role]
    source.buf = op.buffer!.buf
    source.off = op.byRole[role].bufferOff + op.firstRow * blockBytes
    source.len = op.numRows * blockBytes
  }
}

function mdSources(op: StripeOp): void {
  const { mdBytes } = op.pool
  for (let role = 0; role < op.byRole.length; role++) {
    const source = op.sources[role]
    source.buf = op.md!.buf
    source.off = op.byRole[role].mdBufferOff + op.firstRow * mdBytes
    source.len = op.numRows * mdBytes
  }
}

/** From the data of all strips: the submitter's where that is in one piece and all there is, else what was read with it put in. */
function parityOfData(op: StripeOp): void {
  const { pool, sources } = op
  const { accel } = pool.host
  const lengthBytes = op.numRows * pool.blockBytes
  bufferSources(op)
  for (let role = 0; role < pool.numData; role++) {
    const { numRows, firstRow, iovs, iovCnt, bufferOff } = op.byRole[role]
    if (numRows === op.numRows && iovCnt === 1) {
      sources[role].buf = iovs[0].buf
      sources[role].off = iovs[0].off
    } else if (numRows > 0) accel.copyFromIovs(op.buffer!.buf, bufferOff + firstRow * pool.blockBytes, iovs, iovCnt, numRows * pool.blockBytes)
  }
  sumInto(op, lengthBytes)
  if (op.io!.mdBuf === null) return
  // Metadata is with levels that write whole stripes: all of it is the submitter's.
  mdSources(op)
  for (let role = 0; role < pool.numData; role++) {
    sources[role].buf = op.io!.mdBuf
    sources[role].off = op.byRole[role].mdOff
  }
  sumInto(op, op.numRows * pool.mdBytes)
}

/** The parities of the first sources into the last. */
function sumInto(op: StripeOp, lengthBytes: number): void {
  const { numData, geometry, host } = op.pool
  const p = op.sources[numData]
  if (geometry.numParity === 1 || op.byRole[numData + 1].leg === null) {
    host.accel.xorInto(p.buf, p.off, op.sources, numData, lengthBytes)
    return
  }
  const q = op.sources[numData + 1]
  host.accel.pqInto(p.buf, p.off, q.buf, q.off, op.sources, numData, lengthBytes)
}

/** What changes of a strip changes parity in the same rows. */
function modifyParity(op: StripeOp): void {
  const { numData, geometry, blockBytes, host } = op.pool
  const { accel } = host
  const { buf } = op.buffer!
  const p = op.byRole[numData]
  const q = geometry.numParity === 2 ? op.byRole[numData + 1] : null
  for (let role = 0; role < numData; role++) {
    const { numRows, firstRow, iovs, iovCnt, bufferOff } = op.byRole[role]
    if (numRows === 0) continue
    const rowOff = firstRow * blockBytes
    const lengthBytes = numRows * blockBytes
    const off = bufferOff + rowOff
    let at = off
    for (let i = 0; i < iovCnt; i++) {
      const iov = iovs[i]
      accel.xor(buf, at, iov.buf, iov.off, iov.len)
      at += iov.len
    }
    if (p.leg !== null) accel.xor(buf, p.bufferOff + rowOff, buf, off, lengthBytes)
    if (q?.leg != null) accel.gfMulXor(buf, q.bufferOff + rowOff, buf, off, gfPower(role), lengthBytes)
  }
}

/** What was made for a read, to whom it is for. */
export function copyToReader(op: StripeOp): void {
  const { pool } = op
  const { accel } = pool.host
  for (let role = 0; role < pool.numData; role++) {
    const strip = op.byRole[role]
    if (strip.numRows === 0) continue
    accel.copyToIovs(strip.iovs, strip.iovCnt, op.buffer!.buf, strip.bufferOff + strip.firstRow * pool.blockBytes, strip.numRows * pool.blockBytes)
    if (strip.mdBuf === null) continue
    accel.copy(strip.mdBuf, strip.mdOff, op.md!.buf, strip.mdBufferOff + strip.firstRow * pool.mdBytes, strip.numRows * pool.mdBytes)
  }
}
