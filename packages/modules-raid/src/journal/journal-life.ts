// SPDX-License-Identifier: Apache-2.0
// The journal as members and the array come and go: control plane.
import type { RaidBdev } from '../raid-bdev.js'
import type { RaidMember } from '../raid-member.js'
import { headerBlocksOf } from './batch-codec.js'
import { loadConfig, loadJournalRecord, saveConfig, saveJournalRecord } from './journal-io.js'
import { newNonce } from './journal-record.js'
import { Journal } from './journal.js'
import { MemberJournal, ringPlace } from './member-journal.js'
import { recoverJournal, type Recovered } from './recovery.js'

/** Whether every write of an array goes through the journal: as it was created, or as its members say. */
async function isAlways(raid: RaidBdev): Promise<boolean> {
  if (raid.assembledSeq === null) return raid.journalWanted
  for (const member of raid.members.filter(({ inSync }) => inSync)) {
    const config = await loadConfig(raid, member.leg!).catch(() => undefined)
    if (config !== undefined) return config.journal
  }
  return raid.level.journal === 'always'
}

/**
 * Makes the journal of an array that goes online: what a crash has left is replayed. Answers it, and the members that cannot
 * be kept; `null` where the array has none. `startEpoch` has to follow when they are out.
 * @throws BdevError EIO a member that the array cannot do without could not be written.
 */
export async function openJournal(raid: RaidBdev): Promise<{ journal: Journal; failed: readonly RaidMember[] } | null> {
  if (!raid.superblockEnabled || raid.level.journal === undefined) return null
  const why = whyNone(raid)
  if (why !== undefined) {
    raid.host.log.warn(`${raid.who}: it has no journal, because ${why}: a crash while a member is missing may cost what that had in stripes which were being written`)
    return null
  }
  const always = await isAlways(raid)
  const journal = new Journal(raid, always, 0)
  if (raid.assembledSeq === null) return { journal, failed: [] }
  const recovered = await recoverJournal(raid)
  journal.epoch = { ...journal.epoch, number: recovered.epoch }
  journal.generations.push(...recovered.generations)
  tell(raid, recovered, always)
  return { journal, failed: recovered.failed }
}

/** What stands against a journal: only the room that SPDK leaves to raid5f can be too small. */
function whyNone({ mdSizeBytes, members, stripSizeBlocks, blockSizeBytes }: RaidBdev): string | undefined {
  if (mdSizeBytes > 0) return 'its members have separate metadata'
  const transactionBlocks = stripSizeBlocks + headerBlocksOf(1, blockSizeBytes)
  const small = members.find(({ configured, dataOffsetBlocks }) => configured && ringPlace(dataOffsetBlocks, blockSizeBytes).numBlocks < 2 * transactionBlocks)
  return small === undefined ? undefined : `bdev "${small.name}" has no room for two strips of ${stripSizeBlocks * blockSizeBytes / 1024} KiB before its data`
}

function tell(raid: RaidBdev, { replayed, discarded, broken, firstStripe }: Recovered, always: boolean): void {
  if (firstStripe !== Infinity) raid.replayedFromBlocks = firstStripe * raid.level.rebuildUnitBlocks!(raid.members.length, raid.stripSizeBlocks)
  if (replayed + discarded > 0) {
    raid.module.notice(raid, `has replayed its journal: ${replayed} write(s) are made whole, ${discarded} that a crash interrupted are left out`)
  }
  if (broken.length === 0 || !always) return
  const names = broken.map(({ name }) => `"${name}"`).join(', ')
  const whole = raid.members.every(({ inSync }) => inSync)
  raid.redundancySuspect = whole
  raid.host.log.error(`${raid.who}: the journal of ${names} is not readable: after a crash redundancy may not fit the data in places; ` +
    (whole ? 'all of it is made anew' : 'what the missing member had in stripes that were written then may be lost'))
}

/**
 * Begins an epoch: every ring is empty, and the records say so. Answers the members that could not be told; they must be out
 * of the array before it is written.
 */
export async function startEpoch(journal: Journal): Promise<readonly RaidMember[]> {
  const { raid } = journal
  const failed: RaidMember[] = []
  journal.epoch = { raidUuid: raid.uuid, number: Math.max(journal.epoch.number, raid.superblock!.seqNumber) + 1, nonce: newNonce() }
  journal.doneSeq = journal.committedSeq
  journal.boundSeq = raid.superblock!.seqNumber
  await Promise.all(raid.members.filter(member => member.configured && member.leaving === null).map(async member => {
    try {
      await startRing(journal, member, 0)
    } catch (thrown) {
      raid.host.log.error(`${raid.who}: the journal cannot begin on bdev "${member.name}": ${(thrown as Error).message}`)
      failed.push(member)
    }
  }))
  return failed
}

/** A member comes: it has a ring before the first write goes to it. @throws BdevError EIO, ENOMEM. */
export async function admitToJournal(journal: Journal, member: RaidMember): Promise<void> {
  const found = await loadJournalRecord(journal.raid, member.leg!)
  journal.generations[member.slot] = found?.generation ?? 0
  await startRing(journal, member, journal.lastSeq + 1)
}

async function startRing(journal: Journal, member: RaidMember, joinSeq: number): Promise<void> {
  const { raid, lastSeq, doneSeq } = journal
  const generation = journal.members[member.slot]?.generation ?? journal.generations[member.slot] ?? 0
  leaveJournal(journal, member.slot)
  const own = new MemberJournal(journal, member, generation)
  own.joinSeq = joinSeq
  own.ring.reset(lastSeq)
  own.header.begin(journal.epoch, member.slot)
  try {
    await saveConfig(raid, member.leg!, { journal: journal.always })
    await saveJournalRecord(journal, own, { doneSeq, tailSeq: lastSeq, tailPosition: 0 })
  } catch (thrown) {
    own.close()
    throw thrown
  }
  journal.members[member.slot] = own
}

/** A member is none any more. */
export function leaveJournal(journal: Journal, slot: number): void {
  journal.members[slot]?.close()
  journal.members[slot] = null
}

/** The array ends, with no I/O to it under way: what is in the rings is in place, and they say so. Never rejects. */
export async function closeJournal(journal: Journal): Promise<void> {
  await journal.checkpoints.now()
  dropJournal(journal.raid)
}

/** The array does not go online after all, or is gone: what stands in the rings stays. */
export function dropJournal(raid: RaidBdev): void {
  for (const member of raid.journal?.members ?? []) member?.close()
  raid.journal = null
}
