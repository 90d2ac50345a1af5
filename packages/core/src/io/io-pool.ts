// SPDX-License-Identifier: Apache-2.0
// data plane
import { IO_SLAB } from '../limits.js'
import type { BdevChannel } from '../channel/bdev-channel.js'
import type { ModuleRecord } from '../module/module-record.js'
import type { SpdkThread } from '../thread/thread.js'
import { BdevIo } from './bdev-io.js'
import type { IoBudget } from './io-budget.js'

/** Free I/Os of one channel: what never changes for it is set once, the module's scratch (`ctx`) among it. */
export class IoPool {
  readonly ch: BdevChannel
  readonly thread: SpdkThread
  readonly module: ModuleRecord
  readonly budget: IoBudget
  head: BdevIo | null = null
  /**
   * The I/O freed last, kept back until the next one is freed: a module that completes an I/O, whose submitter frees it and
   * submits again, and then completes it a second time, finds it free and not in use by somebody else.
   */
  #last: BdevIo

  constructor(ch: BdevChannel, budget: IoBudget) {
    this.ch = ch
    this.thread = ch.thread
    this.module = ch.bdev.module
    this.budget = budget
    this.#last = this.#create()
  }

  /** An I/O, or `null` where none is left or others of the thread wait for one. */
  take(): BdevIo | null {
    const thread = this.thread
    const io = this.head
    if (thread.ioCredits === 0 || io === null) return this.#takeUncommon()
    thread.ioCredits--
    this.head = io.poolNext
    return io
  }

  /** Puts an I/O back; the oldest waiter of the thread gets its turn. */
  give(io: BdevIo): void {
    const thread = this.thread
    const last = this.#last
    this.#last = io
    last.poolNext = this.head
    this.head = last
    if (++thread.ioCredits > thread.ioCreditsMax) this.budget.creditGiven(thread)
  }

  /** Gives back the right to one I/O whose object is not used again. */
  giveCredit(): void {
    const thread = this.thread
    if (++thread.ioCredits > thread.ioCreditsMax) this.budget.creditGiven(thread)
  }

  /** Forgets every free object: somebody may still know it. */
  abandon(): void {
    this.head = null
    this.#last = this.#create()
  }

  #takeUncommon(): BdevIo | null {
    if (this.thread.ioCredits === 0 && !this.budget.refill(this.thread)) return null
    if (this.head === null) this.#make()
    return this.take()
  }

  /** Makes a slab of I/Os at once: so seldom that the compiler leaves it out of the hot path. */
  #make(): void {
    for (let i = 0; i < IO_SLAB; i++) {
      const io = this.#create()
      io.poolNext = this.head
      this.head = io
    }
  }

  /** An I/O with its module's scratch. Where that cannot be made, the module meets `null` and the I/O fails in its hands. */
  #create(): BdevIo {
    const io = new BdevIo(this)
    const { module } = this
    if (module.createIoContext !== null) {
      try {
        io.ctx = module.createIoContext()
      } catch (thrown) {
        module.reportThrow(`createIoContext of module "${module.name}"`, thrown)
      }
    }
    return io
  }
}
