// SPDX-License-Identifier: Apache-2.0
// The dirty map: what is on disk before a write is, what a crash leaves of it, and what a resync makes of that.
import { IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import { DirtyMap } from '../src/dirty-map.js'
import { decodeDirtyRecord, encodeDirtyRecord, regionBlocksFor, REGIONS_MAX } from '../src/dirty-record.js'
import { openRecord, RECORD_PLACES } from '../src/own-record.js'
import { randomFrom } from './model.js'
import { carryOut, Disk, failureOf, pattern, Rig } from './support.js'

const MEMBER_BLOCKS = 2048 + 4096
/** Where the data begins on the members. */
const DATA = 2048
/** Blocks of a region: 64 KiB. */
const REGION = 128

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
const dataOf = (disk: Disk, at: number, numBlocks: number): Uint8Array => disk.bytes.subarray((DATA + at) * 512, (DATA + at + numBlocks) * 512)
const MAPS = [RECORD_PLACES.dirtyMapA, RECORD_PLACES.dirtyMapB] as const
const isMap = (io: BdevIo): boolean => io.type === IoType.Write && MAPS.some(({ offsetBytes }) => io.offsetBlocks === offsetBytes / 512)
const isSuperblock = (io: BdevIo): boolean => io.type === IoType.Write && io.offsetBlocks === 0
const isData = (io: BdevIo): boolean => io.type === IoType.Write && io.offsetBlocks >= DATA

/** What is on a disk now: a crash finds that. */
function copyOf(disk: Disk): Disk {
  const copy = new Disk(disk.name, disk.numBlocks, 512, disk.uuid)
  copy.bytes = disk.bytes.slice()
  return copy
}

async function startWith(members: readonly Disk[]): Promise<Rig> {
  const rig = await Rig.start()
  await rig.rpc('bdev_raid_set_options', { process_window_size_kb: 32, dirty_region_size_kb: 64 })
  for (const member of members) await rig.plug(member)
  return rig
}

async function arrayOf(level: string, numMembers: number): Promise<{ rig: Rig; members: Disk[] }> {
  const members = Array.from({ length: numMembers }, (_, i) => new Disk(`d${i}`, MEMBER_BLOCKS))
  const rig = await startWith(members)
  await rig.create(level, members, { superblock: true })
  await rig.rebuilt()
  return { rig, members }
}

async function write(rig: Rig, block: number, data: Uint8Array): Promise<void> {
  await using disk = await rig.host.open('Raid0', { write: true })
  await disk.write(data, block * 512)
}

async function read(rig: Rig, block: number, numBlocks: number): Promise<Uint8Array> {
  await using disk = await rig.host.open('Raid0')
  return disk.read(block * 512, numBlocks * 512)
}

/** Holds what `which` says on a disk; `release` carries it out. */
function hold(disk: Disk, which: (io: BdevIo) => boolean): { readonly held: BdevIo[]; release(): void } {
  const held: BdevIo[] = []
  disk.holds = io => which(io) && held.push(io) > 0
  return {
    held,
    release() {
      disk.holds = null
      for (const io of held.splice(0)) io.thread.execMsg(carryOut, io)
    },
  }
}

/** What a crash leaves in the middle of a write of `data` at `block`: only the first member has it. */
async function interrupted(rig: Rig, members: readonly Disk[], block: number, data: Uint8Array): Promise<Disk[]> {
  const others = members.slice(1).map(member => hold(member, isData))
  const written = write(rig, block, data)
  await rig.until('the write', () => others.every(({ held }) => held.length > 0) && same(dataOf(members[0]!, block, data.length / 512), data))
  const found = members.map(copyOf)
  for (const other of others) other.release()
  await written
  return found
}

const resynced = (rig: Rig): string[] => rig.log.filter(line => /is resynced|resync has ended/.test(line)).map(line => line.slice(line.indexOf('" ') + 2))

describe('a write to a clean region', () => {
  it('waits until every member calls it dirty, and the next one does not', async () => {
    const { rig, members } = await arrayOf('raid1', 2)
    const map = hold(members[1]!, isMap)
    let done = false
    const written = write(rig, 0, pattern(4096, 1)).then(() => (done = true))
    await rig.until('the map', () => map.held.length === 1)
    await rig.settled()
    expect(members.map(member => same(dataOf(member, 0, 8), new Uint8Array(4096)))).toEqual([true, true])
    expect(done).toBe(false)
    map.release()
    await written
    const seen = members.map(({ seen }) => seen.length)
    await write(rig, 8, pattern(4096, 2))
    expect(members.map(({ seen: all }, i) => all.slice(seen[i]))).toEqual([[IoType.Write], [IoType.Write]])
    await rig.stop()
  })

  it('goes on with those that wait with it, over several regions, and with one map', async () => {
    const { rig, members } = await arrayOf('raid1', 2)
    const map = hold(members[0]!, isMap)
    const all = pattern(4 * REGION * 512, 3)
    const first = write(rig, 3000, pattern(512, 4))
    await rig.until('the map', () => map.held.length === 1)
    const more = [write(rig, 0, all), write(rig, 8, pattern(512, 5)), write(rig, 3001, pattern(512, 6))]
    await rig.settled()
    map.release()
    const maps = members[1]!.seen.length
    await Promise.all([first, ...more])
    // One for the first, one for the others; and the writes.
    expect(members[1]!.seen.slice(maps).filter(type => type === IoType.Flush).length).toBeLessThanOrEqual(2)
    expect(same(await read(rig, 16, 100), all.subarray(16 * 512, 116 * 512))).toBe(true)
    await rig.stop()
  })

  it('lets a member go that refuses the map, and does not wait for one that hangs and leaves', async () => {
    const { rig, members } = await arrayOf('raid1', 3)
    members[1]!.fails = io => (isMap(io) ? IoStatus.Failed : undefined)
    await write(rig, 0, pattern(4096, 1))
    await rig.until('it leaves', () => rig.raidInfo()!.num_base_bdevs_discovered === 2)
    const map = hold(members[2]!, isMap)
    const written = write(rig, 1000, pattern(4096, 2))
    await rig.until('the map', () => map.held.length === 1)
    const removed = rig.rpc('bdev_raid_remove_base_bdev', { name: 'd2' })
    await written
    await removed
    expect(rig.raidInfo()).toMatchObject({ state: 'online', num_base_bdevs_discovered: 1 })
    map.release()
    await rig.stop()
  })

  it('goes on on its own thread; and one that fails there is resynced', async () => {
    const { rig, members } = await arrayOf('raid1', 2)
    const desc = rig.own.openBdev('Raid0', { write: true, onEvent: () => {} })
    const threads = [rig.host.appThread, rig.host.createThread('second')]
    const written = threads.map((thread, n) => new Promise<[success: boolean, here: boolean]>(resolve => {
      thread.sendMsg(() => {
        const channel = desc.getIoChannel()!
        channel.writeBlocks(pattern(4096, n), 0, n * 1000, 8, (io, success) => {
          io.free()
          channel.put()
          resolve([success, rig.own.currentThread() === thread])
        }, null)
      }, undefined)
    }))
    expect(await Promise.all(written)).toEqual([[true, true], [true, true]])
    for (const member of members) expect(threads.map((_, n) => same(dataOf(member, n * 1000, 8), pattern(4096, n)))).toEqual([true, true])
    // Neither can the array do without one of them, nor do they agree.
    let fails = 2
    for (const member of members) member.fails = io => (isData(io) && fails-- > 0 ? IoStatus.Failed : undefined)
    const failed = new Promise<boolean>(resolve => {
      threads[1]!.sendMsg(() => {
        const channel = desc.getIoChannel()!
        channel.writeBlocks(pattern(4096, 7), 0, 1000, 8, (io, success) => {
          io.free()
          channel.put()
          resolve(success)
        }, null)
      }, undefined)
    })
    expect(await failed).toBe(false)
    dataOf(members[1]!, 1000, 8).fill(3)
    await rig.until('the resync', () => resynced(rig).length === 2)
    expect(same(dataOf(members[1]!, 1000, 8), dataOf(members[0]!, 1000, 8))).toBe(true)
    desc.close()
    await rig.stop()
  })
})

describe('after a crash', () => {
  it.each([
    { level: 'raid1', numMembers: 2, numBlocks: 8 },
    { level: 'raid1', numMembers: 3, numBlocks: 8 },
    { level: 'raid10', numMembers: 3, numBlocks: 8 },
    { level: 'raid5f', numMembers: 3, numBlocks: 16 },
  ])('what was being written agrees again on $level with $numMembers members, and nothing else is touched', async ({ level, numMembers, numBlocks }) => {
    const { rig, members } = await arrayOf(level, numMembers)
    const before = pattern(numBlocks * 512, 1)
    await write(rig, 0, before)
    const data = pattern(numBlocks * 512, 2)
    const first = hold(members[0]!, isData)
    const written = write(rig, 0, data)
    await rig.until('the write', () => first.held.length > 0)
    await rig.settled()
    const found = members.map(copyOf)
    first.release()
    await written
    const again = await startWith(found)
    const once = await read(again, 0, numBlocks)
    const writes: number[] = []
    for (const disk of found) disk.holds = io => (isData(io) && writes.push(io.offsetBlocks - DATA), false)
    await again.rebuilt()
    expect(resynced(again)[0]).toMatch(/^is resynced: 1 of its \d+ regions may not agree on all members$/)
    expect(resynced(again)[1]).toMatch(/^resync has ended: it found and mended \d+ blocks that do not agree and 0 that could not be read$/)
    expect(writes.every(block => block < 16)).toBe(true)
    expect(same(await read(again, 0, numBlocks), once)).toBe(true)
    await again.rpc('bdev_raid_start_process', { name: 'Raid0', type: 'check' })
    await again.rebuilt()
    expect(await again.info()).toMatchObject({ last_scrub: { mismatches: 0, complete: true } })
    for (const half of [0, numBlocks / 2]) {
      const bytes = once.subarray(half * 512, (half + numBlocks / 2) * 512)
      expect([before, data].some(one => same(one.subarray(half * 512, (half + numBlocks / 2) * 512), bytes))).toBe(true)
    }
    await again.stop()
    await rig.stop()
  })

  it('one copy answers until the resync has been there', async () => {
    const { rig, members } = await arrayOf('raid1', 2)
    await write(rig, 0, pattern(4096, 1))
    await write(rig, 1000, pattern(4096, 1))
    const slow = hold(members[1]!, isData)
    const written = [write(rig, 0, pattern(4096, 2)), write(rig, 1000, pattern(4096, 3))]
    await rig.until('the writes', () => slow.held.length === 2)
    await rig.settled()
    const found = members.map(copyOf)
    slow.release()
    await Promise.all(written)
    // The resync does not get beyond the first region.
    const mending = hold(found[1]!, isData)
    const again = await startWith(found)
    await again.until('the resync', () => mending.held.length === 1)
    await again.rpc('bdev_raid_pause_process', { name: 'Raid0' })
    await using disk = await again.host.open('Raid0')
    // The first copy is busy; the other one has what was there before.
    const busy = hold(found[0]!, io => io.type === IoType.Read && io.offsetBlocks === DATA + 1000)
    const reads = Array.from({ length: 4 }, () => disk.read(1000 * 512, 4096))
    await again.until('the reads', () => busy.held.length > 0)
    await again.settled()
    busy.release()
    for (const bytes of await Promise.all(reads)) expect(same(bytes, pattern(4096, 3))).toBe(true)
    mending.release()
    await again.until('the pause', () => again.raidInfo()!.process!.progress.blocks > 0)
    expect(again.raidInfo()!.process).toMatchObject({ type: 'resync', paused: true })
    expect(await failureOf(again.rpc('bdev_raid_stop_process', { name: 'Raid0' }))).toMatchObject({ code: 'EBUSY' })
    await disk.close()
    await again.rpc('bdev_raid_resume_process', { name: 'Raid0' })
    await again.rebuilt()
    expect(same(dataOf(found[1]!, 1000, 8), pattern(4096, 3))).toBe(true)
    await again.stop()
    await rig.stop()
  })

  it('in the middle of a resync, the resync is done again', async () => {
    const { rig, members } = await arrayOf('raid1', 2)
    const found = await interrupted(rig, members, 8, pattern(4096, 2))
    await rig.stop()
    const mending = hold(found[1]!, isData)
    const again = await startWith(found)
    await again.until('the resync', () => mending.held.length > 0)
    const later = found.map(copyOf)
    mending.release()
    await again.stop()
    const last = await startWith(later)
    await last.rebuilt()
    expect(same(dataOf(later[1]!, 8, 8), pattern(4096, 2))).toBe(true)
    await last.stop()
  })

  it.each<[string, boolean]>([['with the old', false], ['with the new', true]])('between the map and the superblock, the map is found %s number', async (_which, onOne) => {
    const { rig, members } = await arrayOf('raid1', 3)
    const leaver = members[2]!
    const torn = await interrupted(rig, members, 0, pattern(4096, 1))
    expect(torn).toHaveLength(3)
    // d2 goes; power does when the map says so, and the superblock not, or not on all.
    const held = members.slice(0, 2).map(member => hold(member, isSuperblock))
    const gone = rig.unplug(leaver)
    await rig.until('the superblock', () => held.every(one => one.held.length === 1))
    if (onOne) held[1]!.release()
    await rig.settled()
    const found = members.map(copyOf)
    for (const one of held) one.release()
    await gone
    await rig.stop()
    dataOf(found[1]!, 0, 8).fill(9)
    const again = await startWith(onOne ? found.slice(0, 2) : found)
    await again.until('the array', () => again.raidInfo()?.state === 'online')
    await again.rebuilt()
    expect(resynced(again)[0]).toContain('is resynced: 1 of its 32 regions')
    expect(same(dataOf(found[1]!, 0, 8), dataOf(found[0]!, 0, 8))).toBe(true)
    await again.stop()
  })

  it('a map that was torn leaves the one before it, and none that fits makes everything dirty', async () => {
    const { rig, members } = await arrayOf('raid1', 2)
    await write(rig, 0, pattern(4096, 1))
    await write(rig, 1000, pattern(4096, 1))
    const found = members.map(copyOf)
    await rig.stop()
    const newest = (disk: Disk): { offsetBytes: number } => {
      const uuid = rigUuid(disk)
      const generation = MAPS.map(({ offsetBytes }, i) => {
        const opened = openRecord(i === 0 ? 'dirtyMapA' : 'dirtyMapB', uuid, disk.bytes.subarray(offsetBytes, offsetBytes + 4096))
        return opened === undefined ? -1 : decodeDirtyRecord(opened.payload)!.generation
      })
      return MAPS[generation[0]! > generation[1]! ? 0 : 1]
    }
    const spoil = (disk: Disk, at: number): void => void (disk.bytes[at] = disk.bytes[at]! ^ 1)
    for (const disk of found) spoil(disk, newest(disk).offsetBytes + 60)
    const before = copyOf(found[0]!)
    const again = await startWith(found)
    await again.rebuilt()
    expect(resynced(again)[0]).toContain('is resynced: 1 of its 32 regions')
    const later = found.map(copyOf)
    await again.stop()
    // Another superblock than those that the maps are bound to, as SPDK leaves it.
    for (const disk of later) {
      for (const { offsetBytes } of MAPS) disk.bytes.set(before.bytes.subarray(offsetBytes, offsetBytes + 4096), offsetBytes)
    }
    const last = await startWith(later)
    await last.rebuilt()
    expect(resynced(last)[0]).toContain('is resynced: 32 of its 32 regions')
    await last.stop()
  })

  it('an array of SPDK has no map, and is taken as it is', async () => {
    const { rig, members } = await arrayOf('raid1', 2)
    await write(rig, 0, pattern(4096, 1))
    const found = members.map(copyOf)
    for (const disk of found) {
      for (const { offsetBytes, lengthBytes } of Object.values(RECORD_PLACES)) disk.bytes.fill(0, offsetBytes, offsetBytes + lengthBytes)
    }
    await rig.stop()
    const again = await startWith(found)
    expect(again.raidInfo()).toMatchObject({ state: 'online' })
    expect(resynced(again)).toEqual([])
    await again.stop()
  })

  it('a rebuild that goes on does again what was being written below', async () => {
    const { rig, members } = await arrayOf('raid1', 2)
    await write(rig, 0, pattern(4096 * 512, 1))
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd1' })
    const fresh = new Disk('fresh', MEMBER_BLOCKS)
    await rig.plug(fresh)
    let paused = false
    fresh.holds = io => {
      if (io.offsetBlocks === DATA + 2048 && !paused) {
        paused = true
        void rig.rpc('bdev_raid_pause_process', { name: 'Raid0' })
      }
      return false
    }
    await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'fresh' })
    await rig.until('the pause', () => paused && rig.raidInfo()!.process!.progress.blocks > 2048)
    await rig.settled()
    const progress = rig.raidInfo()!.process!.progress.blocks
    // Regions of the fill are clean by now; the next write is dirty, and the fresh member lacks it.
    for (let i = 0; i < 2; i++) {
      rig.clock.move(5_001)
      await rig.settled()
    }
    const found = await interrupted(rig, [members[0]!, fresh], 200, pattern(4096, 2))
    await rig.stop()
    const done: number[] = []
    found[1]!.holds = io => (isData(io) && done.push(io.offsetBlocks - DATA), false)
    const again = await startWith(found)
    await again.rebuilt()
    expect(again.log.some(line => line.includes(`from block ${progress} on`))).toBe(true)
    expect(done.filter(block => block < progress)).toEqual([128, 192])
    expect(same(found[0]!.bytes.subarray(DATA * 512), found[1]!.bytes.subarray(DATA * 512))).toBe(true)
    await again.stop()
  })

  it('with one of three missing the other two agree again, and the third when it comes', async () => {
    const { rig, members } = await arrayOf('raid1', 3)
    await write(rig, 0, pattern(4096, 1))
    await rig.unplug(members[1]!)
    const found = await interrupted(rig, [members[0]!, members[2]!], 0, pattern(4096, 2))
    await rig.stop()
    const again = await startWith(found)
    await again.rebuilt()
    expect(same(dataOf(found[1]!, 0, 8), pattern(4096, 2))).toBe(true)
    await again.plug(members[1]!)
    await again.rebuilt()
    expect(again.raidInfo()).toMatchObject({ num_base_bdevs_discovered: 3 })
    expect(same(dataOf(members[1]!, 0, 8), pattern(4096, 2))).toBe(true)
    await again.stop()
  })

  it('raid5f answers an error where a member cannot read and parity may not fit', async () => {
    const { rig, members } = await arrayOf('raid5f', 3)
    await write(rig, 0, pattern(16 * 512, 1))
    const slow = hold(members[2]!, isData)
    const written = write(rig, 0, pattern(16 * 512, 2))
    await rig.until('the write', () => slow.held.length > 0)
    const found = members.map(copyOf)
    slow.release()
    await written
    await rig.stop()
    found[0]!.fails = io => (io.type === IoType.Read && io.offsetBlocks <= DATA + 2 && io.offsetBlocks + io.numBlocks > DATA + 2 ? IoStatus.Failed : undefined)
    const again = await startWith(found)
    expect(await failureOf(read(again, 2, 1))).toMatchObject({ code: 'EIO' })
    await again.rebuilt()
    expect(again.log.some(line => line.includes('nothing can stand in for 1 of these'))).toBe(true)
    expect(await failureOf(read(again, 2, 1))).toMatchObject({ code: 'EIO' })
    await write(again, 0, pattern(16 * 512, 3))
    found[0]!.fails = null
    expect(same(await read(again, 0, 16), pattern(16 * 512, 3))).toBe(true)
    await again.stop()
  })
})

