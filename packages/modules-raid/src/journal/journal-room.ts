// SPDX-License-Identifier: Apache-2.0
import { JOURNAL_RING_BYTES_AT } from '../own-record.js'
import { DATA_OFFSET_BYTES_MIN } from '../superblock.js'

const MIB = 1024 * 1024
/** Strips that a ring holds at least: a batch is written while the one before it is in place. */
const STRIPS_MIN = 8
/** A longer ring is emptied less often: this part of a member may go before its data, up to a limit. */
const MEMBER_SHARE = 1 / 64
const OFFSET_BYTES_MAX = 16 * MIB

/** `RaidLevel.dataOffsetBytes` of a level that writes everything through the journal. */
export function journalRoomBytes(stripBytes: number, memberBytes: number, fewest: boolean): number {
  const least = Math.max(DATA_OFFSET_BYTES_MIN, JOURNAL_RING_BYTES_AT + STRIPS_MIN * stripBytes)
  if (fewest) return least
  return Math.max(least, Math.min(OFFSET_BYTES_MAX, Math.floor((memberBytes * MEMBER_SHARE) / MIB) * MIB))
}
