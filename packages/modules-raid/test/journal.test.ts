// SPDX-License-Identifier: Apache-2.0
// Writes of raid5 on their way through the journal, on disks that fail and hang.
import { IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import { ARRAY_BYTES, BLOCK_BYTES, copies, filled, foundWithout, isInPlace, isRing, newDisks, readAll, same } from './journal-support.js'
import { Power } from './power.js'
import { carryOut, failureOf, pattern, Rig } from './support.js'

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
