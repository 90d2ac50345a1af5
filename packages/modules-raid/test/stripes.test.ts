// SPDX-License-Identifier: Apache-2.0
// What the levels with parity do with parts of stripes: what they read, what they write, and with whom missing.
import { IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import type { RaidBdev } from '../src/raid-bdev.js'
import { carryOut, Disk, failureOf, pattern, Rig } from './support.js'

const BLOCK = 512
/** Blocks of a strip of 4 KiB. */
const STRIP = 8

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/** An array on disks that held something else, and what is to be on it. */
class ParityArray {
  readonly rig: Rig
  readonly disks: Disk[]
  readonly level: string
  expected: Uint8Array = new Uint8Array(0)
  /** Blocks that members were asked to read. */
  readBlocks = 0
  writtenBlocks = 0

  private constructor(rig: Rig, level: string, disks: Disk[]) {
    this.rig = rig
    this.level = level
    this.disks = disks
  }

  static async make(level: string, numMembers: number, numBlocks = 96): Promise<ParityArray> {
    const disks = Array.from({ length: numMembers }, (_, i) => new Disk(`d${i}`, numBlocks))
    for (const [i, disk] of disks.entries()) disk.bytes = pattern(disk.bytes.length, 100 + i)
    const rig = await Rig.start(...disks)
    await rig.create(level, disks)
    await rig.rebuilt()
    const array = new ParityArray(rig, level, disks)
    array.expected = await array.read(0, rig.host.bdevByName('Raid0')!.numBlocks)
    for (const disk of disks) disk.holds = io => array.#count(io)
    return array
  }

  get numParity(): number {
    return this.level === 'raid6' ? 2 : 1
  }

  get stripeBlocks(): number {
    return STRIP * (this.disks.length - this.numParity)
  }

  async write(at: number, numBlocks: number, seed: number): Promise<void> {
    this.readBlocks = 0
    this.writtenBlocks = 0
    const data = pattern(numBlocks * BLOCK, seed)
    this.expected.set(data, at * BLOCK)
    await using disk = await this.rig.host.open('Raid0', { write: true })
    await disk.write(data, at * BLOCK)
  }

  async read(at: number, numBlocks: number): Promise<Uint8Array> {
    await using disk = await this.rig.host.open('Raid0')
    return disk.read(at * BLOCK, numBlocks * BLOCK)
  }

  async holds(): Promise<boolean> {
    return same(await this.read(0, this.expected.length / BLOCK), this.expected)
  }

  /** Every byte is written: whatever the members held, parity fits. */
  async fill(seed: number): Promise<void> {
    await this.write(0, this.expected.length / BLOCK, seed)
  }

  /** Parity is not known to fit, as before the first resync and after a crash. */
  doubt(): void {
    const raid = this.rig.host.bdevByName('Raid0')!.ctx as RaidBdev
    raid.dirtyMap!.unsync(0, this.expected.length / BLOCK)
  }

  /** Writes of all sizes. */
  async scribble(seed: number): Promise<void> {
    const total = this.expected.length / BLOCK
    for (let i = 0; i < 12; i++) {
      const at = (seed * 7919 + i * 104_729) % total
      const numBlocks = Math.min(total - at, 1 + ((seed + i * 5) % (2 * this.stripeBlocks)))
      await this.write(at, numBlocks, seed + i)
    }
  }

  #count(io: BdevIo): boolean {
    if (io.type === IoType.Read) this.readBlocks += io.numBlocks
    if (io.type === IoType.Write) this.writtenBlocks += io.numBlocks
    return false
  }
}

