// SPDX-License-Identifier: Apache-2.0
// Where each block lies on the members, against straightforward code; ranges without payload; the order of writing down.
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseSuperblock, type Superblock } from '../src/superblock.js'
import { Disk, pattern, Rig } from './support.js'

const BLOCK = 512
const STRIP = 8
const MEMBER = 64
const disks = (sizes: readonly number[]): Disk[] => sizes.map((numBlocks, i) => new Disk(`d${i}`, numBlocks))

/** Every member's bytes for an array with these contents, block by block, as SPDK's sources define the levels, and md's raid10. */
function reference(level: string, members: readonly Disk[], all: Uint8Array): Uint8Array[] {
  const n = members.length
  const out = members.map(({ bytes }) => new Uint8Array(bytes.length))
  const put = (slot: number, at: number, lba: number): void => out[slot]!.set(all.subarray(lba * BLOCK, (lba + 1) * BLOCK), at * BLOCK)
  for (let lba = 0; lba < all.length / BLOCK; lba++) {
    const strip = Math.floor(lba / STRIP)
    if (level === 'raid1') for (let slot = 0; slot < n; slot++) put(slot, lba, lba)
    else if (level === 'raid10') for (const position of [2 * strip, 2 * strip + 1]) put(position % n, Math.floor(position / n) * STRIP + (lba % STRIP), lba)
    else if (level === 'raid0') put(strip % n, Math.floor(strip / n) * STRIP + (lba % STRIP), lba)
    else if (level === 'concat') {
      let slot = 0
      let at = lba
      for (; at >= Math.floor(members[slot]!.numBlocks / STRIP) * STRIP; slot++) at -= Math.floor(members[slot]!.numBlocks / STRIP) * STRIP
      put(slot, at, lba)
    } else {
      const stripe = Math.floor(strip / (n - 1))
      const parity = n - 1 - (stripe % n)
      const others = members.map((_, slot) => slot).filter(slot => slot !== parity)
      const at = stripe * STRIP + (lba % STRIP)
      put(others[strip % (n - 1)]!, at, lba)
      for (let i = 0; i < BLOCK; i++) out[parity]![at * BLOCK + i]! ^= all[lba * BLOCK + i]!
    }
  }
  return out
}

const cases: [string, number[]][] = [
  ['raid0', [MEMBER, MEMBER, MEMBER]],
  ['raid0', [MEMBER]],
  ['raid0', [MEMBER, MEMBER + 5, MEMBER - 3, MEMBER]],
  ['concat', [MEMBER, MEMBER + 5, 20]],
  ['raid1', [MEMBER, MEMBER + 1]],
  ['raid10', [MEMBER, MEMBER + 5, MEMBER, MEMBER]],
  ['raid10', [MEMBER - 3, MEMBER, MEMBER]],
  ['raid10', [MEMBER, MEMBER, MEMBER, MEMBER, MEMBER]],
  ['raid5f', [MEMBER, MEMBER, MEMBER]],
  ['raid5f', [MEMBER, MEMBER + 7, MEMBER, MEMBER, MEMBER]],
]

