// SPDX-License-Identifier: Apache-2.0
// Members come: from `bdev_raid_create`, `bdev_raid_add_base_bdev`, or by their superblocks.
import { BdevError, DifType } from '@bdevkit/module-sdk'
import type { Bdev } from '@bdevkit/module-sdk'
import { dropDirtyMap, openDirtyMap } from './dirty-load.js'
import { admitToJournal, dropJournal, openJournal, startEpoch } from './journal/journal-life.js'
import type { Journal } from './journal/journal.js'
import type { RaidBdev } from './raid-bdev.js'
import { RaidChannel } from './raid-channel.js'
import { leave, memberEventsOf } from './raid-leave.js'
import { formatOf, type RaidMember } from './raid-member.js'
import { Rebuild } from './rebuild.js'
import { loadProgress, saveProgress } from './record-io.js'
import { startResync } from './resync.js'
import { DATA_OFFSET_BYTES_MIN, EntryState, encodeSuperblock, type Superblock } from './superblock.js'
import { entryOfSlot, loadSuperblock, writeSuperblock } from './superblock-io.js'

/**
 * Takes the bdev that `member` names into its slot. A new one must not belong to another array; what belongs to this array
 * already, by its superblock, is put where that says. To be called in turn.
 * @throws BdevError ENODEV it is not there yet; EPERM another has it; EINVAL it does not fit; EEXIST it belongs to another array.
 */
export async function configureMember(raid: RaidBdev, member: RaidMember, existing: boolean): Promise<void> {
  const bdev = member.open(raid.host, raid.who, memberEventsOf(raid, member))
  let found: Superblock | undefined
  try {
    member.place(bdev, raid.superblockEnabled ? offsetsOf(raid, bdev) : null, raid.who, message => raid.host.log.warn(message))
    checkShape(raid, bdev)
    if (!existing) {
      const loaded = await loadSuperblock(raid.host, member.desc!)
      if ('superblock' in loaded) found = loaded.superblock
      if (member.desc === null) throw new BdevError('ENODEV', `${raid.who}: bdev "${bdev.name}" went away`)
      if (found !== undefined && found.uuid !== raid.uuid) {
        throw new BdevError('EEXIST', `${raid.who}: bdev "${bdev.name}" belongs to raid bdev "${found.name}" (${found.uuid}); delete that with clear_sb first`)
      }
    }
  } catch (thrown) {
    member.release(raid.state !== 'configuring')
    throw thrown
  }
  if (found === undefined) {
    await admitMember(raid, member)
    return
  }
  member.release(raid.state !== 'configuring')
  await configureMember(raid, slotOfFormer(raid, found, bdev), true)
}

/**
 * The slot of a bdev whose superblock, found on it, is of this array.
 * @throws BdevError EINVAL it is no member, or was replaced; EBUSY it is newer than the array knows; EEXIST its slot is taken.
 */
export function slotOfFormer(raid: RaidBdev, found: Superblock, bdev: Bdev): RaidMember {
  const refuse = (code: 'EINVAL' | 'EBUSY' | 'EEXIST', why: string): never => {
    throw new BdevError(code, `${raid.who}: bdev "${bdev.name}" ${why}`)
  }
  if (found.blockSizeBytes !== bdev.dataBlockSizeBytes) refuse('EINVAL', `has blocks of ${bdev.dataBlockSizeBytes} bytes, its superblock says ${found.blockSizeBytes}`)
  const known = raid.superblock ?? refuse('EINVAL', 'has its superblock, but the array has none; delete what is on the bdev first')
  if (found.seqNumber > known.seqNumber) refuse('EBUSY', `has a newer superblock (${found.seqNumber}) than the array (${known.seqNumber})`)
  const entry = known.entries.find(({ uuid }) => uuid === bdev.uuid) ?? refuse('EINVAL', 'is none of its members any more')
  const member = raid.members[entry.slot]
  if (member.desc !== null) refuse('EEXIST', `would be slot ${entry.slot}, which is taken`)
  if (raid.state === 'online') {
    if (raid.rebuild !== null) refuse('EBUSY', `cannot come back to slot ${entry.slot} now: another one is being rebuilt`)
    raid.host.log.notice(`${raid.who}: bdev "${bdev.name}" comes back to slot ${entry.slot}`)
  } else if (raid.state === 'offline') refuse('EINVAL', 'cannot come back: the array is offline; delete it, and it is assembled anew')
  else if (entry.state !== EntryState.Configured) refuse('EINVAL', `is not an active member (slot ${entry.slot})`)
  member.uuid = entry.uuid
  member.name = null
  // While it is configuring, the superblock says where the data is; one that is rebuilt is placed anew.
  if (raid.state === 'configuring') member.dataOffsetBlocks = entry.dataOffsetBlocks
  return member
}

