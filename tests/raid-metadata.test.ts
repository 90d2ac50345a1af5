// SPDX-License-Identifier: Apache-2.0
// Arrays of members with metadata and protection information; and the conformance kit on a stack of three modules.
import { createHost, type Host } from '@bdevkit/core'
import { DifFlag, type BdevIo, type DescChannel, type DifContextSpec, type Iov } from '@bdevkit/module-sdk'
import malloc from '@bdevkit/modules-malloc'
import raid from '@bdevkit/modules-raid'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const MEMBERS = ['m0', 'm1', 'm2']
const BLOCKS = 4096
const MD = 16
const STRIP_BLOCKS = 16
let host: Host
let log: string[]

beforeEach(async () => {
  log = []
  host = createHost({ strict: true, log: (level, source, message) => void log.push(`${level} ${source}: ${message}`) })
  for (const module of [malloc, raid]) host.use(module)
  await host.init()
})
afterEach(() => host.finish())

async function rpc(method: string, params: object): Promise<unknown> {
  const module = host.modules.find(({ instance }) => method in (instance.handlers ?? {}))!
  return (module.instance.handlers as Record<string, (params: object) => unknown>)[method]!(params)
}

const info = async (): Promise<{ state: string; num_base_bdevs_discovered: number; process?: object }> =>
  (await rpc('bdev_raid_get_bdevs', { category: 'all' }) as never[])[0]!

function bytesFrom(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0, x = seed | 1; i < length; i++) {
    x = Math.imul(x, 1_664_525) + 1_013_904_223
    bytes[i] = x >>> 24
  }
  return bytes
}

/** Submits on a raw channel and answers the status. */
function submit(start: (channel: DescChannel, cb: (io: BdevIo) => void) => number): Promise<number> {
  return new Promise((resolve, reject) => {
    host.appThread.execMsg(() => {
      const desc = host.openBdev('Raid0', { write: true, onEvent: () => undefined })
      const channel = desc.getIoChannel()!
      const rc = start(channel, io => {
        resolve(io.status)
        io.free()
        channel.put()
        desc.close()
      })
      if (rc === 0) return
      channel.put()
      desc.close()
      reject(new Error(`errno ${-rc}`))
    }, null)
  })
}

const write = (data: Uint8Array, md: Uint8Array | null, at: number, count: number): Promise<number> =>
  submit((channel, cb) => channel.writeBlocksWithMd(data, 0, md, 0, at, count, cb, null))
const read = (data: Uint8Array, md: Uint8Array | null, at: number, count: number): Promise<number> =>
  submit((channel, cb) => channel.readBlocksWithMd(data, 0, md, 0, at, count, cb, null))

const createMembers = async (md: object, names = MEMBERS): Promise<void> => {
  for (const name of names) await rpc('bdev_malloc_create', { name, num_blocks: BLOCKS, block_size: 512, md_size: MD, ...md })
}
const createRaid = (level: string, params: object = {}): Promise<unknown> => {
  const strip = level === 'raid1' ? {} : { strip_size_kb: (STRIP_BLOCKS * 512) / 1024 }
  return rpc('bdev_raid_create', { name: 'Raid0', raid_level: level, base_bdevs: MEMBERS, ...strip, ...params })
}

describe.each(['raid0', 'concat', 'raid1', 'raid10', 'raid5f'])('%s', level => {
  it.each([{ interleave: false }, { interleave: true }])('keeps metadata, interleaved: $interleave, degraded and rebuilt, too', async ({ interleave }) => {
    await createMembers({ md_interleave: interleave })
    await createRaid(level, { superblock: true })
    const bdev = host.bdevByName('Raid0')!
    expect(bdev).toMatchObject({ mdSizeBytes: MD, mdInterleave: interleave, blockSizeBytes: interleave ? 512 + MD : 512, dataBlockSizeBytes: 512 })
    const { numBlocks, blockSizeBytes } = bdev
    const data = bytesFrom(1, numBlocks * blockSizeBytes)
    const md = interleave ? null : bytesFrom(2, numBlocks * MD)
    expect(await write(data, md, 0, numBlocks)).toBe(1)
    const holds = async (): Promise<void> => {
      const found = new Uint8Array(data.length)
      const foundMd = md === null ? null : new Uint8Array(md.length)
      expect(await read(found, foundMd, 0, numBlocks)).toBe(1)
      expect(Buffer.compare(found, data)).toBe(0)
      if (md !== null) expect(Buffer.compare(foundMd!, md)).toBe(0)
    }
    await holds()
    if (level === 'raid0' || level === 'concat') return
    await rpc('bdev_raid_remove_base_bdev', { name: 'm1' })
    await holds()
    await createMembers({ md_interleave: interleave }, ['fresh'])
    await rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'fresh' })
    while ((await info()).process !== undefined) await new Promise(resolve => setImmediate(resolve))
    expect(await info()).toMatchObject({ num_base_bdevs_discovered: 3 })
    await rpc('bdev_raid_remove_base_bdev', { name: 'm0' })
    await holds()
  })
})

describe('protection information', () => {
  it.each([
    { interleave: false, type: 1 }, { interleave: true, type: 1 }, { interleave: false, type: 2 },
    { interleave: false, type: 3 }, { interleave: true, type: 3 },
  ])('of type $type, interleaved: $interleave, passes through raid0, its reference tags put over', async ({ interleave, type }) => {
    await createMembers({ md_interleave: interleave, dif_type: type })
    await createRaid('raid0')
    const bdev = host.bdevByName('Raid0')!
    const context = host.accel.dif.context({ ...(bdev as unknown as DifContextSpec), difCheckFlags: bdev.difCheckFlags })
    const count = 5 * STRIP_BLOCKS
    const at = 7 * STRIP_BLOCKS + 3
    const data = bytesFrom(3, count * bdev.blockSizeBytes)
    const md = interleave ? null : bytesFrom(4, count * MD)
    const iovs: Iov[] = [{ buf: data, off: 0, len: data.length }]
    const generate = (refTag: number): void => {
      context.initRefTag = refTag
      if (md === null) host.accel.dif.generate(context, iovs, 1, count)
      else host.accel.dif.dixGenerate(context, iovs, 1, md, 0, count)
    }
    generate(at)
    const before = [data.slice(), md?.slice()]
    expect(await write(data, md, at, count)).toBe(1)
    // What the writer gave is as it was.
    expect([data, md?.slice()]).toEqual([before[0], before[1]])
    const found = new Uint8Array(data.length)
    const foundMd = md === null ? null : new Uint8Array(md.length)
    expect(await read(found, foundMd, at, count)).toBe(1)
    expect(Buffer.compare(found, data)).toBe(0)
    if (md !== null) expect(Buffer.compare(foundMd!, md)).toBe(0)
    if ((bdev.difCheckFlags & DifFlag.ReftagCheck) === 0) return
    generate(at + 1)
    expect(await write(data, md, at, count)).not.toBe(1)
  })

  it.each(['concat', 'raid1', 'raid10', 'raid5f'])('is refused by %s, and by a superblock', async level => {
    await createMembers({ md_interleave: true, dif_type: 1 })
    await expect(createRaid(level)).rejects.toMatchObject({ rpcCode: -22 })
    await expect(createRaid('raid0', { superblock: true })).rejects.toMatchObject({ rpcCode: -22 })
  })

  it('must be the same on all members', async () => {
    await createMembers({ md_interleave: false }, ['m0'])
    await createMembers({ md_interleave: false, dif_type: 1 }, ['m1', 'm2'])
    await expect(createRaid('raid0')).rejects.toMatchObject({ rpcCode: -22 })
  })
})