describe('regions get clean', () => {
  it('some seconds after their last write, and dirty again with the next', async () => {
    const { rig, members } = await arrayOf('raid1', 2)
    await write(rig, 0, pattern(4096, 1))
    const dirty = members.map(copyOf)
    for (let i = 0; i < 2; i++) {
      rig.clock.move(5_001)
      await rig.settled()
    }
    const clean = members.map(copyOf)
    await write(rig, 0, pattern(4096, 2))
    const again = members.map(copyOf)
    await rig.stop()
    for (const [disks, regions] of [[dirty, 1], [clean, 0], [again, 1]] as const) {
      const found = await startWith(disks)
      await found.rebuilt()
      expect(resynced(found).length > 0, `${regions}`).toBe(regions > 0)
      await found.stop()
    }
  })

  it('not while a write is under way, however long it takes', async () => {
    const { rig, members } = await arrayOf('raid1', 2)
    const slow = hold(members[1]!, isData)
    const written = write(rig, 0, pattern(4096, 1))
    await rig.until('the write', () => slow.held.length > 0)
    for (let i = 0; i < 3; i++) {
      rig.clock.move(5_001)
      await rig.settled()
    }
    const found = members.map(copyOf)
    slow.release()
    await written
    await rig.stop()
    const again = await startWith(found)
    await again.rebuilt()
    expect(same(dataOf(found[1]!, 0, 8), pattern(4096, 1))).toBe(true)
    await again.stop()
  })

  it('not while a member is missing, and when the array ends', async () => {
    const { rig, members } = await arrayOf('raid1', 3)
    await rig.unplug(members[2]!)
    await write(rig, 0, pattern(4096, 1))
    for (let i = 0; i < 3; i++) {
      rig.clock.move(5_001)
      await rig.settled()
    }
    const found = members.slice(0, 2).map(copyOf)
    await rig.stop()
    for (const [disks, regions] of [[found, 1], [members.slice(0, 2), 0]] as const) {
      const again = await startWith(disks)
      await again.rebuilt()
      expect(resynced(again).length > 0).toBe(regions > 0)
      await again.stop()
    }
  })
})

