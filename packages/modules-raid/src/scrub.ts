// SPDX-License-Identifier: Apache-2.0
import { BdevError } from '@bdevkit/module-sdk'
import type { JsonObject } from '@bdevkit/module-sdk'
import type { RaidBdev } from './raid-bdev.js'
import { RaidProcess, type Window } from './raid-process.js'
import { ScrubJob } from './scrub-job.js'

/** What a scrub has found. */
export interface ScrubResult {
  readonly type: 'check' | 'repair'
  /** Blocks of members that differed from what they should have been. */
  readonly mismatches: number
  /** Blocks of members that could not be read. */
  readonly read_errors: number
  /** Whether it came to the end. */
  readonly complete: boolean
}

/** What should agree is compared, and made to agree unless the type is `check`. */
export class Scrub extends RaidProcess {
  readonly type: 'check' | 'repair'
  readonly #job: ScrubJob
  #mismatches = 0

  constructor(raid: RaidBdev, type: 'check' | 'repair') {
    super(raid, 0)
    this.type = type
    this.#job = new ScrubJob(raid, true)
  }

  protected details(): JsonObject {
    return { mismatches: this.#mismatches, read_errors: this.#job.readErrors }
  }

  protected get title(): string {
    return this.type
  }

  protected begin(): void {
    this.raid.module.notice(this.raid, this.type === 'check' ? 'is being checked' : 'is being checked and repaired')
  }

  protected next(maxBlocks: number): Window | null {
    const { offsetBlocks } = this
    const left = this.raid.bdev!.numBlocks - offsetBlocks
    return left <= 0 ? null : { offsetBlocks, numBlocks: Math.min(maxBlocks, left) }
  }

  /** With no other I/O to the window meanwhile. */
  protected async carryOut({ offsetBlocks, numBlocks }: Window): Promise<void> {
    const { raid } = this
    await raid.host.quiesceRange(raid.bdev!, offsetBlocks, numBlocks)
    try {
      this.#mismatches += await raid.level.scrubWindow!(this.#job, offsetBlocks, numBlocks, this.type === 'repair')
    } finally {
      this.#job.windowDone()
      await raid.host.unquiesceRange(raid.bdev!, offsetBlocks, numBlocks)
    }
  }

  protected free(): void {
    this.#job.free()
  }

  protected conclude(failure: unknown): Promise<void> {
    const { raid, type } = this
    const complete = failure === undefined && !this.stopping
    // A rebuild may have taken its place.
    if (raid.process === this) raid.process = null
    raid.lastScrub = { type, mismatches: this.#mismatches, read_errors: this.#job.readErrors, complete }
    const found = `${this.#mismatches} blocks that do not agree and ${this.#job.readErrors} that could not be read`
    const mended = type === 'check' ? 'found' : 'found and mended'
    if (complete) raid.module.notice(raid, `${type} has ended: it ${mended} ${found}${this.#remains()}`)
    else if (failure === undefined) raid.module.notice(raid, `${type} was stopped at block ${this.offsetBlocks}: until there it ${mended} ${found}${this.#remains()}`)
    else raid.host.log.error(`${raid.who}: its ${type} ended at block ${this.offsetBlocks}: ${(failure as Error).message}`)
    return Promise.resolve()
  }

  #remains(): string {
    return this.#job.lost === 0 ? '' : `; nothing can stand in for ${this.#job.lost} of these`
  }
}

/**
 * `bdev_raid_start_process`. To be called in turn.
 * @throws BdevError ENODEV it is not online; EBUSY another process goes on; EINVAL there is nothing to compare, or a member is missing.
 */
export function startScrub(raid: RaidBdev, type: 'check' | 'repair'): void {
  const refuse = (code: 'ENODEV' | 'EBUSY' | 'EINVAL', why: string): never => {
    throw new BdevError(code, `${raid.who}: ${type}: ${why}`)
  }
  if (raid.state !== 'online') refuse('ENODEV', `wanted it online, found it ${raid.state}`)
  if (raid.level.scrubWindow === undefined) refuse('EINVAL', `${raid.level.name} has no redundancy to compare`)
  if (raid.process !== null) refuse('EBUSY', `a ${raid.process.type} goes on; wait for its end`)
  const missing = raid.members.filter(({ inSync }) => !inSync).map(({ slot }) => slot)
  if (raid.level.scrubsWhole === true && missing.length > 0) refuse('EINVAL', `slot ${missing.join(', ')} has no member in sync; rebuild it first`)
  const scrub = new Scrub(raid, type)
  raid.process = scrub
  void scrub.run()
}
