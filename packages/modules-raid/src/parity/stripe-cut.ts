// SPDX-License-Identifier: Apache-2.0
// data plane
import type { BdevIo, Iov } from '@bdevkit/module-sdk'
import type { RaidIo } from '../raid-io.js'
import type { Strip, StripeOp } from './stripe-op.js'

/** Cuts an I/O that lies in the operation's stripe into strips: rows and bytes of each, and the rows of the whole. */
export function cutIo(op: StripeOp, io: BdevIo<RaidIo>): void {
  const { stripBlocks } = op.ch
  const { blockBytes, mdBytes, stripeBlocks } = op.pool
  let at = io.offsetBlocks - op.stripe * stripeBlocks
  const end = at + io.numBlocks
  op.firstBlock = at
  op.endBlock = end
  setRows(op)
  const firstRole = Math.floor(at / stripBlocks)
  let iovAt = 0
  let iovOff = 0
  let mdOff = io.mdOff
  for (let role = firstRole; at < end; role++) {
    const strip = op.byRole[role]
    const numRows = Math.min(end, (role + 1) * stripBlocks) - at
    strip.firstRow = at - role * stripBlocks
    strip.numRows = numRows
    strip.mdBuf = io.mdBuf
    strip.mdOff = mdOff
    strip.iovCnt = 0
    let left = numRows * blockBytes
    while (left > 0) {
      const from = io.iovs[iovAt]
      const len = Math.min(left, from.len - iovOff)
      setIov(strip, from.buf, from.off + iovOff, len)
      left -= len
      iovOff += len
      if (iovOff === from.len) {
        iovAt++
        iovOff = 0
      }
    }
    at += numRows
    mdOff += numRows * mdBytes
  }
}

/** The rows of the blocks from `firstBlock` to `endBlock`: of one strip its own, of several all. */
function setRows(op: StripeOp): void {
  const { stripBlocks } = op.ch
  const firstRow = op.firstBlock % stripBlocks
  const oneStrip = firstRow + op.endBlock - op.firstBlock <= stripBlocks
  op.firstRow = oneStrip ? firstRow : 0
  op.numRows = oneStrip ? op.endBlock - op.firstBlock : stripBlocks
}

/**
 * Takes over what `next` writes, if that begins where this one ends. Returns whether it did; then `next` is left without its
 * I/O.
 */
export function joinWrite(op: StripeOp, next: StripeOp): boolean {
  if (next.firstBlock !== op.endBlock) return false
  for (let role = 0; role < op.pool.numData; role++) {
    const from = next.byRole[role]
    if (from.numRows === 0) continue
    const into = op.byRole[role]
    if (into.numRows === 0) {
      into.firstRow = from.firstRow
      into.iovCnt = 0
      into.mdBuf = null
    }
    into.numRows += from.numRows
    for (let i = 0; i < from.iovCnt; i++) setIov(into, from.iovs[i].buf, from.iovs[i].off, from.iovs[i].len)
  }
  op.endBlock = next.endBlock
  setRows(op)
  let last = op.io!
  while (last.ctx.nextInStripe !== null) last = last.ctx.nextInStripe
  last.ctx.nextInStripe = next.io
  next.io = null
  return true
}

/** Adds an element to what is written, or read, of a strip. */
export function setIov(strip: Strip, buf: Uint8Array, off: number, len: number): void {
  const { iovs } = strip
  if (strip.iovCnt === iovs.length) iovs.push(strip.op.pool.host.allocIovs(1)[0]) // cold: once for each size
  const iov: Iov = iovs[strip.iovCnt++]
  iov.buf = buf
  iov.off = off
  iov.len = len
}
