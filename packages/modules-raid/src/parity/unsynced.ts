// SPDX-License-Identifier: Apache-2.0
// data plane

/** Where redundancy may not fit the data: before the first resync, and after a crash. `RaidBdev.dirtyMap`. */
export interface UnsyncedRegions {
  /** Whether a range of the array is, in part, such a region. Called for each write of a part of a stripe. */
  isUnsynced(offsetBlocks: number, numBlocks: number): boolean
}