describe.each(['raid5', 'raid6'])('%s', level => {
  const parities = level === 'raid6' ? 2 : 1

  it('reads whatever is less: the old bytes and parity of what is written, or the other strips', async () => {
    const array = await ParityArray.make(level, 4 + parities)
    await array.fill(1)
    const counts: [number, number, number, number][] = [
      // at, blocks, read, written
      [0, 4 * STRIP, 0, (4 + parities) * STRIP],
      [2, 1, 1 + parities, 1 + parities],
      [0, STRIP, (1 + parities) * STRIP, (1 + parities) * STRIP],
      [STRIP, 3 * STRIP, STRIP, (3 + parities) * STRIP],
      [4, 4 * STRIP - 4, 4, 4 * STRIP - 4 + parities * STRIP],
    ]
    for (const [i, [at, numBlocks, read, written]] of counts.entries()) {
      await array.write(at, numBlocks, 10 + i)
      expect([array.readBlocks, array.writtenBlocks]).toEqual([read, written])
    }
    expect(await array.holds()).toBe(true)
    await array.rig.stop()
  })

  it('makes parity from all data where it is not known to fit', async () => {
    const array = await ParityArray.make(level, 4 + parities)
    array.doubt()
    await array.write(2, 1, 5)
    expect(array.readBlocks).toBe(3)
    await array.rig.rpc('bdev_raid_remove_base_bdev', { name: array.disks[(4 + parities - 1 + 1 + (parities - 1)) % (4 + parities)]!.name })
    // The garbage of before the first resync is nobody's, but what was written is.
    expect(same(await array.read(2, 1), pattern(BLOCK, 5))).toBe(true)
    await array.rig.stop()
  })

  it('finishes a stripe that a reset has ended', async () => {
    const array = await ParityArray.make(level, 3 + parities)
    await array.fill(1)
    const held: BdevIo[] = []
    for (const disk of array.disks) {
      disk.holds = io => {
        if (io.type === IoType.Write) return held.push(io) > 0
        if (io.type === IoType.Reset) for (const one of held.splice(0)) one.complete(IoStatus.Aborted)
        return false
      }
    }
    const written = array.write(1, 2, 2)
    await array.rig.until('the write', () => held.length > 0)
    await using disk = await array.rig.host.open('Raid0', { write: true })
    const reset = disk.reset()
    await array.rig.until('the write, again', () => held.length === 1 + parities)
    for (const one of array.disks) one.holds = null
    for (const one of held) carryOut(one)
    await written
    await reset
    expect(array.rig.raidInfo()).toMatchObject({ state: 'online', num_base_bdevs_discovered: 3 + parities })
    expect(await array.holds()).toBe(true)
    await disk.close()
    await array.rig.stop()
  })

  it('does not make up what is missing from a stripe whose write has failed', async () => {
    const array = await ParityArray.make(level, 2 + parities)
    await array.fill(1)
    const lost = array.disks.slice(0, parities)
    for (const { name } of lost) await array.rig.rpc('bdev_raid_remove_base_bdev', { name })
    expect(await array.holds()).toBe(true)
    // The next member to go is one too many: the write fails, and what it has left of the stripe is no longer believed.
    const before = array.expected.slice()
    const failing = array.disks[parities]!
    failing.fails = io => (io.type === IoType.Write ? IoStatus.Failed : undefined)
    const failures: number[] = []
    for (let at = 0; at < before.length / BLOCK; at += 2) {
      const failed = await failureOf(array.write(at, 2, 3)).then(() => true, () => false)
      if (failed) failures.push(at)
    }
    expect(failures.length).toBeGreaterThan(0)
    failing.fails = null
    for (let at = 0; at < before.length / BLOCK; at++) {
      const found = await array.read(at, 1).catch(() => undefined)
      const old = before.subarray(at * BLOCK, (at + 1) * BLOCK)
      const now = array.expected.subarray(at * BLOCK, (at + 1) * BLOCK)
      expect(found === undefined || same(found, old) || same(found, now)).toBe(true)
    }
    // Written whole it is good again.
    await array.fill(4)
    expect(await array.holds()).toBe(true)
    await array.rig.stop()
  })

  it('is written and read without any members that it can do without, and rebuilt', { timeout: 60_000 }, async () => {
    const numMembers = 2 + 2 * parities
    for (let first = 0; first < numMembers; first++) {
      for (let second = first + 1; second < (parities === 2 ? numMembers : first + 2); second++) {
        const array = await ParityArray.make(level, numMembers)
        await array.fill(1)
        if ((first + second) % 2 === 0) array.doubt()
        const missing = parities === 2 ? [first, second] : [first]
        for (const [i, slot] of missing.entries()) {
          await array.rig.rpc('bdev_raid_remove_base_bdev', { name: `d${slot}` })
          await array.scribble(20 * (first + 1) + second + i)
          expect(await array.holds()).toBe(true)
        }
        for (const slot of missing) {
          const fresh = new Disk(`fresh${slot}`, 96)
          fresh.bytes = pattern(fresh.bytes.length, slot)
          array.disks[slot] = fresh
          await array.rig.plug(fresh)
          await array.rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: fresh.name })
          await array.scribble(500 + slot)
          await array.rig.rebuilt()
          expect(await array.holds()).toBe(true)
        }
        // Now others than before: what was rebuilt is good.
        const others = array.disks.filter((_, slot) => !missing.includes(slot)).slice(0, parities)
        for (const { name } of others) await array.rig.rpc('bdev_raid_remove_base_bdev', { name })
        expect(array.rig.raidInfo()).toMatchObject({ state: 'online', num_base_bdevs_discovered: numMembers - parities })
        expect(await array.holds()).toBe(true)
        await array.rig.stop()
      }
    }
  })

  it('answers what a member cannot read from the others, also within a write, and writes it anew', async () => {
    const array = await ParityArray.make(level, 3 + parities)
    await array.fill(1)
    // As many members as it can do without cannot read a row.
    const bad = new Map(array.disks.slice(1, 1 + parities).map(disk => [disk, new Set([9, 10])]))
    for (const [disk, blocks] of bad) {
      disk.fails = io => {
        for (let block = io.offsetBlocks; block < io.offsetBlocks + io.numBlocks; block++) {
          if (io.type === IoType.Read && blocks.has(block)) return IoStatus.Failed
          if (io.type === IoType.Write) blocks.delete(block)
        }
        return undefined
      }
    }
    for (let at = array.stripeBlocks; at < 2 * array.stripeBlocks; at += STRIP) await array.write(at + 1, 1, at)
    expect(await array.holds()).toBe(true)
    await array.rig.until('repairs', () => [...bad.values()].every(blocks => blocks.size === 0))
    await array.rig.settled()
    expect(await array.holds()).toBe(true)
    expect(array.rig.raidInfo()).toMatchObject({ num_base_bdevs_discovered: 3 + parities })
    await array.rig.stop()
  })

  it('carries out many writes to one stripe one after the other', async () => {
    const array = await ParityArray.make(level, 3 + parities)
    await array.fill(1)
    await Promise.all(Array.from({ length: array.stripeBlocks }, (_, at) => array.write(at, 1, 30 + at)))
    expect(await array.holds()).toBe(true)
    for (const { name } of array.disks.slice(0, parities)) await array.rig.rpc('bdev_raid_remove_base_bdev', { name })
    expect(await array.holds()).toBe(true)
    await array.rig.stop()
  })

  it('carries out writes that wait and follow one another together', async () => {
    const array = await ParityArray.make(level, 3 + parities)
    await array.fill(1)
    await using disk = await array.rig.host.open('Raid0', { write: true })
    let writes = 0
    const held: BdevIo[] = []
    for (const member of array.disks) {
      member.holds = io => {
        if (io.type === IoType.Write) writes++
        return io.type === IoType.Read && writes === 0 && held.push(io) > 0
      }
    }
    const data = pattern(array.stripeBlocks * BLOCK, 8)
    array.expected.set(data)
    const written = Promise.all(Array.from({ length: array.stripeBlocks }, (_, at) => disk.write(data.subarray(at * BLOCK, (at + 1) * BLOCK), at * BLOCK)))
    await array.rig.settled()
    expect(held).toHaveLength(2)
    for (const io of held) io.thread.execMsg(carryOut, io)
    await written
    // The first one, then all others.
    expect(writes).toBe(1 + parities + 3 + parities)
    expect(await array.holds()).toBe(true)
    await disk.close()
    for (const { name } of array.disks.slice(0, parities)) await array.rig.rpc('bdev_raid_remove_base_bdev', { name })
    expect(await array.holds()).toBe(true)
    await array.rig.stop()
  })

  it('carries out writes that wait and do not follow one another each by itself', async () => {
    const array = await ParityArray.make(level, 3 + parities)
    await array.fill(1)
    await using disk = await array.rig.host.open('Raid0', { write: true })
    const held: BdevIo[] = []
    for (const member of array.disks) member.holds = io => held.push(io) > 0
    const places = [0, 9, 3, 4, 2, 20, 4, 13, 1]
    const written = Promise.all(places.map((at, i) => {
      const data = pattern(BLOCK, 60 + i)
      array.expected.set(data, at * BLOCK)
      return disk.write(data, at * BLOCK)
    }))
    await array.rig.settled()
    for (const member of array.disks) member.holds = null
    for (const io of held) io.thread.execMsg(carryOut, io)
    await written
    expect(await array.holds()).toBe(true)
    await disk.close()
    for (const { name } of array.disks.slice(0, parities)) await array.rig.rpc('bdev_raid_remove_base_bdev', { name })
    expect(await array.holds()).toBe(true)
    await array.rig.stop()
  })

  it('has memory for a bounded number of stripes, and makes more writes wait', async () => {
    const disks = Array.from({ length: 3 + parities }, (_, i) => new Disk(`d${i}`, 48 * 2048))
    const rig = await Rig.start(...disks)
    // Strips of 4 MiB: few stripes have room in 64 MiB.
    await rig.create(level, disks, { strip_size_kb: 4096 })
    await rig.rebuilt()
    await using disk = await rig.host.open('Raid0', { write: true })
    const data = pattern(512, 1)
    const stripBlocks = 8192
    const places = Array.from({ length: 12 }, (_, i) => (i * 3 * stripBlocks + i) * 512)
    const held: BdevIo[] = []
    for (const member of disks) member.holds = io => held.push(io) > 0
    const written = Promise.all(places.map(at => disk.write(data, at)))
    await rig.settled()
    const stripes = new Set(held.map(io => Math.floor(io.offsetBlocks / stripBlocks)))
    expect(stripes.size).toBe(Math.floor(64 / (4 * disks.length)))
    for (const member of disks) member.holds = null
    for (const io of held) io.thread.execMsg(carryOut, io)
    await written
    for (const at of places) expect(same(await disk.read(at, 512), data)).toBe(true)
    await disk.close()
    await rig.stop()
  })
})
