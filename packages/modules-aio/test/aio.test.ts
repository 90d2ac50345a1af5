// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parameterTables } from '@bdevkit/conformance'
import { bdevInfoJson, createHost, type Host } from '@bdevkit/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import aio from '../src/index.js'

const uuid = '5eed0000-0000-4000-8000-000000000001'
const isRoot = process.getuid?.() === 0
let folder: string
let filename: string
let host: Host
let log: string[]
let handlers: Record<string, (params: object) => unknown>

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bdevkit-aio-'))
  filename = join(folder, 'disk.img')
  writeFileSync(filename, Buffer.alloc(1024 * 1024, 0xab))
  log = []
  host = createHost({ log: (level, _, message) => void log.push(`${level}: ${message}`) })
  host.use(aio)
  await host.init()
  handlers = host.modules.find(({ name }) => name === 'aio')!.instance.handlers as typeof handlers
})
afterEach(async () => {
  if (host.state === 'running') await host.finish()
  rmSync(folder, { recursive: true })
})

const create = async (params: object = {}): Promise<unknown> => handlers['bdev_aio_create']!({ name: 'A', filename, block_size: 512, ...params })
const rescan = async (name = 'A'): Promise<unknown> => handlers['bdev_aio_rescan']!({ name })
const remove = async (name = 'A'): Promise<unknown> => handlers['bdev_aio_delete']!({ name })
const openFiles = (): number => readdirSync('/proc/self/fd').length

/** Settles when a descriptor that is open now has been told of the removal, and has closed. */
function removalOf(name: string): Promise<void> {
  return new Promise(resolve => {
    const onEvent = (): void => {
      desc.close()
      resolve()
    }
    const desc = host.openBdev(name, { onEvent })
  })
}

describe('bdev_aio_create', () => {
  it.each<[string, object, string]>([
    ['a missing file', { filename: '/nonexistent/file' }, 'ENOENT'],
    ['an empty path', { filename: '' }, 'ENOENT'],
    ['a path through a file', { filename: '/etc/hostname/x' }, 'ENOTDIR'],
    ['a directory', { filename: tmpdir() }, 'EISDIR'],
    ['a directory to read', { filename: tmpdir(), readonly: true }, 'EISDIR'],
    ['a character device', { filename: '/dev/zero' }, 'EINVAL'],
    ['a file without block_size', { block_size: 0 }, 'EINVAL'],
    ['block_size 100', { block_size: 100 }, 'EINVAL'],
    ['block_size 511', { block_size: 511 }, 'EINVAL'],
    ['block_size 768', { block_size: 768 }, 'EINVAL'],
    ['a block larger than the file', { block_size: 2 ** 31 }, 'EINVAL'],
    ['fallocate', { fallocate: true }, 'ENOTSUP'],
    ['nowait', { nowait: true }, 'ENOTSUP'],
    ['an empty name', { name: '' }, 'EINVAL'],
  ])('refuses %s with its errno, and leaves no file open', async (_, wrong, code) => {
    const before = openFiles()
    await expect(create(wrong)).rejects.toMatchObject({ code, message: expect.stringMatching(/aio bdev|module "aio"/) as string })
    expect(openFiles()).toBe(before)
    expect(host.usage()).toMatchObject({ bdevs: 0, dmaBytes: 0 })
  })

  it.each([[true], [false]])('refuses a FIFO, and does not wait for its other end (readonly %s)', async readonly => {
    const fifo = join(folder, 'fifo')
    execFileSync('mkfifo', [fifo])
    await expect(create({ filename: fifo, readonly })).rejects.toMatchObject({ code: 'EINVAL' })
  })

  it.each([[513], [1024 * 1024 - 1]])('refuses a file of %i bytes: no multiple of the block size', async bytes => {
    truncateSync(filename, bytes)
    await expect(create()).rejects.toMatchObject({ code: 'EINVAL', message: expect.stringContaining(String(bytes)) as string })
  })

  it.skipIf(isRoot)('refuses a file that it may not write with EACCES, and takes it readonly', async () => {
    chmodSync(filename, 0o444)
    await expect(create()).rejects.toMatchObject({ code: 'EACCES' })
    expect(await create({ readonly: true })).toBe('A')
  })

  it('refuses a taken name and a taken UUID with EEXIST, and leaves no file open', async () => {
    await create({ uuid })
    const before = openFiles()
    await expect(create()).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(create({ name: 'B', uuid })).rejects.toMatchObject({ code: 'EEXIST' })
    expect(openFiles()).toBe(before)
  })

  it('takes one file twice, as SPDK does', async () => {
    await create()
    expect(await create({ name: 'B' })).toBe('B')
    await using a = await host.open('A', { write: true })
    await using b = await host.open('B')
    await a.write(new Uint8Array(512).fill(7), 512)
    expect(new Set(await b.read(512, 512))).toEqual(new Set([7]))
  })

  it('shows in bdev_get_bdevs what SPDK shows, and whether the page cache is passed by', async () => {
    await create({ uuid })
    const { supported_io_types: types, ...info } = bdevInfoJson(host.bdevByName('A')!)
    expect(info).toMatchObject({ product_name: 'AIO disk', block_size: 512, num_blocks: 2048, uuid })
    expect(info['driver_specific']).toEqual({
      aio: { filename, block_size_override: true, readonly: false, fallocate: false, nowait: false, direct: expect.any(Boolean) as boolean },
    })
    expect(Object.entries(types as object).filter(([, served]) => served).map(([type]) => type)).toEqual(['read', 'write', 'flush', 'reset', 'write_zeroes'])
  })

  it('is saved with the members of SPDK in their order, and comes back', async () => {
    await create({ uuid })
    const saved = host.configJson().find(({ method }) => method === 'bdev_aio_create')
    expect(JSON.stringify(saved!.params)).toBe(
      `{"name":"A","block_size":512,"filename":${JSON.stringify(filename)},"readonly":false,"fallocate":false,"uuid":"${uuid}","nowait":false}`,
    )
    await remove()
    expect(await create(saved!.params)).toBe('A')
  })

  it('tells consumers that writes need a FLUSH, and which alignment it likes', async () => {
    await create({ block_size: 4096 })
    expect(host.bdevByName('A')).toMatchObject({ writeCache: true, requiredAlignmentBytes: 4096 })
  })

  it('takes an empty file: a bdev without blocks', async () => {
    truncateSync(filename, 0)
    expect(await create()).toBe('A')
    expect(host.bdevByName('A')!.numBlocks).toBe(0)
  })
})

