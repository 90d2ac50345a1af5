// SPDX-License-Identifier: Apache-2.0
// The journal of raid5 on disks that forget, fail and hang: what a crash finds is what the journal promises.
import { IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import { RECORD_PLACES } from '../src/own-record.js'
import { randomFrom } from './model.js'
import { Power } from './power.js'
import { Disk, pattern, Rig } from './support.js'

const BLOCK_BYTES = 512
const MIB = 1024 * 1024
const DATA_AT = MIB / BLOCK_BYTES
const DATA_BLOCKS = 64
/** Strips of 8 blocks: a stripe of 24, eight of them. */
const ARRAY_BYTES = 3 * DATA_BLOCKS * BLOCK_BYTES

const newDisks = (count = 4): Disk[] => Array.from({ length: count }, (_, i) => new Disk(`d${i}`, DATA_AT + DATA_BLOCKS))
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
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
  it.each(WRITES)('of $blocks blocks at block $at: it is there or it is not, whichever member is lost next', async ({ at, blocks }) => {
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

  it('is done again where power goes in its middle, after any I/O', async () => {
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