it('a write that fails on some members is resynced', async () => {
  const { rig, members } = await arrayOf('raid1', 2)
  await write(rig, 0, pattern(4096, 1))
  await using disk = await rig.host.open('Raid0', { write: true })
  const slow = hold(members[1]!, io => isData(io) || io.type === IoType.Reset)
  const written = disk.write(pattern(4096, 2), 0)
  await rig.until('the write', () => slow.held.length === 1)
  const reset = disk.reset()
  await rig.until('the reset', () => slow.held.length === 2)
  members[1]!.holds = null
  slow.held[0]!.complete(IoStatus.Aborted)
  slow.held[1]!.complete(IoStatus.Success)
  expect(await failureOf(written)).toBeDefined()
  await reset
  await rig.rebuilt()
  expect(rig.raidInfo()).toMatchObject({ num_base_bdevs_discovered: 2 })
  expect(same(dataOf(members[0]!, 0, 8), dataOf(members[1]!, 0, 8))).toBe(true)
  await disk.close()
  await rig.stop()
})

it('an array that grows keeps what is dirty, and knows the new regions', async () => {
  const { rig, members } = await arrayOf('raid1', 2)
  await write(rig, 0, pattern(4096, 1))
  for (const member of members) rig.resize(member, MEMBER_BLOCKS + 4096)
  await rig.until('the size', () => rig.host.bdevByName('Raid0')!.numBlocks === 8192)
  const found = await interrupted(rig, members, 8000, pattern(4096, 2))
  await rig.stop()
  const again = await startWith(found)
  await again.rebuilt()
  expect(resynced(again)[0]).toContain('is resynced: 2 of its 64 regions')
  expect(same(dataOf(found[1]!, 8000, 8), pattern(4096, 2))).toBe(true)
  await again.stop()
})

