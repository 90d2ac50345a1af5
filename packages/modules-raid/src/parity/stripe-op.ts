// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus } from '@bdevkit/module-sdk'
import type { BdevIo, DescChannel, DmaBuffer, Iov, IoWaitEntry } from '@bdevkit/module-sdk'
import type { RaidChannel } from '../raid-channel.js'
import type { RaidIo } from '../raid-io.js'
import type { StripePool } from './stripe-pool.js'

/** Where a stripe operation is. */
export const StripePhase = {
  /** In its pool. */
  Free: 0,
  /** Another one has the stripe. */
  Waiting: 1,
  /** Members are being read. */
  Reading: 2,
  /** Everything that will be written is known; the journal has it. */
  Logging: 3,
  /** Members are being written in place. */
  Writing: 4,
  /** All members have answered, some have failed: the array decides. */
  Settling: 5,
} as const
export type StripePhase = (typeof StripePhase)[keyof typeof StripePhase]

/** How an operation comes to what it has to know. */
export const StripePlan = {
  /** From the data of all strips: what is not written is read. A whole stripe reads nothing. */
  Reconstruct: 0,
  /** From what changes: old data of what is written, and old parity. */
  Modify: 1,
  /** A strip that cannot be read is made from the others and parity first. */
  Recover: 2,
  /** As it is: of reads, and of writes without a member for parity. */
  Plain: 3,
} as const
export type StripePlan = (typeof StripePlan)[keyof typeof StripePlan]

/**
 * What a stripe operation does with one member. A row is a block of the stripe on every member, counted from the first one
 * of the strips.
 */
export class Strip {
  readonly op: StripeOp
  readonly slot: number
  /** Which strip of the stripe this is: those of data, in the order of their blocks, then P, then Q. */
  role = 0
  /** Where it is written, as it was when that was decided; `null`: it is not written. */
  leg: DescChannel | null = null
  /** What is written of it: rows, `numRows` of them, 0 = nothing; and the bytes, in the submitter's memory or in `buffer`. */
  firstRow = 0
  numRows = 0
  readonly iovs: Iov[]
  iovCnt = 0
  /** Separate metadata of those rows; `null` without. */
  mdBuf: Uint8Array | null = null
  mdOff = 0
  /** It is being written in place. */
  writing = false
  /** A reset of the array has ended its write: to be sent again. */
  again = false
  /** What is read of it. */
  readRow = 0
  readRows = 0
  /** It could not be read, though its member is there. */
  lost = false
  /** Where row 0 lies in the operation's buffer, in bytes. */
  bufferOff = 0
  mdBufferOff = 0

  constructor(op: StripeOp, slot: number) {
    this.op = op
    this.slot = slot
    this.iovs = op.pool.host.allocIovs(2)
  }
}

/**
 * One operation on one stripe: I/O of the array that lies in it. Pooled by channel (`StripePool`). A write goes through
 * these steps: the stripe is its own (`StripeLocks`), members are read, all that will be written is known (`strips`, with
 * those of P and Q), the journal has it, members are written in place, failures are settled, the stripe is free again.
 */
export class StripeOp {
  readonly pool: StripePool
  /** Its legs are used, on its thread. */
  readonly ch: RaidChannel
  /** By slot. */
  readonly strips: Strip[] = []
  /** By role, the same. */
  readonly byRole: Strip[] = []
  /** Index of the stripe: on every member its rows begin at `stripe * ch.stripBlocks` from the start of the data. */
  stripe = 0
  /** The rows that take part: P and Q are written in all of them, data strips in some (`Strip.firstRow`). */
  firstRow = 0
  numRows = 0
  /** The first block of the stripe that its I/O have, and the one behind the last. */
  firstBlock = 0
  endBlock = 0
  phase: StripePhase = StripePhase.Free
  plan: StripePlan = StripePlan.Plain
  /** The I/O that it carries out; further ones of a write follow by `RaidIo.nextInStripe`. */
  io: BdevIo<RaidIo> | null = null
  /** Whether it changes the stripe. */
  isWrite = false
  /** The journal has what is written in place. */
  journaled = false
  /** The journal's own: the next operation of its batch, and whatever it keeps. */
  nextInJournal: StripeOp | null = null
  journalCtx: any = null
  /** The next one that waits for the stripe. */
  nextWaiting: StripeOp | null = null
  /** Slot to go on with, while members are sent to. */
  next = 0
  /** Members under way, and one while they are being sent. */
  left = 0
  /** Members that were written. */
  good = 0
  /** How the first failure ended. */
  status: number = IoStatus.Success
  /** A member that was to be read could not, and another plan is needed. */
  lost = false
  /** Members were written, or may have been. */
  wrote = false
  /** A member that was to be written had left before. */
  missed = false
  /** Slots of members that failed to be written (-1: one that had left meanwhile); made where there is one. */
  failed: number[] | null = null
  /** Memory for a strip of each member and its metadata; `null` until it is needed. */
  buffer: DmaBuffer | null = null
  md: DmaBuffer | null = null
  /** For arithmetic: one element a role. */
  readonly sources: Iov[]
  readonly wait: IoWaitEntry<StripeOp>
  /** What follows when the members that are read have answered. */
  whenRead: (op: StripeOp) => void = nothing

  constructor(pool: StripePool) {
    const { ch, host } = pool
    this.pool = pool
    this.ch = ch
    this.sources = host.allocIovs(ch.numMembers)
    for (let slot = 0; slot < ch.numMembers; slot++) {
      const strip = new Strip(this, slot)
      this.strips.push(strip)
      this.byRole.push(strip)
    }
    this.wait = { fn: nothing, arg: this }
  }

  /** The first block on the member in `slot` of a row. */
  memberBlock(slot: number, row: number): number {
    return this.ch.dataOffsets[slot] + this.stripe * this.ch.stripBlocks + row
  }
}

/** The first value of `StripeOp.whenRead` and `wait.fn`. */
function nothing(_op: StripeOp): void {}
