// SPDX-License-Identifier: Apache-2.0
// Creation, states, membership: what SPDK's bdev_raid.sh and its unit tests ask of the module.
import { readFileSync } from 'node:fs'
import { parameterTables } from '@bdevkit/conformance'
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import raid from '../src/index.js'
import { encodeSuperblock, parseSuperblock, type Superblock } from '../src/superblock.js'
import { Disk, failureOf, pattern, Rig } from './support.js'

const disks = (count: number, numBlocks = 4096): Disk[] => Array.from({ length: count }, (_, i) => new Disk(`d${i}`, numBlocks))
const superblockOf = (disk: Disk): Superblock => (parseSuperblock(disk.bytes.subarray(0, 32_768)) as { superblock: Superblock }).superblock
const MIB_BLOCKS = 2048

const levels = [
  { level: 'raid0', count: 3, min: 1, spare: 0 },
  { level: 'concat', count: 3, min: 1, spare: 0 },
  { level: 'raid1', count: 2, min: 2, spare: 1 },
  { level: 'raid10', count: 3, min: 3, spare: 1 },
  { level: 'raid5f', count: 3, min: 3, spare: 1 },
  { level: 'raid5', count: 3, min: 3, spare: 1 },
  { level: 'raid6', count: 4, min: 4, spare: 2 },
]

