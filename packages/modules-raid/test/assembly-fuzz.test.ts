// SPDX-License-Identifier: Apache-2.0
// Superblocks that are sound by themselves and lie about the array, of every level: what comes of them holds what is written to
// it and is found again, or nothing comes of them. Nothing hangs, nothing is written outside the members' data.
import { describe, expect, it } from 'vitest'
import { levels } from '../src/levels/index.js'
import { encodeSuperblock, EntryState, parseSuperblock, type Superblock } from '../src/superblock.js'
import { randomFrom } from './model.js'
import { Disk, pattern, Rig } from './support.js'

const MEMBERS = 6
const MEMBER_BLOCKS = 2048 + 512
const SEEDS = 60

/** Numbers that are nearly right, and ones that are far off. */
function odd(random: (below: number) => number, right: number): number {
  const near = [right - 1, right + 1, right * 2, right / 2, 0, 1, 7, 2047, 2049, MEMBER_BLOCKS, 0xffff_ffff, 2 ** 32, 3 * 2 ** 32, 2 ** 48]
  return Math.max(0, Math.floor(near[random(near.length)]!))
}

/** One thing, or several, that is not so. */
function lie(random: (below: number) => number, superblock: Superblock): void {
  const entry = superblock.entries[random(superblock.entries.length)]!
  const lies: (() => void)[] = [
    () => (superblock.level = levels[random(levels.length)]!.number),
    () => (superblock.stripSizeBlocks = Math.min(0xffff_ffff, odd(random, superblock.stripSizeBlocks))),
    () => (superblock.raidSizeBlocks = odd(random, superblock.raidSizeBlocks)),
    () => (superblock.blockSizeBytes = [1, 256, 512, 520, 4096, 2 ** 31][random(6)]!),
    () => (entry.dataOffsetBlocks = odd(random, entry.dataOffsetBlocks)),
    () => (entry.dataSizeBlocks = odd(random, entry.dataSizeBlocks)),
    () => (entry.state = random(5)),
    () => {
      const offset = odd(random, entry.dataOffsetBlocks)
      for (const one of superblock.entries) one.dataOffsetBlocks = offset
    },
    () => {
      const size = odd(random, entry.dataSizeBlocks)
      for (const one of superblock.entries) one.dataSizeBlocks = size
    },
    () => {
      superblock.entries.pop()
      superblock.numMembers = superblock.entries.length
    },
  ]
  for (let count = 1 + random(2); count > 0; count--) lies[random(lies.length)]!()
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/** Whether what was assembled is an array: it holds all of what is written, and again after a restart. */
async function holds(rig: Rig, disks: readonly Disk[]): Promise<void> {
  const bytes = rig.host.bdevByName('Raid0')!.numBlocks * 512
  const all = pattern(bytes, 5)
  await using disk = await rig.host.open('Raid0', { write: true })
  await disk.write(all, 0)
  expect(same(await disk.read(0, bytes), all)).toBe(true)
  await disk.close()
  await rig.settled()
  await rig.stop()
  const again = await Rig.start(...disks)
  await using found = await again.host.open('Raid0')
  expect(same(await found.read(0, bytes), all)).toBe(true)
  await found.close()
  await again.stop()
}

describe('lies of a superblock', () => {
  it.each(levels.map(({ name }) => name))('of %s do no harm', { timeout: 60_000 }, async level => {
    const outcomes = { online: 0, none: 0 }
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = randomFrom(seed)
      const disks = Array.from({ length: MEMBERS }, (_, i) => new Disk(`d${i}`, MEMBER_BLOCKS))
      const rig = await Rig.start(...disks)
      await rig.create(level, disks, { superblock: true })
      await rig.stop()
      const { superblock } = parseSuperblock(disks[0]!.bytes.subarray(0, 4096)) as { superblock: Superblock }
      lie(random, superblock)
      superblock.seqNumber += 10
      for (const disk of disks) disk.bytes.set(encodeSuperblock(superblock))
      const liar = await Rig.start(...disks.toSorted(() => random(3) - 1))
      const online = liar.host.bdevByName('Raid0') !== undefined
      outcomes[online ? 'online' : 'none']++
      try {
        if (online) await holds(liar, disks)
        else await liar.stop()
      } catch (thrown) {
        throw new Error(`seed ${seed}: ${(thrown as Error).message}\n${JSON.stringify(superblock)}\n${liar.log.slice(-6).join('\n')}`, { cause: thrown })
      }
    }
    expect(Math.min(outcomes.online, outcomes.none)).toBeGreaterThan(5)
  })
})

it('the size of a member that comes back is written down anew: what stood there for a missing one need not be true', async () => {
  const disks = Array.from({ length: 2 }, (_, i) => new Disk(`d${i}`, MEMBER_BLOCKS))
  const rig = await Rig.start(...disks)
  await rig.create('raid1', disks, { superblock: true })
  await rig.stop()
  const { superblock } = parseSuperblock(disks[0]!.bytes.subarray(0, 4096)) as { superblock: Superblock }
  Object.assign(superblock.entries[1]!, { state: EntryState.Failed, dataSizeBlocks: 2 ** 33 })
  for (const disk of disks) disk.bytes.set(encodeSuperblock(superblock))
  const liar = await Rig.start(...disks)
  await liar.rebuilt()
  await holds(liar, disks)
})
