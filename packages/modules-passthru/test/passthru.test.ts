// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { parameterTables } from '@bdevkit/conformance'
import { bdevInfoJson, createHost, type Host } from '@bdevkit/core'
import { defineBdevModule, IO_TYPE_NAMES, IoStatus, IoType, type Bdev, type BdevHost } from '@bdevkit/module-sdk'
import { afterEach, beforeEach, expect, it } from 'vitest'
import passthru from '../src/index.js'

const uuid = '5eed0000-0000-4000-8000-000000000001'

let host: Host
let handlers: Record<string, (params: object) => unknown>
/** What the base bdevs were asked to do. */
let received: number[]
let base: BdevHost

const bases = defineBdevModule({
  name: 'bases',
  sdk: '0.1',
  setup(own) {
    base = own
    return {}
  },
})

function addBase(name: string, numBlocks = 2048): Bdev {
  const device = base.registerIoDevice({ name, createChannel: () => null })
  const fn = {
    destruct: () => device.unregister(),
    ioTypeSupported: (_ctx: unknown, type: number) => type !== IoType.Invalid && type !== IoType.Copy,
    getIoChannel: () => device.getIoChannel(),
    submitRequest(_channel: null, io: { type: number; complete(status: number): void }) {
      received.push(io.type)
      io.complete(IoStatus.Success)
    },
  }
  const size = { blockSizeBytes: 4096, numBlocks, physBlockSizeBytes: 8192 }
  const shape = { ...size, writeCache: true, optimalIoBoundaryBlocks: 32, numaId: -1 }
  return base.registerBdev({ name, ctx: null, fn, productName: 'Base', uuid, ...shape })
}

beforeEach(async () => {
  received = []
  host = createHost({ log: () => {} })
  host.use(passthru)
  host.use(bases)
  await host.init()
  handlers = host.modules.find(({ name }) => name === 'passthru')!.instance.handlers as typeof handlers
})
afterEach(() => host.finish())

const create = async (params: object): Promise<unknown> => handlers['bdev_passthru_create']!(params)
const remove = async (name: string): Promise<unknown> => handlers['bdev_passthru_delete']!({ name })
const pt0 = { name: 'PT0', base_bdev_name: 'Base0' }

/** Settles when a bdev of that name is there, or gone. */
async function until(name: string, there: boolean): Promise<void> {
  while ((host.bdevByName(name) !== undefined) !== there) await new Promise(resolve => setImmediate(resolve))
}

it('takes over size, shape and I/O types of its base, and shows what SPDK shows', async () => {
  const below = addBase('Base0')
  expect(await create(pt0)).toBe('PT0')
  const bdev = host.bdevByName('PT0')!
  expect(bdev.geometry()).toEqual(below.geometry())
  const served = (of: Bdev): string[] => IO_TYPE_NAMES.filter((_, type) => of.ioTypeSupported(type))
  expect(served(bdev)).toEqual(served(below))
  expect(served(bdev)).not.toContain('copy')
  expect(bdevInfoJson(bdev)).toMatchObject({
    product_name: 'passthru', numa_id: -1, driver_specific: { passthru: { name: 'PT0', base_bdev_name: 'Base0' } },
  })
})

it('derives its UUID from that of its base in the namespace of SPDK, or takes the one given', async () => {
  addBase('Base0')
  await create(pt0)
  expect(host.bdevByName('PT0')!.uuid).toBe('70da0240-7095-508b-aff0-ee09f7941132')
  await remove('PT0')
  await create({ ...pt0, uuid: '5EED0000-0000-4000-8000-000000000011' })
  expect(host.bdevByName('PT0')!.uuid).toBe('5eed0000-0000-4000-8000-000000000011')
})

it('waits for a base that is not there yet, is saved meanwhile, and appears with it', async () => {
  expect(await create(pt0)).toBe('PT0')
  expect(host.bdevByName('PT0')).toBeUndefined()
  expect(host.configJson()).toContainEqual({ method: 'bdev_passthru_create', params: { ...pt0 } })
  await expect(create(pt0)).rejects.toMatchObject({ code: 'EEXIST' })
  addBase('Base0')
  await until('PT0', true)
})

