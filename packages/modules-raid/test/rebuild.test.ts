// SPDX-License-Identifier: Apache-2.0
// Rebuilds: paused, slowed down, resumed after a restart, stopped, from spares; and what is written meanwhile.
import { IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import { decodeProgress, decodeRecord, encodeProgress, encodeRecord, RECORD_PLACES } from '../src/own-record.js'
import { parseSuperblock, type Superblock } from '../src/superblock.js'
import { Disk, failureOf, pattern, Rig } from './support.js'

const MEMBER_BLOCKS = 2048 + 4096
const disks = (count: number): Disk[] => Array.from({ length: count }, (_, i) => new Disk(`d${i}`, MEMBER_BLOCKS))
const dataOf = (disk: Disk): Uint8Array => disk.bytes.subarray(2048 * 512)
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
const superblockOf = (disk: Disk): Superblock => (parseSuperblock(disk.bytes.subarray(0, 32_768)) as { superblock: Superblock }).superblock

async function write(rig: Rig, at: number, data: Uint8Array): Promise<void> {
  await using disk = await rig.host.open('Raid0', { write: true })
  await disk.write(data, at)
}

/** A degraded raid1 with a superblock, and a fresh disk for it; windows of 64 blocks. */
async function degraded(): Promise<{ rig: Rig; members: Disk[]; fresh: Disk; all: Uint8Array }> {
  const members = disks(2)
  const fresh = new Disk('fresh', MEMBER_BLOCKS)
  const rig = await Rig.start(...members, fresh)
  await rig.create('raid1', members, { superblock: true })
  await rig.rpc('bdev_raid_set_options', { process_window_size_kb: 32 })
  const all = pattern(4096 * 512, 1)
  await write(rig, 0, all)
  await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd1' })
  return { rig, members, fresh, all }
}

/** Adds `fresh`, and pauses its rebuild when it has come to a half. */
async function pausedHalfway(rig: Rig, fresh: Disk): Promise<number> {
  let paused = false
  fresh.holds = io => {
    if (io.type === IoType.Write && io.offsetBlocks === 2048 + 2048 && !paused) {
      paused = true
      void rig.rpc('bdev_raid_pause_process', { name: 'Raid0' })
    }
    return false
  }
  await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'fresh' })
  await rig.until('the pause', () => paused)
  await rig.settled()
  fresh.holds = null
  return rig.raidInfo()!.process!.progress.blocks
}

