// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from '@bdevkit/module-sdk'
import type { RaidBdev } from './raid-bdev.js'
import { rebuildDone } from './raid-configure.js'
import { leave } from './raid-leave.js'
import type { RaidMember } from './raid-member.js'
import { RaidProcess, type Window } from './raid-process.js'
import { saveProgress } from './record-io.js'
import { RegionWalk } from './region-walk.js'
import { EntryState } from './superblock.js'
import { makeAnew, RebuildJob } from './window-job.js'

/** A member is made anew from the others, from the first block to the last. */
export class Rebuild extends RaidProcess {
  readonly type = 'rebuild'
  readonly target: RaidMember
  readonly #job: RebuildJob
  /** What was dirty below the place where a restart stopped it: first of all it is done again. */
  readonly #redo: RegionWalk | null
  #redoing = false
  /** Of the target, which may leave before the end. */
  readonly #name: string | null

  constructor(raid: RaidBdev, target: RaidMember, offsetBlocks = 0) {
    super(raid, offsetBlocks)
    this.target = target
    this.#job = new RebuildJob(raid, target)
    this.#name = target.name
    this.#redo = raid.dirtyMap === null ? null : new RegionWalk(raid, raid.dirtyMap, 'redo')
  }

  protected details(): JsonObject {
    return { target: this.#name }
  }

  protected get title(): string {
    return `rebuild of "${this.#name}"`
  }

  protected begin(): void {
    const { raid, target, offsetBlocks } = this
    const from = offsetBlocks === 0 ? '' : `, from block ${offsetBlocks} on, where a restart stopped it`
    raid.module.notice(raid, `rebuilds base bdev "${target.name}" in slot ${target.slot}${from}`)
  }

  protected next(maxBlocks: number): Window | null {
    const again = this.#redo?.next(maxBlocks) ?? null
    this.#redoing = again !== null
    if (again !== null) return again
    const { offsetBlocks } = this
    const left = this.raid.bdev!.numBlocks - offsetBlocks
    return left <= 0 ? null : { offsetBlocks, numBlocks: Math.min(maxBlocks, left) }
  }

  protected carryOut({ offsetBlocks, numBlocks }: Window): Promise<void> {
    return makeAnew(this.#job, offsetBlocks, numBlocks)
  }

  protected override done(window: Window): void {
    if (this.#redoing) this.#redo!.done(window)
    else super.done(window)
  }

  /** After a restart it goes on there. */
  protected override async save(): Promise<void> {
    if (this.target.leaving === null) await saveProgress(this.raid, this.target, this.offsetBlocks)
  }

  /** Before the superblock calls it good, it is: host I/O may have been flushed when it was not there. */
  protected override finish(): Promise<void> {
    return this.#job.flushTarget()
  }

  protected free(): void {
    this.#job.free()
  }

  protected async conclude(failure: unknown): Promise<void> {
    const { raid, target } = this
    const stays = (): boolean => raid.state === 'online' && target.configured && target.leaving === null
    const whole = stays() && failure === undefined && !this.stopping && (await rebuildDone(raid, target))
    raid.process = null
    if (raid.state !== 'online') return
    const where = `base bdev "${this.#name}" in slot ${target.slot}`
    if (whole) {
      raid.module.notice(raid, `has rebuilt ${where}; ${raid.numDiscovered} of ${raid.members.length} members take part`)
    } else {
      const why = failure === undefined ? 'it was stopped' : (failure as Error).message
      raid.host.log.error(`${raid.who}: the rebuild of ${where} ended at block ${this.offsetBlocks}: ${why}`)
      raid.dirtyMap?.endRedo()
      if (stays()) await leave(raid, target, EntryState.Missing)
    }
    raid.module.rebuildEnded(raid, whole)
  }
}