/** Where the data of a member may begin, in blocks: best, and at least. */
function offsetsOf({ level, stripSizeKb }: RaidBdev, bdev: Bdev): { wanted: number; fewest: number } {
  const memberBytes = bdev.numBlocks * bdev.dataBlockSizeBytes
  const [wanted, fewest] = [false, true].map(few =>
    Math.ceil((level.dataOffsetBytes?.(stripSizeKb * 1024, memberBytes, few) ?? DATA_OFFSET_BYTES_MIN) / bdev.dataBlockSizeBytes)) as [number, number]
  return { wanted, fewest }
}

/** The first member gives the shape, the others have it. @throws BdevError EINVAL. */
function checkShape(raid: RaidBdev, bdev: Bdev): void {
  const format = formatOf(bdev)
  if (format.difType !== DifType.Disable && !raid.level.difSupported) {
    throw new BdevError('EINVAL', `${raid.who}: bdev "${bdev.name}" has protection information, which ${raid.level.name} does not take; use raid0`)
  }
  if (format.difType !== DifType.Disable && raid.superblockEnabled) {
    throw new BdevError('EINVAL', `${raid.who}: bdev "${bdev.name}" has protection information, beside which there is no superblock; leave "superblock" out`)
  }
  if (format.mdSizeBytes > 0 && !format.mdInterleave && !raid.level.separateMdSupported) {
    throw new BdevError('EINVAL', `${raid.who}: bdev "${bdev.name}" has separate metadata, which ${raid.level.name} does not take; use raid10 or raid5f`)
  }
  if (raid.blockSizeBytes === 0) {
    raid.blockSizeBytes = bdev.blockSizeBytes
    raid.dataBlockSizeBytes = bdev.dataBlockSizeBytes
    raid.format = format
    raid.mdSizeBytes = format.mdInterleave ? 0 : format.mdSizeBytes
  } else if (raid.blockSizeBytes !== bdev.blockSizeBytes) {
    throw new BdevError('EINVAL', `${raid.who}: bdev "${bdev.name}" has blocks of ${bdev.blockSizeBytes} bytes, the others of ${raid.blockSizeBytes}; all must be alike`)
  } else if (JSON.stringify(format) !== JSON.stringify(raid.format)) {
    throw new BdevError('EINVAL', `${raid.who}: bdev "${bdev.name}" has metadata ${JSON.stringify(format)}, the others ${JSON.stringify(raid.format)}`)
  }
}

/** A member is open and fits: the array goes online with the last one, or rebuilds it where it is online. */
async function admitMember(raid: RaidBdev, member: RaidMember): Promise<void> {
  if (raid.state === 'online') {
    await startRebuild(raid, member)
    return
  }
  member.configured = true
  if (raid.numDiscovered !== raid.numOperational) return
  if (raid.worksWith(({ configured }) => configured)) await goOnline(raid)
  else refuseToStart(raid)
}

/** What its superblock calls good is not enough: it was online without them, or the superblock is not of this world. */
function refuseToStart(raid: RaidBdev): void {
  const missing = raid.members.filter(({ configured }) => !configured).map(({ slot }) => slot)
  raid.host.log.error(`${raid.who}: it does not start: its superblock says that slots ${missing.join(', ')} have no data, and ${raid.level.name} cannot do without; delete it, and restore the data from elsewhere`)
}

