// SPDX-License-Identifier: Apache-2.0
// What is raid10's own: which members it bears the loss of, from whom it rebuilds, whom it reads.
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import { encodeSuperblock, EntryState, parseSuperblock, type Superblock } from '../src/superblock.js'
import { Disk, failureOf, pattern, Rig } from './support.js'

const DATA_OFFSET = 2048
const disks = (count: number): Disk[] => Array.from({ length: count }, (_, i) => new Disk(`d${i}`, DATA_OFFSET + 4096))
const dataOf = (disk: Disk): Uint8Array => disk.bytes.subarray(DATA_OFFSET * 512)
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

async function filled(members: readonly Disk[]): Promise<{ rig: Rig; all: Uint8Array }> {
  const rig = await Rig.start(...members)
  await rig.create('raid10', members, { superblock: true })
  const all = pattern(rig.host.bdevByName('Raid0')!.numBlocks * 512, 1)
  await using disk = await rig.host.open('Raid0', { write: true })
  await disk.write(all, 0)
  return { rig, all }
}

async function holds(rig: Rig, all: Uint8Array): Promise<boolean> {
  await using disk = await rig.host.open('Raid0')
  return same(await disk.read(0, all.length), all)
}

describe('an array of four', () => {
  it('works without one of each pair, and rebuilds both', async () => {
    const members = disks(4)
    const { rig, all } = await filled(members)
    await rig.unplug(members[0]!)
    await rig.unplug(members[3]!)
    expect(rig.raidInfo()).toMatchObject({ state: 'online', num_base_bdevs_discovered: 2 })
    expect(await holds(rig, all)).toBe(true)
    const fresh = [new Disk('f0', DATA_OFFSET + 4096), new Disk('f1', DATA_OFFSET + 4096)]
    for (const one of fresh) {
      await rig.plug(one)
      await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: one.name })
      await rig.rebuilt()
    }
    expect(same(dataOf(fresh[0]!), dataOf(members[1]!))).toBe(true)
    expect(same(dataOf(fresh[1]!), dataOf(members[2]!))).toBe(true)
    await rig.unplug(members[1]!)
    await rig.unplug(members[2]!)
    expect(await holds(rig, all)).toBe(true)
    await rig.stop()
  })

  it('goes offline with the second of a pair', async () => {
    const members = disks(4)
    const { rig } = await filled(members)
    await rig.unplug(members[2]!)
    await rig.unplug(members[3]!)
    expect(rig.raidInfo()).toMatchObject({ state: 'offline' })
    expect(rig.host.bdevByName('Raid0')).toBeUndefined()
    await rig.stop()
  })

  it('fails a write that the second of a pair fails, keeps that member, and goes on elsewhere', async () => {
    const members = disks(4)
    const { rig, all } = await filled(members)
    await rig.unplug(members[0]!)
    members[1]!.fails = io => (io.type === IoType.Write || io.type === IoType.WriteZeroes ? IoStatus.Failed : undefined)
    await using disk = await rig.host.open('Raid0', { write: true })
    expect(await failureOf(disk.write(pattern(4096, 2), 0))).toMatchObject({ code: 'EIO' })
    expect(await failureOf(disk.writeZeroes(0, 4 * 4096))).toMatchObject({ code: 'EIO' })
    expect(rig.raidInfo()).toMatchObject({ state: 'online', num_base_bdevs_discovered: 3 })
    await disk.write(all.subarray(4096, 8192), 4096)
    members[1]!.fails = null
    await disk.write(all, 0)
    expect(same(await disk.read(0, all.length), all)).toBe(true)
    await disk.close()
    await rig.stop()
  })

  it('whose superblock calls both of a pair missing does not start, and says so', async () => {
    const members = disks(4)
    const { rig } = await filled(members)
    await rig.stop()
    for (const disk of members) {
      const { superblock } = parseSuperblock(disk.bytes.subarray(0, 4096)) as { superblock: Superblock }
      superblock.entries[2]!.state = EntryState.Failed
      superblock.entries[3]!.state = EntryState.Missing
      disk.bytes.set(encodeSuperblock(superblock))
    }
    const again = await Rig.start(...members)
    expect(again.raidInfo()).toMatchObject({ state: 'configuring', num_base_bdevs_discovered: 2 })
    expect(again.host.bdevByName('Raid0')).toBeUndefined()
    const errors = again.log.filter(line => line.startsWith('error'))
    expect(errors).toEqual([expect.stringMatching(/does not start: .* slots 2, 3 have no data, and raid10 cannot do without/)])
    await again.rpc('bdev_raid_delete', { name: 'Raid0' })
    await again.stop()
  })
})

describe('an array of five', () => {
  it('rebuilds a member from both its neighbours, the last rows among it', async () => {
    const members = disks(5)
    const { rig, all } = await filled(members)
    await rig.rpc('bdev_raid_set_options', { process_window_size_kb: 96 })
    for (const slot of [0, 2, 4]) {
      const before = dataOf(members[slot]!).slice()
      await rig.unplug(members[slot]!)
      const fresh = new Disk(`f${slot}`, DATA_OFFSET + 4096)
      await rig.plug(fresh)
      await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: fresh.name })
      await rig.rebuilt()
      expect(same(dataOf(fresh), before)).toBe(true)
    }
    expect(await holds(rig, all)).toBe(true)
    await rig.stop()
  })

  it('bears the loss of two that share nothing, and not of neighbours', async () => {
    const members = disks(5)
    const { rig, all } = await filled(members)
    await rig.unplug(members[1]!)
    await rig.unplug(members[4]!)
    expect(await holds(rig, all)).toBe(true)
    await rig.unplug(members[0]!)
    expect(rig.raidInfo()).toMatchObject({ state: 'offline' })
    await rig.stop()
  })

  it('ends a rebuild whose source cannot be read', async () => {
    const members = disks(5)
    const { rig } = await filled(members)
    await rig.unplug(members[1]!)
    members[2]!.fails = io => (io.type === IoType.Read && io.offsetBlocks > DATA_OFFSET + 1000 ? IoStatus.Failed : undefined)
    await rig.plug(new Disk('fresh', DATA_OFFSET + 4096))
    await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'fresh' })
    await rig.rebuilt()
    expect(rig.raidInfo()).toMatchObject({ state: 'online', num_base_bdevs_discovered: 4 })
    expect(rig.log.some(line => line.includes('the rebuild of base bdev "fresh" in slot 1 ended at block'))).toBe(true)
    await rig.stop()
  })
})

it('reads go to the copy whose member has fewer blocks to read', async () => {
  const members = disks(4)
  const rig = await Rig.start(...members)
  await rig.create('raid10', members)
  const held: number[] = []
  for (const [i, disk] of members.entries()) {
    disk.holds = io => io.type === IoType.Read && held.push(i) > 0
  }
  const desc = rig.own.openBdev('Raid0', { onEvent: () => {} })
  const channel = desc.getIoChannel()!
  const read = (offsetBlocks: number, blocks: number): number =>
    channel.readBlocks(new Uint8Array(blocks * 512), 0, offsetBlocks, blocks, () => undefined, null)
  for (const blocks of [8, 1, 1, 6, 1]) read(0, blocks)
  read(8, 1)
  expect(held).toEqual([0, 1, 1, 1, 0, 2])
})
