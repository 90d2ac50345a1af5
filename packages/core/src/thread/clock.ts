// SPDX-License-Identifier: Apache-2.0

/** A pending timer. */
export interface TimerHandle {
  /** Stops the timer; without effect after it has fired. */
  cancel(): void
}

/** Time and the event loop, as the reactor sees them; a virtual clock replaces both. */
export interface Clock {
  /** Monotonic milliseconds. */
  nowMs(): number
  /** Calls `fn` once, `delayMs` from now or a little later. The process may exit before. */
  setTimer(fn: () => void, delayMs: number): TimerHandle
  /** Calls `fn` after the event loop has looked for input. */
  setImmediate(fn: () => void): void
  /** Calls `fn` when the running job has ended. */
  queueMicrotask(fn: () => void): void
}

// Node makes the global a getter, and a getter costs as much as the clock.
const monotonic = performance

/** The process's own clock. */
export const systemClock: Clock = {
  nowMs: () => monotonic.now(),
  setTimer(fn, delayMs) {
    const timer = setTimeout(fn, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  setImmediate: fn => void setImmediate(fn),
  queueMicrotask: fn => queueMicrotask(fn),
}
