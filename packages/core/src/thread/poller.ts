// SPDX-License-Identifier: Apache-2.0
// data plane
import type { Poller as SdkPoller, PollerRc } from '@bdevkit/module-sdk'
import type { SpdkThread } from './thread.js'

/** A function called again and again on one thread (`struct spdk_poller`). */
export class Poller<Arg = unknown> implements SdkPoller {
  /** The thread that runs it. */
  readonly thread: SpdkThread
  /** Unique on its thread. */
  readonly id: number
  /** As registered: the name of its function where none was given. */
  readonly name: string
  /** Milliseconds between two runs; 0 = after every event. */
  readonly periodMs: number
  /** When it is due, for timed pollers. @internal */
  dueMs = 0
  /** `waiting` runs when due, `paused` does not, `unregistered` never again. */
  state: 'waiting' | 'paused' | 'unregistered' = 'waiting'
  /** Runs so far. */
  runCount = 0
  /** Runs that found work. */
  busyCount = 0
  readonly #fn: (arg: Arg) => PollerRc
  readonly #arg: Arg

  /** Made by `SpdkThread.registerPoller`. @internal */
  constructor(thread: SpdkThread, id: number, fn: (arg: Arg) => PollerRc, arg: Arg, periodUs: number, name: string) {
    if (!(periodUs >= 0)) throw new RangeError(`poller "${name}": wanted a period of 0 or more microseconds, found ${periodUs}`)
    this.thread = thread
    this.id = id
    this.name = name
    this.periodMs = periodUs / 1000
    this.#fn = fn
    this.#arg = arg
  }

  /** Runs it once. Returns whether it was busy. A throw is reported and the poller lives on. @internal */
  run(): boolean {
    this.runCount++
    try {
      const rc: unknown = this.#fn(this.#arg)
      if (typeof rc === 'object' && rc !== null) this.#refuse(rc)
      const busy = (rc as number) > 0
      if (busy) this.busyCount++
      return busy
    } catch (thrown) {
      this.thread.reactor.reportThrow(`poller "${this.name}" of thread "${this.thread.name}"`, thrown)
      return false
    }
  }

  /** An async function: each call would start before the last has ended, and its failure belong to nobody. */
  #refuse(answer: object): void {
    const where = `poller "${this.name}" of thread "${this.thread.name}"`
    if (typeof (answer as PromiseLike<unknown>).then === 'function') {
      ;(answer as PromiseLike<unknown>).then(undefined, thrown => this.thread.reactor.reportThrow(where, thrown)) // cold: misuse
    }
    throw new TypeError(`${where} returned a promise: it must answer PollerRc at once`)
  }

  runAt(dueMs: number): void {
    if (this.periodMs === 0 || Number.isNaN(dueMs)) {
      throw new RangeError(`poller "${this.name}": runAt(${dueMs}) wants a time, and a poller with a period`)
    }
    this.dueMs = dueMs
    if (this.state === 'waiting') this.thread.reactor.pollerMoved()
  }

  unregister(): void {
    if (this.state === 'unregistered') return
    this.#nameWrongThread('unregistered')
    this.state = 'unregistered'
    this.thread.reactor.pollerRemoved(this)
  }

  pause(): void {
    if (this.state !== 'waiting') return
    this.#nameWrongThread('paused')
    this.state = 'paused'
    this.thread.reactor.pollerPaused()
  }

  resume(): void {
    if (this.state !== 'paused') return
    this.#nameWrongThread('resumed')
    this.state = 'waiting'
    this.thread.reactor.pollerAdded(this)
  }

  /** Code of one thread does not reach into another. In one event loop it does no harm yet: it is named, and done. */
  #nameWrongThread(what: string): void {
    const { reactor } = this.thread
    const current = reactor.executing()
    if (current === this.thread) return
    reactor.reportMisuse(`poller "${this.name}" of thread "${this.thread.name}" was ${what} on thread "${current.name}"; do that where it runs`)
  }
}
