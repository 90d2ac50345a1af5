// SPDX-License-Identifier: Apache-2.0
import type { Logger } from '@bdevkit/module-sdk'
import { WAIT_REPORT_MS } from '../limits.js'
import type { Clock, TimerHandle } from '../thread/clock.js'

/** A wait of the control plane. */
export interface PendingWait {
  /** What does not go on. */
  readonly what: string
  /** Whom it waits for. */
  readonly who: string
  /** Since when, in ms of the host's clock. */
  readonly sinceMs: number
}

/** Every wait of the control plane has an owner here; those that last are named in the log, once, then at each doubling. */
export class Waits {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #pending = new Set<{ wait: PendingWait; who: () => string; reportMs: number }>()
  #timer: TimerHandle | null = null

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
  }

  /** A wait starts; call what it returns when it has ended. `who` may be a function: it is asked when somebody looks. */
  begin(what: string, who: string | (() => string)): () => void {
    const ask = typeof who === 'string' ? () => who : who
    const sinceMs = this.#clock.nowMs()
    const wait: PendingWait = { what, sinceMs, get who() { return ask() } }
    const entry = { wait, who: ask, reportMs: sinceMs + WAIT_REPORT_MS }
    this.#pending.add(entry)
    this.#arm()
    return () => {
      this.#pending.delete(entry)
      if (this.#pending.size > 0) return
      this.#timer?.cancel()
      this.#timer = null
    }
  }

  /** All waits, oldest first. */
  list(): PendingWait[] {
    return [...this.#pending].map(entry => ({ what: entry.wait.what, who: entry.who(), sinceMs: entry.wait.sinceMs }))
  }

  #arm(): void {
    this.#timer ??= this.#clock.setTimer(this.#look, WAIT_REPORT_MS)
  }

  readonly #look = (): void => {
    this.#timer = null
    const nowMs = this.#clock.nowMs()
    for (const entry of this.#pending) {
      if (nowMs < entry.reportMs) continue
      const waitedMs = nowMs - entry.wait.sinceMs
      this.#log.warn(`${entry.wait.what} has waited ${Math.round(waitedMs / 1000)} s for ${entry.who()}`)
      entry.reportMs = nowMs + waitedMs
    }
    if (this.#pending.size > 0) this.#arm()
  }
}
