// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { parameterTables } from '@bdevkit/conformance'
import { bdevInfoJson, createHost, type Host } from '@bdevkit/core'
import { IoStatus, IoType, type BdevHost, type BdevIo, type DmaBuffer, type Iov } from '@bdevkit/module-sdk'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { mallocFn, type MallocDisk, type MallocIo, type MallocModule } from '../src/bdev-malloc.js'
import malloc from '../src/index.js'

const uuid = '5eed0000-0000-4000-8000-000000000001'
const size = { num_blocks: 65_536, block_size: 512 }

let host: Host
let handlers: Record<string, (params: object) => unknown>

beforeEach(async () => {
  host = createHost({ log: () => {} })
  host.use(malloc)
  await host.init()
  handlers = host.modules.find(({ name }) => name === 'malloc')!.instance.handlers as typeof handlers
})
afterEach(() => host.finish())

const create = async (params: object): Promise<unknown> => handlers['bdev_malloc_create']!(params)
const remove = async (name: string): Promise<unknown> => handlers['bdev_malloc_delete']!({ name })

describe('bdev_malloc_create', () => {
  it.each([
    [{ num_blocks: 0 }],
    [{ block_size: 0 }],
    [{ block_size: 513 }],
    [{ physical_block_size: 1000 }],
    [{ md_size: 7 }],
    [{ md_size: 8, dif_type: 9 }],
    [{ dif_type: 1 }],
    [{ numa_id: 7 }],
    [{ name: '' }],
  ])('refuses %j with EINVAL, as SPDK does, and keeps no memory', async wrong => {
    await expect(create({ ...size, ...wrong })).rejects.toMatchObject({ code: 'EINVAL' })
    expect(host.usage().dmaBytes).toBe(0)
  })

  it.each([[2 ** 40], [Number.MAX_SAFE_INTEGER]])('refuses %i blocks with ENOMEM', async num_blocks => {
    await expect(create({ ...size, num_blocks })).rejects.toMatchObject({ code: 'ENOMEM' })
  })

  it('refuses a taken name and a taken UUID with EEXIST, and keeps no memory of the refused one', async () => {
    await create({ ...size, name: 'M0', uuid })
    const { dmaBytes } = host.usage()
    await expect(create({ ...size, name: 'M0' })).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(create({ ...size, uuid })).rejects.toMatchObject({ code: 'EEXIST' })
    expect(host.usage().dmaBytes).toBe(dmaBytes)
  })

  it('names bdevs Malloc0, Malloc1, … and passes over names that are taken', async () => {
    await create({ ...size, name: 'Malloc1' })
    expect([await create(size), await create(size)]).toEqual(['Malloc0', 'Malloc2'])
  })

  it('shows in bdev_get_bdevs what SPDK shows', async () => {
    await create({ ...size, name: 'M0', uuid })
    const { supported_io_types: types, ...info } = bdevInfoJson(host.bdevByName('M0')!)
    expect(info).toMatchObject({ product_name: 'Malloc disk', block_size: 512, num_blocks: 65_536, numa_id: -1 })
    expect(info['driver_specific']).toEqual({})
    expect(Object.entries(types as object).filter(([, served]) => served).map(([type]) => type)).toEqual(
      ['read', 'write', 'unmap', 'flush', 'reset', 'write_zeroes', 'zcopy', 'compare', 'abort', 'copy'],
    )
  })

  it('is saved with the members of SPDK in their order', async () => {
    await create({ ...size, name: 'Malloc0', uuid })
    const saved = host.configJson().find(({ method }) => method === 'bdev_malloc_create')
    expect(JSON.stringify(saved!.params)).toBe(
      `{"name":"Malloc0","num_blocks":65536,"block_size":512,"physical_block_size":512,"uuid":"${uuid}",` +
      '"optimal_io_boundary":0,"md_size":0,"dif_type":0,"dif_is_head_of_md":false,"dif_pi_format":0,"numa_id":-1}',
    )
  })

  it('tells consumers that writes need a FLUSH', async () => {
    await create({ ...size, name: 'M0' })
    expect(host.bdevByName('M0')!.writeCache).toBe(true)
  })
})

describe('bdev_malloc_delete', () => {
  it('refuses an unknown bdev with ENODEV', async () => {
    await expect(remove('nope')).rejects.toMatchObject({ code: 'ENODEV' })
  })

  it('gives the memory back, and what takes its place reads zeros', async () => {
    await create({ ...size, name: 'M0' })
    const first = await host.open('M0', { write: true })
    await first.write(new Uint8Array(65_536).fill(0xee), 0)
    await first.close()
    await remove('M0')
    expect(host.usage()).toMatchObject({ bdevs: 0, dmaBytes: 0 })
    await create({ ...size, name: 'M0' })
    const second = await host.open('M0')
    expect((await second.read(0, 65_536)).every(byte => byte === 0)).toBe(true)
    await second.close()
  })
})