describe.each(levels)('$level', ({ level, count, min, spare }) => {
  it('waits for its base bdevs, and can be deleted while it does', async () => {
    const rig = await Rig.start()
    const members = disks(count)
    await rig.create(level, members)
    expect(rig.raidInfo()).toMatchObject({ state: 'configuring', num_base_bdevs: count, num_base_bdevs_discovered: 0, num_base_bdevs_operational: count })
    await rig.rpc('bdev_raid_delete', { name: 'Raid0' })
    expect(rig.raidInfo()).toBeUndefined()
    await rig.create(level, members)
    for (const [i, disk] of members.entries()) {
      expect(rig.raidInfo()).toMatchObject({ state: 'configuring', num_base_bdevs_discovered: i })
      await rig.plug(disk)
    }
    expect(rig.raidInfo()).toMatchObject({ state: 'online', num_base_bdevs_discovered: count })
    expect(rig.bdevJson()).toMatchObject({ name: 'Raid0', product_name: 'Raid Volume', claimed: false })
    await rig.stop()
  })

  it('goes offline, or is degraded, when a base bdev goes, and is forgotten with the last', async () => {
    const members = disks(count)
    const rig = await Rig.start(...members)
    await rig.create(level, members)
    await rig.unplug(members[0]!)
    expect(rig.raidInfo()).toMatchObject({ state: spare === 0 ? 'offline' : 'online', num_base_bdevs_discovered: count - 1 })
    expect(rig.host.bdevByName('Raid0') === undefined).toBe(spare === 0)
    for (const disk of members.slice(1)) await rig.unplug(disk)
    expect(rig.raidInfo()).toBeUndefined()
    expect(rig.host.bdevByName('Raid0')).toBeUndefined()
    await rig.stop()
  })

  it('gets a base bdev back while it is configuring: the one that it had, by its UUID', async () => {
    const members = disks(count)
    const rig = await Rig.start(...members.slice(0, -1))
    await rig.create(level, members)
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd0' })
    const emptied = members.map(({ uuid }, i) => (i === 0 ? { name: null, uuid } : {}))
    expect(rig.raidInfo()).toMatchObject({ state: 'configuring', num_base_bdevs_discovered: count - 2, base_bdevs_list: emptied })
    await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'd0' })
    await rig.plug(members.at(-1)!)
    expect(rig.raidInfo()).toMatchObject({ state: 'online', base_bdevs_list: members.map((_, i) => (i === 0 ? { name: 'd0', is_configured: true } : {})) })
    await rig.stop()
  })

  it('with a superblock comes back with the same UUID, and its members serve no other array before clear_sb', async () => {
    const members = disks(count)
    const rig = await Rig.start(...members)
    await rig.create(level, members, { superblock: true, uuid: '11111111-2222-4333-8444-555555555555' })
    const before = rig.bdevJson()
    await rig.rpc('bdev_raid_delete', { name: 'Raid0' })
    const refused = await failureOf(rig.create(level, members, { name: 'Other' }))
    expect(refused).toMatchObject({ rpcCode: -17, rpcMessage: 'Failed to create RAID bdev Other: File exists' })
    await rig.stop()

    const again = await Rig.start(...members.toReversed())
    expect(again.bdevJson()).toEqual({ ...before, aliases: before['aliases'] })
    expect(again.raidInfo()).toMatchObject({ state: 'online', base_bdevs_list: members.map(({ name }) => ({ name, data_offset: MIB_BLOCKS })) })
    await again.rpc('bdev_raid_delete', { name: 'Raid0', clear_sb: true })
    for (const disk of members) expect(disk.bytes.subarray(0, 512).every(byte => byte === 0)).toBe(true)
    await again.create(level, members, { name: 'Other' })
    await again.stop()
  })

  it('needs enough base bdevs', async () => {
    const rig = await Rig.start(...disks(min))
    if (min > 1) {
      expect(await failureOf(rig.create(level, disks(min - 1)))).toMatchObject({ rpcCode: -22 })
      expect(rig.raidInfo()).toBeUndefined()
    }
    expect(await failureOf(rig.create(level, []))).toMatchObject({ rpcCode: -22, rpcMessage: 'Failed to create RAID bdev Raid0: Invalid argument' })
    await rig.create(level, disks(min))
    await rig.stop()
  })

  it('saves the call that makes it again, with names for what is missing', async () => {
    const members = disks(count)
    const rig = await Rig.start(...members)
    await rig.create(level, members, { uuid: '11111111-2222-4333-8444-555555555555' })
    const calls = (): unknown[] => rig.host.configJson().filter(({ method }) => method.startsWith('bdev_raid'))
    const strip = level === 'raid1' ? {} : { strip_size_kb: 4 }
    const params = { name: 'Raid0', uuid: '11111111-2222-4333-8444-555555555555', ...strip, raid_level: level, base_bdevs: members.map(({ name }) => name) }
    const options = { method: 'bdev_raid_set_options', params: { process_window_size_kb: 1024, process_max_bandwidth_mb_sec: 0 } }
    expect(calls()).toEqual([options, { method: 'bdev_raid_create', params }])
    if (spare > 0) {
      await rig.unplug(members[1]!)
      expect(calls()).toEqual([options, { method: 'bdev_raid_create', params: { ...params, base_bdevs: members.map(({ name }, i) => (i === 1 ? 'removed_base_bdev_1' : name)) } }])
    }
    await rig.stop()
  })

  it('serves the I/O types that all its members do', async () => {
    const rig = await Rig.start(...disks(count))
    await rig.create(level, disks(count))
    const bdev = rig.host.bdevByName('Raid0')!
    const served = [IoType.Read, IoType.Write, IoType.Flush, IoType.Reset, IoType.Unmap, IoType.Abort, IoType.Copy].filter(type => bdev.ioTypeSupported(type))
    expect(served).toEqual([IoType.Read, IoType.Write, IoType.Flush, IoType.Reset, ...(['raid5', 'raid5f', 'raid6'].includes(level) ? [] : [IoType.Unmap])])
    await rig.stop()
    const poor = new Rig()
    poor.served = [IoType.Read, IoType.Write]
    await poor.begin(...disks(count))
    await poor.create(level, disks(count))
    expect([IoType.Flush, IoType.Reset, IoType.Unmap].filter(type => poor.host.bdevByName('Raid0')!.ioTypeSupported(type))).toEqual([])
    await poor.stop()
  })

  it('resets every member, and fails where one does', async () => {
    const members = disks(count)
    const rig = await Rig.start(...members)
    await rig.create(level, members)
    await using disk = await rig.host.open('Raid0', { write: true })
    await disk.reset()
    for (const { seen } of members) expect(seen.filter(type => type === IoType.Reset)).toHaveLength(1)
    members[1]!.fails = io => (io.type === IoType.Reset ? IoStatus.Failed : undefined)
    expect(await failureOf(disk.reset())).toMatchObject({ code: 'EIO' })
    expect(rig.raidInfo()).toMatchObject({ num_base_bdevs_discovered: count })
    await disk.close()
    await rig.stop()
  })
})