describe('readonly', () => {
  it('reads, and offers no WRITE', async () => {
    await create({ readonly: true })
    await using disk = await host.open('A', { write: true })
    expect(new Set(await disk.read(0, 4096))).toEqual(new Set([0xab]))
    await expect(disk.write(new Uint8Array(512), 0)).rejects.toMatchObject({ code: 'ENOTSUP' })
    await disk.flush()
    expect(readFileSync(filename).every(byte => byte === 0xab)).toBe(true)
  })
})

describe('bdev_aio_rescan', () => {
  it('takes a new size over and tells who has it open', async () => {
    await create()
    const sizes: number[] = []
    const desc = host.openBdev('A', { onEvent: ({ bdev }) => sizes.push(bdev.numBlocks) })
    truncateSync(filename, 2 * 1024 * 1024)
    expect(await rescan()).toBe(true)
    await using disk = await host.open('A')
    expect(new Set(await disk.read(2 * 1024 * 1024 - 4096, 4096))).toEqual(new Set([0]))
    expect(sizes).toEqual([4096])
    desc.close()
  })

  it('refuses a smaller size with EBUSY while it is open, and takes it then', async () => {
    await create()
    const disk = await host.open('A')
    truncateSync(filename, 512 * 1024)
    await expect(rescan()).rejects.toMatchObject({ code: 'EBUSY' })
    await disk.close()
    expect(await rescan()).toBe(true)
    expect(host.bdevByName('A')!.numBlocks).toBe(1024)
  })

  it('does nothing where nothing has changed', async () => {
    await create()
    expect(await rescan()).toBe(true)
    expect(host.bdevByName('A')!.numBlocks).toBe(2048)
  })

  it('removes a bdev of which nothing is left', async () => {
    await create()
    const gone = removalOf('A')
    truncateSync(filename, 0)
    expect(await rescan()).toBe(true)
    await gone
    await expect.poll(() => host.bdevByName('A')).toBeUndefined()
  })

  it('refuses an unknown bdev with ENODEV', async () => {
    await expect(rescan('nope')).rejects.toMatchObject({ code: 'ENODEV' })
    await expect(remove('nope')).rejects.toMatchObject({ code: 'ENODEV' })
  })
})

describe('a file that changes under it', () => {
  it('fails what lies behind the new end, and only that', async () => {
    await create()
    await using disk = await host.open('A', { write: true })
    truncateSync(filename, 512 * 1024)
    await expect(disk.read(768 * 1024, 4096)).rejects.toMatchObject({ code: 'EIO' })
    await expect(disk.read(510 * 1024, 4096)).rejects.toMatchObject({ code: 'EIO' })
    expect(new Set(await disk.read(0, 4096))).toEqual(new Set([0xab]))
    expect(log.filter(line => line.startsWith('error')).at(-1)).toMatch(/read of ".*disk\.img" at block 1020, 8 blocks: only 2048 bytes: the file is shorter/)
  })

  it('is removed where nothing is left: the I/O that finds it fails with ENODEV', async () => {
    await create()
    const removed = removalOf('A')
    const disk = await host.open('A')
    truncateSync(filename, 0)
    await expect(disk.read(0, 4096)).rejects.toMatchObject({ code: 'ENODEV' })
    await removed
    await disk.close()
    await expect.poll(() => host.bdevByName('A')).toBeUndefined()
    writeFileSync(filename, Buffer.alloc(4096, 1))
    expect(await create()).toBe('A')
  })

  it('works on when its name is deleted, like every open file', async () => {
    await create()
    unlinkSync(filename)
    await using disk = await host.open('A', { write: true })
    await disk.write(new Uint8Array(4096).fill(3), 0)
    await disk.flush()
    expect(new Set(await disk.read(0, 4096))).toEqual(new Set([3]))
    expect(await rescan()).toBe(true)
  })
})

it('closes its file and ends its workers when it is deleted', async () => {
  const before = openFiles()
  await create()
  const disk = await host.open('A', { write: true })
  await disk.write(new Uint8Array(4096), 0)
  await disk.close()
  await remove()
  await host.finish()
  expect(openFiles()).toBeLessThanOrEqual(before)
  expect(host.usage()).toMatchObject({ bdevs: 0, channels: 0, bdevIos: 0, dmaBytes: 0 })
  expect(log.filter(line => /^(error|warn)/.test(line))).toEqual([])
})

it('has its parameters in its README', () => {
  expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(parameterTables(aio))
})