/** A disk of three extents, as one that is larger than a memory has; its I/O without a host. */
describe('a disk of several extents', () => {
  const lengths = [1024, 512, 2560]
  const blockSizeBytes = 512
  const numBlocks = lengths.reduce((sum, len) => sum + len, 0) / blockSizeBytes

  function disk(): { submit(type: number, offsetBlocks: number, count: number, iovs: Iov[]): number; bytes(): Buffer } {
    const module = { accel: host.accel } as unknown as MallocModule
    const extents: DmaBuffer[] = lengths.map((len, i) => ({ buf: new Uint8Array(len + 64), off: i * 16, len }))
    const ctx: MallocDisk = { module, extents, buf: extents[0]!.buf, off: extents[0]!.off, len: extents[0]!.len, md: null, stepping: 0 }
    return {
      submit(type, offsetBlocks, count, iovs) {
        let ended: number = IoStatus.Pending
        const bdev = { ctx, blockSizeBytes }
        const complete = (status: number): void => void (ended = status)
        const io = { bdev, type, offsetBlocks, numBlocks: count, iovs, iovCnt: iovs.length, ctx: {}, complete }
        mallocFn.submitRequest(module, io as unknown as BdevIo<MallocIo>)
        return ended
      },
      bytes: () => Buffer.concat(extents.map(({ buf, off, len }) => buf.subarray(off, off + len))),
    }
  }

  const pieces = (bytes: Uint8Array, ...cuts: number[]): Iov[] =>
    [0, ...cuts].map((from, i) => ({ buf: bytes, off: from, len: (cuts[i] ?? bytes.length) - from }))

  it('reads, writes and compares across their ends, whatever the pieces', () => {
    for (let offset = 0; offset < numBlocks; offset++) {
      for (let count = 1; offset + count <= numBlocks; count++) {
        const { submit, bytes } = disk()
        const wanted = Uint8Array.from({ length: count * 512 }, (_, i) => (i * 7 + offset) % 251 + 1)
        const cut = Math.min(700, count * 512 - 1)
        expect(submit(IoType.Write, offset, count, pieces(wanted, 3, cut))).toBe(IoStatus.Success)
        const all = bytes()
        expect(all.subarray(offset * 512, (offset + count) * 512).equals(wanted)).toBe(true)
        expect(all.subarray(0, offset * 512).every(byte => byte === 0)).toBe(true)
        expect(all.subarray((offset + count) * 512).every(byte => byte === 0)).toBe(true)
        const found = new Uint8Array(count * 512)
        expect(submit(IoType.Read, offset, count, pieces(found, 100))).toBe(IoStatus.Success)
        expect(Buffer.compare(found, wanted)).toBe(0)
        expect(submit(IoType.Compare, offset, count, pieces(wanted, cut))).toBe(IoStatus.Success)
        wanted[count * 512 - 1]! ^= 1
        expect(submit(IoType.Compare, offset, count, pieces(wanted, cut))).toBe(IoStatus.Miscompare)
      }
    }
  })

  it.each([IoType.Unmap, IoType.WriteZeroes])('zeroes exactly the range, type %i', type => {
    const { submit, bytes } = disk()
    submit(IoType.Write, 0, numBlocks, pieces(new Uint8Array(numBlocks * 512).fill(9)))
    expect(submit(type, 1, numBlocks - 2, [])).toBe(IoStatus.Success)
    const at = (block: number): number[] => [...new Set(bytes().subarray(block * 512, (block + 1) * 512))]
    expect(Array.from({ length: numBlocks }, (_, block) => at(block))).toEqual([[9], ...new Array(numBlocks - 2).fill([0]), [9]])
  })
})

describe('an UNMAP of much', () => {
  it('lets other I/O pass, ends before a RESET that came later, and zeroes all of it', async () => {
    await create({ name: 'M0', num_blocks: 131_072, block_size: 512 })
    const handle = await host.open('M0', { write: true })
    const ones = new Uint8Array(4096).fill(1)
    const ends = [0, 32 * 1024 * 1024 + 4096, 64 * 1024 * 1024 - 4096]
    for (const at of ends) await handle.write(ones, at)
    const order: string[] = []
    const channel = handle.desc.getIoChannel()!
    await new Promise<void>(resolve => {
      const done = (io: { free(): void }, _success: boolean, what: string): void => {
        io.free()
        if (order.push(what) === 3) resolve()
      }
      channel.unmapBlocks(0, 131_072, done, 'unmap')
      channel.readBlocks(new Uint8Array(512), 0, 0, 1, done, 'read')
      channel.reset(done, 'reset')
    })
    channel.put()
    expect(order).toEqual(['read', 'unmap', 'reset'])
    for (const at of ends) expect((await handle.read(at, 4096)).every(byte => byte === 0)).toBe(true)
    await handle.close()
  })

  it('goes on when the bdev is removed meanwhile', async () => {
    await create({ name: 'M0', num_blocks: 131_072, block_size: 512 })
    const handle = await host.open('M0', { write: true })
    const unmap = handle.unmap(0, 64 * 1024 * 1024)
    const removed = remove('M0')
    await unmap
    await removed
    expect(host.usage()).toMatchObject({ bdevs: 0, channels: 0, bdevIos: 0, dmaBytes: 0 })
  })
})

it('offers to lend its memory only where one extent holds all of it', () => {
  const registered: boolean[] = []
  const extents = [{ buf: new Uint8Array(512), off: 0, len: 512 }, { buf: new Uint8Array(512), off: 0, len: 512 }]
  const fake = {
    dma: { allocBulk: (lengthBytes: number) => extents.slice(0, lengthBytes / 512), freeBulk() {} },
    registerIoDevice: () => ({}),
    bdevByName: () => undefined,
    registerBdev: (spec: { lendsReadBuffers: boolean }) => registered.push(spec.lendsReadBuffers),
  }
  const { handlers: own } = malloc.setup(fake as unknown as BdevHost)
  void own!['bdev_malloc_create']({ name: 'a', num_blocks: 1, block_size: 512 })
  void own!['bdev_malloc_create']({ name: 'b', num_blocks: 2, block_size: 512 })
  expect(registered).toEqual([true, false])
})

it('has its parameters in its README', () => {
  expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(parameterTables(malloc))
})
