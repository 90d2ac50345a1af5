// SPDX-License-Identifier: Apache-2.0
// data plane
import { MESSAGE_BATCH, MICROTASK_TURNS, TURN_MESSAGES, TURN_MS } from '../limits.js'
import type { Clock, TimerHandle } from './clock.js'
import type { Poller } from './poller.js'
import { SpdkThread, type Message } from './thread.js'

/** What `setTimeout` takes at most; what is due later is looked at again then. */
const TIMER_MAX_MS = 0x7fff_ffff

/** Receives what a message, a poller or a callback threw. */
export type ThrowSink = (where: string, thrown: unknown) => void

/**
 * Runs the threads of one event loop. Event-driven: with nothing queued, no poller that reports busy and no timer due it
 * costs nothing.
 *
 * A turn runs queued messages in batches, then due pollers. Work from outside (a socket, a file, a promise) comes in by
 * `enter` or by a message that wakes the reactor from a microtask; what is left over goes on from `setImmediate`, so that
 * the event loop always has its turn.
 */
export class Reactor {
  /** Time and event loop. */
  readonly clock: Clock
  /** Its threads that have not exited, oldest first. */
  readonly threads: SpdkThread[] = []
  /** The thread whose code runs now. */
  current: SpdkThread | null = null
  /** Whether a turn runs now: then nobody needs to wake it. @internal */
  running = false
  /** Told of what a message, a poller or a callback threw. @internal */
  reportThrow: ThrowSink
  /** Told of a rule of threads that was broken. @internal */
  readonly reportMisuse: (message: string) => void
  #nextThreadId = 1
  #immediateQueued = false
  #microtaskQueued = false
  #microtaskTurns = 0
  /** Pollers with period 0 that are not paused: they run after every event. */
  #activePollers = 0
  /** Pollers are being run. */
  #pollersRun = false
  /** One of them was unregistered meanwhile and is still in its list. */
  #pollersLeft = false
  #timer: TimerHandle | null = null
  #timerDueMs = Infinity
  #stopped = false
  readonly #turnBound = (): void => this.#turn()
  readonly #immediateBound = (): void => this.#onImmediate()
  readonly #seriesBound = (): void => this.#onSeriesEnd()
  readonly #microtaskBound = (): void => this.#onMicrotask()

  /** Made by its host. @internal */
  constructor(clock: Clock, reportThrow: ThrowSink, reportMisuse: (message: string) => void) {
    this.clock = clock
    this.reportMisuse = reportMisuse
    this.reportThrow = reportThrow
  }

  /** The thread whose code runs now; the first one, which is the app thread, where none does. @internal */
  executing(): SpdkThread {
    return this.current ?? this.threads[0]!
  }

