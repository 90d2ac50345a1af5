// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { defineBdevModule, IoStatus, IoType, type BdevHost, type PartBase } from '@bdevkit/module-sdk'
import { createHost, type Host } from '../src/index.js'
import { partUuid } from '../src/part/part-base.js'

const BLOCK = 512
const BLOCKS = 64

/** A host with one RAM bdev "base", and a module that cuts it. */
async function setUp(): Promise<{ host: Host; cutter: BdevHost; bytes: Uint8Array; remove: () => Promise<void> }> {
  const host = createHost({ log: () => {} })
  const bytes = new Uint8Array(BLOCK * BLOCKS)
  let ramHost!: BdevHost
  let cutter!: BdevHost
  host.use(
    defineBdevModule({
      name: 'ram',
      sdk: '0.1',
      setup(moduleHost) {
        ramHost = moduleHost
        const device = moduleHost.registerIoDevice({ name: 'ram', createChannel: () => ({}) })
        return {
          moduleInit() {
            moduleHost.registerBdev({
              name: 'base', productName: 'ram', blockSizeBytes: BLOCK, numBlocks: BLOCKS, ctx: null,
              uuid: '5eed0000-0000-4000-8000-000000000001',
              fn: {
                destruct() {},
                getIoChannel: () => device.getIoChannel(),
                ioTypeSupported: (_ctx, type) => type === IoType.Read || type === IoType.Write || type === IoType.Unmap,
                submitRequest(_channel, io) {
                  const off = io.offsetBlocks * BLOCK
                  const len = io.numBlocks * BLOCK
                  if (io.type === IoType.Read) moduleHost.accel.copyToIovs(io.iovs, io.iovCnt, bytes, off, len)
                  else if (io.type === IoType.Write) moduleHost.accel.copyFromIovs(bytes, off, io.iovs, io.iovCnt, len)
                  else bytes.fill(0, off, off + len)
                  io.complete(IoStatus.Success)
                },
              },
            })
          },
          moduleFini: () => device.unregister(),
        }
      },
    }),
  )
  host.use(
    defineBdevModule({
      name: 'cutter',
      sdk: '0.1',
      setup(moduleHost) {
        cutter = moduleHost
        return {}
      },
    }),
  )
  await host.init()
  return { host, cutter, bytes, remove: () => ramHost.unregisterBdev('base') }
}

const cut = (base: PartBase, name: string, offsetBlocks: number, numBlocks: number) =>
  base.createPart({ name, offsetBlocks, numBlocks, productName: 'part', ctx: name })

describe('parts of a bdev', () => {
  it('part_test: the base stays claimed until the last part is gone, then it is free again', async () => {
    const { host, cutter } = await setUp()
    const base = cutter.openPartBase('base')
    cut(base, 'p0', 0, 32)
    cut(base, 'p1', 32, 32)
    await host.unregister('p0')
    await expect(host.open('base', { write: true })).rejects.toMatchObject({ code: 'EPERM' })
    await host.unregister('p1')
    await using handle = await host.open('base', { write: true })
    expect(handle.bdev.name).toBe('base')
  })

  it('maps each part to its own range of the base, whatever is read, written or unmapped', async () => {
    const { host, cutter, bytes } = await setUp()
    const base = cutter.openPartBase('base')
    cut(base, 'p0', 0, 10)
    cut(base, 'p1', 10, 54)
    await using p1 = await host.open('p1', { write: true })
    await p1.write(new Uint8Array(2 * BLOCK).fill(7), 0)
    expect(bytes.indexOf(7)).toBe(10 * BLOCK)
    expect(bytes.lastIndexOf(7)).toBe(12 * BLOCK - 1)
    expect(await p1.read(BLOCK, BLOCK)).toEqual(new Uint8Array(BLOCK).fill(7))
    await p1.unmap(0, BLOCK)
    expect(bytes.indexOf(7)).toBe(11 * BLOCK)
    await expect(p1.read(54 * BLOCK, BLOCK)).rejects.toMatchObject({ code: 'EINVAL' })
  })

  it('part_construct_ext: the UUID is the given one, or derived from base, offset and length', async () => {
    const { cutter } = await setUp()
    const base = cutter.openPartBase('base')
    const given = base.createPart({ name: 'p0', offsetBlocks: 0, numBlocks: 1, productName: 'part', ctx: 0, uuid: '5eed0000-0000-4000-8000-000000000077' })
    expect(given.uuid).toBe('5eed0000-0000-4000-8000-000000000077')
    expect(cut(base, 'p1', 1, 2).uuid).toBe(partUuid('5eed0000-0000-4000-8000-000000000001', 1, 2))
    // What SPDK v26.09-pre gave to the first two parts of four of a bdev with this UUID.
    expect(partUuid('5eed0000-0000-4000-8000-000000000011', 0, 16384)).toBe('59d798b2-6030-5a4f-a2d6-79ca6dede909')
    expect(partUuid('5eed0000-0000-4000-8000-000000000011', 16384, 16384)).toBe('4e9730ea-7492-59df-b57d-ce6272975178')
  })

  it('refuses a range beyond the base, a taken name and a base open for writing, and leaves nothing behind', async () => {
    const { host, cutter } = await setUp()
    const base = cutter.openPartBase('base')
    expect(() => cut(base, 'p0', 60, 5)).toThrow(/wanted a range within its 64 blocks, found 5 at 60/)
    expect(() => cut(base, 'base', 0, 5)).toThrow(/EEXIST|belongs to/)
    const writer = await host.open('base', { write: true })
    expect(() => cut(base, 'p0', 0, 5)).toThrow(/has the base open for writing/)
    await writer.close()
    expect(cut(base, 'p0', 0, 5).numBlocks).toBe(5)
  })

  it('unregisters its parts when the base goes, under load, and every I/O ends once', async () => {
    const { host, cutter, remove } = await setUp()
    let closed = 0
    const base = cutter.openPartBase('base', { onClosed: () => closed++ })
    cut(base, 'p0', 0, 32)
    cut(base, 'p1', 32, 32)
    const p0 = await host.open('p0', { write: true })
    const pending = Array.from({ length: 20 }, (_, i) => p0.write(new Uint8Array(BLOCK).fill(i), i * BLOCK))
    await Promise.all([remove(), ...pending.map(promise => promise.catch(() => {}))])
    expect(host.bdevs).toHaveLength(0)
    expect(closed).toBe(1)
    expect(host.usage()).toMatchObject({ bdevs: 0, bdevIos: 0, ioWaiters: 0 })
  })
})
