// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { parameterTables } from '@bdevkit/conformance'
import { bdevInfoJson, createHost, type Host } from '@bdevkit/core'
import { defineBdevModule, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import nullModule from '../src/index.js'

const uuid = '5eed0000-0000-4000-8000-000000000010'
const small = { name: 'Null0', num_blocks: 204_800, block_size: 512 }

let host: Host
let handlers: Record<string, (params: object) => unknown>

/** A module of its own, for bdevs that are not null bdevs. */
const other = defineBdevModule({
  name: 'other',
  sdk: '0.1',
  setup: own => ({
    moduleInit() {
      const device = own.registerIoDevice({ name: 'other', createChannel: () => null })
      const fn = { destruct() {}, ioTypeSupported: () => false, getIoChannel: () => device.getIoChannel(), submitRequest() {} }
      own.registerBdev({ name: 'Other0', ctx: null, fn, productName: 'Other', blockSizeBytes: 512, numBlocks: 8 })
    },
  }),
})

beforeEach(async () => {
  host = createHost({ log: () => {} })
  host.use(nullModule)
  host.use(other)
  await host.init()
  handlers = host.modules.find(({ name }) => name === 'null')!.instance.handlers as typeof handlers
})
afterEach(() => host.finish())

const create = async (params: object): Promise<unknown> => handlers['bdev_null_create']!(params)
const resize = async (params: object): Promise<unknown> => handlers['bdev_null_resize']!(params)
const remove = async (name: string): Promise<unknown> => handlers['bdev_null_delete']!({ name })

describe('bdev_null_create', () => {
  it.each([
    [{ num_blocks: 0 }],
    [{ block_size: 0 }],
    [{ block_size: 500 }],
    [{ block_size: 513 }],
    [{ physical_block_size: 1000 }],
    [{ md_size: 7 }],
    [{ md_size: 8, dif_type: 9 }],
    [{ md_size: 8, dif_type: -1 }],
    [{ dif_type: 1 }],
    [{ name: '' }],
  ])('refuses %j with EINVAL, as SPDK does', async wrong => {
    await expect(create({ ...small, ...wrong })).rejects.toMatchObject({ code: 'EINVAL' })
    expect(host.bdevByName('Null0')).toBeUndefined()
  })

  it('refuses a taken name and a taken UUID with EEXIST', async () => {
    await create({ ...small, uuid })
    await expect(create(small)).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(create({ ...small, name: 'Null1', uuid })).rejects.toMatchObject({ code: 'EEXIST' })
  })

  it('takes a block size that is no power of two', async () => {
    expect(await create({ ...small, block_size: 1536 })).toBe('Null0')
  })

  it('shows in bdev_get_bdevs what SPDK shows', async () => {
    await create({ ...small, uuid })
    const served = ['read', 'write', 'reset', 'write_zeroes', 'abort']
    expect(bdevInfoJson(host.bdevByName('Null0')!)).toMatchObject({
      aliases: [uuid],
      product_name: 'Null disk',
      block_size: 512,
      num_blocks: 204_800,
      driver_specific: {},
    })
    const types = bdevInfoJson(host.bdevByName('Null0')!)['supported_io_types'] as Record<string, boolean>
    expect(Object.keys(types).filter(type => types[type])).toEqual(served)
  })

  it('is saved with the members of SPDK in their order, after a resize with the new size', async () => {
    await create({ ...small, uuid, preferred_write_granularity: 8, optimal_write_size: 64 })
    await host.waitForExamine()
    await resize({ name: 'Null0', new_size: 200 })
    const saved = host.configJson().find(({ method }) => method === 'bdev_null_create')
    expect(JSON.stringify(saved!.params)).toBe(
      '{"name":"Null0","num_blocks":409600,"block_size":512,"physical_block_size":512,"md_size":0,"dif_type":0,' +
      `"dif_is_head_of_md":false,"dif_pi_format":0,"uuid":"${uuid}","preferred_write_granularity":8,` +
      '"preferred_write_alignment":0,"optimal_write_size":64,"preferred_unmap_granularity":0,"preferred_unmap_alignment":0}',
    )
  })
})

describe('bdev_null_resize', () => {
  it('grows the bdev, whole blocks of the MiB given, also while it is open', async () => {
    await create({ ...small, block_size: 1536 })
    const handle = await host.open('Null0')
    expect(await resize({ name: 'Null0', new_size: 301 })).toBe(true)
    expect(handle.bdev.numBlocks).toBe(Math.floor((301 * 1024 * 1024) / 1536))
    await handle.close()
  })

  it.each([[1], [0], [99]])('refuses %i MiB for a bdev of 100 MiB with EINVAL', async new_size => {
    await create(small)
    await expect(resize({ name: 'Null0', new_size })).rejects.toMatchObject({ code: 'EINVAL' })
    expect(host.bdevByName('Null0')!.numBlocks).toBe(204_800)
  })

  it('refuses an unknown bdev with ENODEV and one of another module with EINVAL', async () => {
    await expect(resize({ name: 'nope', new_size: 1 })).rejects.toMatchObject({ code: 'ENODEV' })
    const message = expect.stringMatching(/module "other"/) as string
    await expect(resize({ name: 'Other0', new_size: 1 })).rejects.toMatchObject({ code: 'EINVAL', message })
  })
})

describe('bdev_null_delete', () => {
  it('refuses an unknown bdev and one of another module with ENODEV', async () => {
    await expect(remove('nope')).rejects.toMatchObject({ code: 'ENODEV' })
    await expect(remove('Other0')).rejects.toMatchObject({ code: 'ENODEV' })
    expect(host.bdevByName('Other0')).toBeDefined()
  })
})

describe('a read without buffers', () => {
  it('borrows zeros of any length, and what is lent stays while longer zeros are lent', async () => {
    await create(small)
    const desc = host.openBdev('Null0', { onEvent() {} })
    const channel = desc.getIoChannel()!
    const held: BdevIo[] = []
    for (const numBlocks of [1, 128, 129, 65_536, 204_800]) {
      await new Promise<void>(resolve => {
        channel.readvBlocks([], 0, 0, numBlocks, (io, success) => {
          const { buf, off, len } = io.iovs[0]!
          expect(success).toBe(true)
          expect(len).toBe(numBlocks * 512)
          expect(host.accel.isZero(buf, off, len)).toBe(true)
          held.push(io)
          resolve()
        }, null)
      })
      const foreign = host.dma.alloc(65_536)!
      host.accel.fill(foreign.buf, foreign.off, 0xff, foreign.len)
    }
    expect(held.every(({ iovs: [lent] }) => host.accel.isZero(lent!.buf, lent!.off, lent!.len))).toBe(true)
    for (const io of held) io.free()
    channel.put()
    desc.close()
  })

  it('leaves no memory behind', async () => {
    await create(small)
    await host.open('Null0').then(handle => handle.close())
    await remove('Null0')
    await host.finish().catch(() => {})
    expect(host.usage()).toMatchObject({ bdevs: 0, channels: 0, bdevIos: 0, dmaBytes: 0 })
    host = createHost({ log: () => {} })
  })
})

it('refuses UNMAP and FLUSH: there is nothing to unmap, nothing to flush', async () => {
  await create(small)
  const bdev = host.bdevByName('Null0')!
  expect([IoType.Unmap, IoType.Flush, IoType.Compare].map(type => bdev.ioTypeSupported(type))).toEqual([false, false, false])
})

it('has its parameters in its README', () => {
  expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(parameterTables(nullModule))
})
