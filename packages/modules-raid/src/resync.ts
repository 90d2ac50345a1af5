// SPDX-License-Identifier: Apache-2.0
import { Comparison } from './comparison.js'
import type { RaidBdev } from './raid-bdev.js'
import type { Window } from './raid-process.js'
import { RegionWalk } from './region-walk.js'

/** After a crash: regions that were being written are made to agree; and all of a new array, where its level needs that. */
export class Resync extends Comparison {
  readonly type = 'resync'
  protected readonly repairs = true
  readonly #walk: RegionWalk
  #lost = 0

  constructor(raid: RaidBdev) {
    super(raid, !raid.torn)
    this.#walk = new RegionWalk(raid, raid.dirtyMap!, 'unsynced')
  }

  protected begin(): void {
    const { numUnsynced, numRegions } = this.raid.dirtyMap!
    this.raid.module.notice(this.raid, `is resynced: ${numUnsynced} of its ${numRegions} regions may not agree on all members`)
  }

  protected next(maxBlocks: number): Window | null {
    return this.#walk.next(maxBlocks)
  }

  protected override done(window: Window): void {
    super.done(window)
    // What could not be read, and nothing can stand in for, stays an error as long as parity does not fit: it must not be made up from that.
    const holds = this.raid.level.scrubsWhole !== true || this.#lost === this.job.lost
    this.#lost = this.job.lost
    this.#walk.done(window, holds)
  }

  protected conclude(failure: unknown): Promise<void> {
    const { raid } = this
    // A member that leaves stops it, and what it read of that one fails.
    if (failure !== undefined && !this.stopping) {
      raid.resyncFailed = true
      raid.host.log.error(`${raid.who}: its resync ended at block ${this.offsetBlocks}: ${(failure as Error).message}`)
    } else if (!this.stopping) {
      raid.resyncFailed = this.job.lost > 0
      if (raid.dirtyMap!.numUnsynced === 0) raid.torn = false
      raid.module.notice(raid, `resync has ended: it ${this.found}`)
    }
    this.ended()
    return Promise.resolve()
  }
}

/** Begins a resync where there is something to do and nothing in its way. What has failed is not tried again by itself. */
export function startResync(raid: RaidBdev): void {
  const { dirtyMap, level } = raid
  if (raid.state !== 'online' || raid.process !== null || raid.resyncFailed || dirtyMap === null || dirtyMap.numUnsynced === 0) return
  if (level.scrubsWhole === true && !raid.members.every(({ inSync }) => inSync)) return
  const resync = new Resync(raid)
  raid.process = resync
  void resync.run()
}
