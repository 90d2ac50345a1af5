// SPDX-License-Identifier: Apache-2.0
// data plane
import type { DescChannel, Thread } from '@bdevkit/module-sdk'
import type { DirtyMap } from './dirty-map.js'
import type { RaidBdev } from './raid-bdev.js'

/** One thread's share of an array: the members' channels. */
export class RaidChannel {
  readonly raid: RaidBdev
  readonly thread: Thread
  readonly numMembers: number
  /** By slot: members whose data is good. */
  readonly readLegs: (DescChannel | null)[] = []
  /** By slot: members that every write goes to; those of `readLegs`, and the one that is being rebuilt. */
  readonly writeLegs: (DescChannel | null)[] = []
  /** By slot: where the data begins on the member, in blocks. Shared by all channels. */
  readonly dataOffsets: readonly number[]
  readonly stripBlocks: number
  /** Asked before each write; `null` where nobody keeps track. */
  readonly dirtyMap: DirtyMap | null
  /** By slot: blocks that are being read on this channel. */
  readonly readingBlocks: number[] = []
  /** What the level keeps. */
  ctx: any = null

  constructor(raid: RaidBdev, thread: Thread) {
    this.raid = raid
    this.thread = thread
    this.numMembers = raid.members.length
    this.dataOffsets = raid.dataOffsets
    this.stripBlocks = raid.stripSizeBlocks
    this.dirtyMap = raid.tracksWrites ? raid.dirtyMap : null
    for (let slot = 0; slot < this.numMembers; slot++) {
      this.readLegs.push(null)
      this.writeLegs.push(null)
      this.readingBlocks.push(0)
    }
  }

  /** Whether members are missing that the level cannot do without: what was sent meanwhile fails. */
  get broken(): boolean {
    return !this.raid.level.worksWith(this.readLegs.map(leg => leg !== null)) // cold: after a failure
  }

  /** The slot of a member's channel, -1 where it is none of this array's any more. */
  slotOf(leg: DescChannel): number {
    for (let slot = 0; slot < this.numMembers; slot++) if (this.writeLegs[slot] === leg) return slot
    return -1
  }

  /** Lets a member be written (a rebuild begins), or be read, too. */
  admit(slot: number, leg: DescChannel, readable: boolean): void {
    this.writeLegs[slot] = leg
    if (readable) this.readLegs[slot] = leg
  }

  /** Uses a member no more. What it still has to answer may come later. */
  drop(slot: number): void {
    const leg = this.writeLegs[slot]
    this.readLegs[slot] = null
    this.writeLegs[slot] = null
    leg?.put()
  }

  /** Gives everything back. */
  close(): void {
    for (let slot = 0; slot < this.numMembers; slot++) this.drop(slot)
  }
}