describe('a rebuild', () => {
  it('is shown while it goes on, in the RPC and in lines that people can read', async () => {
    const { rig, fresh } = await degraded()
    expect(await pausedHalfway(rig, fresh)).toBe(2112)
    expect(rig.raidInfo()).toMatchObject({
      num_base_bdevs_operational: 2, num_base_bdevs_discovered: 2,
      process: { type: 'rebuild', target: 'fresh', progress: { blocks: 2112, percent: 51 }, paused: true },
    })
    expect(rig.bdevJson()).toMatchObject({ driver_specific: { raid: { process: { target: 'fresh' } } } })
    expect(await failureOf(rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'd1' }))).toMatchObject({ rpcCode: -1 })
    await rig.rpc('bdev_raid_resume_process', { name: 'Raid0' })
    await rig.rebuilt()
    const lines = rig.log.filter(line => line.startsWith('notice raid: raid bdev "Raid0"')).map(line => line.slice('notice raid: '.length))
    expect(lines).toContain('raid bdev "Raid0" rebuilds base bdev "fresh" in slot 1')
    expect(lines).toContain('raid bdev "Raid0" rebuild of "fresh": 50%')
    expect(lines).toContain('raid bdev "Raid0" has rebuilt base bdev "fresh" in slot 1; 2 of 2 members take part')
    expect(await failureOf(rig.rpc('bdev_raid_pause_process', { name: 'Raid0' }))).toMatchObject({ code: 'ENODEV' })
    await rig.stop()
  })

  it('takes over what is written meanwhile, above and below the place where it is', async () => {
    const { rig, members, fresh, all } = await degraded()
    await pausedHalfway(rig, fresh)
    const wanted = all.slice()
    for (const at of [0, 1000, 2111, 2112, 2113, 4000]) {
      const data = pattern(8 * 512, at + 2)
      wanted.set(data, at * 512)
      await write(rig, at * 512, data)
    }
    await rig.rpc('bdev_raid_resume_process', { name: 'Raid0' })
    await rig.rebuilt()
    expect(same(dataOf(fresh), wanted)).toBe(true)
    expect(same(dataOf(members[0]!), wanted)).toBe(true)
    await rig.stop()
  })

  it('goes on after a restart where it was', async () => {
    const { rig, members, fresh, all } = await degraded()
    const blocks = await pausedHalfway(rig, fresh)
    await rig.stop()
    let lowest = Infinity
    fresh.holds = io => {
      if (io.type === IoType.Write && io.offsetBlocks >= 2048) lowest = Math.min(lowest, io.offsetBlocks - 2048)
      return false
    }
    const again = await Rig.start(fresh, members[0]!)
    await again.rebuilt()
    expect(lowest).toBe(blocks)
    expect(again.raidInfo()).toMatchObject({ state: 'online', num_base_bdevs_discovered: 2 })
    expect(same(dataOf(fresh), all)).toBe(true)
    expect(superblockOf(fresh).entries.map(({ state, uuid }) => [state, uuid])).toEqual([[1, members[0]!.uuid], [1, fresh.uuid]])
    await again.stop()
  })

  it.each<[string, (again: Rig, members: Disk[], fresh: Disk) => Promise<void>]>([
    ['something was written without the member', async again => write(again, 0, pattern(512, 77))],
    ['the record is damaged', async (_again, _members, fresh) => {
      const at = RECORD_PLACES.rebuild.offsetBytes + 70
      fresh.bytes[at] = fresh.bytes[at]! ^ 1
    }],
  ])('begins anew after a restart where %s', async (_why, meanwhile) => {
    const { rig, members, fresh } = await degraded()
    await pausedHalfway(rig, fresh)
    await rig.stop()
    let lowest = Infinity
    fresh.holds = io => {
      if (io.type === IoType.Write && io.offsetBlocks >= 2048) lowest = Math.min(lowest, io.offsetBlocks - 2048)
      return false
    }
    const again = await Rig.start(members[0]!)
    await meanwhile(again, members, fresh)
    await again.plug(fresh)
    await again.rebuilt()
    expect(lowest).toBe(0)
    expect(same(dataOf(fresh), dataOf(members[0]!))).toBe(true)
    await again.stop()
  })

  it('begins anew after a target that left came back with its record', async () => {
    const { rig, members, fresh } = await degraded()
    await pausedHalfway(rig, fresh)
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'fresh' })
    expect(rig.raidInfo()).toMatchObject({ num_base_bdevs_operational: 1, num_base_bdevs_discovered: 1 })
    await write(rig, 0, pattern(512, 78))
    await rig.stop()
    const again = await Rig.start(members[0]!, fresh)
    await again.rebuilt()
    expect(same(dataOf(fresh), dataOf(members[0]!))).toBe(true)
    await again.stop()
  })

  it('ends with its target, and the array stays as it was', async () => {
    const { rig, fresh, all } = await degraded()
    fresh.fails = io => (io.type === IoType.Write && io.offsetBlocks > 3000 ? IoStatus.Failed : undefined)
    await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'fresh' })
    await rig.rebuilt()
    expect(rig.raidInfo()).toMatchObject({ state: 'online', num_base_bdevs_operational: 1, base_bdevs_list: [{ name: 'd0' }, { name: null }] })
    expect(rig.log.some(line => line.includes('the rebuild of base bdev "fresh" in slot 1 ended at block'))).toBe(true)
    await using disk = await rig.host.open('Raid0')
    expect(same(await disk.read(0, all.length), all)).toBe(true)
    await disk.close()
    await rig.stop()
  })

  it('whose window waits for a write that the target fails ends, and the write is answered', async () => {
    const { rig, members, fresh } = await degraded()
    await pausedHalfway(rig, fresh)
    let held: BdevIo | undefined
    fresh.holds = io => {
      if (io.type !== IoType.Write || io.offsetBlocks !== 2048 + 3000) return false
      held = io
      return true
    }
    const data = pattern(8 * 512, 9)
    const written = write(rig, 3000 * 512, data)
    await rig.until('the write', () => held !== undefined)
    await rig.rpc('bdev_raid_resume_process', { name: 'Raid0' })
    await rig.until('the window', () => rig.raidInfo()!.process!.progress.blocks > 2900)
    await rig.settled()
    held!.complete(IoStatus.Failed)
    await written
    await rig.rebuilt()
    expect(rig.raidInfo()).toMatchObject({ state: 'online', num_base_bdevs_discovered: 1 })
    expect(same(dataOf(members[0]!).subarray(3000 * 512, 3008 * 512), data)).toBe(true)
    await rig.stop()
  })

  it('keeps to its bandwidth', async () => {
    const { rig } = await degraded()
    await rig.rpc('bdev_raid_set_options', { process_max_bandwidth_mb_sec: 32 })
    const startMs = rig.own.nowMs()
    await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'fresh' })
    await rig.until('the end', () => rig.raidInfo()!.process === undefined)
    // 2 MiB, all but the last window of 32 KiB, at 32 MiB/s.
    expect(rig.own.nowMs() - startMs).toBeGreaterThanOrEqual(61)
    await rig.stop()
  })
})

