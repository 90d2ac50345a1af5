// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { parameterTables } from '@bdevkit/conformance'
import { bdevInfoJson, createHost, type Host } from '@bdevkit/core'
import { defineBdevModule, IoStatus, IoType, type Bdev, type BdevHost } from '@bdevkit/module-sdk'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import split from '../src/index.js'
import { planSplit } from '../src/vbdev-split.js'

let host: Host
let base: BdevHost
let handlers: Record<string, (params: object) => Promise<unknown>>

const bases = defineBdevModule({
  name: 'bases',
  sdk: '0.1',
  setup(own) {
    base = own
    return {}
  },
})

function addBase(name: string, numBlocks = 65_536, blockSizeBytes = 512, uuid = '5eed0000-0000-4000-8000-000000000011'): Bdev {
  const device = base.registerIoDevice({ name, createChannel: () => null })
  const fn = {
    destruct: () => device.unregister(),
    ioTypeSupported: (_ctx: unknown, type: number) => type === IoType.Read || type === IoType.Write || type === IoType.NvmeIo,
    getIoChannel: () => device.getIoChannel(),
    submitRequest: (_channel: null, io: { complete(status: number): void }) => io.complete(IoStatus.Success),
  }
  return base.registerBdev({ name, ctx: null, fn, productName: 'Base', uuid, blockSizeBytes, numBlocks })
}

beforeEach(async () => {
  host = createHost({ log: () => {} })
  host.use(split)
  host.use(bases)
  await host.init()
  handlers = host.modules.find(({ name }) => name === 'split')!.instance.handlers as typeof handlers
})
afterEach(() => host.finish())

const create = async (params: object): Promise<unknown> => handlers['bdev_split_create']!(params)
const remove = async (base_bdev: string): Promise<unknown> => handlers['bdev_split_delete']!({ base_bdev })

/** Settles when a bdev of that name is there, or gone. */
async function until(name: string, there: boolean): Promise<void> {
  while ((host.bdevByName(name) !== undefined) !== there) await new Promise(resolve => setImmediate(resolve))
}

describe('split', () => {
  it('cuts a base into equal parts with the names, UUIDs and info that SPDK gives them', async () => {
    addBase('PT0')
    expect(await create({ base_bdev: 'PT0', split_count: 4 })).toEqual(['PT0p0', 'PT0p1', 'PT0p2', 'PT0p3'])
    const parts = ['PT0p0', 'PT0p1', 'PT0p2', 'PT0p3'].map(name => bdevInfoJson(host.bdevByName(name)!))
    // From a real SPDK's bdev_get_bdevs of the same base.
    expect(parts.map(({ uuid }) => uuid)).toEqual([
      '59d798b2-6030-5a4f-a2d6-79ca6dede909',
      '4e9730ea-7492-59df-b57d-ce6272975178',
      '87c8930d-4002-551f-a585-6330df0df5e4',
      'af90cfe3-a9c7-5ab7-945d-ea3d33c09e29',
    ])
    expect(parts[3]).toMatchObject({
      product_name: 'Split Disk', num_blocks: 16_384, driver_specific: { split: { base_bdev: 'PT0', offset_blocks: 49_152 } },
    })
    expect((parts[0]!['supported_io_types'] as Record<string, boolean>)['nvme_io']).toBe(false)
  })

  it('makes parts of a given size, as many as fit, and none where none fits', async () => {
    addBase('Malloc1', 8192, 4096)
    expect(await create({ base_bdev: 'Malloc1', split_count: 2, split_size_mb: 8 })).toEqual(['Malloc1p0', 'Malloc1p1'])
    expect(host.bdevByName('Malloc1p1')).toMatchObject({ numBlocks: 2048 })
    await remove('Malloc1')
    expect(await create({ base_bdev: 'Malloc1', split_count: 9, split_size_mb: 16 })).toHaveLength(2)
    await remove('Malloc1')
    expect(await create({ base_bdev: 'Malloc1', split_count: 2, split_size_mb: 100 })).toEqual([])
  })

  it.each([
    [{ split_count: 0 }, "Failed to create 0 split bdevs from 'B': Invalid argument"],
    [{ split_count: 70_000 }, "Failed to create 70000 split bdevs from 'B': Invalid argument"],
  ])('refuses %j as SPDK does, and remembers nothing', async (params, rpcMessage) => {
    addBase('B')
    await expect(create({ base_bdev: 'B', ...params })).rejects.toMatchObject({ rpcCode: -32602, rpcMessage })
    expect(await create({ base_bdev: 'B', split_count: 1 })).toEqual(['Bp0'])
  })

  it('refuses a size that is no multiple of the block size, a second split, and a claimed base', async () => {
    addBase('B', 4096, 3 * 512)
    await expect(create({ base_bdev: 'B', split_count: 1, split_size_mb: 1 })).rejects.toMatchObject({ rpcMessage: /Invalid argument/ })
    await create({ base_bdev: 'B', split_count: 2 })
    await expect(create({ base_bdev: 'B', split_count: 2 })).rejects.toMatchObject({ rpcMessage: /File exists/ })
    await expect(remove('nope')).rejects.toMatchObject({ rpcCode: -32602 })
    await remove('B')
    const writer = await host.open('B', { write: true })
    await expect(create({ base_bdev: 'B', split_count: 2 })).rejects.toMatchObject({ rpcMessage: /Cannot allocate memory/ })
    await writer.close()
    expect(host.bdevByName('Bp0')).toBeUndefined()
  })

  it('waits for its base, goes with it and comes back with it, and is saved meanwhile', async () => {
    expect(await create({ base_bdev: 'B', split_count: 2 })).toEqual([])
    expect(host.configJson()).toContainEqual({ method: 'bdev_split_create', params: { base_bdev: 'B', split_count: 2, split_size_mb: 0 } })
    addBase('B')
    await until('Bp1', true)
    await base.unregisterBdev('B')
    expect(host.bdevByName('Bp0')).toBeUndefined()
    addBase('B')
    await until('Bp1', true)
    await remove('B')
    expect(host.bdevs.map(({ name }) => name)).toEqual(['B'])
  })

  it('plans parts that lie within the base and beside each other, whatever it is asked', () => {
    const size = fc.record({ blockSizeBytes: fc.constantFrom(512, 520, 4096, 4160), numBlocks: fc.integer({ min: 0, max: 1e9 }) })
    fc.assert(
      fc.property(size, fc.nat(), fc.oneof(fc.constant(0), fc.nat()), (bdev, count, sizeMib) => {
        const plan = planSplit(bdev, count, sizeMib)
        if (typeof plan === 'string') return
        expect(plan.count * plan.numBlocks).toBeLessThanOrEqual(bdev.numBlocks)
        expect(plan.numBlocks).toBeGreaterThan(0)
        expect(plan.count).toBeLessThanOrEqual(count)
      }),
    )
  })

  it('has its parameters in its README', () => {
    expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(parameterTables(split))
  })
})
