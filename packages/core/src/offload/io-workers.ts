// SPDX-License-Identifier: Apache-2.0
import type { Logger } from '@bdevkit/module-sdk'
import { ioWorkerSource, type IoWorkerData } from './io-worker.js'
import { LAYOUT, SHARED_BYTES, SLOTS, WORKERS_MAX } from './layout.js'
import type { OffloadPlatform, IoThread } from './platform.js'

/** A queue whose workers die this often without completing anything in between is given up. */
const DEATHS_MAX = 3

/** The threads of one queue, and what they have completed. */
export class IoWorkers {
  readonly name: string
  readonly tasks: readonly string[]
  /** See {@link LAYOUT}. */
  readonly words: Int32Array
  readonly numbers: Float64Array
  /** Workers there are, the one that starts included. */
  started = 0
  /** Workers die as soon as they start: nothing will be carried out any more. */
  broken = false
  /** Called by the message of a worker that completed something while the host slept. */
  onWake: () => void = () => {}
  /** Called when a worker has started. */
  onStart: () => void = () => {}
  /** Called when a worker died, with the slots that somebody still has; answers how many calls had to fail. */
  onDeath: (safe: ReadonlySet<number>) => number = () => 0
  readonly #platform: OffloadPlatform
  readonly #log: Logger
  readonly #data: Omit<IoWorkerData, 'index'>
  readonly #max: number
  readonly #threads: (IoThread | null)[]
  readonly #seen = new Int32Array(WORKERS_MAX)
  readonly #exits = new Set<Promise<void>>()
  #next = 0
  #starting = false
  #stopping = false
  #held: IoThread | null = null
  #hold = false
  #deaths = 0

  constructor(platform: OffloadPlatform, log: Logger, name: string, workersMax: number, heap: SharedArrayBuffer, tasks: readonly string[]) {
    this.name = name
    this.tasks = tasks
    this.#platform = platform
    this.#log = log
    this.#max = workersMax
    this.#threads = new Array<IoThread | null>(workersMax).fill(null)
    const shared = new SharedArrayBuffer(SHARED_BYTES)
    this.words = new Int32Array(shared)
    this.numbers = new Float64Array(shared, LAYOUT.numbersAt)
    this.#data = { layout: LAYOUT, shared, heap }
  }

  /** Whether a completion waits to be taken by `nextDone`. */
  anyDone(): boolean {
    for (let i = 0; i < this.#max; i++) {
      if (Atomics.load(this.words, LAYOUT.workerWords + i * LAYOUT.wordsPerWorker) !== this.#seen[i]) return true
    }
    return false
  }

  /** The slot of the next completion, -1 where there is none. */
  nextDone(): number {
    for (let tries = 0; tries < this.#max; tries++) {
      const i = this.#next
      const line = LAYOUT.workerWords + i * LAYOUT.wordsPerWorker
      const seen = this.#seen[i]!
      if (Atomics.load(this.words, line) !== seen) {
        this.#seen[i] = seen + 1
        this.#deaths = 0
        return this.words[line + LAYOUT.workerRing + (seen & (SLOTS - 1))]!
      }
      this.#next = i + 1 === this.#max ? 0 : i + 1
    }
    return -1
  }

  /** One worker more, unless there are enough or one is on its way. */
  grow(): void {
    if (this.#starting || this.#stopping || this.broken || this.started >= this.#max) return
    const index = this.#threads.indexOf(null)
    this.#starting = true
    this.started++
    let thread: IoThread
    try {
      thread = this.#platform.startThread(ioWorkerSource(this.tasks), { ...this.#data, index })
    } catch (thrown) {
      this.#starting = false
      queueMicrotask(() => this.#died(index, String(thrown)))
      return
    }
    this.#threads[index] = thread
    let reason: string | undefined
    thread.on('message', () => this.onWake())
    thread.on('online', () => {
      this.#starting = false
      this.onStart()
    })
    thread.on('error', error => void (reason = error instanceof Error ? error.message : String(error)))
    const exit = new Promise<void>(resolve => {
      thread.on('exit', code => {
        resolve()
        this.#exits.delete(exit)
        if (this.#threads[index] !== thread || this.#stopping) return
        this.#starting = false
        this.#died(index, reason ?? `it ended with exit code ${String(code)}`)
      })
    })
    this.#exits.add(exit)
    if (this.#hold && this.#held === null) this.hold(true)
    else thread.unref()
  }

  /** Whether the process stays alive for what the workers have in hand. */
  hold(on: boolean): void {
    if (on === this.#hold && (this.#held !== null) === on) return
    this.#hold = on
    if (on) {
      this.#held = this.#threads.find(thread => thread !== null) ?? null
      this.#held?.ref()
    } else {
      this.#held?.unref()
      this.#held = null
    }
  }

  /** Ends all threads; settles when they are gone. Nothing may be under way. */
  async stop(): Promise<void> {
    this.#stopping = true
    Atomics.store(this.words, LAYOUT.stop, 1)
    Atomics.add(this.words, LAYOUT.submitTail, 1)
    Atomics.notify(this.words, LAYOUT.submitTail)
    for (const thread of this.#threads) thread?.ref()
    await Promise.all(this.#exits)
  }

  #died(index: number, reason: string): void {
    this.#threads[index] = null
    this.started--
    const line = LAYOUT.workerWords + index * LAYOUT.wordsPerWorker
    if (Atomics.exchange(this.words, line + LAYOUT.workerAsleep, 0) === 1) Atomics.sub(this.words, LAYOUT.sleepers, 1)
    this.#held = null
    if (++this.#deaths >= DEATHS_MAX) this.broken = true
    const safe = this.#safeSlots(index)
    Atomics.store(this.words, line + LAYOUT.workerHand, 0)
    const failed = this.onDeath(safe)
    const then = this.broken ? 'the queue is given up: delete and create its bdev again' : 'another one takes its place'
    this.#log.error(`offload queue "${this.name}": worker ${index} died: ${reason}; ${failed} call(s) that it had in hand failed with EIO, ${then}`)
    if (this.#hold) this.hold(true)
  }

  /**
   * Calls that will be completed although worker `index` is dead: those that wait to be taken, and those in the hand of another
   * worker. The order of looking matters: a call that moves on meanwhile is found where it went, at the latest by `nextDone`.
   */
  #safeSlots(index: number): Set<number> {
    const safe = new Set<number>()
    if (this.broken) return safe
    const { words } = this
    const tail = Atomics.load(words, LAYOUT.submitTail)
    for (let at = Atomics.load(words, LAYOUT.submitHead); at !== tail; at = (at + 1) | 0) safe.add(words[LAYOUT.submitRing + (at & (SLOTS - 1))]!)
    for (let i = 0; i < this.#max; i++) {
      if (i !== index) safe.add(Atomics.load(words, LAYOUT.workerWords + i * LAYOUT.wordsPerWorker + LAYOUT.workerHand) - 1)
    }
    return safe
  }
}
