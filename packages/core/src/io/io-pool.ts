// SPDX-License-Identifier: Apache-2.0
// data plane
import { IO_CACHE_SIZE, IO_CREDIT_STEP } from '../limits.js'
import type { ModuleRecord } from '../module/module-record.js'
import type { SpdkThread } from '../thread/thread.js'
import { BdevIo } from './bdev-io.js'
import { wakeIoWaiters } from './io-wait.js'

/** How many I/Os a host may have in use. Threads draw credits from it; objects are never counted. */
export class IoBudget {
  readonly size: number
  readonly reservePerThread: number
  /** Credits that no thread holds. */
  free: number

  constructor(size: number, reservePerThread = IO_CACHE_SIZE) {
    this.size = size
    this.free = size
    this.reservePerThread = reservePerThread
  }

  /** Gives a new thread its reserve. Returns false where the pool is too small for one more thread. */
  addThread(thread: SpdkThread): boolean {
    if (this.free < this.reservePerThread) return false
    this.free -= this.reservePerThread
    thread.ioCredits = this.reservePerThread
    return true
  }
}

/** Free I/Os of one thread whose scratch (`ctx`) is one module's (`createIoContext`). */
export class IoPool {
  readonly thread: SpdkThread
  readonly module: ModuleRecord
  readonly budget: IoBudget
  head: BdevIo | null = null

  constructor(thread: SpdkThread, module: ModuleRecord, budget: IoBudget) {
    this.thread = thread
    this.module = module
    this.budget = budget
  }

  /** An I/O, or `null` where none is left or others of the thread wait for one. */
  take(): BdevIo | null {
    const thread = this.thread
    if (thread.ioCredits === 0 || thread.ioWaitHead !== null) {
      if (!this.#refill()) return null
    }
    thread.ioCredits--
    const io = this.head
    if (io === null) return this.#make()
    this.head = io.poolNext
    io.poolNext = null
    return io
  }

  /** Puts an I/O back; the oldest waiter of the thread gets its turn. */
  give(io: BdevIo): void {
    io.poolNext = this.head
    this.head = io
    this.giveCredit()
  }

  /** Gives back the right to one I/O whose object is not used again. */
  giveCredit(): void {
    const thread = this.thread
    if (++thread.ioCredits >= this.budget.reservePerThread + 2 * IO_CREDIT_STEP) {
      thread.ioCredits -= IO_CREDIT_STEP
      this.budget.free += IO_CREDIT_STEP
    }
    if (thread.ioWaitHead !== null) wakeIoWaiters(thread)
  }

  #refill(): boolean {
    const thread = this.thread
    if (thread.ioWaitHead !== null && !thread.ioWaking) return false
    if (thread.ioCredits > 0) return true
    const step = Math.min(IO_CREDIT_STEP, this.budget.free)
    this.budget.free -= step
    thread.ioCredits += step
    return step > 0
  }

  #make(): BdevIo {
    const io = new BdevIo(this)
    const create = this.module.createIoContext
    if (create !== null) io.ctx = create()
    return io
  }
}
