// SPDX-License-Identifier: Apache-2.0
// Members go: by `bdev_raid_remove_base_bdev`, because their bdev goes, because they failed, or with the whole array.
import { BdevError } from '@bdevkit/module-sdk'
import type { BdevDesc, BdevEvent, DescChannel } from '@bdevkit/module-sdk'
import { beforeDegraded } from './journal/degrading.js'
import { closeJournal, leaveJournal } from './journal/journal-life.js'
import type { RaidBdev } from './raid-bdev.js'
import { dropDirtyMap, resizeDirtyMap } from './dirty-load.js'
import { saveSuperblock } from './raid-configure.js'
import { memberEvents, type RaidMember } from './raid-member.js'
import { EntryState } from './superblock.js'
import { writeSuperblock } from './superblock-io.js'

/** Follows the bdev of a member. */
export function memberEventsOf(raid: RaidBdev, member: RaidMember): (event: BdevEvent) => void {
  return memberEvents(member, {
    removed: () => memberGone(raid, member),
    resized: () => void raid.inTurn(() => resizeRaid(raid, member)),
  })
}

/** Whether the array works without `lost`. */
function bearsLoss(raid: RaidBdev, lost: readonly RaidMember[]): boolean {
  return raid.worksWith(member => member.inSync && !lost.includes(member))
}

/**
 * Members of `slots` have failed an I/O that others carried out (-1: one that has left meanwhile). They leave the array,
 * where it can do without all of them; decided at once. Settles when no thread uses them and that is on disk; as `false` where
 * the array cannot do without, or could not write that down.
 */
export function failMembers(raid: RaidBdev, slots: readonly number[]): Promise<boolean> {
  const failed = slots.map(slot => raid.members[slot]).filter(member => member !== undefined && member.configured && member.leaving === null)
  if (!bearsLoss(raid, failed) || raid.state !== 'online') {
    return Promise.resolve(false)
  }
  for (const member of failed) {
    raid.host.log.error(`${raid.who}: base bdev "${member.name}" in slot ${member.slot} failed an I/O and leaves the array`)
    void beginLeave(raid, member, EntryState.Failed)
  }
  const leaving = raid.members.map(member => member.leaving).filter(promise => promise !== null)
  return Promise.all(leaving).then(all => all.every(Boolean))
}

function beginLeave(raid: RaidBdev, member: RaidMember, state: number): Promise<boolean> {
  const left = raid.inTurn(() => leave(raid, member, state)).catch((thrown: unknown) => {
    raid.host.log.error(`${raid.who}: removal of the member in slot ${member.slot}: ${(thrown as Error).message}`)
    return false
  })
  member.leaving = left
  raid.dirtyKeeper?.memberLeaves(member)
  raid.journal?.checkpoints.memberLeaves(member.slot)
  return left
}

/**
 * A member leaves an array that bears it. Nobody reads it any more; then that is written down; then nobody writes it. Until
 * the second step has ended, no write that it failed is answered: after a crash it must not pass for good. To be called in turn.
 */
export async function leave(raid: RaidBdev, member: RaidMember, state: number): Promise<boolean> {
  const { slot, target } = member
  if (!member.configured || raid.device === null) return true
  raid.resyncFailed = false
  // It is not waited for: its window may wait for a write that waits for this.
  // What compares members begins anew without it, and another one's rebuild goes on.
  if (raid.rebuild === null || raid.rebuild.target === member) raid.process?.stop()
  await raid.device.forEachChannel(ch => {
    ch.readLegs[slot] = null
  })
  const { desc, leg } = member
  member.configured = false
  member.target = false
  raid.dirtyKeeper?.memberLeaves(member)
  raid.numOperational--
  if (raid.journal !== null) await beforeDegraded(raid.journal)
  let recorded = true
  if (!target && raid.level.scrubsWhole === true) forgetDirty(raid)
  const entry = raid.superblock?.entries.find(one => one.slot === slot)
  if (entry !== undefined) {
    // Also where it was a target, and so not counted: what is on it of its rebuild counts no more.
    if (entry.state === EntryState.Configured) entry.state = state
    recorded = await saveSuperblock(raid)
  }
  await raid.device.forEachChannel(ch => ch.drop(slot))
  if (raid.journal !== null) leaveJournal(raid.journal, slot)
  detach(member)
  void giveBack(raid, desc!, leg!, state === EntryState.Missing)
  raid.module.notice(raid, `is degraded: base bdev "${desc!.bdev.name}" left slot ${slot}; ${raid.numDiscovered} of ${raid.members.length} are left`)
  void raid.module.spares.fill(raid)
  return recorded
}

