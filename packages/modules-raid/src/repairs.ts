// SPDX-License-Identifier: Apache-2.0
// What members could not read, and others could: it is written to them again.
import type { RaidBdev } from './raid-bdev.js'
import { makeAnew, RebuildJob } from './window-job.js'

/** Ranges that wait for their repair, at most: beyond, the next read that fails asks again. */
const REPAIRS_MAX = 64

/** The repairs of one array, one range after the other. */
export class Repairs {
  readonly #raid: RaidBdev
  readonly #waiting: { slot: number; offsetBlocks: number; numBlocks: number }[] = []
  #running: Promise<void> | null = null

  constructor(raid: RaidBdev) {
    this.#raid = raid
  }

  add(slot: number, offsetBlocks: number, numBlocks: number): void {
    if (this.#waiting.length >= REPAIRS_MAX || this.#raid.state !== 'online') return
    const unit = this.#raid.level.rebuildUnitBlocks!(this.#raid.members.length, this.#raid.stripSizeBlocks)
    const first = offsetBlocks - (offsetBlocks % unit)
    const end = Math.ceil((offsetBlocks + numBlocks) / unit) * unit
    if (this.#waiting.some(one => one.slot === slot && one.offsetBlocks === first)) return
    this.#waiting.push({ slot, offsetBlocks: first, numBlocks: end - first })
    this.#running ??= this.#run().finally(() => (this.#running = null))
  }

  stop(): void {
    this.#waiting.length = 0
  }

  /** Settles when none is under way. */
  async stopped(): Promise<void> {
    this.stop()
    await this.#running
  }

  async #run(): Promise<void> {
    const raid = this.#raid
    for (let one = this.#waiting[0]; one !== undefined; one = this.#waiting[0]) {
      const member = raid.members[one.slot]
      const where = `${raid.who}: bdev "${member.name}" could not read blocks ${one.offsetBlocks} to ${one.offsetBlocks + one.numBlocks - 1} of the array`
      const job = new RebuildJob(raid, member)
      try {
        if (member.inSync && raid.state === 'online') {
          await makeAnew(job, one.offsetBlocks, one.numBlocks)
          await job.flushTarget()
          raid.host.log.warn(`${where}; they were written anew from the others`)
        }
      } catch (thrown) {
        raid.host.log.error(`${where}, and they cannot be written anew: ${(thrown as Error).message}`)
        void raid.failMembers([one.slot])
      }
      job.free()
      this.#waiting.shift()
    }
  }
}
