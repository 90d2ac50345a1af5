// SPDX-License-Identifier: Apache-2.0
// The journal's records on members: control plane.
import type { DescChannel } from '@bdevkit/module-sdk'
import { flushBase, readBase, writeBase } from '../base-io.js'
import { encodeRecord, openRecord, type RecordKind } from '../own-record.js'
import type { RaidBdev } from '../raid-bdev.js'
import { blocksOf } from '../record-io.js'
import { decodeConfig, decodeJournalRecord, encodeConfig, encodeJournalRecord, type JournalRecord, type RaidConfigRecord } from './journal-record.js'
import type { Journal } from './journal.js'
import type { MemberJournal } from './member-journal.js'

/** What a checkpoint changes in a record. */
type JournalTail = Pick<JournalRecord, 'doneSeq' | 'tailSeq' | 'tailPosition'>

/** By the number of a record: which copy it is. */
const COPIES = ['journalA', 'journalB'] as const

async function writeRecord(leg: DescChannel, kind: RecordKind, bytes: Uint8Array): Promise<void> {
  const at = blocksOf(leg, kind)
  const buf = new Uint8Array(at.numBlocks * leg.bdev.blockSizeBytes)
  buf.set(bytes)
  await writeBase(leg, buf, 0, at.offsetBlocks, at.numBlocks)
  await flushBase(leg)
}

async function readRecord(raid: RaidBdev, leg: DescChannel, kind: RecordKind): Promise<{ seqNumber: number; payload: Uint8Array } | undefined> {
  const at = blocksOf(leg, kind)
  const buf = new Uint8Array(at.numBlocks * leg.bdev.blockSizeBytes)
  await readBase(leg, buf, 0, at.offsetBlocks, at.numBlocks)
  return openRecord(kind, raid.uuid, buf)
}

/** Writes down where the ring of a member begins, beside the copy that says so now; it lasts. @throws BdevError EIO. */
export async function saveJournalRecord(journal: Journal, member: MemberJournal, tail: JournalTail): Promise<void> {
  const { raid, epoch } = journal
  const { joinSeq } = member
  const generation = member.generation + 1
  const record = encodeJournalRecord({ epoch: epoch.number, nonce: epoch.nonce, generation, joinSeq, ...tail })
  const kind = COPIES[generation % 2]
  await writeRecord(member.leg, kind, encodeRecord(kind, { raidUuid: raid.uuid, seqNumber: journal.boundSeq }, record))
  member.generation = generation
  member.recorded = tail
}

/** The newer one of the two copies on a member; `undefined` where neither is whole, or counts. @throws BdevError EIO. */
export async function loadJournalRecord(raid: RaidBdev, leg: DescChannel): Promise<JournalRecord | undefined> {
  const found: JournalRecord[] = []
  for (const kind of COPIES) {
    const opened = await readRecord(raid, leg, kind)
    const record = decodeJournalRecord(opened?.payload)
    // SPDK may have written an array of its own levels since, and the superblock with it.
    const counts = raid.level.journal === 'always' || raid.state === 'online' || opened?.seqNumber === raid.assembledSeq
    if (record !== undefined && counts) found.push(record)
  }
  return found.toSorted((a, b) => b.epoch - a.epoch || b.generation - a.generation)[0]
}

/** @throws BdevError EIO. */
export async function saveConfig(raid: RaidBdev, leg: DescChannel, config: RaidConfigRecord): Promise<void> {
  await writeRecord(leg, 'config', encodeRecord('config', { raidUuid: raid.uuid, seqNumber: raid.superblock!.seqNumber }, encodeConfig(config)))
}

/** @throws BdevError EIO. */
export async function loadConfig(raid: RaidBdev, leg: DescChannel): Promise<RaidConfigRecord | undefined> {
  return decodeConfig((await readRecord(raid, leg, 'config'))?.payload)
}