describe('bdev_raid_create refuses', () => {
  it.each<[string, string, object, object]>([
    ['a strip size for raid1', 'raid1', { strip_size_kb: 64 }, { rpcCode: -22 }],
    ['no strip size for raid0', 'raid0', { strip_size_kb: 0 }, { rpcCode: -22 }],
    ['a strip size that is no power of two', 'raid0', { strip_size_kb: 3 }, { rpcCode: -22 }],
    ['a name of 64 bytes', 'raid1', { name: 'z'.repeat(64) }, { rpcCode: -22, rpcMessage: `Failed to create RAID bdev ${'z'.repeat(64)}: Invalid argument` }],
    ['an empty name among the base bdevs', 'raid1', { base_bdevs: ['d0', ''] },
      { rpcCode: -22, rpcMessage: 'The base bdev name cannot be empty: Invalid argument' }],
    ['a base bdev twice', 'raid1', { base_bdevs: ['d0', 'd0'] }, { rpcCode: -1 }],
    ['other block sizes', 'raid1', { base_bdevs: ['d0', 'big'] }, { rpcCode: -22 }],
    ['base bdevs too small for a superblock', 'raid1', { base_bdevs: ['d0', 'tiny'], superblock: true }, { rpcCode: -22 }],
    ['a base bdev of another array', 'raid1', { base_bdevs: ['d0', 'used0'] }, { rpcCode: -1 }],
    ['the name of another bdev', 'raid1', { name: 'big' }, { rpcCode: -17 }],
    ['the name of an array that waits', 'raid1', { name: 'Waiting' }, { rpcCode: -17 }],
  ])('%s, and leaves nothing behind', async (_what, level, params, wanted) => {
    const rig = await Rig.start(...disks(2), new Disk('big', 512, 4096), new Disk('tiny', MIB_BLOCKS), new Disk('used0', 4096), new Disk('used1', 4096))
    await rig.create('raid1', ['used0', 'used1'], { name: 'Used' })
    await rig.create('raid1', ['later0', 'later1'], { name: 'Waiting' })
    expect(await failureOf(rig.create(level, disks(2), params))).toMatchObject(wanted)
    expect((await rig.rpc<{ name: string }[]>('bdev_raid_get_bdevs', { category: 'all' })).map(({ name }) => name)).toEqual(['Used', 'Waiting'])
    await rig.create('raid1', disks(2))
    await rig.stop()
  })
})

