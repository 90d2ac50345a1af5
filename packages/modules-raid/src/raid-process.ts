// SPDX-License-Identifier: Apache-2.0
// What goes on in the background of an array, window by window: one loop for rebuilds, resyncs and scrubs.
import { PollerRc } from '@bdevkit/module-sdk'
import type { JsonObject, Poller } from '@bdevkit/module-sdk'
import type { RaidBdev } from './raid-bdev.js'

/** What a process does, by the names of the RPC. SPDK has the first. */
export type ProcessType = 'rebuild' | 'resync' | 'check' | 'repair'

/** How often a process writes down how far it has come, in milliseconds. */
const SAVE_MS = 1000

/** Blocks of the array. */
export interface Window {
  readonly offsetBlocks: number
  readonly numBlocks: number
}

/** A process of an array (`struct raid_bdev_process`). There is one at a time. */
export abstract class RaidProcess {
  readonly raid: RaidBdev
  abstract readonly type: ProcessType
  /** What is below is done. */
  offsetBlocks: number
  readonly #poller: Poller
  readonly #ended: Promise<void>
  #end!: () => void
  #stopping = false
  #paused = false
  /** Continues the loop, where it waits. */
  #wake: (() => void) | null = null
  #dueMs = 0
  #savedMs: number
  #shownPercent = 0

  constructor(raid: RaidBdev, offsetBlocks: number) {
    this.raid = raid
    this.offsetBlocks = offsetBlocks
    this.#savedMs = raid.host.nowMs()
    this.#ended = new Promise(resolve => (this.#end = resolve))
    this.#poller = raid.host.appThread.registerPoller(onTimer, this, Infinity, `${raid.name}_process`)
  }

  get paused(): boolean {
    return this.#paused
  }

  /** It ends after the window under way. */
  get stopping(): boolean {
    return this.#stopping
  }

  get percent(): number {
    return Math.floor((this.offsetBlocks * 100) / this.raid.bdev!.numBlocks)
  }

  /** As `bdev_raid_get_bdevs` has it. */
  infoJson(): JsonObject {
    return {
      type: this.type,
      ...this.details(),
      progress: { blocks: this.offsetBlocks, percent: this.percent },
      ...(this.#paused && { paused: true }),
    }
  }

  /** After the window under way; how far it has come is written down. */
  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.wake()
  }

  /** Ends it where it is. */
  stop(): void {
    this.#stopping = true
    this.wake()
  }

  /** Ends it; settles when none of its I/O is under way. */
  stopped(): Promise<void> {
    this.stop()
    return this.#ended
  }

  /** Continues where it waits. */
  wake(): void {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }

  /** From here to the end, when `before` has ended. Never rejects. */
  async run(before: RaidProcess | null = null): Promise<void> {
    const { raid } = this
    await before?.stopped()
    let failure: unknown
    try {
      if (!this.#stopping) this.begin()
      await this.#windows()
    } catch (thrown) {
      failure = thrown
    }
    this.free()
    this.#poller.unregister()
    this.#end()
    await raid.inTurn(() => this.conclude(failure)).catch((thrown: unknown) => {
      raid.host.log.error(`${raid.who}: the end of a ${this.type}: ${(thrown as Error).message}`)
    })
  }

  // ---- what each kind does in its own way

  /** Members of `infoJson` between type and progress. */
  protected abstract details(): JsonObject
  /** For the line of each tenth. */
  protected abstract readonly title: string
  /** Says that it begins. */
  protected abstract begin(): void
  /** What is to be done next, of `maxBlocks` at most; `null` at the end. */
  protected abstract next(maxBlocks: number): Window | null
  /** Does it. @throws BdevError what ends the process. */
  protected abstract carryOut(window: Window): Promise<void>
  /** It is done. */
  protected done({ offsetBlocks, numBlocks }: Window): void {
    this.offsetBlocks = offsetBlocks + numBlocks
  }
  /** Writes down how far it has come. @throws BdevError EIO. */
  protected save(): Promise<void> {
    return Promise.resolve()
  }
  /** Every window is done. @throws BdevError EIO. */
  protected finish(): Promise<void> {
    return Promise.resolve()
  }
  /** Gives its memory back. */
  protected abstract free(): void
  /** None of its I/O is under way; called in turn. `failure`: what was thrown. */
  protected abstract conclude(failure: unknown): Promise<void>

  async #windows(): Promise<void> {
    const { raid } = this
    while (!this.#stopping) {
      if (this.#paused) {
        await this.save()
        await this.#wait(Infinity)
        continue
      }
      if (this.#dueMs > raid.host.nowMs()) {
        await this.#wait(this.#dueMs)
        continue
      }
      const window = this.next(this.#windowBlocks())
      if (window === null) {
        await this.finish()
        return
      }
      this.#pay(window.numBlocks)
      await this.carryOut(window)
      this.done(window)
      this.#show()
      if (raid.host.nowMs() < this.#savedMs + SAVE_MS) continue
      await this.save()
      this.#savedMs = raid.host.nowMs()
    }
    await this.save()
  }

  /** Whole units of the level, one at least. */
  #windowBlocks(): number {
    const { raid } = this
    const wanted = Math.ceil((raid.module.options.process_window_size_kb * 1024) / raid.dataBlockSizeBytes)
    const unit = raid.level.rebuildUnitBlocks!(raid.members.length, raid.stripSizeBlocks)
    return Math.max(1, Math.floor(wanted / unit)) * unit
  }

  /** Bandwidth: when the next window may begin. */
  #pay(numBlocks: number): void {
    const mbPerS = this.raid.module.options.process_max_bandwidth_mb_sec
    if (mbPerS === 0) return
    const ms = (numBlocks * this.raid.blockSizeBytes) / (mbPerS * 1024 * 1024) * 1000
    this.#dueMs = Math.max(this.#dueMs, this.raid.host.nowMs()) + ms
  }

  #wait(dueMs: number): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
      if (dueMs !== Infinity) this.#poller.runAt(dueMs)
      else if (!this.#paused || this.#stopping) this.wake()
    })
  }

  /** A line for each tenth. */
  #show(): void {
    const { raid, percent } = this
    if (percent < this.#shownPercent + 10) return
    this.#shownPercent = percent - (percent % 10)
    if (percent < 100) raid.module.notice(raid, `${this.title}: ${this.#shownPercent}%`)
  }
}

function onTimer(process: RaidProcess): PollerRc {
  process.wake()
  return PollerRc.Busy
}