/** Every member that is expected is there. */
async function goOnline(raid: RaidBdev): Promise<void> {
  const { host, level } = raid
  const failed: number[] = []
  raid.stripSizeBlocks = (raid.stripSizeKb * 1024) / raid.dataBlockSizeBytes
  if (level.striped && !(Number.isInteger(raid.stripSizeBlocks) && raid.stripSizeBlocks > 0)) {
    throw new BdevError('EINVAL', `${raid.who}: a strip of ${raid.stripSizeKb} KiB is no whole number of ${raid.dataBlockSizeBytes}-byte blocks; make it larger`)
  }
  const layout = level.layout(raid.members, raid.stripSizeBlocks)
  if (raid.superblockEnabled) {
    if (raid.superblock === null) raid.superblock = newSuperblock(raid, layout.numBlocks)
    else checkSuperblock(raid, raid.superblock, layout.numBlocks)
    const journal = await openJournal(raid)
    raid.journal = journal?.journal ?? null
    for (const member of journal?.failed ?? []) loseMember(raid, member)
  }
  await openDirtyMap(raid, layout.numBlocks)
  if (isTornAndDegraded(raid)) {
    dropDirtyMap(raid)
    return
  }
  try {
    if (raid.superblock !== null) await recordStart(raid, failed)
  } catch (thrown) {
    dropDirtyMap(raid)
    dropJournal(raid)
    throw thrown
  }
  for (const member of raid.members) raid.dataOffsets[member.slot] = member.dataOffsetBlocks
  raid.device = host.registerIoDevice<RaidChannel>({
    name: raid.name,
    createChannel: thread => openChannel(raid, new RaidChannel(raid, thread)),
    destroyChannel(ch) {
      level.destroyChannel?.(ch)
      ch.close()
    },
  })
  const present = raid.members.filter(({ desc }) => desc !== null)
  try {
    raid.state = 'online'
    raid.bdev = host.registerBdev({
      name: raid.name,
      uuid: raid.uuid,
      ctx: raid,
      fn: raid.fn,
      productName: 'Raid Volume',
      ...raid.format,
      blockSizeBytes: raid.blockSizeBytes,
      numBlocks: layout.numBlocks,
      writeCache: present.some(({ desc }) => desc!.bdev.writeCache),
      optimalIoBoundaryBlocks: layout.splitBoundaryBlocks,
      splitOnOptimalIoBoundary: layout.splitBoundaryBlocks > 0,
      writeUnitSizeBlocks: layout.writeUnitBlocks,
      splitOnWriteUnit: layout.writeUnitBlocks > 1,
      lendsReadBuffers: !level.redundant && raid.format.difType === DifType.Disable && present.every(({ desc }) => desc!.bdev.lendsReadBuffers),
    })
  } catch (thrown) {
    raid.state = 'configuring'
    const { device } = raid
    raid.device = null
    await device.unregister()
    dropDirtyMap(raid)
    dropJournal(raid)
    throw thrown
  }
  startResync(raid)
  if (failed.length > 0) void raid.failMembers(failed)
  void raid.module.spares.fill(raid)
}

/** Whether what is missing would have to be made from parity that may not fit. Says so. */
function isTornAndDegraded(raid: RaidBdev): boolean {
  const missing = raid.members.filter(({ configured }) => !configured).map(({ slot }) => slot)
  if (raid.level.scrubsWhole !== true || !raid.torn || missing.length === 0) return false
  const risk = `a crash interrupted writes in up to ${raid.dirtyMap!.numUnsynced} of its ${raid.dirtyMap!.numRegions} regions, and slots ${missing.join(', ')} are missing: what they had there may read wrong`
  if (raid.module.options.start_dirty_degraded) {
    raid.host.log.warn(`${raid.who}: it starts all the same, because start_dirty_degraded says so: ${risk}`)
    return false
  }
  raid.host.log.error(`${raid.who}: it does not start: ${risk}; set start_dirty_degraded by bdev_raid_set_options to accept that`)
  return true
}

/** Tries again what did not start before the options changed. */
export async function startTorn(raid: RaidBdev): Promise<void> {
  await raid.inTurn(async () => {
    if (raid.state === 'configuring' && raid.torn && raid.bdev === null && raid.numDiscovered === raid.numOperational) await goOnline(raid)
  })
}

