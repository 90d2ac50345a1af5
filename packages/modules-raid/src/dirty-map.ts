// SPDX-License-Identifier: Apache-2.0
// data plane
import type { BdevIo } from '@bdevkit/module-sdk'
import { regionBlocksFor, REGIONS_MAX, type DirtyRecord } from './dirty-record.js'
import type { RaidIo } from './raid-io.js'

/** What is known of a region: bits. */
const Region = {
  /** The disks say that it is dirty: it may be written. */
  Dirty: 1,
  /** It was written since the last sweep. */
  Touched: 2,
  /** That it is dirty is being written down: writes wait for it. */
  Marking: 4,
  /** The disks say that it is dirty, and that is being taken back. */
  Cleaning: 8,
  /** After a crash its copies or its parity may not agree: a resync has to go over it. */
  Unsynced: 16,
  /** The member that is being rebuilt may lack what was written there before a restart. */
  Redo: 32,
} as const
/** Any of these, and the record says that it is dirty. */
const ON_DISK = Region.Dirty | Region.Marking | Region.Cleaning | Region.Unsynced | Region.Redo
/** Any of these, and it does not get clean. */
const KEEPS_DIRTY = Region.Touched | Region.Marking | Region.Unsynced | Region.Redo

/** Blocks of the array. */
export interface BlockRange {
  readonly offsetBlocks: number
  readonly numBlocks: number
}

/**
 * Which regions of an array may differ between its members, should power go now. A write goes to the members only after the
 * disks call its regions dirty; `DirtyMapKeeper` writes that down, and later that they are clean again.
 */
export class DirtyMap {
  regionBlocks: number
  numRegions: number
  /** Called when a write waits. */
  wanted: () => void = () => {}
  #numBlocks: number
  /** 1 / regionBlocks, which is exact. */
  #perBlock: number
  #states: Uint8Array
  /** How often blocks have become unsynced, or regions others. */
  timesUnsynced = 0
  #numUnsynced = 0
  #numRedo = 0
  /** Writes that wait, oldest first. */
  #waiting: BdevIo<RaidIo>[] = []

  constructor(numBlocks: number, regionBlocks: number) {
    this.#numBlocks = numBlocks
    this.regionBlocks = regionBlocks
    this.#perBlock = 1 / regionBlocks
    this.numRegions = Math.ceil(numBlocks / regionBlocks)
    this.#states = new Uint8Array(this.numRegions)
  }

