// SPDX-License-Identifier: Apache-2.0
// data plane
import type { BdevIo } from '@bdevkit/module-sdk'
import type { RaidIo } from '../raid-io.js'
import { StripePhase, type StripeOp } from './stripe-op.js'

/** Who has a stripe: one write, or any number of reads that need its parity; others wait in their order. */
class StripeLock {
  stripe = 0
  /** The next one of the same bucket. */
  next: StripeLock | null = null
  writer: StripeOp | null = null
  readers = 0
  head: StripeOp | null = null
  tail: StripeOp | null = null
}

/** Locks are found by the stripe's number modulo this: a Map would allocate as it goes. */
const BUCKETS = 1024
/** Spare locks that are kept. */
const SPARE_MAX = 256

/** The stripes of an array that are in use, on whatever thread. `RaidBdev.stripes`. */
export class StripeLocks {
  readonly #buckets: (StripeLock | null)[] = []
  readonly #spare: StripeLock[] = []
  /**
   * Stripes that a failed write has left with parity that does not fit, in an array that cannot do without the member that
   * failed. What is missing there is not made from the others, until the stripe was written whole.
   */
  readonly torn = new Set<number>()
  /** Called, where somebody waits for writes in place, when a member has answered one. */
  onWritten: (() => void) | null = null
  /** Writes that a reset of the array has ended on members: they go on when those are reset. */
  readonly parked: StripeOp[] = []
  /** Operations under way, with a stripe or without. */
  outstanding = 0
  #reset: BdevIo<RaidIo> | null = null

  constructor() {
    for (let i = 0; i < BUCKETS; i++) this.#buckets.push(null)
  }

  /** Starts `op` now where it may have its stripe, else when those before it are done: `start` runs on the thread of `op`. */
  acquire(op: StripeOp, start: (op: StripeOp) => void): void {
    let lock = this.#find(op.stripe)
    if (lock === null) {
      lock = this.#spare.pop() ?? new StripeLock()
      lock.stripe = op.stripe
      lock.next = this.#buckets[op.stripe % BUCKETS]
      this.#buckets[op.stripe % BUCKETS] = lock
    } else if (!(lock.writer === null && lock.head === null && !op.isWrite)) {
      op.phase = StripePhase.Waiting
      op.wait.fn = start
      if (lock.tail === null) lock.head = op
      else lock.tail.nextWaiting = op
      lock.tail = op
      return
    }
    this.#hold(lock, op)
    start(op)
  }

  /** The write that waits directly behind `op` on the same channel; `null`: none. */
  follower(op: StripeOp): StripeOp | null {
    const next = this.#find(op.stripe)!.head
    return next !== null && next.isWrite && next.ch === op.ch ? next : null
  }

  /** `op` carries out what its follower waits for, too: that one is not to start. */
  takeFollower(op: StripeOp): void {
    const lock = this.#find(op.stripe)!
    const next = lock.head!
    lock.head = next.nextWaiting
    if (lock.head === null) lock.tail = null
    next.nextWaiting = null
  }

  /** `op` is done with its stripe: those that may have it now start, each on its thread. */
  release(op: StripeOp): void {
    const lock = this.#find(op.stripe)!
    if (op.isWrite) lock.writer = null
    else lock.readers--
    while (lock.head !== null && lock.writer === null && (lock.readers === 0 || !lock.head.isWrite)) {
      const next = lock.head
      lock.head = next.nextWaiting
      if (lock.head === null) lock.tail = null
      next.nextWaiting = null
      this.#hold(lock, next)
      // By message: the one before may be many calls deep.
      next.ch.thread.sendMsg(next.wait.fn, next)
    }
    if (lock.writer !== null || lock.readers > 0) return
    this.#unlink(lock)
    if (this.#spare.length < SPARE_MAX) this.#spare.push(lock)
  }

  /** The parity of these stripes was made anew. Control plane. */
  mended(first: number, count: number): void {
    for (const stripe of this.torn) if (stripe >= first && stripe < first + count) this.torn.delete(stripe)
  }

  /** The members are reset: what is half written goes on. `io`, the RESET, ends when every operation has. */
  membersReset(io: BdevIo<RaidIo>): void {
    for (let op = this.parked.pop(); op !== undefined; op = this.parked.pop()) op.ch.thread.sendMsg(op.wait.fn, op)
    if (this.outstanding === 0) completeReset(io)
    else this.#reset = io
  }

  /** An operation is over. */
  ended(): void {
    if (--this.outstanding > 0 || this.#reset === null) return
    const io = this.#reset
    this.#reset = null
    // By message: the I/O of the operation is completed first.
    io.thread.sendMsg(completeReset, io)
  }

  /** Writes that have their stripe; `op.phase` says how far they are. Control plane. */
  *writers(): Generator<StripeOp> {
    for (const bucket of this.#buckets) {
      for (let lock = bucket; lock !== null; lock = lock.next) if (lock.writer !== null) yield lock.writer
    }
  }

  #find(stripe: number): StripeLock | null {
    let lock = this.#buckets[stripe % BUCKETS]
    while (lock !== null && lock.stripe !== stripe) lock = lock.next
    return lock
  }

  #unlink(lock: StripeLock): void {
    const bucket = lock.stripe % BUCKETS
    let before = this.#buckets[bucket]
    if (before === lock) this.#buckets[bucket] = lock.next
    else {
      while (before!.next !== lock) before = before!.next
      before!.next = lock.next
    }
    lock.next = null
  }

  #hold(lock: StripeLock, op: StripeOp): void {
    if (op.isWrite) lock.writer = op
    else lock.readers++
  }
}

function completeReset(io: BdevIo<RaidIo>): void {
  io.complete(io.ctx.status)
}
