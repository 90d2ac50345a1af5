// SPDX-License-Identifier: Apache-2.0
import type { BlockRange, DirtyMap } from './dirty-map.js'
import type { RaidBdev } from './raid-bdev.js'
import type { Window } from './raid-process.js'

/** Goes over those regions of a dirty map that wait for a resync, or for a rebuild, in windows of whole units of the level. */
export class RegionWalk {
  readonly #raid: RaidBdev
  readonly #map: DirtyMap
  readonly #what: 'unsynced' | 'redo'
  #region: BlockRange | null = null
  /** How often blocks had become unsynced when it was begun. */
  #since = 0
  #at = 0
  #holds = true
  /** Where the next region may begin. */
  #from = 0

  constructor(raid: RaidBdev, map: DirtyMap, what: 'unsynced' | 'redo') {
    this.#raid = raid
    this.#map = map
    this.#what = what
  }

  /** What to do next; `null` at the end. */
  next(maxBlocks: number): Window | null {
    if (this.#region === null && !this.#begin()) return null
    const unit = this.#unit
    const { offsetBlocks, numBlocks } = this.#region!
    const end = Math.min(Math.ceil((offsetBlocks + numBlocks) / unit) * unit, this.#raid.bdev!.numBlocks)
    return { offsetBlocks: this.#at, numBlocks: Math.min(maxBlocks, end - this.#at) }
  }

  /** That is done. Where it `holds` not, the region stays as it is. */
  done({ offsetBlocks, numBlocks }: Window, holds = true): void {
    this.#at = offsetBlocks + numBlocks
    this.#holds &&= holds
    const region = this.#region!
    const end = region.offsetBlocks + region.numBlocks
    if (this.#at < end) return
    this.#region = null
    // What has become unsynced meanwhile may lie before the last window: once more.
    const again = this.#since !== this.#map.timesUnsynced
    this.#from = again ? region.offsetBlocks : end
    if (!again && this.#holds) this.#map.done(this.#what, region)
  }

  #begin(): boolean {
    this.#region = this.#map.next(this.#what, this.#from)
    if (this.#region === null) return false
    this.#since = this.#map.timesUnsynced
    this.#holds = true
    this.#at = this.#region.offsetBlocks - (this.#region.offsetBlocks % this.#unit)
    return true
  }

  get #unit(): number {
    return this.#raid.level.rebuildUnitBlocks!(this.#raid.members.length, this.#raid.stripSizeBlocks)
  }
}
