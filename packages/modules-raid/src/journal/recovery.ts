// SPDX-License-Identifier: Apache-2.0
// After a crash, before the array goes online: what its members' rings hold whole is written in place. Control plane.
import { flushBase, readBase, writeBase } from '../base-io.js'
import type { RaidBdev } from '../raid-bdev.js'
import type { RaidMember } from '../raid-member.js'
import { BATCH_CRC_SEED, HEADER_BYTES_MAX, type JournalEpoch } from './batch-codec.js'
import { decodeBatch, type LoggedBatch, type LoggedPart, type WantedBatch } from './batch-reader.js'
import { loadJournalRecord } from './journal-io.js'
import type { JournalRecord } from './journal-record.js'
import { JournalRing } from './journal-ring.js'
import { ringPlace } from './member-journal.js'

/** What was found on one member in sync. */
export interface FoundJournal {
  readonly member: RaidMember
  /** `undefined` where it has none that is whole. */
  readonly record: JournalRecord | undefined
  /** What its ring holds, from the tail on; nothing where it is of an older epoch. */
  readonly batches: readonly LoggedBatch[]
}

/** One transaction, as members have it. */
interface Transaction {
  readonly slots: readonly number[]
  /** By slot. */
  readonly parts: Map<number, LoggedPart>
  /** The members do not agree about it. */
  contradictory: boolean
}

/** What recovery has come to. */
export interface Recovered {
  /** The newest epoch that was found; 0 = there is none. */
  readonly epoch: number
  /** By slot: number of the newest record. */
  readonly generations: readonly number[]
  readonly replayed: number
  /** Transactions that were not whole on all members: nothing of them was written in place. */
  readonly discarded: number
  /** Members in sync without a sound record of the newest epoch, though others have one or all should. */
  readonly broken: readonly RaidMember[]
  /** Members that could not be read, written or flushed: what is on them is not up to date. */
  readonly failed: readonly RaidMember[]
  /** First stripe that was written; Infinity where none was. */
  readonly firstStripe: number
}

/** What goes on in a recovery. */
class Recovery {
  readonly raid: RaidBdev
  readonly failed = new Set<RaidMember>()
  readonly broken = new Set<RaidMember>()
  readonly found: FoundJournal[] = []

  constructor(raid: RaidBdev) {
    this.raid = raid
  }

  /** Whether the array can do without one more member. */
  bearsLoss(member: RaidMember): boolean {
    return this.raid.worksWith(one => one.inSync && !this.failed.has(one) && one !== member)
  }

  /**
   * A member's journal, or a part of it, cannot be read. Where the array can do without the member it will; otherwise what
   * stands there counts as not written.
   */
  unreadable(member: RaidMember, thrown: unknown): void {
    const leaves = this.bearsLoss(member)
    ;(leaves ? this.failed : this.broken).add(member)
    const what = leaves ? 'it leaves the array' : 'the array cannot do without it: a write that a crash interrupted may have left redundancy that does not fit'
    this.raid.host.log.error(`${this.raid.who}: the journal of bdev "${member.name}" cannot be read: ${(thrown as Error).message}; ${what}`)
  }

  /** @throws BdevError EIO the member could not be written, and the array cannot do without. */
  async write(member: RaidMember, step: () => Promise<void>): Promise<void> {
    if (this.failed.has(member)) return
    try {
      await step()
    } catch (thrown) {
      if (!this.bearsLoss(member)) throw thrown
      this.failed.add(member)
      this.raid.host.log.error(`${this.raid.who}: the journal cannot be replayed on bdev "${member.name}": ${(thrown as Error).message}; it leaves the array`)
    }
  }
}

/**
 * Reads every ring, and writes in place what is whole. Everything of it may be done again: after a crash in the middle it is.
 * @throws BdevError EIO a member that the array cannot do without could not be written.
 */
export async function recoverJournal(raid: RaidBdev): Promise<Recovered> {
  const recovery = new Recovery(raid)
  const { failed, broken, found } = recovery
  const records = new Map<RaidMember, JournalRecord | undefined>()
  for (const member of raid.members.filter(one => one.inSync)) {
    try {
      records.set(member, await loadJournalRecord(raid, member.leg!))
    } catch (thrown) {
      recovery.unreadable(member, thrown)
    }
  }
  const sound = [...records.values()].filter(record => record !== undefined)
  const epoch = Math.max(0, ...sound.map(record => record.epoch))
  // A ring of an older epoch was replayed on all members before there was a newer one: what it holds is in place.
  const doneSeq = Math.max(0, ...sound.filter(record => record.epoch === epoch).map(record => record.doneSeq))
  for (const [member, record] of records) {
    if (record === undefined) broken.add(member)
    try {
      const batches = record?.epoch === epoch ? await readRing(raid, member, record) : []
      found.push({ member, record, batches: batches.filter(({ seq }) => seq > doneSeq) })
    } catch (thrown) {
      recovery.unreadable(member, thrown)
    }
  }
  for (const member of broken) if (!found.some(one => one.member === member)) found.push({ member, record: undefined, batches: [] })
  let replayed = 0
  let firstStripe = Infinity
  const transactions = transactionsOf(found)
  for (const { seq, transaction } of transactions) {
    const writes = await wholeParts(recovery, seq, transaction)
    if (writes === undefined) continue
    for (const { member, part, payload } of writes) {
      await recovery.write(member, () => writeBase(member.leg!, payload, 0, member.dataOffsetBlocks + part.offsetBlocks, part.numBlocks))
      firstStripe = Math.min(firstStripe, Math.floor(part.offsetBlocks / raid.stripSizeBlocks))
    }
    replayed++
  }
  if (replayed > 0) for (const { member } of found) await recovery.write(member, () => flushBase(member.leg!))
  const generations = raid.members.map(member => records.get(member)?.generation ?? 0)
  return { epoch, generations, replayed, discarded: transactions.length - replayed, broken: [...broken], failed: [...failed], firstStripe }
}

