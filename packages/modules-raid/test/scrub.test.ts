// SPDX-License-Identifier: Apache-2.0
// Scrubs: what does not agree is counted by a check and mended by a repair, beside I/O.
import { IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import { Disk, failureOf, pattern, Rig } from './support.js'

/** Data of members without a superblock begins at block 0. */
const MEMBER_BLOCKS = 1024
const LEVELS = [
  { level: 'raid1', numMembers: 2 },
  { level: 'raid1', numMembers: 3 },
  { level: 'raid10', numMembers: 4 },
  { level: 'raid10', numMembers: 5 },
  { level: 'raid5f', numMembers: 4 },
  { level: 'raid5', numMembers: 3 },
  { level: 'raid6', numMembers: 5 },
] as const

const disksOf = (numMembers: number): Disk[] => Array.from({ length: numMembers }, (_, i) => new Disk(`d${i}`, MEMBER_BLOCKS))

interface Counts {
  readonly type: string
  readonly mismatches: number
  readonly read_errors: number
}

interface Scrubbed {
  readonly process?: Counts & { readonly paused?: boolean; readonly progress: { readonly blocks: number } }
  readonly last_scrub?: Counts & { readonly complete: boolean }
}

const infoOf = (rig: Rig): Scrubbed => rig.raidInfo() as unknown as Scrubbed

/** An array full of data. */
async function filled(level: string, numMembers: number): Promise<{ rig: Rig; members: Disk[]; all: Uint8Array }> {
  const members = disksOf(numMembers)
  const rig = await Rig.start(...members)
  await rig.create(level, members)
  await rig.rpc('bdev_raid_set_options', { process_window_size_kb: 64 })
  // The first resync.
  await rig.rebuilt()
  const all = pattern(rig.host.bdevByName('Raid0')!.numBlocks * 512, 1)
  await using disk = await rig.host.open('Raid0', { write: true })
  await disk.write(all, 0)
  await disk.close()
  return { rig, members, all }
}

async function scrub(rig: Rig, type: 'check' | 'repair'): Promise<Scrubbed['last_scrub']> {
  await rig.rpc('bdev_raid_start_process', { name: 'Raid0', type })
  await rig.rebuilt()
  return infoOf(rig).last_scrub
}

async function readAll(rig: Rig, lengthBytes: number): Promise<Uint8Array> {
  await using disk = await rig.host.open('Raid0')
  const bytes = await disk.read(0, lengthBytes)
  await disk.close()
  return bytes
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/** Blocks of the last member of a raid10 whose other copy comes first. */
function* secondCopies(numMembers: number): Generator<number> {
  for (const row of [0, 3, 5, 20]) if ((row * numMembers + numMembers - 1) % 2 === 1) yield row * 8 + 2
}

/** Changes one byte of a block behind the array's back. */
function spoil(disk: Disk, block: number): void {
  const at = block * 512 + (block % 512)
  disk.bytes[at] = disk.bytes[at]! ^ 0x40
}

describe.each(LEVELS)('a scrub of $level with $numMembers members', ({ level, numMembers }) => {
  const hasParity = level !== 'raid1' && level !== 'raid10'

  it('finds nothing where all agree', async () => {
    const { rig } = await filled(level, numMembers)
    expect(await scrub(rig, 'check')).toEqual({ type: 'check', mismatches: 0, read_errors: 0, complete: true })
    expect(rig.log).toContain('notice raid: raid bdev "Raid0" check has ended: it found 0 blocks that do not agree and 0 that could not be read')
    await rig.stop()
  })

  it('counts what does not agree and changes nothing; a repair mends it', async () => {
    const { rig, members, all } = await filled(level, numMembers)
    const last = members.at(-1)!
    // With parity: blocks whose strip there is parity (stripe 0), so that the data tells what is right.
    const spoilt = hasParity ? [0, 3, 7] : level === 'raid1' ? [0, 1, 2, 511, 1023] : [...secondCopies(numMembers)]
    for (const block of spoilt) spoil(last, block)
    const before = members.map(({ bytes }) => bytes.slice())
    expect(await scrub(rig, 'check')).toEqual({ type: 'check', mismatches: spoilt.length, read_errors: 0, complete: true })
    expect(members.map(({ bytes }, i) => same(bytes, before[i]!))).not.toContain(false)
    expect(await scrub(rig, 'repair')).toEqual({ type: 'repair', mismatches: spoilt.length, read_errors: 0, complete: true })
    expect(await scrub(rig, 'check')).toMatchObject({ mismatches: 0 })
    expect(same(await readAll(rig, all.length), all)).toBe(true)
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd0' })
    expect(same(await readAll(rig, all.length), all)).toBe(true)
    await rig.stop()
  })

  it('writes anew what a member cannot read, when it repairs', async () => {
    const { rig, members, all } = await filled(level, numMembers)
    const unreadable = new Set([5, 6, 200])
    members[1]!.fails = io => {
      for (let block = io.offsetBlocks; block < io.offsetBlocks + io.numBlocks; block++) {
        if (io.type === IoType.Read && unreadable.has(block)) return IoStatus.Failed
        if (io.type === IoType.Write) unreadable.delete(block)
      }
      return undefined
    }
    expect(await scrub(rig, 'check')).toEqual({ type: 'check', mismatches: 0, read_errors: 3, complete: true })
    expect(unreadable.size).toBe(3)
    members[1]!.bytes.fill(0, 5 * 512, 7 * 512)
    expect(await scrub(rig, 'repair')).toEqual({ type: 'repair', mismatches: 0, read_errors: 3, complete: true })
    expect(unreadable.size).toBe(0)
    expect(await scrub(rig, 'check')).toMatchObject({ mismatches: 0, read_errors: 0 })
    expect(same(await readAll(rig, all.length), all)).toBe(true)
    await rig.stop()
  })

  it('tells what nothing can stand in for', async () => {
    const { rig, members } = await filled(level, numMembers)
    const has40 = (io: BdevIo): boolean => io.offsetBlocks <= 40 && io.offsetBlocks + io.numBlocks > 40
    for (const member of members) member.fails = io => (io.type === IoType.Read && has40(io) ? IoStatus.Failed : undefined)
    expect(await scrub(rig, 'repair')).toMatchObject({ read_errors: numMembers, complete: true })
    expect(rig.log.some(line => line.includes(`nothing can stand in for ${level === 'raid10' ? 2 : 1} of these`))).toBe(true)
    await rig.stop()
  })

  it('can be paused, goes on, and can be stopped', async () => {
    const { rig, members } = await filled(level, numMembers)
    spoil(members.at(-1)!, 0)
    await rig.rpc('bdev_raid_start_process', { name: 'Raid0', type: 'check' })
    await rig.rpc('bdev_raid_pause_process', { name: 'Raid0' })
    await rig.settled()
    const { process } = infoOf(rig)
    expect(process).toMatchObject({ type: 'check', paused: true })
    await rig.settled()
    expect(infoOf(rig).process).toEqual(process)
    expect(await failureOf(rig.rpc('bdev_raid_start_process', { name: 'Raid0', type: 'repair' }))).toMatchObject({ code: 'EBUSY' })
    const resumed = rig.rpc('bdev_raid_resume_process', { name: 'Raid0' })
    await rig.rpc('bdev_raid_stop_process', { name: 'Raid0' })
    await resumed
    expect(infoOf(rig).process).toBeUndefined()
    expect(infoOf(rig).last_scrub).toMatchObject({ type: 'check', mismatches: 1, complete: false })
    expect(await failureOf(rig.rpc('bdev_raid_stop_process', { name: 'Raid0' }))).toMatchObject({ code: 'ENODEV' })
    await rig.stop()
  })

  it('ends when a member leaves', async () => {
    const { rig } = await filled(level, numMembers)
    await rig.rpc('bdev_raid_start_process', { name: 'Raid0', type: 'repair' })
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd1' })
    await rig.until('the end', () => infoOf(rig).process === undefined)
    expect(infoOf(rig).last_scrub).toMatchObject({ complete: false })
    expect(rig.raidInfo()).toMatchObject({ state: 'online', num_base_bdevs_discovered: numMembers - 1 })
    await rig.stop()
  })

  it('goes on beside writes, and finds nothing wrong with them', async () => {
    const { rig, all } = await filled(level, numMembers)
    const unit = level === 'raid5f' ? 24 : 8
    await using disk = await rig.host.open('Raid0', { write: true })
    await rig.rpc('bdev_raid_start_process', { name: 'Raid0', type: 'repair' })
    let seed = 2
    while (infoOf(rig).process !== undefined) {
      const writes = Array.from({ length: 8 }, () => {
        const at = ((seed * 7919) % Math.floor(all.length / 512 / unit)) * unit * 512
        const data = pattern(unit * 512, seed++)
        all.set(data, at)
        return disk.write(data, at)
      })
      await Promise.all(writes)
    }
    expect(seed).toBeGreaterThan(10)
    expect(infoOf(rig).last_scrub).toEqual({ type: 'repair', mismatches: 0, read_errors: 0, complete: true })
    await disk.close()
    expect(same(await readAll(rig, all.length), all)).toBe(true)
    await rig.stop()
  })

  it('gives way to a rebuild', async () => {
    const { rig } = await filled(level, numMembers)
    const fresh = new Disk('fresh', MEMBER_BLOCKS)
    await rig.plug(fresh)
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd0' })
    if (hasParity) {
      expect(await failureOf(rig.rpc('bdev_raid_start_process', { name: 'Raid0', type: 'check' }))).toMatchObject({ code: 'EINVAL' })
    } else {
      await rig.rpc('bdev_raid_start_process', { name: 'Raid0', type: 'check' })
      await rig.rpc('bdev_raid_pause_process', { name: 'Raid0' })
      await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'fresh' })
      expect(infoOf(rig).process).toMatchObject({ type: 'rebuild' })
      expect(await failureOf(rig.rpc('bdev_raid_stop_process', { name: 'Raid0' }))).toMatchObject({ code: 'EBUSY' })
      await rig.rebuilt()
      expect(infoOf(rig).last_scrub).toMatchObject({ complete: false })
      expect(rig.raidInfo()).toMatchObject({ num_base_bdevs_discovered: numMembers })
    }
    await rig.stop()
  })
})

it('levels without redundancy have nothing to scrub', async () => {
  const members = disksOf(2)
  const rig = await Rig.start(...members)
  await rig.create('raid0', members)
  expect(await failureOf(rig.rpc('bdev_raid_start_process', { name: 'Raid0', type: 'check' }))).toMatchObject({ code: 'EINVAL' })
  await rig.stop()
})
