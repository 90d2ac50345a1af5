// SPDX-License-Identifier: Apache-2.0
import { BdevError } from '@bdevkit/module-sdk'
import { Comparison } from './comparison.js'
import type { RaidBdev } from './raid-bdev.js'
import type { Window } from './raid-process.js'

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
export class Scrub extends Comparison {
  readonly type: 'check' | 'repair'

  constructor(raid: RaidBdev, type: 'check' | 'repair') {
    super(raid, true)
    this.type = type
  }

  protected get repairs(): boolean {
    return this.type === 'repair'
  }

  protected begin(): void {
    this.raid.module.notice(this.raid, this.type === 'check' ? 'is being checked' : 'is being checked and repaired')
  }

  protected next(maxBlocks: number): Window | null {
    const { offsetBlocks } = this
    const left = this.raid.bdev!.numBlocks - offsetBlocks
    return left <= 0 ? null : { offsetBlocks, numBlocks: Math.min(maxBlocks, left) }
  }

  protected conclude(failure: unknown): Promise<void> {
    const { raid, type, mismatches } = this
    const { readErrors } = this.job
    const complete = failure === undefined && !this.stopping
    raid.lastScrub = { type, mismatches, read_errors: readErrors, complete }
    if (complete) raid.module.notice(raid, `${type} has ended: it ${this.found}`)
    else if (failure === undefined || this.stopping) raid.module.notice(raid, `${type} was stopped at block ${this.offsetBlocks}: until there it ${this.found}`)
    else raid.host.log.error(`${raid.who}: its ${type} ended at block ${this.offsetBlocks}: ${(failure as Error).message}`)
    if (complete && this.repairs && this.job.lost === 0) raid.dirtyMap?.doneAll()
    this.ended()
    return Promise.resolve()
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