describe('a spare', () => {
  it('takes the place of a member that fails, and is kept in the configuration until then', async () => {
    const members = disks(2)
    const rig = await Rig.start(...members, new Disk('spare', MEMBER_BLOCKS))
    await rig.create('raid1', members)
    await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'spare', spare: true })
    const saved = { method: 'bdev_raid_add_base_bdev', params: { raid_bdev: 'Raid0', base_bdev: 'spare', spare: true } }
    expect(rig.host.configJson()).toContainEqual(saved)
    expect(() => rig.own.openBdev('spare', { write: true, onEvent: () => {} })).toThrow(/EPERM|claim/)
    members[0]!.fails = io => (io.type === IoType.Write ? IoStatus.Failed : undefined)
    await write(rig, 0, pattern(512, 1))
    await rig.until('the rebuild', () => rig.raidInfo()!.num_base_bdevs_discovered === 2)
    await rig.rebuilt()
    expect(rig.raidInfo()).toMatchObject({ num_base_bdevs_discovered: 2, base_bdevs_list: [{ name: 'spare' }, { name: 'd1' }] })
    expect(rig.host.configJson()).not.toContainEqual(saved)
    await rig.stop()
  })

  it('is refused for an array without redundancy, and twice; and can be taken out', async () => {
    const rig = await Rig.start(...disks(2), new Disk('spare', MEMBER_BLOCKS))
    const spare = (raidName: string): Promise<unknown> => rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: raidName, base_bdev: 'spare', spare: true })
    await rig.create('raid0', disks(2), { name: 'Plain' })
    expect(await failureOf(spare('Plain'))).toMatchObject({ rpcCode: -22 })
    await rig.rpc('bdev_raid_delete', { name: 'Plain' })
    await rig.create('raid1', disks(2))
    await spare('Raid0')
    expect(await failureOf(spare('Raid0'))).toMatchObject({ rpcCode: -17 })
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'spare' })
    expect(rig.host.configJson().some(({ params }) => params?.['spare'] === true)).toBe(false)
    rig.own.openBdev('spare', { write: true, onEvent: () => {} }).close()
    await rig.stop()
  })

  it('may be named before there is an array or a bdev, as a saved configuration does, and comes back with its bdev', async () => {
    const members = disks(2)
    const spare = new Disk('spare', MEMBER_BLOCKS)
    const rig = await Rig.start(members[0]!)
    await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'spare', spare: true })
    await rig.create('raid1', members)
    await rig.plug(spare)
    await rig.unplug(spare)
    await rig.plug(members[1]!)
    await rig.unplug(members[1]!)
    expect(rig.raidInfo()).toMatchObject({ state: 'online', num_base_bdevs_discovered: 1 })
    await rig.plug(spare)
    await rig.until('the rebuild', () => rig.raidInfo()!.num_base_bdevs_discovered === 2)
    await rig.rebuilt()
    expect(rig.raidInfo()).toMatchObject({ base_bdevs_list: [{ name: 'd0' }, { name: 'spare' }] })
    await rig.stop()
  })
})