describe.each(cases)('%s of members of %j blocks', (level, sizes) => {
  it('puts each block where it belongs', async () => {
    const members = disks(sizes)
    const rig = await Rig.start(...members)
    await rig.create(level, members)
    const all = pattern(rig.host.bdevByName('Raid0')!.numBlocks * BLOCK, 1)
    await using disk = await rig.host.open('Raid0', { write: true })
    await disk.write(all, 0)
    const wanted = reference(level, members, all)
    for (const [i, { bytes }] of members.entries()) expect(Buffer.compare(bytes, wanted[i]!)).toBe(0)
    await disk.close()
    await rig.stop()
  })

  it.skipIf(level === 'raid5f')('fans UNMAP and WRITE_ZEROES out to exactly those blocks', async () => {
    const members = disks(sizes)
    const rig = await Rig.start(...members)
    await rig.create(level, members)
    const { numBlocks } = rig.host.bdevByName('Raid0')!
    const all = pattern(numBlocks * BLOCK, 2)
    await using disk = await rig.host.open('Raid0', { write: true })
    await disk.write(all, 0)
    await fc.assert(fc.asyncProperty(fc.nat(numBlocks - 1), fc.nat(numBlocks), fc.boolean(), async (first, length, unmap) => {
      const count = Math.min(length, numBlocks - first)
      all.fill(0, first * BLOCK, (first + count) * BLOCK)
      await (unmap ? disk.unmap(first * BLOCK, count * BLOCK) : disk.writeZeroes(first * BLOCK, count * BLOCK))
      expect(Buffer.compare(await disk.read(0, all.length), all)).toBe(0)
      const again = pattern(count * BLOCK, first + 3)
      all.set(again, first * BLOCK)
      await disk.write(again, first * BLOCK)
    }), { numRuns: 40 })
    await disk.close()
    await rig.stop()
  })

  it('sends a FLUSH to each member that has a part of the range, once', async () => {
    const members = disks(sizes)
    const rig = await Rig.start(...members)
    await rig.create(level, members)
    for (const { seen } of members) seen.length = 0
    await using disk = await rig.host.open('Raid0', { write: true })
    await disk.flush()
    expect(members.map(({ seen }) => seen)).toEqual(members.map(() => [IoType.Flush]))
    await disk.close()
    await rig.stop()
  })
})

it('a write that a member failed is answered when the superblocks of the others say so, and not before', async () => {
  const members = disks([4096, 4096, 4096])
  const rig = await Rig.start(...members)
  await rig.create('raid1', members, { superblock: true })
  const failing = members[1]!
  failing.fails = io => (io.type === IoType.Write ? IoStatus.Failed : undefined)
  const held: (() => void)[] = []
  for (const disk of [members[0]!, members[2]!]) {
    disk.holds = io => {
      if (io.type !== IoType.Write || io.offsetBlocks !== 0) return false
      disk.holds = null
      held.push(() => {
        disk.write(0, new Uint8Array(io.iovs[0]!.buf.subarray(io.iovs[0]!.off, io.iovs[0]!.off + io.iovs[0]!.len)))
        io.thread.execMsg(one => one.complete(IoStatus.Success), io)
      })
      return true
    }
  }
  await using disk = await rig.host.open('Raid0', { write: true })
  let answered = false
  const write = disk.write(pattern(BLOCK, 5), 0).then(() => (answered = true))
  await rig.until('the superblocks', () => held.length === 2)
  await rig.settled()
  expect(answered).toBe(false)
  // Nobody reads it any more: it has the old data.
  failing.seen.length = 0
  for (let i = 0; i < 6; i++) expect(Buffer.compare(await disk.read(0, BLOCK), pattern(BLOCK, 5))).toBe(0)
  expect(failing.seen).not.toContain(IoType.Read)
  for (const release of held) release()
  await write
  const superblock = (parseSuperblock(members[0]!.bytes.subarray(0, 4096)) as { superblock: Superblock }).superblock
  expect(superblock.entries.map(({ state }) => state)).toEqual([1, 2, 1])
  await disk.close()
  await rig.stop()
})

it('reads of raid1 go to the member that has the fewest blocks to read', async () => {
  const members = disks([64, 64, 64])
  const rig = await Rig.start(...members)
  await rig.create('raid1', members)
  const held: number[] = []
  for (const [i, disk] of members.entries()) {
    disk.holds = io => {
      if (io.type !== IoType.Read) return false
      held.push(i)
      return true
    }
  }
  const desc = rig.own.openBdev('Raid0', { onEvent: () => {} })
  const channel = desc.getIoChannel()!
  for (const blocks of [8, 1, 1, 1, 5, 1]) channel.readBlocks(new Uint8Array(blocks * BLOCK), 0, 0, blocks, () => undefined, null)
  expect(held).toEqual([0, 1, 2, 1, 2, 1])
})