/** The batches of a ring, from its tail to the last one that follows. @throws BdevError EIO. */
async function readRing(raid: RaidBdev, member: RaidMember, record: JournalRecord): Promise<LoggedBatch[]> {
  const { blockSizeBytes, numBlocks } = member.leg!.bdev
  // All that there is: the array may have grown, and the superblock not say so yet.
  const dataSizeBlocks = numBlocks - member.dataOffsetBlocks
  const { numBlocks: ringBlocks } = ringPlace(member.dataOffsetBlocks, blockSizeBytes)
  const epoch: JournalEpoch = { raidUuid: raid.uuid, number: record.epoch, nonce: record.nonce }
  const batches: LoggedBatch[] = []
  let position = record.tailPosition
  let previousSeq = record.tailSeq
  // Numbers grow from one to the next, and each is at its own place: there are no more than blocks.
  while (batches.length < ringBlocks) {
    const wanted = { epoch, slot: member.slot, previousSeq, ringBlocks, blockSizeBytes, dataSizeBlocks, numMembers: raid.members.length }
    let next: LoggedBatch | undefined
    let nextPosition = 0
    for (const place of JournalRing.placesAfter(position)) {
      const batch = await readBatch(raid, member, { ...wanted, position: place })
      // Where both places have one, the older is of a batch that failed: it took no room, and the next one did not fit there.
      if (batch === undefined || (next !== undefined && next.seq > batch.seq)) continue
      next = batch
      nextPosition = place
    }
    if (next === undefined) return batches
    batches.push(next)
    previousSeq = next.seq
    position = nextPosition + next.numBlocks
  }
  return batches
}

async function readBatch(raid: RaidBdev, member: RaidMember, wanted: WantedBatch): Promise<LoggedBatch | undefined> {
  const { blockSizeBytes, ringBlocks, position } = wanted
  const numBlocks = Math.min(Math.ceil(HEADER_BYTES_MAX / blockSizeBytes), ringBlocks - position)
  if (numBlocks <= 0) return undefined
  const bytes = await readRingBlocks(member, position, numBlocks)
  const { accel } = raid.host
  return decodeBatch(bytes, wanted, (seed, buf, off, lengthBytes) => accel.crc32c(seed, buf, off, lengthBytes))
}

async function readRingBlocks(member: RaidMember, ringBlock: number, numBlocks: number): Promise<Uint8Array> {
  const leg = member.leg!
  const { blockSizeBytes } = leg.bdev
  const buf = new Uint8Array(numBlocks * blockSizeBytes)
  await readBase(leg, buf, 0, ringPlace(member.dataOffsetBlocks, blockSizeBytes).firstBlock + ringBlock, numBlocks)
  return buf
}

/** What all rings together hold, in the order in which it was written. */
function transactionsOf(found: readonly FoundJournal[]): { seq: number; transaction: Transaction }[] {
  const all = new Map<string, { seq: number; index: number; transaction: Transaction }>()
  for (const { member, batches } of found) {
    for (const { seq, parts } of batches) {
      for (const part of parts) {
        const key = `${seq}/${part.index}`
        const known = all.get(key) ?? { seq, index: part.index, transaction: { slots: part.slots, parts: new Map(), contradictory: false } }
        all.set(key, known)
        known.transaction.parts.set(member.slot, part)
        known.transaction.contradictory ||= known.transaction.slots.join() !== part.slots.join()
      }
    }
  }
  return [...all.values()].toSorted((a, b) => a.seq - b.seq || a.index - b.index)
}

/** What a transaction writes, where every member in sync that has a part in it has that whole; `undefined` where not. */
async function wholeParts(
  recovery: Recovery, seq: number, transaction: Transaction,
): Promise<{ member: RaidMember; part: LoggedPart; payload: Uint8Array }[] | undefined> {
  if (transaction.contradictory) return undefined
  const { raid, found, failed } = recovery
  const writes: { member: RaidMember; part: LoggedPart; payload: Uint8Array }[] = []
  for (const slot of transaction.slots) {
    const journal = found.find(({ member }) => member.slot === slot)
    // Not there, or not in sync: it has left since, and the superblock says so. Or it came later, and was made anew.
    if (journal === undefined || failed.has(journal.member) || (journal.record?.joinSeq ?? 0) > seq) continue
    const part = transaction.parts.get(slot)
    if (part === undefined) return undefined
    try {
      const payload = await readRingBlocks(journal.member, part.ringBlock, part.numBlocks)
      if (raid.host.accel.crc32c(BATCH_CRC_SEED, payload, 0, payload.length) !== part.crc) return undefined
      writes.push({ member: journal.member, part, payload })
    } catch (thrown) {
      recovery.unreadable(journal.member, thrown)
      if (!failed.has(journal.member)) return undefined
    }
  }
  return writes
}