describe('a record of progress', () => {
  const binding = { raidUuid: '11111111-2222-4333-8444-555555555555', seqNumber: 7 }
  const progress = { targetUuid: '99999999-2222-4333-8444-555555555555', offsetBlocks: 123_456 }
  const record = (): Uint8Array => encodeRecord('rebuild', binding, encodeProgress(progress))

  it('comes back as it was written, and only to its own array and number', () => {
    expect(decodeProgress(decodeRecord('rebuild', binding, record()))).toEqual(progress)
    expect(decodeRecord('rebuild', { ...binding, seqNumber: 8 }, record())).toBeUndefined()
    expect(decodeRecord('rebuild', { ...binding, raidUuid: progress.targetUuid }, record())).toBeUndefined()
  })

  it('with any bit changed counts for nothing', () => {
    for (let at = 0; at < RECORD_PLACES.rebuild.lengthBytes; at += at < 100 ? 1 : 37) {
      const bytes = record()
      bytes[at] = bytes[at]! ^ (1 << at % 8)
      expect(decodeRecord('rebuild', binding, bytes)).toBeUndefined()
    }
  })
})

it('a member that comes is shown as the target of a rebuild from the moment it counts', async () => {
  const { rig, fresh } = await degraded()
  const shown = new Set<string>()
  fresh.holds = () => {
    const info = rig.raidInfo()!
    if (info.num_base_bdevs_discovered === 2) shown.add(info.process?.target ?? 'none')
    return false
  }
  await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'fresh' })
  await rig.rebuilt()
  expect([...shown]).toEqual(['fresh'])
  await rig.stop()
})

describe('two missing members', () => {
  it('are rebuilt one after the other: from spares, and when they come back', async () => {
    const members = disks(4)
    const spares = [new Disk('s0', MEMBER_BLOCKS), new Disk('s1', MEMBER_BLOCKS)]
    const rig = await Rig.start(...members, ...spares)
    await rig.create('raid1', members, { superblock: true })
    for (const { name } of spares) await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: name, spare: true })
    await Promise.all([rig.unplug(members[0]!), rig.unplug(members[1]!)])
    await rig.until('both rebuilds', () => rig.raidInfo()!.num_base_bdevs_discovered === 4 && rig.raidInfo()!.process === undefined)
    expect(rig.raidInfo()!.base_bdevs_list.map(({ name }) => name).toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual(['d2', 'd3', 's0', 's1'])
    await Promise.all([rig.unplug(members[2]!), rig.unplug(members[3]!)])
    expect(rig.raidInfo()).toMatchObject({ num_base_bdevs_discovered: 2 })
    await Promise.all([rig.plug(members[2]!), rig.plug(members[3]!)])
    await rig.until('both rebuilds', () => rig.raidInfo()!.num_base_bdevs_discovered === 4 && rig.raidInfo()!.process === undefined)
    await rig.stop()
  })

  it('cannot be rebuilt at once by two calls', async () => {
    const members = disks(3)
    const rig = await Rig.start(...members, new Disk('a', MEMBER_BLOCKS), new Disk('b', MEMBER_BLOCKS))
    await rig.create('raid1', members)
    await Promise.all([rig.unplug(members[0]!), rig.unplug(members[1]!)])
    const add = (name: string): Promise<unknown> => rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: name })
    const answers = await Promise.allSettled([add('a'), add('b')])
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect((answers[1] as PromiseRejectedResult).reason).toMatchObject({ rpcCode: -1 })
    await rig.rebuilt()
    await rig.stop()
  })
})

it('a member that lacks what the array serves stays all the same: UNMAP becomes zeros, FLUSH and RESET pass it over', async () => {
  const members = disks(2)
  const poor = new Disk('poor', MEMBER_BLOCKS)
  poor.served = [IoType.Read, IoType.Write]
  const rig = await Rig.start(...members, poor)
  await rig.create('raid1', members)
  await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd1' })
  await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'poor' })
  await rig.rebuilt()
  await using disk = await rig.host.open('Raid0', { write: true })
  await disk.write(pattern(8192, 1), 0)
  await disk.unmap(512, 4096)
  await disk.flush()
  await disk.reset()
  expect(rig.raidInfo()).toMatchObject({ num_base_bdevs_discovered: 2 })
  expect(same(poor.bytes.subarray(0, 8192), members[0]!.bytes.subarray(0, 8192))).toBe(true)
  await disk.close()
  await rig.stop()
})
