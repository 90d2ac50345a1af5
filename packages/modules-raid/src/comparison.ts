// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from '@bdevkit/module-sdk'
import type { RaidBdev } from './raid-bdev.js'
import { RaidProcess, type Window } from './raid-process.js'
import { ScrubJob } from './scrub-job.js'

/** A process that compares what should agree: copies with each other, or data with its parity. */
export abstract class Comparison extends RaidProcess {
  /** Blocks of members that differed from what they should have been. */
  mismatches = 0
  protected readonly job: ScrubJob

  constructor(raid: RaidBdev, parityTrusted: boolean) {
    super(raid, 0)
    this.job = new ScrubJob(raid, parityTrusted)
  }

  /** Whether it makes them agree. */
  protected abstract readonly repairs: boolean

  protected details(): JsonObject {
    return { mismatches: this.mismatches, read_errors: this.job.readErrors }
  }

  protected get title(): string {
    return this.type
  }

  /** For messages. */
  protected get found(): string {
    const { lost, readErrors } = this.job
    const remains = lost === 0 ? '' : `; nothing can stand in for ${lost} of these`
    return `${this.repairs ? 'found and mended' : 'found'} ${this.mismatches} blocks that do not agree and ${readErrors} that could not be read${remains}`
  }

  /** With no other I/O to the window meanwhile. */
  protected async carryOut({ offsetBlocks, numBlocks }: Window): Promise<void> {
    const { raid } = this
    const { lost } = this.job
    await raid.host.quiesceRange(raid.bdev!, offsetBlocks, numBlocks)
    try {
      this.mismatches += await raid.level.scrubWindow!(this.job, offsetBlocks, numBlocks, this.repairs)
      if (this.repairs && this.job.lost === lost && raid.stripes.torn.size > 0) raid.stripes.mended(...this.#stripes(offsetBlocks, numBlocks))
    } finally {
      this.job.windowDone()
      await raid.host.unquiesceRange(raid.bdev!, offsetBlocks, numBlocks)
    }
  }

  #stripes(offsetBlocks: number, numBlocks: number): [first: number, count: number] {
    const { level, members, stripSizeBlocks } = this.raid
    const unit = level.rebuildUnitBlocks!(members.length, stripSizeBlocks)
    return [offsetBlocks / unit, numBlocks / unit]
  }

  protected free(): void {
    this.job.free()
  }

  /** The array has no process any more, unless a rebuild has taken its place. */
  protected ended(): void {
    const { raid } = this
    if (raid.process?.type !== 'rebuild') raid.process = null
    raid.module.processEnded(raid)
  }
}