/** The superblock says that it begins, and the journal, where it has one. */
async function recordStart(raid: RaidBdev, failed: number[]): Promise<void> {
  const saved = await saveSuperblock(raid, failed)
  if (!saved || !raid.worksWith(({ configured, slot }) => configured && !failed.includes(slot))) throw new BdevError('EIO', `${raid.who}: the superblock could not be written to ${failed.length} base bdev(s); the log says why`)
  if (raid.journal !== null) await beginJournal(raid, raid.journal)
}

/** The journal is empty, and the members say so; those that cannot are out of the array before it is written. */
async function beginJournal(raid: RaidBdev, journal: Journal): Promise<void> {
  const lost = await startEpoch(journal)
  for (const member of lost) loseMember(raid, member)
  const works = raid.worksWith(({ configured }) => configured)
  if (!works || (lost.length > 0 && !(await saveSuperblock(raid)))) throw new BdevError('EIO', `${raid.who}: the journal could not begin on ${lost.length} base bdev(s); the log says why`)
  journal.active = journal.always || raid.members.some(({ configured }) => !configured)
}

/** A member of an array that is not online yet has failed: it is none any more, as the next superblock says. */
function loseMember(raid: RaidBdev, member: RaidMember): void {
  const entry = raid.superblock!.entries.find(({ slot, state }) => slot === member.slot && state === EntryState.Configured)
  if (entry !== undefined) entry.state = EntryState.Failed
  raid.numOperational--
  raid.missedWrites = true
  raid.module.notice(raid, `is degraded: base bdev "${member.name}" in slot ${member.slot} has failed`)
  member.release(true)
}

/** Opens the channels of the members. A throw gives back what was opened. */
function openChannel(raid: RaidBdev, ch: RaidChannel): RaidChannel {
  for (const member of raid.members) {
    if (!member.configured || member.leaving !== null) continue
    const leg = member.desc!.getIoChannel()
    if (leg === null) {
      ch.close()
      throw new Error(`no channel of base bdev "${member.name}"`)
    }
    ch.admit(member.slot, leg, !member.target)
  }
  ch.ctx = raid.level.createChannel?.(ch) ?? null
  return ch
}

function newSuperblock(raid: RaidBdev, raidSizeBlocks: number): Superblock {
  return {
    versionMinor: 0,
    flags: 0,
    uuid: raid.uuid,
    name: raid.name,
    raidSizeBlocks,
    blockSizeBytes: raid.dataBlockSizeBytes,
    level: raid.level.number,
    stripSizeBlocks: raid.stripSizeBlocks,
    state: 0,
    seqNumber: 0,
    numMembers: raid.members.length,
    entries: raid.members.map(({ uuid, dataOffsetBlocks, dataSizeBlocks, slot }) => ({
      uuid: uuid!, dataOffsetBlocks, dataSizeBlocks, state: EntryState.Configured, flags: 0, slot,
    })),
  }
}

function checkSuperblock(raid: RaidBdev, superblock: Superblock, numBlocks: number): void {
  if (superblock.blockSizeBytes !== raid.dataBlockSizeBytes) {
    throw new BdevError('EINVAL', `${raid.who}: its superblock says blocks of ${superblock.blockSizeBytes} bytes, its members have ${raid.dataBlockSizeBytes}`)
  }
  if (superblock.raidSizeBlocks !== numBlocks) {
    throw new BdevError('EINVAL', `${raid.who}: its superblock says ${superblock.raidSizeBlocks} blocks, its members make ${numBlocks}`)
  }
}

/**
 * Writes the superblock, one number on, to every member that takes part; the dirty map for that number first. Answers whether a
 * member whose data is good has it. One that refuses it is added to `failed`, and leaves the array where that is online and can do without.
 */
export function saveSuperblock(raid: RaidBdev, failed: number[] = []): Promise<boolean> {
  const superblock = raid.superblock!
  superblock.seqNumber++
  const bytes = encodeSuperblock(superblock)
  const save = (): Promise<boolean> => {
    if (raid.dirtyKeeper === null) return putSuperblock(raid, bytes, failed)
    return raid.dirtyKeeper.rebind(superblock.seqNumber, refused => {
      failed.push(...refused)
      return putSuperblock(raid, bytes, failed)
    })
  }
  // SPDK takes arrays of this level, and leaves the rings as they are: their records have to tell.
  return raid.journal !== null && raid.level.journal === 'degraded' ? raid.journal.checkpoints.rebind(superblock.seqNumber, save) : save()
}

