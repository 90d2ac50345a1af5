// SPDX-License-Identifier: Apache-2.0
// A small raid5 on four disks, and what tests of its journal do with it.
import { IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { Power } from './power.js'
import { Disk, pattern, Rig } from './support.js'

export const BLOCK_BYTES = 512
export const MIB = 1024 * 1024
export const DATA_AT = MIB / BLOCK_BYTES
export const DATA_BLOCKS = 64
/** Strips of 8 blocks: a stripe of 24, eight of them. */
export const ARRAY_BYTES = 3 * DATA_BLOCKS * BLOCK_BYTES

export const newDisks = (count = 4): Disk[] => Array.from({ length: count }, (_, i) => new Disk(`d${i}`, DATA_AT + DATA_BLOCKS))
export const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
export const RING_AT = DATA_AT / 2
export const isRing = (io: BdevIo): boolean => io.type === IoType.Write && io.offsetBlocks >= RING_AT && io.offsetBlocks < DATA_AT
export const isInPlace = (io: BdevIo): boolean => io.type === IoType.Write && io.offsetBlocks >= DATA_AT

/** A raid5 with `all` on it, flushed and idle. */
export async function filled(disks: readonly Disk[], all: Uint8Array, params: object = {}): Promise<Rig> {
  const rig = await Rig.start(...disks)
  await rig.create('raid5', disks, { superblock: true, ...params })
  await using disk = await rig.host.open('Raid0', { write: true })
  await disk.write(all, 0)
  await disk.close()
  // A clean end empties the rings.
  await rig.stop()
  return Rig.start(...disks)
}

export async function readAll(rig: Rig): Promise<Uint8Array> {
  await using disk = await rig.host.open('Raid0')
  return await disk.read(0, ARRAY_BYTES)
}

/** The array as it is found again without the disk in `missing`: what parity makes of it. */
export async function foundWithout(disks: readonly Disk[], missing: number): Promise<Uint8Array> {
  const rig = await Rig.start(...disks)
  await rig.until('the array is found', () => rig.raidInfo()?.state === 'online')
  await rig.rpc('bdev_raid_remove_base_bdev', { name: disks[missing]!.name })
  const bytes = await readAll(rig)
  await rig.stop()
  return bytes
}

export const copies = (disks: readonly Disk[]): Disk[] => disks.map(disk => {
  const copy = new Disk(disk.name, disk.numBlocks, disk.blockSizeBytes, disk.uuid)
  copy.bytes = disk.bytes.slice()
  return copy
})

/** Each in a stripe of its own: two strips, three, and all four are written. */
export const LOGGED = [{ at: 3, blocks: 2 }, { at: 30, blocks: 10 }, { at: 72, blocks: 24 }]

/** Disks that a crash left with writes in their rings that are not in place: what `filled` has, and three more writes. */
export async function crashed(all: Uint8Array): Promise<{ disks: Disk[]; wanted: Uint8Array }> {
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
