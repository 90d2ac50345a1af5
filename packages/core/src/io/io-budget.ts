// SPDX-License-Identifier: Apache-2.0
// data plane
import { IO_CACHE_SIZE, IO_CREDIT_STEP, NOMEM_POLL_US } from '../limits.js'
import type { Poller } from '../thread/poller.js'
import type { SpdkThread } from '../thread/thread.js'
import { lastParentWaiter, wakeIoWaiters } from './io-wait.js'

/**
 * How many I/Os a host may have in use. Threads draw credits from it; objects are never counted. A thread has its reserve for
 * itself. What it uses beyond that comes out of the rest; while threads wait for I/Os, what comes back is given to them in
 * turn, so that none starves another.
 */
export class IoBudget {
  size: number
  reservePerThread: number
  /** Credits that no thread holds. */
  free: number
  readonly #threads: SpdkThread[] = []
  /** Threads with waiters, in the order of their turns. */
  readonly #hungry: SpdkThread[] = []
  /** Credits beyond the size, given to end a standstill. */
  #debt = 0
  #poller: Poller<IoBudget> | null = null
  /** A credit has come back since the poller looked. */
  #moved = false

  constructor(size: number, reservePerThread = IO_CACHE_SIZE) {
    this.size = size
    this.free = size
    this.reservePerThread = reservePerThread
  }

  /** Takes other sizes, with no I/O in use: every thread gives its credits back and is given its reserve anew. */
  resize(size: number, reservePerThread: number): void {
    this.size = size
    this.free = size
    this.reservePerThread = reservePerThread
    for (const thread of this.#threads.splice(0)) this.addThread(thread)
  }

  /** Gives a new thread its reserve, which the caller has found to be there. */
  addThread(thread: SpdkThread): void {
    this.#threads.push(thread)
    this.free -= this.reservePerThread
    thread.ioBudget = this
    thread.ioCredits = this.reservePerThread
    thread.ioRights = this.reservePerThread
    this.#limit(thread)
  }

  /** The thread exits; it has no I/O in use. */
  removeThread(thread: SpdkThread): void {
    this.#threads.splice(this.#threads.indexOf(thread), 1)
    this.free += thread.ioRights
    thread.ioCredits = 0
    thread.ioRights = 0
    this.serve()
  }

  /** I/Os in use. */
  get inUse(): number {
    let inUse = this.size + this.#debt - this.free
    for (const thread of this.#threads) inUse -= thread.ioCredits
    return inUse
  }

  /** Whether a thread that has no waiters can have an I/O now. */
  hasFor(thread: SpdkThread): boolean {
    if (thread.ioCredits > 0) return true
    if (this.#hungry.length > 0) return false
    if (this.free === 0) this.#reclaim()
    return this.free > 0
  }

  /** A thread has no credit left: gets it some. While threads wait only they are served, each in its turn. */
  refill(thread: SpdkThread): boolean {
    if (this.#hungry.length > 0 && !(thread.ioWaking && this.#hungry.length === 1)) return false
    if (this.free === 0) this.#reclaim()
    const step = Math.min(IO_CREDIT_STEP, this.free)
    this.#move(thread, step)
    return step > 0
  }

  /** A thread has its first waiter. */
  waits(thread: SpdkThread): void {
    this.#hungry.push(thread)
    for (const other of this.#threads) this.#limit(other)
    this.#moved = true
    this.#poller ??= thread.registerPoller<IoBudget>(watch, this, NOMEM_POLL_US, 'bdev_io_standstill')
    this.#reclaim()
    // Not before the caller has returned: it may be about to do what the waiter needs.
    if (this.free > 0) thread.sendMsg(serve, this)
  }

  /** Its last waiter has been served, or has gone. */
  waitsNoMore(thread: SpdkThread): void {
    this.#hungry.splice(this.#hungry.indexOf(thread), 1)
    if (this.#hungry.length > 0) {
      this.#limit(thread)
      return
    }
    if (this.#debt > 0) this.#reclaim()
    for (const other of this.#threads) this.#limit(other)
  }

  /** A thread has more credits than it keeps, or somebody waits for one. */
  creditGiven(thread: SpdkThread): void {
    this.#moved = true
    if (this.#hungry.length === 0) {
      if (this.#debt > 0) this.#reclaim()
      else if (thread.ioCredits > this.reservePerThread + 2 * IO_CREDIT_STEP) this.#move(thread, -IO_CREDIT_STEP)
      this.#limit(thread)
      return
    }
    const waits = this.#hungry.includes(thread)
    if (waits && (this.#hungry.length === 1 || thread.ioRights <= this.reservePerThread)) {
      wakeIoWaiters(thread)
      return
    }
    const surplus = Math.min(waits ? 1 : thread.ioCredits, thread.ioRights - this.reservePerThread)
    if (surplus <= 0) return
    this.#move(thread, -surplus)
    this.serve()
  }

  /**
   * Body of the poller. Where every I/O in use is one that waits for a child, none comes back ever: then one of them gets its
   * child beyond the size of the pool.
   */
  watch(): number {
    if (this.#hungry.length === 0) {
      this.#poller?.unregister()
      this.#poller = null
      return 0
    }
    if (this.#moved) {
      this.#moved = false
      return 0
    }
    for (const thread of this.#hungry) {
      if (!lastParentWaiter(thread)) continue
      this.#debt++
      this.free++
      thread.execMsg(takeTurn, thread)
      return 1
    }
    return 0
  }

  /** Gives what is free to waiting threads, one by one, each on its thread: nobody overtakes its oldest waiter. */
  serve(): void {
    const hungry = this.#hungry
    for (let turns = this.free; turns > 0 && hungry.length > 0; turns--) {
      const thread = hungry.shift()!
      hungry.push(thread)
      // Its last waiter may be on the way: it is called just now, and frees what it has.
      if (thread.ioWaitHead !== null) thread.execMsg(takeTurn, thread)
    }
  }

  /** It is the turn of a thread, which may have been served meanwhile. */
  turn(thread: SpdkThread): void {
    if (this.free === 0) return
    if (thread.ioWaitHead === null) {
      this.serve()
      return
    }
    this.#move(thread, 1)
    wakeIoWaiters(thread)
  }

  /** Takes back what threads hold unused beyond their reserve. */
  #reclaim(): void {
    for (const thread of this.#threads) {
      const surplus = Math.min(thread.ioCredits, thread.ioRights - this.reservePerThread)
      if (surplus > 0) this.#move(thread, -surplus)
    }
    const paid = Math.min(this.#debt, this.free)
    this.#debt -= paid
    this.free -= paid
  }

  /** Moves credits from the shared pool to a thread. */
  #move(thread: SpdkThread, credits: number): void {
    this.free -= credits
    thread.ioCredits += credits
    thread.ioRights += credits
    if (this.#hungry.length > 0) this.#limit(thread)
  }

  /** From how many credits on a free of the thread is looked at. */
  #limit(thread: SpdkThread): void {
    const { reservePerThread } = this
    const wanted = this.#hungry.length > 0 || this.#debt > 0
    const looked = thread.ioWaitHead !== null || (wanted && thread.ioRights > reservePerThread)
    thread.ioCreditsMax = looked ? -1 : reservePerThread + 2 * IO_CREDIT_STEP
  }
}

function serve(budget: IoBudget): void {
  budget.serve()
}

function takeTurn(thread: SpdkThread): void {
  thread.ioBudget!.turn(thread)
}

function watch(budget: IoBudget): number {
  return budget.watch()
}
