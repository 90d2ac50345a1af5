// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { journalRoomBytes } from '../src/journal/journal-room.js'
import { Disk, Rig } from './support.js'

const KIB = 1024
const MIB = 1024 * KIB

describe('the room before the data', () => {
  it.each([
    [64 * KIB, 16 * MIB, 1 * MIB],
    [64 * KIB, 320 * MIB, 5 * MIB],
    [64 * KIB, 1024 * MIB, 16 * MIB],
    [64 * KIB, 1024 * 1024 * MIB, 16 * MIB],
    [256 * KIB, 16 * MIB, 2.5 * MIB],
    [4096 * KIB, 1024 * MIB, 32.5 * MIB],
  ])('for strips of %i bytes on a member of %i is %i', (strip, member, wanted) => {
    expect(journalRoomBytes(strip, member, false)).toBe(wanted)
    expect(journalRoomBytes(strip, member, true)).toBeLessThanOrEqual(wanted)
  })

  it('is smaller on a member that would be too small with it', async () => {
    // 126 MiB of data behind 1 MiB. A member of 128 MiB has its data at 2 MiB, one of 128 less a block could not.
    const small = [0, 1, 2].map(i => new Disk(`d${i}`, (127 * MIB) / 4096, 4096))
    const more = [new Disk('roomy', (128 * MIB) / 4096, 4096), new Disk('tight', (128 * MIB) / 4096 - 1, 4096)]
    const rig = await Rig.start(...small, ...more)
    await rig.create('raid5', small, { superblock: true, strip_size_kb: 64 })
    for (const [i, { name }] of more.entries()) {
      await rig.rpc('bdev_raid_remove_base_bdev', { name: i === 0 ? 'd1' : 'roomy' })
      await rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: name })
      expect(rig.raidInfo()!.base_bdevs_list[1]!.data_offset).toBe(((2 - i) * MIB) / 4096)
    }
    await rig.stop()
  })
})