it('finds its base by UUID, too', async () => {
  await create({ name: 'PT0', base_bdev_name: uuid })
  addBase('Base0')
  await until('PT0', true)
})

it('can be deleted while it waits, and then stays away', async () => {
  await create(pt0)
  expect(await remove('PT0')).toBe(true)
  addBase('Base0')
  await host.waitForExamine()
  expect(host.bdevByName('PT0')).toBeUndefined()
})

it('goes with its base and comes back with it under the same UUID', async () => {
  addBase('Base0')
  await create(pt0)
  const { uuid: before } = host.bdevByName('PT0')!
  await base.unregisterBdev('Base0')
  expect(host.bdevByName('PT0')).toBeUndefined()
  addBase('Base0')
  await until('PT0', true)
  expect(host.bdevByName('PT0')!.uuid).toBe(before)
})

it('follows the size of its base', async () => {
  const below = addBase('Base0')
  await create(pt0)
  await host.waitForExamine()
  const grown = new Promise<number>(resolve => {
    const desc = host.openBdev('PT0', {
      onEvent({ bdev }) {
        resolve(bdev.numBlocks)
        desc.close()
      },
    })
  })
  base.notifyBlockcntChange(below, 4096)
  expect(await grown).toBe(4096)
})

it('refuses a base that another module claims or somebody writes to with EPERM, and forgets the request', async () => {
  addBase('Base0')
  await create(pt0)
  await expect(create({ name: 'PT1', base_bdev_name: 'Base0' })).rejects.toMatchObject({ code: 'EPERM' })
  await remove('PT0')
  const writer = await host.open('Base0', { write: true })
  await expect(create(pt0)).rejects.toMatchObject({ code: 'EPERM' })
  await writer.close()
  expect(await create(pt0)).toBe('PT0')
})

it('refuses to delete what is not a passthru bdev with ENODEV', async () => {
  addBase('Base0')
  await expect(remove('nope')).rejects.toMatchObject({ code: 'ENODEV' })
  await expect(remove('Base0')).rejects.toMatchObject({ code: 'ENODEV' })
})

it('forwards every type, once', async () => {
  addBase('Base0')
  await create(pt0)
  const desc = host.openBdev('PT0', { write: true, onEvent() {} })
  const channel = desc.getIoChannel()!
  const buf = new Uint8Array(4096)
  const iovs = [{ buf, off: 0, len: 4096 }]
  const submit = (start: (cb: (io: { free(): void }, ok: boolean) => void) => number): Promise<boolean> =>
    new Promise((resolve, reject) => {
      const rc = start((io, ok) => {
        io.free()
        resolve(ok)
      })
      if (rc !== 0) reject(new Error(`refused with ${rc}`))
    })
  expect(await submit(cb => channel.readBlocks(buf, 0, 0, 1, cb, null))).toBe(true)
  expect(await submit(cb => channel.writeBlocks(buf, 0, 0, 1, cb, null))).toBe(true)
  expect(await submit(cb => channel.unmapBlocks(0, 1, cb, null))).toBe(true)
  expect(await submit(cb => channel.flushBlocks(0, 1, cb, null))).toBe(true)
  expect(await submit(cb => channel.writeZeroesBlocks(0, 1, cb, null))).toBe(true)
  expect(await submit(cb => channel.comparevBlocks(iovs, 1, 0, 1, cb, null))).toBe(true)
  expect(await submit(cb => channel.reset(cb, null))).toBe(true)
  const { Read, Write, Unmap, Flush, WriteZeroes, Compare, Reset } = IoType
  expect(received).toEqual([Read, Write, Unmap, Flush, WriteZeroes, Compare, Reset])
  channel.put()
  desc.close()
})

it('has its parameters in its README', () => {
  expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(parameterTables(passthru))
})
