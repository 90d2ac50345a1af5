// SPDX-License-Identifier: Apache-2.0
// The rings of members: emptied, full, stale and broken.
import { IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import { RECORD_PLACES } from '../src/own-record.js'
import { ARRAY_BYTES, BLOCK_BYTES, copies, crashed, DATA_AT, DATA_BLOCKS, filled, foundWithout, isInPlace, newDisks, readAll, same } from './journal-support.js'
import { randomFrom } from './model.js'
import { Power } from './power.js'
import { carryOut, Disk, pattern, Rig } from './support.js'

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
    const isRecord = ({ type, offsetBlocks: at }: BdevIo): boolean => type === IoType.Write && at >= first / BLOCK_BYTES && at <= last / BLOCK_BYTES
    disks[0]!.fails = io => (isRecord(io) ? IoStatus.Failed : undefined)
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