describe('membership', () => {
  it('answers as SPDK where something does not exist or does not fit', async () => {
    const rig = await Rig.start(...disks(4))
    await rig.create('raid1', disks(2))
    const answer = async (method: string, params: object): Promise<unknown[]> => {
      const { rpcCode, rpcMessage } = await failureOf(rig.rpc(method, params))
      return [rpcCode, rpcMessage]
    }
    const add = (raidName: string, name: string): Promise<unknown[]> => answer('bdev_raid_add_base_bdev', { raid_bdev: raidName, base_bdev: name })
    expect(await answer('bdev_raid_delete', { name: 'no' })).toEqual([-19, 'raid bdev no not found'])
    expect(await add('no', 'd2')).toEqual([-19, 'raid bdev no is not found in config'])
    expect(await add('Raid0', 'd2')).toEqual([-22, 'Failed to add base bdev d2 to RAID bdev Raid0: Invalid argument'])
    expect(await answer('bdev_raid_remove_base_bdev', { name: 'd2' })).toEqual([-19, 'Failed to remove base bdev from raid bdev'])
    expect(await answer('bdev_raid_remove_base_bdev', { name: 'no' })).toEqual([-19, 'Failed to remove base bdev from raid bdev'])
    expect(await failureOf(rig.rpc('bdev_raid_set_options', { process_window_size_kb: 0 }))).toMatchObject({ code: 'EINVAL' })
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd0' })
    expect(await add('Raid0', 'no')).toEqual([-19, 'Failed to add base bdev no to RAID bdev Raid0: No such device'])
    expect(rig.raidInfo()).toMatchObject({ base_bdevs_list: [{ name: null }, { name: 'd1' }] })
    await rig.stop()
  })

  it('refuses a new member that is too small, of other blocks, or of another array', async () => {
    const other = new Disk('other', 4096)
    const rig = await Rig.start(...disks(2), other, new Disk('other1', 4096), new Disk('small', 4095), new Disk('big', 512, 4096))
    await rig.create('raid1', ['other', 'other1'], { name: 'Other', superblock: true })
    await rig.rpc('bdev_raid_delete', { name: 'Other' })
    await rig.create('raid1', disks(2))
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd0' })
    const add = (name: string): Promise<unknown> => rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: name })
    expect(await failureOf(add('small'))).toMatchObject({ rpcCode: -22 })
    expect(await failureOf(add('big'))).toMatchObject({ rpcCode: -22 })
    expect(await failureOf(add('other'))).toMatchObject({ rpcCode: -17, rpcMessage: 'Failed to add base bdev to RAID bdev: File exists' })
    await add('d0')
    await rig.rebuilt()
    expect(rig.raidInfo()).toMatchObject({ num_base_bdevs_discovered: 2 })
    await rig.stop()
  })

  it('a member that was replaced cannot come back; one that was not is rebuilt when it appears', async () => {
    const members = disks(2)
    const fresh = new Disk('fresh', 4096)
    const rig = await Rig.start(...members, fresh)
    await rig.create('raid1', members, { superblock: true })
    await rig.unplug(members[0]!)
    await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'fresh' })
    await rig.rebuilt()
    await rig.unplug(members[1]!)
    await rig.plug(members[0]!)
    expect(rig.raidInfo()).toMatchObject({ num_base_bdevs_discovered: 1 })
    expect(await failureOf(rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'd0' }))).toMatchObject({ rpcCode: -22 })
    await rig.plug(members[1]!)
    await rig.rebuilt()
    expect(rig.raidInfo()).toMatchObject({ num_base_bdevs_discovered: 2, base_bdevs_list: [{ name: 'fresh' }, { name: 'd1' }] })
    await rig.stop()
  })

  it('the newest superblock counts, and an array that lacks a member which that expects waits for it', async () => {
    const members = disks(3)
    const rig = await Rig.start(...members)
    await rig.create('raid1', members, { superblock: true })
    await rig.unplug(members[2]!)
    await rig.stop()
    expect(members.map(disk => superblockOf(disk).seqNumber)).toEqual([2, 2, 1])
    const again = await Rig.start(members[2]!)
    expect(again.raidInfo()).toMatchObject({ state: 'configuring', num_base_bdevs_operational: 3 })
    await again.plug(members[0]!)
    expect(again.raidInfo()).toMatchObject({ state: 'configuring', num_base_bdevs_operational: 2, num_base_bdevs_discovered: 1 })
    await again.plug(members[1]!)
    await again.rebuilt()
    expect(again.raidInfo()).toMatchObject({ state: 'online', num_base_bdevs_operational: 3, num_base_bdevs_discovered: 3 })
    await again.stop()
  })

  it('superblocks of unknown levels, of other sizes, with a taken name are left alone', async () => {
    const members = disks(2)
    const rig = await Rig.start(...members)
    await rig.create('raid1', members, { superblock: true })
    await rig.stop()
    const lie = async (change: (superblock: Superblock) => void): Promise<Rig> => {
      const lying = members.map(({ name, uuid, bytes }) => {
        const disk = new Disk(name, 4096, 512, uuid)
        disk.bytes.set(bytes)
        const superblock = superblockOf(disk)
        change(superblock)
        disk.bytes.set(encodeSuperblock(superblock))
        return disk
      })
      return Rig.start(new Disk('taken', 64), ...lying)
    }
    for (const change of [
      (sb: Superblock) => void (sb.level = 6),
      (sb: Superblock) => void (sb.stripSizeBlocks = 3),
      (sb: Superblock) => void (sb.raidSizeBlocks += 1),
      (sb: Superblock) => void (sb.blockSizeBytes = 4096),
      (sb: Superblock) => void (sb.name = 'taken'),
      (sb: Superblock) => void (sb.entries[0]!.dataSizeBlocks = 1 << 30),
      (sb: Superblock) => void (sb.entries[0]!.dataOffsetBlocks = 1 << 30),
      (sb: Superblock) => void (sb.entries[1]!.uuid = crypto.randomUUID()),
    ]) {
      const liar = await lie(change)
      const state = liar.raidInfo()?.state ?? liar.raidInfo('taken')?.state ?? 'none'
      expect([change.toString(), state]).toEqual([change.toString(), expect.stringMatching(/none|configuring/)])
      expect(liar.host.bdevByName('Raid0')).toBeUndefined()
      await liar.stop()
    }
  })
})

