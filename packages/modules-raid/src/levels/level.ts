// SPDX-License-Identifier: Apache-2.0
import type { BdevIo, IoType } from '@bdevkit/module-sdk'
import type { RaidChannel } from '../raid-channel.js'
import type { RaidIo } from '../raid-io.js'
import type { ScrubJob } from '../scrub-job.js'
import type { RebuildJob } from '../window-job.js'

/** A member as the shape of an array depends on it. */
export interface MemberShape {
  /** Blocks of data: the level lowers it to what it uses. */
  dataSizeBlocks: number
}

/** Size and limits of an array. */
export interface RaidLayout {
  /** Size of the array. */
  readonly numBlocks: number
  /** I/O is split here; 0 = nowhere. */
  readonly splitBoundaryBlocks: number
  /** Writes come in multiples of this, and are split by it; 1 = any. */
  readonly writeUnitBlocks: number
}

/** The part of a range that lies on one member. Reused: the level fills it in. */
export interface MemberRange {
  /** First block, counted from the member's data. */
  offsetBlocks: number
  /** 0 where the member has no part in it. */
  numBlocks: number
}

/**
 * What makes a RAID level (`struct raid_bdev_module`): one file, one value. Names, sizes and rebuilding are control plane;
 * `submitRw` and `memberRange` are data plane. Offsets of members count from the start of their data: `RaidChannel.dataOffsets`
 * has to be added.
 */
export interface RaidLevel {
  /** As shown, e.g. `raid1`. */
  readonly name: string
  /** Other spellings. */
  readonly aliases: readonly string[]
  /** On disk. */
  readonly number: number
  /** Fewest members. */
  readonly membersMin: number
  /** Whether it takes a strip size: if so it must be given, else it must not. */
  readonly striped: boolean
  /** Whether members with protection information are let in. */
  readonly difSupported: boolean
  /** Whether members with separate metadata are let in. */
  readonly separateMdSupported: boolean
  /**
   * Whether writes go through the journal, in an array with a superblock: all of them, unless the array is created otherwise;
   * or those of a degraded array. Levels without parity need none.
   */
  readonly journal?: 'always' | 'degraded'
  /** Whether the array grows when all its members have. */
  readonly canResize: boolean
  /** I/O types without payload that it fans out, where all members have them. */
  readonly rangeTypes: readonly IoType[]
  /** Whether it works without some member. */
  readonly redundant: boolean
  /** Whether all data is there with the members that are, by slot. */
  worksWith(there: readonly boolean[]): boolean
  /** Room that it wants before the data of a member with a superblock; default: what SPDK leaves. `fewest`: of a small member. */
  dataOffsetBytes?(stripBytes: number, memberBytes: number, fewest: boolean): number
  /** Size and limits; sets `dataSizeBlocks` of every member to what is used of it. */
  layout(members: readonly MemberShape[], stripSizeBlocks: number): RaidLayout
  /** What the level keeps for each thread, on that thread. */
  createChannel?(ch: RaidChannel): unknown
  /** Gives it back. */
  destroyChannel?(ch: RaidChannel): void
  /** Carries out a READ or WRITE. */
  submitRw(ch: RaidChannel, io: BdevIo<RaidIo>): void
  /** Which part of `io`'s range lies on the member in `slot`. */
  memberRange(ch: RaidChannel, io: BdevIo<RaidIo>, slot: number, out: MemberRange): void
  /** Blocks of the array that are rebuilt together: windows are multiples of it. Levels without redundancy have none. */
  rebuildUnitBlocks?(numMembers: number, stripSizeBlocks: number): number
  /**
   * Makes the target's part of a window anew from the others. No other I/O to the window is under way.
   * @throws BdevError EIO the others could not be read, or the target not be written.
   */
  rebuildWindow?(job: RebuildJob, offsetBlocks: number, numBlocks: number): Promise<void>
  /** Whether redundancy of a new array has to be made first, by a resync. */
  readonly beginsUnsynced?: boolean
  /** Whether `scrubWindow` needs every member: parity does, mirrors compare those that are there. */
  readonly scrubsWhole?: boolean
  /**
   * Compares what should agree in a window: copies with the first one that is in sync, parity with the data. Where `repair` says
   * so, makes it agree: copies become as the first one, parity is computed anew, and what could not be read is written from
   * what stands in for it; only what differs is written. No other I/O to the window is under way. Answers how many blocks of
   * members differed; what could not be read the job counts.
   * @throws BdevError EIO a member could not be written; ENODEV one has left.
   */
  scrubWindow?(job: ScrubJob, offsetBlocks: number, numBlocks: number, repair: boolean): Promise<number>
}