/** With a member missing, data stands for what is on it: there is nothing left that parity could be made to fit to. */
function forgetDirty({ dirtyMap, dirtyKeeper, host, who, torn }: RaidBdev): void {
  if (dirtyMap === null) return
  if (dirtyMap.numUnsynced > 0) {
    const what = `${who}: ${dirtyMap.numUnsynced} of its ${dirtyMap.numRegions} regions had not been resynced: blocks of the missing member that are in them`
    if (torn) host.log.error(`${what} may read wrong`)
    else host.log.warn(`${what} may read wrong, unless they were written since it began`)
  }
  if (dirtyKeeper === null) dirtyMap.cleanAll()
  else dirtyKeeper.forget()
}

/** Empties the slot, without a thought for the bdev that was in it. */
function detach(member: RaidMember): void {
  member.desc = null
  member.leg = null
  member.release(true)
}

/** What a member still holds ends by a reset; then its bdev is free again. */
async function giveBack(raid: RaidBdev, desc: BdevDesc, leg: DescChannel, gone: boolean): Promise<void> {
  const close = (): void => {
    leg.put()
    desc.releaseClaim()
    desc.close()
  }
  if (gone) {
    close()
    return
  }
  const rc = leg.reset(io => {
    io.free()
    close()
  }, null)
  if (rc !== 0) close()
}

/** The bdev of a member is being removed. */
function memberGone(raid: RaidBdev, member: RaidMember): void {
  removeMember(raid, member).catch((thrown: unknown) => {
    raid.host.log.error(`${raid.who}: removal of base bdev "${member.name}": ${(thrown as Error).message}`)
  })
}

/**
 * Takes a member out. Where the array cannot do without, the whole array goes offline.
 * @throws BdevError ENODEV it is no member any more.
 */
export async function removeMember(raid: RaidBdev, member: RaidMember): Promise<void> {
  const { desc } = member
  if (member.leaving !== null) {
    await member.leaving
    return
  }
  if (desc === null) throw new BdevError('ENODEV', `${raid.who}: slot ${member.slot} has no base bdev`)
  const canLeave = (): boolean => raid.state === 'online' && member.configured && (member.target || bearsLoss(raid, [member]))
  if (canLeave()) {
    await beginLeave(raid, member, EntryState.Missing)
    return
  }
  let came = false
  await raid.inTurn(() => {
    if (member.desc !== desc) return Promise.resolve()
    // It was on its way in.
    came = canLeave()
    if (came) return Promise.resolve()
    member.gone = true
    if (raid.state === 'online' && !member.configured) member.release(true)
    else if (raid.state === 'online') {
      raid.numOperational--
      goOffline(raid, `base bdev "${member.name}" is gone, and it cannot do without`)
    } else if (raid.unregistering === null) releaseMember(raid, member)
    return Promise.resolve()
  })
  if (came) await beginLeave(raid, member, EntryState.Missing)
  else await raid.unregistering
}

/** A member of an array that is not online. */
function releaseMember(raid: RaidBdev, member: RaidMember): void {
  member.release(raid.state !== 'configuring')
  if (raid.state === 'offline' && raid.numDiscovered === 0) raid.module.forget(raid)
}

/** Unregisters the bdev of an array; members that are there stay its own until it is deleted. */
export function goOffline(raid: RaidBdev, why: string): void {
  if (raid.unregistering !== null || raid.state !== 'online') return
  raid.module.notice(raid, `goes offline: ${why}`)
  raid.state = 'offline'
  raid.process?.stop()
  raid.unregistering = raid.host.unregisterBdev(raid.name).catch((thrown: unknown) => {
    raid.host.log.error(`${raid.who}: ${(thrown as Error).message}`)
  })
}

