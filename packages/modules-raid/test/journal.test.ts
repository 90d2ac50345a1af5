// SPDX-License-Identifier: Apache-2.0
// The journal of raid5 on disks that forget, fail and hang: what a crash finds is what the journal promises.
import { IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import { RECORD_PLACES } from '../src/own-record.js'
import { encodeSuperblock, EntryState, parseSuperblock, type Superblock } from '../src/superblock.js'
import { randomFrom } from './model.js'
import { Power } from './power.js'
import { carryOut, Disk, failureOf, pattern, Rig } from './support.js'

const BLOCK_BYTES = 512
const MIB = 1024 * 1024
const DATA_AT = MIB / BLOCK_BYTES
const DATA_BLOCKS = 64
/** Strips of 8 blocks: a stripe of 24, eight of them. */
const ARRAY_BYTES = 3 * DATA_BLOCKS * BLOCK_BYTES

const newDisks = (count = 4): Disk[] => Array.from({ length: count }, (_, i) => new Disk(`d${i}`, DATA_AT + DATA_BLOCKS))
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
const RING_AT = DATA_AT / 2
const isRing = (io: BdevIo): boolean => io.type === IoType.Write && io.offsetBlocks >= RING_AT && io.offsetBlocks < DATA_AT
const isInPlace = (io: BdevIo): boolean => io.type === IoType.Write && io.offsetBlocks >= DATA_AT

/** A raid5 with `all` on it, flushed and idle. */
async function filled(disks: readonly Disk[], all: Uint8Array, params: object = {}): Promise<Rig> {
  const rig = await Rig.start(...disks)
  await rig.create('raid5', disks, { superblock: true, ...params })
  await using disk = await rig.host.open('Raid0', { write: true })
  await disk.write(all, 0)
  await disk.close()
  // A clean end empties the rings.
  await rig.stop()
  return Rig.start(...disks)
}

async function readAll(rig: Rig): Promise<Uint8Array> {
  await using disk = await rig.host.open('Raid0')
  return await disk.read(0, ARRAY_BYTES)
}

/** The array as it is found again without the disk in `missing`: what parity makes of it. */
async function foundWithout(disks: readonly Disk[], missing: number): Promise<Uint8Array> {
  const rig = await Rig.start(...disks)
  await rig.until('the array is found', () => rig.raidInfo()?.state === 'online')
  await rig.rpc('bdev_raid_remove_base_bdev', { name: disks[missing]!.name })
  const bytes = await readAll(rig)
  await rig.stop()
  return bytes
}

const copies = (disks: readonly Disk[]): Disk[] => disks.map(disk => {
  const copy = new Disk(disk.name, disk.numBlocks, disk.blockSizeBytes, disk.uuid)
  copy.bytes = disk.bytes.slice()
  return copy
})

/** Writes of a part of one stripe, of two stripes, and of a whole one. */
const WRITES = [{ at: 3, blocks: 2 }, { at: 20, blocks: 10 }, { at: 72, blocks: 24 }]

describe('power goes after each I/O of a write', () => {
  it.each(WRITES)('of $blocks blocks at block $at: it is there or it is not, whichever member is lost next', { timeout: 60_000 }, async ({ at, blocks }) => {
    const all = pattern(ARRAY_BYTES, 1)
    const data = pattern(blocks * BLOCK_BYTES, 2)
    const wanted = all.slice()
    wanted.set(data, at * BLOCK_BYTES)
    const random = randomFrom(at)
    const found = { before: 0, after: 0 }
    for (let after = 0, done = false; !done; after++) {
      const disks = newDisks()
      const rig = await filled(disks, all)
      const power = new Power(disks, after)
      const disk = await rig.host.open('Raid0', { write: true })
      const writing = disk.write(data, at * BLOCK_BYTES).then(() => true, () => false)
      await rig.until('the write or the dark', async () => power.off || (await Promise.race([writing, Promise.resolve(undefined)])) !== undefined)
      await rig.settled()
      done = !power.off
      for (const [keep, lost] of [[() => true, [random(4)]], [() => false, [random(4)]], [() => random(2) === 0, [0, 1, 2, 3]]] as const) {
        for (const missing of lost) {
          const bytes = await foundWithout(power.remains(keep), missing)
          const stripes = [...Array(8).keys()].map(stripe => {
            const [from, to] = [stripe * 24 * BLOCK_BYTES, (stripe + 1) * 24 * BLOCK_BYTES]
            const part = bytes.subarray(from, to)
            if (same(part, wanted.subarray(from, to))) return same(part, all.subarray(from, to)) ? 'untouched' : 'after'
            return same(part, all.subarray(from, to)) ? 'before' : 'garbage'
          })
          expect(stripes, `after ${after} I/O, without d${missing}`).not.toContain('garbage')
          if (stripes.includes('after')) found.after++
          if (stripes.includes('before')) found.before++
        }
      }
      await power.clear(rig)
      await disk.close()
    }
    expect(found.before).toBeGreaterThan(0)
    expect(found.after).toBeGreaterThan(0)
  })
})

/** Each in a stripe of its own: two strips, three, and all four are written. */
const LOGGED = [{ at: 3, blocks: 2 }, { at: 30, blocks: 10 }, { at: 72, blocks: 24 }]

/** Disks that a crash left with writes in their rings that are not in place: what `filled` has, and three more writes. */
async function crashed(all: Uint8Array): Promise<{ disks: Disk[]; wanted: Uint8Array }> {
  const disks = newDisks()
  const rig = await filled(disks, all)
  const inPlace: BdevIo[] = []
  for (const disk of disks) {
    disk.caches = true
    disk.holds = io => isInPlace(io) && inPlace.push(io) > 0
  }
  const disk = await rig.host.open('Raid0', { write: true })
  const wanted = all.slice()
  const writes = LOGGED.map(({ at, blocks }, i) => {
    const data = pattern(blocks * BLOCK_BYTES, 10 + i)
    wanted.set(data, at * BLOCK_BYTES)
    return disk.write(data, at * BLOCK_BYTES).catch(() => undefined)
  })
  await rig.until('all is logged', () => inPlace.length === 9)
  const power = new Power(disks, 0)
  const left = power.remains(() => false)
  for (const io of inPlace) io.complete(IoStatus.Failed)
  await power.clear(rig)
  await Promise.all(writes)
  await disk.close()
  return { disks: left, wanted }
}

describe('recovery', () => {
  it('makes whole what is in the rings, and says so', async () => {
    const all = pattern(ARRAY_BYTES, 3)
    const { disks, wanted } = await crashed(all)
    const rig = await Rig.start(...disks)
    expect(same(await readAll(rig), wanted)).toBe(true)
    expect(rig.log).toContain('notice raid: raid bdev "Raid0" has replayed its journal: 3 write(s) are made whole, 0 that a crash interrupted are left out')
    await rig.stop()
  })

  it('has nothing to do after a clean end', async () => {
    const disks = newDisks()
    const all = pattern(ARRAY_BYTES, 4)
    await (await filled(disks, all)).stop()
    const rig = await Rig.start(...disks)
    expect(same(await readAll(rig), all)).toBe(true)
    expect(rig.log.filter(line => line.includes('journal'))).toEqual([])
    await rig.stop()
  })

  it('is done again where power goes in its middle, after any I/O', { timeout: 60_000 }, async () => {
    const { disks, wanted } = await crashed(pattern(ARRAY_BYTES, 5))
    const random = randomFrom(7)
    for (let after = 0, done = false; !done; after++) {
      const first = copies(disks)
      const rig = new Rig()
      const power = new Power(first, after)
      rig.begin(...first).catch(() => undefined) // the host may end before it has all disks
      await rig.until('the array or the dark', () => power.off || (rig.own !== undefined && rig.host.modules.length > 0 && rig.raidInfo()?.state === 'online'))
      for (let turn = 0; turn < 10; turn++) await rig.settled()
      done = !power.off
      for (const keep of after % 3 === 0 ? [() => true, () => false] : [() => random(2) === 0]) {
        const missing = random(4)
        expect(same(await foundWithout(power.remains(keep), missing), wanted), `after ${after} I/O, without d${missing}`).toBe(true)
      }
      await power.clear(rig)
    }
  })

  it('knows which rings a crash in the middle of it has left behind', async () => {
    // Two writes of the same blocks, the first of them on one member alone: replayed without the second it would bring back what
    // that has overwritten.
    const disks = newDisks()
    const rig = await filled(disks, pattern(ARRAY_BYTES, 6))
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd3' })
    const disk = await rig.host.open('Raid0', { write: true })
    const wanted = pattern(16 * BLOCK_BYTES, 62)
    await disk.write(pattern(BLOCK_BYTES, 61), 0)
    await disk.write(wanted, 0)
    const old = copies(disks.slice(0, 3))
    await disk.close()
    await rig.stop()
    // Power comes back, and goes again when d1 and d2 have begun anew, but d0 has not.
    const recovered = copies(old)
    const again = await Rig.start(...recovered)
    expect(again.log.some(line => line.includes('2 write(s) are made whole'))).toBe(true)
    const mixed = copies(recovered)
    await again.stop()
    const last = await Rig.start(withJournalOf(mixed[0]!, old[0]!), mixed[1]!, mixed[2]!)
    await using found = await last.host.open('Raid0')
    expect(same(await found.read(0, wanted.length), wanted)).toBe(true)
    await found.close()
    await last.stop()
  })
})

/** What stands before the data of `other`, but for its superblock. */
function withJournalOf(disk: Disk, other: Disk): Disk {
  disk.bytes.set(other.bytes.subarray(RECORD_PLACES.journalA.offsetBytes, MIB), RECORD_PLACES.journalA.offsetBytes)
  return disk
}

describe('a write', () => {
  it('is in place only when all rings that have a part in it are flushed', async () => {
    const disks = newDisks()
    const rig = await filled(disks, pattern(ARRAY_BYTES, 20))
    const seen: string[] = []
    let held: BdevIo | undefined
    for (const disk of disks) {
      disk.holds = io => {
        if (isRing(io)) seen.push(`${disk.name} ring`)
        else if (isInPlace(io)) seen.push(`${disk.name} data`)
        else if (io.type === IoType.Flush) seen.push(`${disk.name} flush`)
        if (io.type !== IoType.Flush || disk.name !== 'd3' || held !== undefined) return false
        held = io
        return true
      }
    }
    await using disk = await rig.host.open('Raid0', { write: true })
    // Block 0 is on d0, its parity on d3.
    const writing = disk.write(pattern(BLOCK_BYTES, 21), 0)
    await rig.until('the flush of d3', () => held !== undefined)
    await rig.settled()
    expect(seen.toSorted()).toEqual(['d0 flush', 'd0 ring', 'd3 flush', 'd3 ring'])
    held!.complete(IoStatus.Success)
    await writing
    expect(seen.slice(4).toSorted()).toEqual(['d0 data', 'd3 data'])
    await disk.close()
    await rig.stop()
  })

  it('sends no FLUSH to members that have none', async () => {
    const disks = newDisks()
    for (const disk of disks) disk.served = [IoType.Read, IoType.Write]
    const rig = await Rig.start(...disks)
    await rig.create('raid5', disks, { superblock: true })
    await using disk = await rig.host.open('Raid0', { write: true })
    for (const one of disks) one.seen.length = 0
    await disk.write(pattern(BLOCK_BYTES, 22), 0)
    expect(disks.map(({ seen }) => seen.filter(type => type !== IoType.Read))).toEqual([[IoType.Write, IoType.Write], [], [], [IoType.Write, IoType.Write]])
    await disk.close()
    await rig.stop()
  })

  it('shares its FLUSH with those that come meanwhile', async () => {
    const disks = newDisks()
    const rig = await filled(disks, pattern(ARRAY_BYTES, 23))
    await using disk = await rig.host.open('Raid0', { write: true })
    const rings: BdevIo[] = []
    let first: BdevIo | undefined
    for (const one of disks) {
      one.holds = io => {
        if (!isRing(io)) return false
        rings.push(io)
        if (first !== undefined) return false
        first = io
        return true
      }
    }
    // One in each stripe: none waits for another.
    const writes = [...Array(8).keys()].map(stripe => disk.write(pattern(24 * BLOCK_BYTES, stripe), stripe * 24 * BLOCK_BYTES))
    await rig.until('the first', () => first !== undefined)
    await rig.settled()
    for (const one of disks) one.seen.length = 0
    first!.thread.execMsg(carryOut, first!)
    await Promise.all(writes)
    // That one, and all others together.
    expect(rings).toHaveLength(2 * disks.length)
    for (const { seen } of disks) expect(seen.filter(type => type === IoType.Flush).length).toBeLessThanOrEqual(2)
    await disk.close()
    await rig.stop()
  })

  it('goes on without a member that fails its ring, after the superblocks say so', async () => {
    const disks = newDisks()
    const all = pattern(ARRAY_BYTES, 24)
    const rig = await filled(disks, all)
    disks[1]!.fails = io => (isRing(io) ? IoStatus.Failed : undefined)
    const data = pattern(24 * BLOCK_BYTES, 25)
    await using disk = await rig.host.open('Raid0', { write: true })
    await disk.write(data, 0)
    all.set(data)
    expect(rig.raidInfo()).toMatchObject({ num_base_bdevs_discovered: 3 })
    expect(same(await readAll(rig), all)).toBe(true)
    await disk.close()
    await rig.stop()
  })

  it('fails where a second member fails its ring, and nothing of it is in place', async () => {
    const disks = newDisks()
    const all = pattern(ARRAY_BYTES, 26)
    const rig = await filled(disks, all)
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd1' })
    disks[0]!.fails = io => (isRing(io) ? IoStatus.Failed : undefined)
    await using disk = await rig.host.open('Raid0', { write: true })
    expect(await failureOf(disk.write(pattern(24 * BLOCK_BYTES, 27), 0))).toMatchObject({ code: 'EIO' })
    disks[0]!.fails = null
    expect(same(await readAll(rig), all)).toBe(true)
    // The place in the ring is free again.
    const data = pattern(24 * BLOCK_BYTES, 28)
    await disk.write(data, 0)
    all.set(data)
    const power = new Power(disks, 0)
    const left = power.remains(() => true).filter(({ name }) => name !== 'd1')
    await disk.close()
    await power.clear(rig)
    const again = await Rig.start(...left)
    expect(same(await readAll(again), all)).toBe(true)
    await again.stop()
  })

  it('is sent again where a RESET ends its way to a ring', async () => {
    const disks = newDisks()
    const rig = await filled(disks, pattern(ARRAY_BYTES, 29))
    let ring: BdevIo | undefined
    let reset: BdevIo | undefined
    disks[0]!.holds = io => {
      if (isRing(io) && ring === undefined) ring = io
      else if (io.type === IoType.Reset) reset = io
      else return false
      return true
    }
    await using disk = await rig.host.open('Raid0', { write: true })
    const data = pattern(BLOCK_BYTES, 30)
    const writing = disk.write(data, 0)
    await rig.until('the ring', () => ring !== undefined)
    const resetting = disk.reset()
    await rig.until('the reset', () => reset !== undefined)
    ring!.complete(IoStatus.Aborted)
    await rig.settled()
    reset!.complete(IoStatus.Success)
    await resetting
    await writing
    expect(rig.raidInfo()).toMatchObject({ num_base_bdevs_discovered: 4 })
    expect(same(await disk.read(0, BLOCK_BYTES), data)).toBe(true)
    await disk.close()
    await rig.stop()
  })

  it('ends where the array is deleted while it is on its way to the rings', async () => {
    const disks = newDisks()
    const rig = await filled(disks, pattern(ARRAY_BYTES, 31))
    const held: BdevIo[] = []
    for (const disk of disks) disk.holds = io => isRing(io) && held.push(io) > 0
    const disk = await rig.host.open('Raid0', { write: true })
    const writes = [0, 30, 60].map(at => disk.write(pattern(BLOCK_BYTES, at), at * BLOCK_BYTES).catch(() => undefined))
    await rig.until('the rings', () => held.length >= 2)
    const deleting = rig.rpc('bdev_raid_delete', { name: 'Raid0' })
    await rig.settled()
    for (const one of disks) one.holds = null
    for (const io of held) io.complete(IoStatus.Success)
    await Promise.all(writes)
    await disk.close()
    await deleting
    expect(rig.raidInfo()).toBeUndefined()
    await rig.stop()
  })
})

describe('a ring', () => {
  /** Writes block after block, `count` times, and says what the array is then. */
  async function writeMany(rig: Rig, count: number, all: Uint8Array): Promise<void> {
    await using disk = await rig.host.open('Raid0', { write: true })
    for (let n = 0; n < count; n++) {
      const at = (n * 5) % (3 * DATA_BLOCKS - 4)
      const data = pattern(4 * BLOCK_BYTES, 1000 + n)
      all.set(data, at * BLOCK_BYTES)
      await disk.write(data, at * BLOCK_BYTES)
    }
    await disk.close()
  }

  it('is used over and over, and a crash at any lap finds what counts', async () => {
    const disks = newDisks()
    const all = pattern(ARRAY_BYTES, 40)
    const rig = await filled(disks, all)
    // 1024 blocks, of which a write takes some six: several laps.
    for (const count of [150, 260, 700]) {
      await writeMany(rig, count, all)
      const power = new Power(copies(disks), 0)
      expect(same(await foundWithout(power.remains(() => true), count % 4), all), `after ${count} more`).toBe(true)
    }
    await rig.stop()
  })

  it('is emptied, and power goes in the middle of that, after any I/O', { timeout: 60_000 }, async () => {
    // Two stripes of 64 KiB strips: four writes fill half of a ring.
    const stripeBytes = 3 * 64 * 1024
    const random = randomFrom(46)
    let emptied = 0
    for (let after = 0, done = false; !done; after += 1 + random(2)) {
      const disks = Array.from({ length: 4 }, (_, i) => new Disk(`d${i}`, DATA_AT + 256))
      const rig = await Rig.start(...disks)
      await rig.create('raid5', disks, { superblock: true, strip_size_kb: 64 })
      await rig.until('its first resync', () => rig.raidInfo()?.process === undefined)
      const disk = await rig.host.open('Raid0', { write: true })
      const versions = Array.from({ length: 8 }, (_, n) => pattern(stripeBytes, 300 + n))
      const write = (n: number): Promise<void> => disk.write(versions[n]!, (n % 2) * stripeBytes)
      for (let n = 0; n < 3; n++) await write(n)
      const power = new Power(disks, after)
      let acknowledged = 2
      const writing = (async () => {
        for (let n = 3; n < 8; n++) {
          await write(n)
          acknowledged = n
        }
      })().then(() => true, () => true)
      await rig.until('the writes or the dark', async () => power.off || (await Promise.race([writing, Promise.resolve(false)])))
      await rig.settled()
      done = !power.off
      if (power.records > 0) emptied++
      for (const keep of [() => after % 2 === 0, () => random(2) === 0]) {
        const again = await Rig.start(...power.remains(keep))
        await again.rpc('bdev_raid_remove_base_bdev', { name: `d${random(4)}` })
        await using found = await again.host.open('Raid0')
        for (const stripe of [0, 1]) {
          const bytes = await found.read(stripe * stripeBytes, stripeBytes)
          const version = versions.findIndex(one => same(one, bytes))
          const last = acknowledged % 2 === stripe ? acknowledged : acknowledged - 1
          expect([last, last + 2], `after ${after} I/O, stripe ${stripe}, ${acknowledged} acknowledged`).toContain(version)
        }
        await found.close()
        await again.stop()
      }
      await power.clear(rig)
      await disk.close()
    }
    expect(emptied).toBeGreaterThan(10)
  })

  it('is not emptied before what it has is in place: writes that find it full wait', async () => {
    const stripeBytes = 3 * 64 * 1024
    const disks = Array.from({ length: 4 }, (_, i) => new Disk(`d${i}`, DATA_AT + 256))
    const rig = await Rig.start(...disks)
    await rig.create('raid5', disks, { superblock: true, strip_size_kb: 64 })
    await rig.until('its first resync', () => rig.raidInfo()?.process === undefined)
    const power = new Power(disks, Infinity)
    const { holds } = disks[0]!
    let held: BdevIo | undefined
    disks[0]!.holds = io => {
      if (held !== undefined || !isInPlace(io)) return holds!(io)
      held = io
      return true
    }
    const disk = await rig.host.open('Raid0', { write: true })
    let done = 0
    const slow = disk.write(pattern(stripeBytes, 1), 0)
    await rig.until('its way in place', () => held !== undefined)
    const others = (async () => {
      for (; done < 12; done++) await disk.write(pattern(stripeBytes, 10 + done), stripeBytes)
    })()
    await rig.until('a full ring', () => done >= 6)
    for (let turn = 0; turn < 5; turn++) await rig.settled()
    expect(done).toBeLessThan(8)
    expect(power.records).toBe(0)
    held!.thread.execMsg(carryOut, held!)
    await slow
    await others
    expect(power.records).toBeGreaterThanOrEqual(8)
    expect(same(await disk.read(0, stripeBytes), pattern(stripeBytes, 1))).toBe(true)
    expect(same(await disk.read(stripeBytes, stripeBytes), pattern(stripeBytes, 21))).toBe(true)
    await disk.close()
    await rig.stop()
  })

  it('that cannot be emptied fails the writes that find it full, and none hangs', async () => {
    const disks = newDisks()
    const rig = await filled(disks, pattern(ARRAY_BYTES, 41))
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd3' })
    const { journalA: { offsetBytes: first }, journalB: { offsetBytes: last } } = RECORD_PLACES
    disks[0]!.fails = io => (io.type === IoType.Write && io.offsetBlocks >= first / BLOCK_BYTES && io.offsetBlocks <= last / BLOCK_BYTES ? IoStatus.Failed : undefined)
    await using disk = await rig.host.open('Raid0', { write: true })
    let failed = 0
    for (let n = 0; n < 120; n++) await disk.write(pattern(24 * BLOCK_BYTES, n), (n % 8) * 24 * BLOCK_BYTES).catch(() => failed++)
    expect(failed).toBeGreaterThan(0)
    expect(rig.log.some(line => line.includes('the journal cannot be emptied') && line.includes('d0'))).toBe(true)
    disks[0]!.fails = null
    const data = pattern(24 * BLOCK_BYTES, 42)
    await disk.write(data, 0)
    expect(same(await disk.read(0, data.length), data)).toBe(true)
    await disk.close()
    await rig.stop()
  })

  it('of a member that left and came back counts for nothing', async () => {
    const disks = newDisks()
    const all = pattern(ARRAY_BYTES, 43)
    const rig = await filled(disks, all)
    await writeMany(rig, 10, all)
    const old = copies(disks)[2]!
    await rig.unplug(disks[2]!)
    await writeMany(rig, 30, all)
    await rig.plug(old)
    await rig.rebuilt()
    await writeMany(rig, 5, all)
    const left = [disks[0]!, disks[1]!, old, disks[3]!]
    for (const missing of [0, 1, 2, 3]) expect(same(await foundWithout(copies(left), missing), all), `without slot ${missing}`).toBe(true)
    await rig.stop()
  })

  it('that a member does not get, because it is pulled, costs the array nothing', async () => {
    const disks = newDisks()
    const all = pattern(ARRAY_BYTES, 45)
    const rig = await filled(disks, all)
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd1' })
    const fresh = new Disk('fresh', DATA_AT + DATA_BLOCKS)
    await rig.plug(fresh)
    let held: BdevIo | undefined
    fresh.holds = io => io.type === IoType.Write && held === undefined && (held = io) !== undefined
    const adding = rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'fresh' })
    await rig.until('its record', () => held !== undefined)
    const pulling = rig.unplug(fresh)
    await rig.settled()
    held!.thread.execMsg(carryOut, held!)
    await adding
    await pulling
    expect(rig.raidInfo()).toMatchObject({ state: 'online', num_base_bdevs_discovered: 3 })
    expect(same(await readAll(rig), all)).toBe(true)
    await rig.stop()
  })

  it('whose record is broken is told of, and what that may cost', async () => {
    const { disks } = await crashed(pattern(ARRAY_BYTES, 44))
    for (const kind of ['journalA', 'journalB'] as const) disks[1]!.bytes.fill(0xff, RECORD_PLACES[kind].offsetBytes, RECORD_PLACES[kind].offsetBytes + 4096)
    const rig = await Rig.start(...disks)
    expect(rig.raidInfo()).toMatchObject({ state: 'online' })
    expect(rig.log.find(line => line.startsWith('error'))).toContain('the journal of "d1" is not readable: after a crash redundancy may not fit the data in places')
    await rig.stop()
  })
})

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
    expect(rig.log.find(line => line.startsWith('error'))).toMatch(
      /^error raid: raid bdev "Raid0": it does not start: a crash interrupted writes in up to 1 of its \d+ regions, and slots 1 are missing: what they had there may read wrong; set start_dirty_degraded by bdev_raid_set_options to accept that$/)
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