async function putSuperblock(raid: RaidBdev, bytes: Uint8Array, failed: number[]): Promise<boolean> {
  let saved = false
  const members = raid.members.filter(({ configured, leaving, slot }) => configured && leaving === null && !failed.includes(slot))
  await Promise.all(members.map(async member => {
    try {
      await writeSuperblock(member.leg!, bytes)
      saved ||= !member.target
    } catch (thrown) {
      raid.host.log.error(`${raid.who}: the superblock could not be written to bdev "${member.name}": ${(thrown as Error).message}`)
      failed.push(member.slot)
    }
  }))
  if (failed.length > 0 && saved && raid.state === 'online') void raid.failMembers(failed)
  return saved
}

/** A bdev comes into a degraded array: it is written from now on, and rebuilt. To be called in turn. */
async function startRebuild(raid: RaidBdev, member: RaidMember): Promise<void> {
  const { host } = raid
  let rebuild: Rebuild
  // Nothing gets clean before it is known where the rebuild goes on.
  raid.dirtyMap?.beginRedo(raid.bdev!.numBlocks)
  raid.dataOffsets[member.slot] = member.dataOffsetBlocks
  member.target = true
  try {
    if (raid.journal !== null) await admitToJournal(raid.journal, member)
  } catch (thrown) {
    raid.dirtyMap?.endRedo()
    member.release(true)
    throw thrown
  }
  member.configured = true
  raid.numOperational++
  try {
    await raid.device!.forEachChannel(ch => {
      const leg = member.desc!.getIoChannel()
      if (leg === null) throw new BdevError('ENOMEM', `${raid.who}: no channel of base bdev "${member.name}"`)
      ch.admit(member.slot, leg, false)
    })
    // From here on it misses nothing.
    const offsetBlocks = await loadProgress(raid, member)
    raid.dirtyMap?.beginRedo(offsetBlocks)
    await nameTarget(raid, member)
    if (offsetBlocks > 0) await saveProgress(raid, member, offsetBlocks)
    rebuild = new Rebuild(raid, member, offsetBlocks)
  } catch (thrown) {
    host.log.error(`${raid.who}: the rebuild onto bdev "${member.name}" does not start: ${(thrown as Error).message}`)
    raid.dirtyMap?.endRedo()
    await leave(raid, member, EntryState.Missing)
    return
  }
  // Redundancy comes first: a scrub ends for it.
  const before = raid.process
  raid.process = rebuild
  void rebuild.run(before)
}

/** The superblock names who is being rebuilt, as missing: after a restart it is found by that, and rebuilt again. */
async function nameTarget(raid: RaidBdev, member: RaidMember): Promise<void> {
  const entry = raid.superblock === null ? undefined : entryOfSlot(raid.superblock, member.slot)
  if (entry === undefined) return
  entry.uuid = member.uuid!
  entry.dataOffsetBlocks = member.dataOffsetBlocks
  entry.dataSizeBlocks = member.dataSizeBlocks
  if (entry.state === EntryState.Configured) entry.state = EntryState.Missing
  await saveSuperblock(raid)
}

/** The rebuild has reached the end: the member is one like the others, where that can be written down. To be called in turn. */
export async function rebuildDone(raid: RaidBdev, member: RaidMember): Promise<boolean> {
  const entry = raid.superblock === null ? undefined : entryOfSlot(raid.superblock, member.slot)
  if (entry !== undefined) {
    entry.state = EntryState.Configured
    entry.uuid = member.uuid!
    entry.dataOffsetBlocks = member.dataOffsetBlocks
    entry.dataSizeBlocks = member.dataSizeBlocks
  }
  if (raid.superblock !== null && !(await saveSuperblock(raid))) {
    if (entry !== undefined) entry.state = EntryState.Missing
    raid.host.log.error(`${raid.who}: bdev "${member.name}" is rebuilt, but that could not be written down; it leaves again`)
    return false
  }
  member.target = false
  await raid.device!.forEachChannel(ch => {
    const leg = ch.writeLegs[member.slot]
    if (leg !== null) ch.admit(member.slot, leg, true)
  })
  return true
}