  /** Adds a thread. @internal */
  createThread(name: string): SpdkThread {
    const thread = new SpdkThread(this, this.#nextThreadId++, name)
    thread.tickMs = this.clock.nowMs()
    this.threads.push(thread)
    return thread
  }

  /** Forgets a thread that has exited. @internal */
  removeThread(thread: SpdkThread): void {
    this.threads.splice(this.threads.indexOf(thread), 1)
  }

  /** Runs `fn(arg)` on `thread` now and drains the queues, for entries from the event loop. @internal */
  enter(thread: SpdkThread, fn: Message, arg: unknown): void {
    if (thread.state === 'exited') {
      thread.sendMsg(fn, arg)
      return
    }
    this.running = true
    this.current = thread
    thread.tickMs = this.clock.nowMs()
    try {
      fn(arg)
    } catch (thrown) {
      this.reportThrow(`an event on thread "${thread.name}"`, thrown)
    }
    this.#drain(thread.tickMs)
    this.current = null
    this.running = false
    if (this.#activePollers > 0 || this.#hasMessages()) this.#queueImmediate()
  }

  /** Makes sure that a turn follows. Called by the first message from outside a turn. @internal */
  wake(): void {
    if (this.#immediateQueued || this.#microtaskQueued || this.#stopped) return
    if (this.#microtaskTurns >= MICROTASK_TURNS) {
      this.#queueImmediate()
      return
    }
    this.#microtaskQueued = true
    this.clock.queueMicrotask(this.#microtaskBound)
  }

  /** A poller appeared or was resumed. @internal */
  pollerAdded(poller: Poller<any>): void {
    this.#countActivePollers()
    poller.dueMs = this.clock.nowMs() + poller.periodMs
    if (poller.periodMs === 0) this.#queueImmediate()
    else this.#armTimer()
  }

  /** A poller is due at another time than before. While pollers run, the end of the turn looks at it. @internal */
  pollerMoved(): void {
    if (!this.#pollersRun) this.#armTimer()
  }

  /** A poller was paused; the timer may fire once for nothing. @internal */
  pollerPaused(): void {
    this.#countActivePollers()
  }

  /** A poller was unregistered. While pollers run the list keeps it, so that none moves under the walk. @internal */
  pollerRemoved(poller: Poller<any>): void {
    if (this.#pollersRun) this.#pollersLeft = true
    else poller.thread.pollers.splice(poller.thread.pollers.indexOf(poller), 1)
    this.#countActivePollers()
  }

  /** Ends it: no turn starts any more. @internal */
  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = null
  }

  #onImmediate(): void {
    this.#immediateQueued = false
    this.#microtaskTurns = 0
    this.#turn()
  }

  #onMicrotask(): void {
    this.#microtaskQueued = false
    // The count falls back to zero when the event loop comes round; one immediate per series is enough to see that.
    if (this.#microtaskTurns++ === 0) this.clock.setImmediate(this.#seriesBound)
    this.#turn()
  }

  /** The event loop has come round. */
  #onSeriesEnd(): void {
    this.#microtaskTurns = 0
  }

  #turn(): void {
    if (this.running || this.#stopped) return
    this.running = true
    let nowMs = this.clock.nowMs()
    nowMs = this.#drain(nowMs)
    const busy = this.#runPollers(nowMs)
    if (busy) this.#drain(this.clock.nowMs())
    this.current = null
    this.running = false
    if (busy || this.#hasMessages()) this.#queueImmediate()
    else this.#armTimer()
  }

  #countActivePollers(): void {
    let active = 0
    for (const thread of this.threads) {
      for (const poller of thread.pollers) if (poller.periodMs === 0 && poller.state === 'waiting') active++
    }
    this.#activePollers = active
  }

  #hasMessages(): boolean {
    const threads = this.threads
    for (let i = 0; i < threads.length; i++) if (threads[i]!.hasMessages) return true
    return false
  }

  /** Runs messages until none is left or the turn is over. Returns the time of the last batch. */
  #drain(startMs: number): number {
    const threads = this.threads
    let ran = 0
    let nowMs = startMs
    for (;;) {
      let batch = 0
      for (let i = 0; i < threads.length; i++) {
        const thread = threads[i]!
        if (!thread.hasMessages) continue
        this.current = thread
        thread.tickMs = nowMs
        batch += thread.runMessages(MESSAGE_BATCH)
      }
      if (batch === 0) return nowMs
      ran += batch
      nowMs = this.clock.nowMs()
      if (ran >= TURN_MESSAGES || nowMs - startMs > TURN_MS) return nowMs
    }
  }

  #runPollers(nowMs: number): boolean {
    let busy = false
    const threads = this.threads
    this.#pollersRun = true
    for (let i = 0; i < threads.length; i++) {
      const thread = threads[i]!
      for (let k = thread.pollers.length - 1; k >= 0; k--) {
        const poller = thread.pollers[k]
        if (poller === undefined || poller.state !== 'waiting' || poller.dueMs > nowMs) continue
        this.current = thread
        thread.tickMs = nowMs
        poller.dueMs = poller.periodMs === 0 ? 0 : nowMs + poller.periodMs
        if (poller.run()) busy = true
      }
    }
    this.#pollersRun = false
    if (this.#pollersLeft) this.#dropUnregistered()
    return busy
  }

  #dropUnregistered(): void {
    this.#pollersLeft = false
    for (const { pollers } of this.threads) {
      for (let k = pollers.length - 1; k >= 0; k--) if (pollers[k]!.state === 'unregistered') pollers.splice(k, 1)
    }
  }

  #queueImmediate(): void {
    if (this.#immediateQueued || this.#stopped) return
    this.#immediateQueued = true
    this.clock.setImmediate(this.#immediateBound)
  }

  /** Sleeps until the next timed poller: the whole milliseconds by timer, the rest by turning. */
  #armTimer(): void {
    let dueMs = Infinity
    const threads = this.threads
    for (let i = 0; i < threads.length; i++) {
      const pollers = threads[i]!.pollers
      for (let k = 0; k < pollers.length; k++) {
        const poller = pollers[k]!
        if (poller.state === 'waiting' && poller.periodMs > 0 && poller.dueMs < dueMs) dueMs = poller.dueMs
      }
    }
    if (dueMs === this.#timerDueMs && this.#timer !== null) return
    this.#timer?.cancel()
    this.#timer = null
    this.#timerDueMs = dueMs
    if (dueMs === Infinity || this.#stopped) return
    const leftMs = dueMs - this.clock.nowMs()
    if (leftMs < 2) {
      this.#timerDueMs = Infinity
      this.#queueImmediate()
      return
    }
    // Timers round down to whole milliseconds and fire up to one late: stop short and turn for the rest.
    this.#timer = this.clock.setTimer(this.#onTimer, Math.min(leftMs - 1.2, TIMER_MAX_MS))
  }

  readonly #onTimer = (): void => {
    this.#timer = null
    this.#timerDueMs = Infinity
    this.#turnBound()
  }
}