describe('operations of several threads', () => {
  it('share stripes and batches', async () => {
    const disks = newDisks()
    const all = pattern(ARRAY_BYTES, 80)
    const rig = await filled(disks, all)
    const threads = [rig.host.appThread, rig.host.createThread('second'), rig.host.createThread('third')]
    const desc = rig.own.openBdev('Raid0', { write: true, onEvent: () => {} })
    const blocks = ARRAY_BYTES / BLOCK_BYTES
    // Each block has one writer, each stripe has all three.
    await Promise.all(threads.map((thread, n) => new Promise<void>((resolve, reject) => {
      thread.sendMsg(() => {
        const channel = desc.getIoChannel()!
        let block = n
        const next = (): void => {
          if (block >= blocks) {
            channel.put()
            resolve()
            return
          }
          const data = pattern(BLOCK_BYTES, 8000 + block)
          all.set(data, block * BLOCK_BYTES)
          const rc = channel.writeBlocks(data, 0, block, 1, (io, success) => {
            io.free()
            if (success) next()
            else reject(new Error(`block ${block} could not be written`))
          }, null)
          if (rc !== 0) reject(new Error(`block ${block}: ${rc}`))
          block += threads.length
        }
        next()
      }, undefined)
    })))
    const left = copies(disks)
    for (const missing of [0, 1, 2, 3]) expect(same(await foundWithout(copies(left), missing), all), `without slot ${missing}`).toBe(true)
    desc.close()
    await rig.stop()
  })
})