describe('size', () => {
  it.each([
    ['raid0', 3 * 4096, 3 * 8192],
    ['raid1', 4096, 8192],
    ['raid10', 3 * 2048, 3 * 4096],
    ['raid5', 2 * 4096, 2 * 8192],
  ])('%s grows when all its members have', async (level, before, after) => {
    const members = disks(3)
    const rig = await Rig.start(...members)
    await rig.create(level, members)
    const bdev = rig.host.bdevByName('Raid0')!
    for (const disk of members) {
      expect(bdev.numBlocks).toBe(before)
      rig.resize(disk, 8192)
      await rig.settled()
    }
    expect(bdev.numBlocks).toBe(after)
    await using disk = await rig.host.open('Raid0', { write: true })
    const last = pattern(4096, 9)
    await disk.write(last, after * 512 - 4096)
    expect(Buffer.compare(await disk.read(after * 512 - 4096, 4096), last)).toBe(0)
    await disk.close()
    await rig.stop()
  })

  it('is in the superblock, and survives', async () => {
    const members = disks(2)
    const rig = await Rig.start(...members)
    await rig.create('raid1', members, { superblock: true })
    for (const disk of members) rig.resize(disk, 8192)
    await rig.settled()
    expect(rig.host.bdevByName('Raid0')!.numBlocks).toBe(8192 - MIB_BLOCKS)
    await rig.stop()
    const again = await Rig.start(...members)
    expect(again.host.bdevByName('Raid0')!.numBlocks).toBe(8192 - MIB_BLOCKS)
    expect(superblockOf(members[0]!)).toMatchObject({ raidSizeBlocks: 8192 - MIB_BLOCKS, entries: [{ dataSizeBlocks: 8192 - MIB_BLOCKS }, {}] })
    await again.stop()
  })

  it('keeps the data offset on the optimal boundary of a new member', async () => {
    const members = disks(2)
    const fresh = new Disk('fresh', 4200)
    fresh.optimalIoBoundaryBlocks = 15
    const rig = await Rig.start(...members, fresh)
    await rig.create('raid1', members, { superblock: true })
    await rig.unplug(members[1]!)
    await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'fresh' })
    await rig.rebuilt()
    expect(rig.raidInfo()).toMatchObject({ base_bdevs_list: [{ data_offset: 2048 }, { name: 'fresh', data_offset: 2055 }] })
    expect(superblockOf(fresh).entries[1]).toMatchObject({ dataOffsetBlocks: 2055, uuid: fresh.uuid })
    await rig.stop()
    const again = await Rig.start(members[0]!, fresh)
    expect(again.raidInfo()).toMatchObject({ state: 'online', base_bdevs_list: [{ data_offset: 2048 }, { data_offset: 2055 }] })
    await again.stop()
  })
})

it('has its parameters in its README', () => {
  expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(parameterTables(raid))
})
