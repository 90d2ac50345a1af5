// SPDX-License-Identifier: Apache-2.0
// Arrays are found by what is on their members, in whatever order these appear.
import { DifType } from '@bdevkit/module-sdk'
import type { Bdev } from '@bdevkit/module-sdk'
import { configureMember, slotOfFormer } from './raid-configure.js'
import { RaidBdev } from './raid-bdev.js'
import { deleteRaid } from './raid-leave.js'
import type { RaidModule } from './raid-module.js'
import { EntryState, type Superblock } from './superblock.js'
import { loadSuperblock } from './superblock-io.js'

/** A bdev has appeared: it is taken by the array that waits for it, or that it says it belongs to. */
export async function examineRaid(module: RaidModule, bdev: Bdev): Promise<void> {
  if (module.memberOf(bdev) !== undefined || (await module.spares.appeared(bdev))) return
  // As in SPDK: what has protection information has no superblock.
  const found = bdev.difType === DifType.Disable ? await superblockOn(module, bdev) : undefined
  if (found === undefined) await offerByName(module, bdev)
  else await module.oneByOne(() => offerBySuperblock(module, bdev, found))
}

async function superblockOn({ host }: RaidModule, bdev: Bdev): Promise<Superblock | undefined> {
  const desc = host.openBdev(bdev.name, { onEvent: () => {} })
  try {
    const loaded = await loadSuperblock(host, desc)
    return 'superblock' in loaded ? loaded.superblock : undefined
  } finally {
    desc.close()
  }
}

/** Without a superblock: an array that was told its name, and waits. */
async function offerByName(module: RaidModule, bdev: Bdev): Promise<void> {
  for (const raid of module.raids) {
    if (raid.state !== 'configuring' || raid.superblock !== null) continue
    const member = raid.members.find(({ desc, name, uuid }) => desc === null && (name === bdev.name || (uuid !== null && uuid === bdev.uuid)))
    if (member === undefined) continue
    await raid.inTurn(async () => {
      if (member.desc === null && raid.state === 'configuring') await configureMember(raid, member, true)
    })
    return
  }
}

/** By its superblock: the array is there, or is made now. */
async function offerBySuperblock(module: RaidModule, bdev: Bdev, found: Superblock): Promise<void> {
  const { host } = module
  let raid = module.raids.find(({ uuid }) => uuid === found.uuid)
  if (module.memberOf(bdev) !== undefined) return
  if (raid !== undefined && raid.superblock !== null && raid.state === 'configuring' && found.seqNumber > raid.superblock.seqNumber) {
    host.log.notice(`${raid.who}: bdev "${bdev.name}" has a newer superblock (${found.seqNumber}) than those seen so far (${raid.superblock.seqNumber}); it counts`)
    await deleteRaid(raid, false)
    raid = undefined
  }
  const entry = found.entries.find(({ uuid }) => uuid === bdev.uuid)
  if (raid === undefined) {
    if (entry === undefined) {
      host.log.notice(`bdev "${bdev.name}" has a superblock of raid bdev "${found.name}", but is none of its members any more; it is left alone`)
      return
    }
    raid = raidOf(module, found)
  }
  await offer(raid, bdev, found)
  await offerOthers(module, raid)
}

async function offer(raid: RaidBdev, bdev: Bdev, found: Superblock): Promise<void> {
  await raid.inTurn(async () => {
    const member = slotOfFormer(raid, found, bdev)
    await configureMember(raid, member, true)
  }).catch((thrown: unknown) => {
    raid.host.log.warn(`bdev "${bdev.name}" is not taken into raid bdev "${raid.name}": ${(thrown as Error).message}`)
  })
}

/** An array as a superblock describes it, without members yet. @throws BdevError EINVAL, EEXIST what create refuses. */
function raidOf(module: RaidModule, found: Superblock): RaidBdev {
  const raid = module.add(new RaidBdev(module, {
    name: found.name,
    level: found.level,
    stripSizeKb: (found.stripSizeBlocks * found.blockSizeBytes) / 1024,
    numMembers: found.numMembers,
    superblock: true,
    uuid: found.uuid,
  }))
  raid.superblock = structuredClone(found)
  raid.assembledSeq = found.seqNumber
  for (const entry of found.entries) {
    const member = raid.members[entry.slot]
    if (entry.state === EntryState.Configured) {
      member.uuid = entry.uuid
      raid.numOperational++
    } else if (member.uuid !== null) continue
    member.dataOffsetBlocks = entry.dataOffsetBlocks
    member.dataSizeBlocks = entry.dataSizeBlocks
  }
  return raid
}

/** Former members that could not come back as long as another one was rebuilt. Never rejects. */
export async function offerFormer(module: RaidModule, raid: RaidBdev): Promise<void> {
  await module.oneByOne(() => offerOthers(module, raid)).catch((thrown: unknown) => {
    module.host.log.error(`${raid.who}: looking for former members: ${(thrown as Error).message}`)
  })
}

/** Members that were there before: while the array was unknown nobody took them, or they were ignored before it was online. */
async function offerOthers(module: RaidModule, raid: RaidBdev): Promise<void> {
  const { host } = module
  for (const { uuid } of raid.superblock?.entries ?? []) {
    if (raid.state === 'offline' || raid.numDiscovered === raid.members.length) return
    const bdev = host.bdevByName(uuid)
    if (bdev === undefined || module.memberOf(bdev) !== undefined || bdev.claimType !== 0 || raid.rebuild !== null) continue
    const found = await superblockOn(module, bdev)
    if (found !== undefined && found.uuid === raid.uuid) await offer(raid, bdev, found)
  }
}
