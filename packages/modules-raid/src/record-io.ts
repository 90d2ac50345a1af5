// SPDX-License-Identifier: Apache-2.0
import type { DescChannel } from '@bdevkit/module-sdk'
import { flushBase, readBase, writeBase } from './base-io.js'
import { decodeProgress, decodeRecord, encodeProgress, encodeRecord, RECORD_PLACES, type RecordKind } from './own-record.js'
import type { RaidBdev } from './raid-bdev.js'
import type { RaidMember } from './raid-member.js'

/** Whole blocks that hold a record. */
export function blocksOf(leg: DescChannel, kind: RecordKind): { offsetBlocks: number; numBlocks: number } {
  const { blockSizeBytes } = leg.bdev
  const { offsetBytes, lengthBytes } = RECORD_PLACES[kind]
  return { offsetBlocks: Math.ceil(offsetBytes / blockSizeBytes), numBlocks: Math.ceil(lengthBytes / blockSizeBytes) }
}

/** Writes a record, and makes it last. @throws BdevError EIO. */
export async function writeRecord(leg: DescChannel, kind: RecordKind, record: Uint8Array): Promise<void> {
  const at = blocksOf(leg, kind)
  const buf = new Uint8Array(at.numBlocks * leg.bdev.blockSizeBytes)
  buf.set(record)
  await writeBase(leg, buf, 0, at.offsetBlocks, at.numBlocks)
  await flushBase(leg)
}

/** Reads where a record may be. @throws BdevError EIO. */
export async function readRecord(leg: DescChannel, kind: RecordKind): Promise<Uint8Array> {
  const at = blocksOf(leg, kind)
  const buf = new Uint8Array(at.numBlocks * leg.bdev.blockSizeBytes)
  await readBase(leg, buf, 0, at.offsetBlocks, at.numBlocks)
  return buf
}

/** Writes down how far a rebuild has come; what it says is on the disk before. @throws BdevError EIO. */
export async function saveProgress(raid: RaidBdev, target: RaidMember, offsetBlocks: number): Promise<void> {
  const { leg, uuid } = target
  if (raid.superblock === null || leg === null || uuid === null) return
  await flushBase(leg)
  const binding = { raidUuid: raid.uuid, seqNumber: raid.superblock.seqNumber }
  await writeRecord(leg, 'rebuild', encodeRecord('rebuild', binding, encodeProgress({ targetUuid: uuid, offsetBlocks })))
}

/**
 * Where a rebuild that a restart interrupted goes on: 0 where the array has written anything without the member since, or
 * has not stood still for another reason; at most where the journal was replayed.
 */
export async function loadProgress(raid: RaidBdev, target: RaidMember): Promise<number> {
  const { leg, uuid } = target
  if (raid.superblock === null || leg === null || raid.missedWrites || raid.assembledSeq === null) return 0
  const buf = await readRecord(leg, 'rebuild')
  const progress = decodeProgress(decodeRecord('rebuild', { raidUuid: raid.uuid, seqNumber: raid.assembledSeq }, buf))
  if (progress === undefined || progress.targetUuid !== uuid || progress.offsetBlocks > raid.bdev!.numBlocks) return 0
  return Math.min(progress.offsetBlocks, raid.replayedFromBlocks)
}