  /** Whether a write may go to the members now; where not, it is kept until it may. */
  admits(io: BdevIo<RaidIo>): boolean {
    const states = this.#states
    const last = ((io.offsetBlocks + io.numBlocks - 1) * this.#perBlock) | 0
    for (let region = (io.offsetBlocks * this.#perBlock) | 0; region <= last; region++) {
      if ((states[region] & Region.Dirty) === 0 && !this.#recall(region)) {
        this.#waiting.push(io)
        this.wanted()
        return false
      }
      states[region] |= Region.Touched
    }
    return true
  }

  /** The disks still call it dirty, though that was about to end. */
  #recall(region: number): boolean {
    if ((this.#states[region] & Region.Cleaning) === 0) return false
    this.#states[region] = (this.#states[region] & ~Region.Cleaning) | Region.Dirty
    return true
  }

  // ---- control plane

  get hasWaiting(): boolean {
    return this.#waiting.length > 0
  }

  /** Regions that wait for their resync. */
  get numUnsynced(): number {
    return this.#numUnsynced
  }

  /** Whether a rebuild has to go back. */
  get hasRedo(): boolean {
    return this.#numRedo > 0
  }

  /** Whether the disks call any region dirty. */
  get isDirty(): boolean {
    return this.#states.some(state => (state & ON_DISK) !== 0) // cold: control plane
  }

  /** Whether any of these blocks is in a region that waits for its resync. */
  isUnsynced(offsetBlocks: number, numBlocks: number): boolean {
    if (this.#numUnsynced === 0) return false
    const last = ((offsetBlocks + numBlocks - 1) * this.#perBlock) | 0
    for (let region = (offsetBlocks * this.#perBlock) | 0; region <= last; region++) if ((this.#states[region] & Region.Unsynced) !== 0) return true
    return false
  }

  /** One bit for each region, for the record. */
  bits(): Uint8Array {
    const bits = new Uint8Array(Math.ceil(this.numRegions / 8))
    for (let region = 0; region < this.numRegions; region++) if ((this.#states[region] & ON_DISK) !== 0) bits[region >> 3] |= 1 << (region & 7)
    return bits
  }

  /** What writes wait for now is being written down with the next record. */
  beginMarking(): void {
    for (const { offsetBlocks, numBlocks } of this.#waiting) {
      const last = ((offsetBlocks + numBlocks - 1) * this.#perBlock) | 0
      for (let region = (offsetBlocks * this.#perBlock) | 0; region <= last; region++) {
        if ((this.#states[region] & Region.Dirty) === 0) this.#states[region] |= Region.Marking
      }
    }
  }

  /** It is on the disks, or is not. Answers the writes that waited for it: they may go on, or have to fail. */
  endMarking(marked: boolean): BdevIo<RaidIo>[] {
    const settled = this.#waiting.filter(io => this.#every(io, Region.Dirty | Region.Marking)) // cold: a record was written
    const becomes = marked ? Region.Dirty | Region.Touched : 0
    this.#change(Region.Marking, state => (state & ~Region.Marking) | becomes) // cold: a record was written
    this.#waiting = this.#waiting.filter(io => !settled.includes(io)) // cold: a record was written
    return settled
  }

  /** Of regions without a resync ahead, those not written since the last call are about to get clean. Answers them, as ranges. */
  beginCleaning(): BlockRange[] {
    const ranges: BlockRange[] = []
    let first = -1
    for (let region = 0; region <= this.numRegions; region++) {
      const state = this.#states[region] ?? 0
      const cleans = (state & Region.Dirty) !== 0 && (state & KEEPS_DIRTY) === 0
      if (region < this.numRegions) this.#states[region] = cleans ? (state & ~Region.Dirty) | Region.Cleaning : state & ~Region.Touched
      if (cleans && first < 0) first = region
      if (cleans || first < 0) continue
      ranges.push(this.#blocksOf(first, region)) // cold: a sweep
      first = -1
    }
    return ranges
  }

  /** Those that were not written meanwhile are clean with the next record (`clean`), or stay dirty. */
  endCleaning(clean: boolean): void {
    this.#change(Region.Cleaning, state => (clean ? state & ~Region.Cleaning : (state & ~Region.Cleaning) | Region.Dirty)) // cold: a sweep
  }

  /** Nothing is under way, and everything is on the disks: what is not to be resynced is clean. */
  cleanAll(): void {
    this.#change(Region.Dirty, state => state & (Region.Unsynced | Region.Redo)) // cold: the array ends
  }

  /** These blocks may not agree: a write of them has failed on some members. They are dirty on the disks. */
  unsync(offsetBlocks: number, numBlocks: number): void {
    this.timesUnsynced++
    const last = ((offsetBlocks + numBlocks - 1) * this.#perBlock) | 0
    for (let region = (offsetBlocks * this.#perBlock) | 0; region <= last; region++) {
      if ((this.#states[region] & Region.Unsynced) === 0) this.#numUnsynced++
      this.#states[region] |= Region.Unsynced | Region.Dirty
    }
  }

  /** A rebuild goes on where a restart stopped it: what is dirty before `endBlocks` it does again. */
  beginRedo(endBlocks: number): void {
    this.endRedo()
    const end = Math.min(this.numRegions, Math.ceil(endBlocks * this.#perBlock))
    for (let region = 0; region < end; region++) {
      if ((this.#states[region] & ON_DISK) === 0) continue
      this.#states[region] |= Region.Redo | Region.Dirty
      this.#numRedo++
    }
  }

  /** The first region that begins at `offsetBlocks` or behind and waits for its resync, or for a rebuild; `null` where there is none. */
  next(what: 'unsynced' | 'redo', offsetBlocks: number): BlockRange | null {
    const flag = what === 'unsynced' ? Region.Unsynced : Region.Redo
    for (let region = Math.ceil(offsetBlocks * this.#perBlock); region < this.numRegions; region++) {
      if ((this.#states[region] & flag) !== 0) return this.#blocksOf(region, region + 1)
    }
    return null
  }

  /** A region that `next` has answered is done. */
  done(what: 'unsynced' | 'redo', { offsetBlocks }: BlockRange): void {
    const region = offsetBlocks * this.#perBlock
    const flag = what === 'unsynced' ? Region.Unsynced : Region.Redo
    if ((this.#states[region] & flag) === 0) return
    this.#states[region] &= ~flag
    if (what === 'unsynced') this.#numUnsynced--
    else this.#numRedo--
  }

  /** Everything agrees: a repair has gone over all of it. */
  doneAll(): void {
    this.#change(Region.Unsynced, state => state & ~Region.Unsynced) // cold: a repair ends
    this.#numUnsynced = 0
  }

  /** There is no such rebuild any more. */
  endRedo(): void {
    this.#change(Region.Redo, state => state & ~Region.Redo) // cold: a rebuild ends
    this.#numRedo = 0
  }

  /** Takes over what the disks say: every dirty region waits for its resync. */
  load({ regionBlocks, numRegions, bits }: Pick<DirtyRecord, 'regionBlocks' | 'numRegions' | 'bits'>): void {
    for (let region = 0; region < numRegions; region++) {
      if ((bits[region >> 3] & (1 << (region & 7))) === 0) continue
      const offsetBlocks = region * regionBlocks
      if (offsetBlocks < this.#numBlocks) this.unsync(offsetBlocks, Math.min(regionBlocks, this.#numBlocks - offsetBlocks))
    }
  }

  /**
   * The array has another size. Regions grow where they would not fit the record; then those of which a part was dirty are being
   * marked: with the next record they are so as a whole.
   */
  resize(numBlocks: number): void {
    const regionBlocks = regionBlocksFor(numBlocks, this.regionBlocks)
    const factor = regionBlocks / this.regionBlocks
    const before = this.#states
    this.#numBlocks = numBlocks
    this.regionBlocks = regionBlocks
    this.#perBlock = 1 / regionBlocks
    this.numRegions = Math.ceil(numBlocks / regionBlocks)
    this.#states = new Uint8Array(this.numRegions)
    this.timesUnsynced++
    for (let region = 0; region < before.length && region < this.numRegions * factor; region++) this.#states[Math.floor(region / factor)] |= before[region]
    if (factor > 1) this.#change(ON_DISK, state => (state & (Region.Unsynced | Region.Redo)) | Region.Marking) // cold: a resize
    this.#numUnsynced = this.#states.filter(state => (state & Region.Unsynced) !== 0).length // cold: a resize
    this.#numRedo = this.#states.filter(state => (state & Region.Redo) !== 0).length // cold: a resize
  }

  #every({ offsetBlocks, numBlocks }: BlockRange, wanted: number): boolean {
    const last = ((offsetBlocks + numBlocks - 1) * this.#perBlock) | 0
    for (let region = (offsetBlocks * this.#perBlock) | 0; region <= last; region++) if ((this.#states[region] & wanted) === 0) return false
    return true
  }

  #change(having: number, change: (state: number) => number): void {
    for (let region = 0; region < this.numRegions; region++) if ((this.#states[region] & having) !== 0) this.#states[region] = change(this.#states[region])
  }

  #blocksOf(firstRegion: number, endRegion: number): BlockRange {
    const offsetBlocks = firstRegion * this.regionBlocks
    return { offsetBlocks, numBlocks: Math.min(endRegion * this.regionBlocks, this.#numBlocks) - offsetBlocks } // cold: control plane
  }
}

/** A map that calls everything dirty. */
export const EVERYTHING = { regionBlocks: 2 ** 52, numRegions: 1, bits: Uint8Array.of(1) } as const

if (REGIONS_MAX > 2 ** 16) throw new RangeError('dirty map: more regions than a sweep should visit')
