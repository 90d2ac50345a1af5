// SPDX-License-Identifier: Apache-2.0
import { DirtyMapKeeper } from './dirty-keeper.js'
import { DirtyMap, EVERYTHING } from './dirty-map.js'
import { decodeDirtyRecord, regionBlocksFor, type DirtyRecord } from './dirty-record.js'
import { openRecord } from './own-record.js'
import type { RaidBdev } from './raid-bdev.js'
import { readRecord } from './record-io.js'
import { DATA_OFFSET_BYTES_MIN } from './superblock.js'

/** What the members say of an array's dirty map. */
interface Found {
  /** The newest that is bound to the superblock as it was found. */
  readonly record: DirtyRecord | undefined
  /** There are records, maybe of another time. */
  readonly any: boolean
  /** The largest there is. */
  readonly generation: number
}

/**
 * Gives an array that goes online its dirty map, where its level has one: as its members say. An array of SPDK has none and is
 * clean; what was written with another superblock tells nothing, and everything is dirty.
 */
export async function openDirtyMap(raid: RaidBdev, numBlocks: number): Promise<void> {
  const { level, host } = raid
  if (level.scrubWindow === undefined || !(raid.superblockEnabled || level.beginsUnsynced === true)) return
  const isCramped = raid.members.some(({ configured, dataOffsetBlocks }) => configured && dataOffsetBlocks * raid.dataBlockSizeBytes < DATA_OFFSET_BYTES_MIN)
  if (raid.superblockEnabled && isCramped) {
    host.log.warn(`${raid.who}: there is no room for a dirty map before its data: after a crash it is not known what to compare; use bdev_raid_start_process`)
    return
  }
  const found = raid.assembledSeq === null ? { record: undefined, any: level.beginsUnsynced === true, generation: 0 } : await find(raid)
  const regionBlocks = found.record?.regionBlocks ?? (raid.module.options.dirty_region_size_kb * 1024) / raid.dataBlockSizeBytes
  const map = new DirtyMap(numBlocks, regionBlocksFor(numBlocks, regionBlocks))
  if (found.record !== undefined) map.load(found.record)
  else if (found.any || level.beginsUnsynced === true) map.load(EVERYTHING)
  if (raid.redundancySuspect) map.load(EVERYTHING)
  raid.dirtyMap = map
  const { record } = found
  // Where SPDK has had it with a member missing, that risked no more than a start does now.
  const safe = record === undefined ? raid.members.some(({ configured }) => !configured) : record.degraded || record.clean
  raid.torn = map.numUnsynced > 0 && raid.assembledSeq !== null && raid.journal?.always !== true && !safe
  if (raid.superblockEnabled) raid.dirtyKeeper = new DirtyMapKeeper(raid, map, found.generation)
}

/** The array has another size, or is about to. */
export async function resizeDirtyMap({ dirtyKeeper, dirtyMap }: RaidBdev, numBlocks: number): Promise<void> {
  if (dirtyKeeper === null) dirtyMap?.resize(numBlocks)
  else await dirtyKeeper.resize(numBlocks)
}

/** The array does not go online after all, or is gone. */
export function dropDirtyMap(raid: RaidBdev): void {
  raid.dirtyKeeper?.stop()
  raid.dirtyKeeper = null
  raid.dirtyMap = null
}

async function find(raid: RaidBdev): Promise<Found> {
  let record: DirtyRecord | undefined
  let any = false
  let generation = 0
  for (const { configured, leg, name } of raid.members) {
    if (!configured) continue
    for (const kind of ['dirtyMapA', 'dirtyMapB'] as const) {
      try {
        const opened = openRecord(kind, raid.uuid, await readRecord(leg!, kind))
        const decoded = opened && decodeDirtyRecord(opened.payload)
        if (opened === undefined || decoded === undefined) continue
        any = true
        generation = Math.max(generation, decoded.generation)
        if (opened.seqNumber === raid.assembledSeq && decoded.generation > (record?.generation ?? -1)) record = decoded
      } catch (thrown) {
        raid.host.log.warn(`${raid.who}: the dirty map of bdev "${name}" cannot be read: ${(thrown as Error).message}`)
      }
    }
  }
  return { record, any, generation }
}