describe('the map itself', () => {
  it('calls a region dirty on disk whenever it has let a write to it go, whatever happens in between', () => {
    const random = randomFrom(11)
    for (let round = 0; round < 300; round++) {
      let regionBlocks = 8
      const map = new DirtyMap(200, regionBlocks)
      let disk = map.bits()
      const onDisk = (block: number): boolean => {
        const region = Math.floor(block / regionBlocks)
        return (disk[region >> 3]! & (1 << (region & 7))) !== 0
      }
      const put = (): void => {
        disk = map.bits()
        regionBlocks = map.regionBlocks
      }
      let waiting = 0
      map.wanted = () => waiting++
      for (let step = 0; step < 60; step++) {
        const dice = random(10)
        const offsetBlocks = random(180)
        const io = { offsetBlocks, numBlocks: 1 + random(19) } as never as Parameters<DirtyMap['admits']>[0]
        if (dice < 5) {
          if (map.admits(io)) for (let block = offsetBlocks; block < offsetBlocks + io.numBlocks; block++) expect(onDisk(block)).toBe(true)
        } else if (dice < 7) {
          map.beginMarking()
          put()
          waiting -= map.endMarking(true).length
          expect(waiting).toBe(0)
        } else if (dice === 7) map.beginCleaning()
        else if (dice === 8) {
          map.endCleaning(random(2) === 0)
          put()
        } else map.cleanAll()
        if (dice === 9) put()
      }
    }
  })

  it('fits its record, whatever the size of the array', () => {
    for (const numBlocks of [1, 1000, 2 ** 31, 2 ** 40, 2 ** 52]) {
      const regionBlocks = regionBlocksFor(numBlocks, 32_768)
      const numRegions = Math.ceil(numBlocks / regionBlocks)
      expect(numRegions).toBeLessThanOrEqual(REGIONS_MAX)
      const bits = pattern(Math.ceil(numRegions / 8), 1)
      const record = { generation: 7, regionBlocks, numRegions, degraded: true, clean: false, bits }
      expect(decodeDirtyRecord(encodeDirtyRecord(record))).toEqual(record)
    }
    expect(decodeDirtyRecord(new Uint8Array(5))).toBeUndefined()
    const odd = encodeDirtyRecord({ generation: 1, regionBlocks: 8, numRegions: 9, degraded: false, clean: true, bits: new Uint8Array(2) })
    odd[8] = 7
    expect(decodeDirtyRecord(odd)).toBeUndefined()
  })
})

/** UUID of the array that a member belongs to. */
function rigUuid(disk: Disk): string {
  const hex = Buffer.from(disk.bytes.subarray(24, 40)).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
