// SPDX-License-Identifier: Apache-2.0
// data plane
import type { Poller as SdkPoller, PollerRc } from '@bdevkit/module-sdk'
import type { SpdkThread } from './thread.js'

/** A function called again and again on one thread (`struct spdk_poller`). */
export class Poller<Arg = unknown> implements SdkPoller {
  readonly thread: SpdkThread
  readonly name: string
  readonly periodMs: number
  /** When it is due, for timed pollers. */
  dueMs = 0
  state: 'waiting' | 'paused' | 'unregistered' = 'waiting'
  runCount = 0
  busyCount = 0
  readonly #fn: (arg: Arg) => PollerRc
  readonly #arg: Arg

  constructor(thread: SpdkThread, fn: (arg: Arg) => PollerRc, arg: Arg, periodUs: number, name: string) {
    if (!(periodUs >= 0)) throw new RangeError(`poller "${name}": wanted a period of 0 or more microseconds, found ${periodUs}`)
    this.thread = thread
    this.name = name
    this.periodMs = periodUs / 1000
    this.#fn = fn
    this.#arg = arg
  }

  /** Runs it once. Returns whether it was busy. A throw is reported and the poller lives on. */
  run(): boolean {
    this.runCount++
    try {
      const busy = this.#fn(this.#arg) > 0
      if (busy) this.busyCount++
      return busy
    } catch (thrown) {
      this.thread.reactor.reportThrow(`poller "${this.name}" of thread "${this.thread.name}"`, thrown)
      return false
    }
  }

  unregister(): void {
    if (this.state === 'unregistered') return
    this.state = 'unregistered'
    const pollers = this.thread.pollers as Poller<any>[]
    const at = pollers.indexOf(this)
    if (at >= 0) pollers.splice(at, 1)
    this.thread.reactor.pollersChanged()
  }

  pause(): void {
    if (this.state !== 'waiting') return
    this.state = 'paused'
    this.thread.reactor.pollersChanged()
  }

  resume(): void {
    if (this.state !== 'paused') return
    this.state = 'waiting'
    this.thread.reactor.pollerAdded(this)
  }
}
