// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { Disk, pattern, Rig } from './support.js'

const disks = (count: number, numBlocks = 4096): Disk[] => Array.from({ length: count }, (_, i) => new Disk(`d${i}`, numBlocks))

describe('raid', () => {
  it.each(['raid0', 'concat', 'raid1', 'raid5f'])('%s reads back what was written', async level => {
    const members = disks(3)
    const rig = await Rig.start(...members)
    await rig.create(level, members)
    expect(rig.host.bdevByName('Raid0')).toBeDefined()
    const disk = await rig.host.open('Raid0', { write: true })
    const all = pattern(rig.host.bdevByName('Raid0')!.numBlocks * 512, 1)
    await disk.write(all, 0)
    expect(Buffer.compare(await disk.read(0, all.length), all)).toBe(0)
    await disk.close()
    await rig.stop()
  })
})