/** `destruct` of the function table: the last channel is gone. */
export async function destructRaid(raid: RaidBdev): Promise<void> {
  raid.state = 'offline'
  await raid.process?.stopped()
  await raid.repairs.stopped()
  if (raid.journal !== null) await closeJournal(raid.journal)
  await raid.dirtyKeeper?.close()
  dropDirtyMap(raid)
  await raid.device?.unregister()
  raid.device = null
  raid.bdev = null
  for (const member of raid.members) {
    if (raid.releaseAll || raid.module.finishing || member.gone) member.release(true)
  }
  raid.unregistering = null
  if (raid.numDiscovered === 0) raid.module.forget(raid)
}

/**
 * `bdev_raid_delete`: settles when it is gone.
 * @throws BdevError EALREADY it is being deleted.
 */
export async function deleteRaid(raid: RaidBdev, clearSuperblock: boolean): Promise<void> {
  if (raid.deleting) throw new BdevError('EALREADY', `${raid.who}: it is being deleted already`)
  raid.deleting = true
  raid.releaseAll = true
  await raid.unregistering
  await raid.inTurn(async () => {
    if (clearSuperblock && raid.superblock !== null) await clearSuperblocks(raid, raid.superblock.entries.length)
    if (raid.state === 'online') {
      goOffline(raid, 'it is deleted')
      return
    }
    if (raid.bdev !== null) return // on its way out: `destruct` does the rest
    for (const member of raid.members) member.release(true)
    raid.module.forget(raid)
  })
  await raid.unregistering
}

async function clearSuperblocks(raid: RaidBdev, numEntries: number): Promise<void> {
  const zeros = new Uint8Array(256 + 64 * numEntries)
  for (const { configured, leg, name } of raid.members) {
    if (!configured) continue
    try {
      await writeSuperblock(leg!, zeros)
    } catch (thrown) {
      raid.host.log.error(`${raid.who}: the superblock of bdev "${name}" could not be cleared: ${(thrown as Error).message}`)
    }
  }
}

/** A member has another size: the array may, too. */
async function resizeRaid(raid: RaidBdev, member: RaidMember): Promise<void> {
  const { desc } = member
  if (desc === null) return
  raid.host.log.notice(`${raid.who}: base bdev "${member.name}" was resized from ${member.baseNumBlocks} to ${desc.bdev.numBlocks} blocks`)
  member.baseNumBlocks = desc.bdev.numBlocks
  if (!raid.level.canResize || raid.bdev === null || raid.state !== 'online') return
  const shapes = raid.members
    .filter(({ desc: open }) => open !== null)
    .map(one => ({ dataSizeBlocks: one.desc!.bdev.numBlocks - one.dataOffsetBlocks }))
  if (shapes.some(({ dataSizeBlocks }) => dataSizeBlocks <= 0)) return
  const missing = raid.members.length - shapes.length
  for (let i = 0; i < missing; i++) shapes.push({ dataSizeBlocks: Math.min(...shapes.map(({ dataSizeBlocks }) => dataSizeBlocks)) })
  const { numBlocks } = raid.level.layout(shapes, raid.stripSizeBlocks)
  const before = raid.bdev.numBlocks
  if (numBlocks === before || numBlocks === 0) return
  try {
    if (numBlocks > before) await resizeDirtyMap(raid, numBlocks)
    raid.host.notifyBlockcntChange(raid.bdev, numBlocks)
    if (numBlocks < before) await resizeDirtyMap(raid, numBlocks)
  } catch (thrown) {
    raid.host.log.error(`${raid.who}: it cannot change from ${before} to ${numBlocks} blocks: ${(thrown as Error).message}`)
    return
  }
  for (const one of raid.members) one.dataSizeBlocks = shapes[0].dataSizeBlocks
  raid.host.log.notice(`${raid.who}: it has ${numBlocks} blocks now instead of ${before}`)
  if (raid.superblock === null) return
  for (const entry of raid.superblock.entries) entry.dataSizeBlocks = raid.members[entry.slot].dataSizeBlocks
  raid.superblock.raidSizeBlocks = numBlocks
  await saveSuperblock(raid)
}
