// SPDX-License-Identifier: Apache-2.0
// What a crash leaves in the rings, and what becomes of it.
import type { BdevIo } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import { RECORD_PLACES } from '../src/own-record.js'
import { ARRAY_BYTES, BLOCK_BYTES, copies, crashed, DATA_AT, filled, foundWithout, isInPlace, MIB, newDisks, readAll, same } from './journal-support.js'
import { randomFrom } from './model.js'
import { Power } from './power.js'
import { carryOut, Disk, pattern, Rig } from './support.js'

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

  it('takes a rebuild back to the first stripe that it has written', async () => {
    const disks = newDisks()
    const all = pattern(ARRAY_BYTES, 8)
    const rig = await filled(disks, all)
    await rig.rpc('bdev_raid_set_options', { process_window_size_kb: 12 })
    await rig.rpc('bdev_raid_remove_base_bdev', { name: 'd1' })
    const fresh = new Disk('fresh', disks[1]!.numBlocks)
    await rig.plug(fresh)
    let paused = false
    fresh.holds = io => {
      if (isInPlace(io) && io.offsetBlocks >= DATA_AT + 40 && !paused) {
        paused = true
        void rig.rpc('bdev_raid_pause_process', { name: 'Raid0' })
      }
      return false
    }
    await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'fresh' })
    await rig.until('the pause', () => paused)
    await rig.settled()
    // Below the place where it is: logged, and in place nowhere when power goes.
    const members = [disks[0]!, fresh, disks[2]!, disks[3]!]
    const held: BdevIo[] = []
    for (const one of members) one.holds = io => isInPlace(io) && held.push(io) > 0
    const disk = await rig.host.open('Raid0', { write: true })
    const data = pattern(24 * BLOCK_BYTES, 9)
    all.set(data, 24 * BLOCK_BYTES)
    const writing = disk.write(data, 24 * BLOCK_BYTES)
    await rig.until('all is logged', () => held.length === 4)
    const left = copies(members)
    for (const one of members) one.holds = null
    for (const io of held) io.thread.execMsg(carryOut, io)
    await writing
    await disk.close()
    await rig.stop()

    let lowest = Infinity
    left[1]!.holds = io => {
      if (isInPlace(io)) lowest = Math.min(lowest, io.offsetBlocks - DATA_AT)
      return false
    }
    const again = await Rig.start(...left)
    await again.rebuilt()
    expect(lowest).toBe(8)
    await again.stop()
    for (const missing of [0, 1, 2, 3]) expect(same(await foundWithout(copies(left), missing), all), `without slot ${missing}`).toBe(true)
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
