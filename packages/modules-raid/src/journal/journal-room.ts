// SPDX-License-Identifier: Apache-2.0
import { JOURNAL_RING_BYTES_AT } from '../own-record.js'
import { DATA_OFFSET_BYTES_MIN } from '../superblock.js'

const MIB = 1024 * 1024
/** Strips that a ring holds at least: a batch is written while the one before it is in place. */
const STRIPS_MIN = 8
/** Members of this size have room for a longer ring, which is emptied less often. */
const LARGE_MEMBER_BYTES = 1024 * MIB
const LARGE_OFFSET_BYTES = 16 * MIB

/** `RaidLevel.dataOffsetBytes` of a level that writes everything through the journal. */
export function journalRoomBytes(stripBytes: number, memberBytes: number, fewest: boolean): number {
  const least = Math.max(DATA_OFFSET_BYTES_MIN, JOURNAL_RING_BYTES_AT + STRIPS_MIN * stripBytes)
  return fewest || memberBytes < LARGE_MEMBER_BYTES ? least : Math.max(least, LARGE_OFFSET_BYTES)
}
