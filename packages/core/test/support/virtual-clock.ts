// SPDX-License-Identifier: Apache-2.0
import type { Clock, TimerHandle } from '../../src/index.js'

interface Timer {
  readonly fn: () => void
  readonly dueMs: number
}

/** Passes of the event loop that `settle` allows before it takes the reactor for one that never sleeps. */
const PASSES = 60
/** How far one pass moves the time while something turns without sleeping. */
const TURN_MS = 0.2

/**
 * Time and an event loop that move only when the test says so. Promises settle as usual: between two passes every
 * microtask of the process has run.
 */
export class VirtualClock implements Clock {
  /** Calls of `setImmediate` so far. */
  immediatesAsked = 0
  #nowMs = 1_000
  #immediates: (() => void)[] = []
  #microtasks: (() => void)[] = []
  readonly #timers = new Set<Timer>()

  nowMs(): number {
    return this.#nowMs
  }

  setTimer(fn: () => void, delayMs: number): TimerHandle {
    const timer: Timer = { fn, dueMs: this.#nowMs + Math.max(0, delayMs) }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  setImmediate(fn: () => void): void {
    this.immediatesAsked++
    this.#immediates.push(fn)
  }

  queueMicrotask(fn: () => void): void {
    this.#microtasks.push(fn)
    queueMicrotask(() => this.#runMicrotask(fn))
  }

  /** Whether the reactor sleeps: only timers, if anything, would wake it. */
  get asleep(): boolean {
    return this.#immediates.length === 0 && this.#microtasks.length === 0
  }

  /** When the next timer is due; Infinity without one. */
  get nextTimerMs(): number {
    let next = Infinity
    for (const timer of this.#timers) next = Math.min(next, timer.dueMs)
    return next
  }

  /** Lets everything happen that needs no time to pass. */
  async settle(): Promise<void> {
    await microtasks()
    for (let pass = 0; pass < PASSES && !this.asleep; pass++) {
      this.#pass()
      await microtasks()
    }
  }

  /** One pass of the event loop, without time passing. */
  async pass(): Promise<void> {
    this.#pass()
    await microtasks()
  }

  /** Moves the time on by `ms`, timer by timer. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    await this.settle()
    while (this.#nowMs < endMs) {
      this.#nowMs = Math.min(endMs, this.asleep ? Math.max(this.nextTimerMs, this.#nowMs) : this.#nowMs + TURN_MS)
      for (const timer of [...this.#timers].sort((a, b) => a.dueMs - b.dueMs)) {
        if (timer.dueMs > this.#nowMs || !this.#timers.delete(timer)) continue
        timer.fn()
        await microtasks()
      }
      this.#pass()
      await microtasks()
    }
    await this.settle()
  }

  /** Moves the time on without letting anything happen. */
  skip(ms: number): void {
    this.#nowMs += ms
  }

  /** Runs what `queueMicrotask` holds now instead of after this job. */
  #runMicrotask(fn: () => void): void {
    const at = this.#microtasks.indexOf(fn)
    if (at < 0) return
    this.#microtasks.splice(at, 1)
    fn()
  }

  #pass(): void {
    const due = this.#immediates
    this.#immediates = []
    for (const fn of due) fn()
  }
}

function microtasks(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
