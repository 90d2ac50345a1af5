// SPDX-License-Identifier: Apache-2.0
// Arrays that use the journal only while a member is missing, and arrays that lost one with the crash.
import { IoStatus, type BdevIo } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import { encodeSuperblock, EntryState, parseSuperblock, type Superblock } from '../src/superblock.js'
import { ARRAY_BYTES, BLOCK_BYTES, copies, filled, foundWithout, isInPlace, isRing, newDisks, same } from './journal-support.js'
import { carryOut, type Disk, failureOf, pattern, Rig } from './support.js'

describe('the parameter "journal"', () => {
  it.each([
    ['raid1', { superblock: true, journal: true }, 'raid1 with one'],
    ['raid5f', { superblock: true, journal: true, strip_size_kb: 4 }, 'raid5f with one'],
    ['raid5', { journal: false, strip_size_kb: 4 }, 'raid5 without one'],
  ])('is refused for %s with %j', async (level, params, found) => {
    const disks = newDisks()
    const rig = await Rig.start(...disks)
    const failure = await failureOf(rig.create(level, disks, params))
    expect(failure).toMatchObject({ rpcCode: -22 })
    expect(((failure as unknown as Error).cause as Error).message).toBe(`raid bdev "Raid0": "journal" is for raid5 and raid6 with a superblock, found ${found}; leave it out`)
    await rig.stop()
  })

  it('false is kept on the members: rings are used as long as one is missing', async () => {
    const disks = newDisks()
    const all = pattern(ARRAY_BYTES, 50)
    // Created, and found again.
    const rig = await filled(disks, all, { journal: false })
    const logged = async (): Promise<boolean> => {
      let rings = 0
      for (const one of disks) one.holds = io => (isRing(io) && rings++, false)
      await using disk = await rig.host.open('Raid0', { write: true })
      const data = pattern(BLOCK_BYTES, 51)
      all.set(data)
      await disk.write(data, 0)
      await disk.close()
      return rings > 0
    }
    expect(rig.raidInfo()).toMatchObject({ journal: false })
    expect(await logged()).toBe(false)
    await rig.unplug(disks[2]!)
    expect(await logged()).toBe(true)
    await rig.plug(disks[2]!)
    await rig.rebuilt()
    await rig.settled()
    expect(await logged()).toBe(false)
    for (const missing of [0, 1, 2, 3]) expect(same(await foundWithout(copies(disks), missing), all), `without slot ${missing}`).toBe(true)
    await rig.stop()
  })
})

/** Changes the superblock of disks. */
function editSuperblocks(disks: readonly Disk[], edit: (superblock: Superblock) => void): void {
  for (const disk of disks) {
    const { superblock } = parseSuperblock(disk.bytes.subarray(0, 32_768)) as { superblock: Superblock }
    edit(superblock)
    disk.bytes.set(encodeSuperblock(superblock))
  }
}

describe('an array whose member was lost with the crash that tore its stripes', () => {
  /** A raid5 without a journal, with a write of a whole stripe in place on two of its members; and a superblock that misses slot 1. */
  async function torn(): Promise<Disk[]> {
    const disks = newDisks()
    const rig = await filled(disks, pattern(ARRAY_BYTES, 60), { journal: false })
    await rig.until('its first resync', () => rig.raidInfo()?.process === undefined)
    const held: BdevIo[] = []
    for (const disk of disks.slice(2)) disk.holds = io => isInPlace(io) && held.push(io) > 0
    const disk = await rig.host.open('Raid0', { write: true })
    const writing = disk.write(pattern(24 * BLOCK_BYTES, 61), 0).catch(() => undefined)
    await rig.until('the write', () => held.length === 2)
    await rig.settled()
    const left = copies(disks).filter(({ name }) => name !== 'd1')
    for (const one of disks) one.holds = null
    for (const io of held) io.complete(IoStatus.Success)
    await writing
    await disk.close()
    await rig.stop()
    editSuperblocks(left, ({ entries }) => (entries[1]!.state = EntryState.Failed))
    return left
  }

  it('does not start, and says what to do', async () => {
    const rig = await Rig.start(...(await torn()))
    expect(rig.raidInfo()).toMatchObject({ state: 'configuring', num_base_bdevs_discovered: 3 })
    const error = rig.log.find(line => line.startsWith('error'))
    expect(error).toMatch(/^error raid: raid bdev "Raid0": it does not start: a crash interrupted writes in up to 1 of its \d+ regions, and slots 1 are/)
    expect(error).toMatch(/: what they had there may read wrong; set start_dirty_degraded by bdev_raid_set_options to accept that$/)
    await rig.stop()
  })

  it('starts where start_dirty_degraded accepts that, before or afterwards', async () => {
    const disks = await torn()
    const again = copies(disks)
    const rig = await Rig.start(...disks)
    await rig.rpc('bdev_raid_set_options', { start_dirty_degraded: true })
    expect(rig.raidInfo()).toMatchObject({ state: 'online' })
    await rig.stop()
    const other = await Rig.start()
    await other.rpc('bdev_raid_set_options', { start_dirty_degraded: true })
    for (const disk of again) await other.plug(disk)
    expect(other.raidInfo()).toMatchObject({ state: 'online' })
    expect(other.log.some(line => line.startsWith('warn') && line.includes('it starts all the same, because start_dirty_degraded says so'))).toBe(true)
    await other.stop()
  })
})

describe('the rings of a degraded raid5f', () => {
  it.each([['are replayed', 0, 'after'], ['count for nothing where SPDK has had the array since', 1, 'before']])('%s', async (_what, assemblies, wanted) => {
    const disks = newDisks()
    const rig = await Rig.start(...disks)
    await rig.create('raid5f', disks, { superblock: true })
    const before = pattern(24 * BLOCK_BYTES, 70)
    const after = pattern(24 * BLOCK_BYTES, 71)
    const disk = await rig.host.open('Raid0', { write: true })
    await disk.write(before, 0)
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd3' })
    const held: BdevIo[] = []
    for (const one of disks) one.holds = io => isInPlace(io) && held.push(io) > 0
    const writing = disk.write(after, 0)
    await rig.until('all is logged', () => held.length === 3)
    const left = copies(disks.slice(0, 3))
    for (const one of disks) one.holds = null
    for (const io of held) io.thread.execMsg(carryOut, io)
    await writing
    await disk.close()
    await rig.stop()
    // SPDK raises the number at each assembly.
    editSuperblocks(left, superblock => (superblock.seqNumber += assemblies))
    const again = await Rig.start(...left)
    await using found = await again.host.open('Raid0')
    expect(same(await found.read(0, before.length), wanted === 'after' ? after : before)).toBe(true)
    await found.close()
    await again.stop()
  })
})
