// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import { parameterTables } from '@bdevkit/conformance'
import { bdevInfoJson } from '@bdevkit/core'
import { ERRNO, IO_TYPE_NAMES, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { DmaBuffer } from '@bdevkit/module-sdk'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import crypto from '../src/index.js'
import { KEY, KEY2, opensslXts, Rig, turns } from './support.js'

const { Success, Failed, Aborted, NvmeError } = IoStatus
const block = (fill: number, count = 1): Uint8Array => new Uint8Array(512 * count).fill(fill)

let rig: Rig
beforeEach(async () => {
  rig = await new Rig().start()
  rig.key()
  rig.addBase('Base0', { uuid: '87c8930d-4002-551f-a585-6330df0df5e4' })
})
afterEach(() => rig.stop())

describe('I/O', () => {
  it('passes on UNMAP, FLUSH and RESET, writes zeroes as data, and refuses everything else', async () => {
    await rig.create()
    const { channel } = rig
    const ends = await Promise.all([
      rig.submit(cb => channel.unmapBlocks(0, 8, cb, null)),
      rig.submit(cb => channel.flushBlocks(0, 8, cb, null)),
      rig.submit(cb => channel.writeZeroesBlocks(8, 8, cb, null)),
    ])
    expect(ends.map(({ status }) => status)).toEqual([Success, Success, Success])
    expect((await rig.submit(cb => channel.reset(cb, null))).status).toBe(Success)
    expect(rig.seen).toEqual([IoType.Unmap, IoType.Flush, IoType.Write, IoType.Reset])
    const zeroes = opensslXts('encrypt', block(0, 8), { key: KEY, key2: KEY2, mode: 'SIMPLE_LBA', blockSizeBytes: 512, lba: 8 })
    expect(Buffer.compare(rig.disk.subarray(8 * 512, 16 * 512), zeroes)).toBe(0)
    expect(channel.abort({}, () => {}, null)).toBe(-ERRNO.ENOTSUP)
  })

  it('takes a WRITE of any length, cut to what one buffer of the pool holds', async () => {
    await rig.create()
    const bufferBlocks = Math.floor(rig.host.iobuf.largeBufBytes / 512)
    expect((await rig.write(7, block(5, 1000))).status).toBe(Success)
    expect(rig.seen).toEqual(new Array(Math.ceil(1000 / bufferBlocks)).fill(IoType.Write))
    const plain = { key: KEY, key2: KEY2, mode: 'SIMPLE_LBA', blockSizeBytes: 512, lba: 7 } as const
    expect(Buffer.compare(rig.disk.subarray(7 * 512, 1007 * 512), opensslXts('encrypt', block(5, 1000), plain))).toBe(0)
  })

  it('declares what SPDK\'s does on a base that serves everything', async () => {
    await rig.create()
    const bdev = rig.host.bdevByName('Crypto0')!
    const served = IO_TYPE_NAMES.filter((_, type) => bdev.ioTypeSupported(type))
    expect(served).toEqual(['read', 'write', 'unmap', 'flush', 'reset', 'write_zeroes'])
    expect(bdev.lendsReadBuffers).toBe(false)
    expect(rig.channel.readvBlocks([], 0, 0, 1, () => {}, null)).toBe(-ERRNO.EINVAL)
  })

  it('keeps what the base said, with its detail, and gives the buffer back', async () => {
    await rig.create()
    rig.hold = true
    const ends = [rig.write(0, block(1)), rig.read(0, block(0)), rig.write(1, block(1)), rig.read(1, block(0))]
    await turns()
    expect(rig.held).toHaveLength(4)
    expect(rig.host.usage().iobufs).toBe(2)
    for (const io of rig.held.splice(0)) {
      if (io.offsetBlocks === 0) io.completeNvme(0, 2, 0x81)
      else io.complete(Failed)
    }
    const [write, read, ...plain] = await Promise.all(ends)
    expect([write, read]).toEqual([{ status: NvmeError, nvme: [2, 0x81], errno: 0 }, { status: NvmeError, nvme: [2, 0x81], errno: 0 }])
    expect(plain.map(({ status }) => status)).toEqual([Failed, Failed])
    expect(rig.host.usage()).toMatchObject({ iobufs: 0, bdevIos: 0 })
  })

  it('RESET ends after the I/O that is still being encrypted or decrypted', async () => {
    await rig.create()
    const order: string[] = []
    // More than one batch of them: the base has answered all before the last one is decrypted.
    const reads = Array.from({ length: 64 }, () => rig.read(0, block(0, 256)).then(({ status }) => order.push(`read ${status}`)))
    const own = block(3, 256)
    const write = rig.write(512, own).then(({ status }) => order.push(`write ${status}`))
    const reset = rig.submit(cb => rig.channel.reset(cb, null)).then(({ status }) => order.push(`reset ${status}`))
    await Promise.all([...reads, write, reset])
    expect(order.at(-1)).toBe(`reset ${Success}`)
    expect(order.filter(line => line === `read ${Success}`)).toHaveLength(64)
    // The base was being reset when the encrypted data came: it was not taken, or it was all there.
    expect([`write ${Aborted}`, `write ${Success}`]).toContain(order.find(line => line.startsWith('write')))
    expect((await rig.write(0, own)).status).toBe(Success)
  })

  it('RESET fails as that of the base does', async () => {
    await rig.create()
    rig.resetStatus = Failed
    expect((await rig.submit(cb => rig.channel.reset(cb, null))).status).toBe(Failed)
  })
})

describe('scarcity', () => {
  it('waits where the base has no memory, and goes on', async () => {
    await rig.create()
    rig.nomem = 3
    expect((await rig.write(5, block(7))).status).toBe(Success)
    const back = block(0)
    expect((await rig.read(5, back)).status).toBe(Success)
    expect(Buffer.compare(back, block(7))).toBe(0)
  })

  it('lets a WRITE wait for a buffer to encrypt into, and a RESET end the wait', async () => {
    const { iobuf } = rig.host
    await rig.create()
    const taken: DmaBuffer[] = []
    for (;;) {
      const entry = { fn: () => {}, arg: null }
      const buffer = iobuf.get(512, entry)
      if (buffer !== undefined) taken.push(buffer)
      else {
        iobuf.cancel(entry)
        break
      }
    }
    const aborted = rig.write(0, block(1))
    await turns()
    expect(rig.host.usage().iobufWaiters).toBe(1)
    expect((await rig.submit(cb => rig.channel.reset(cb, null))).status).toBe(Success)
    expect((await aborted).status).toBe(Aborted)
    const waiting = rig.write(0, block(2))
    await turns()
    expect(rig.seen).toEqual([IoType.Reset])
    iobuf.put(taken.pop()!)
    expect((await waiting).status).toBe(Success)
    for (const buffer of taken) iobuf.put(buffer)
  })
})

describe('control plane', () => {
  it('shows and saves what SPDK does, and has the UUID that SPDK derives', async () => {
    expect(await rig.create()).toBe('Crypto0')
    const info = bdevInfoJson(rig.host.bdevByName('Crypto0')!)
    expect(info).toMatchObject({ product_name: 'crypto', uuid: '942897fc-8dc7-5516-b462-fa861fc7b35e', block_size: 512, num_blocks: 1024 })
    expect(JSON.stringify(info['driver_specific'])).toBe('{"crypto":{"base_bdev_name":"Base0","name":"Crypto0","key_name":"key0"}}')
    const calls = rig.host.configJson().filter(({ method }) => method === 'bdev_crypto_create')
    expect(JSON.stringify(calls)).toBe(
      '[{"method":"bdev_crypto_create","params":{"base_bdev_name":"Base0","name":"Crypto0","key_name":"key0"}}]',
    )
  })

  it('refuses with SPDK\'s codes and remembers nothing', async () => {
    await expect(rig.create({ key_name: 'nope' })).rejects.toMatchObject({ rpcCode: -32602, rpcMessage: 'Key was not found' })
    await expect(rig.create({ key_name: undefined })).rejects.toMatchObject({ rpcCode: -32603, rpcMessage: 'No key was found' })
    const writer = await rig.host.open('Base0', { write: true })
    await expect(rig.create()).rejects.toMatchObject({ code: 'EPERM' })
    await writer.close()
    rig.host.keys.destroy('key0')
    rig.key()
    await rig.create()
    await expect(rig.create()).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(rig.create({ base_bdev_name: 'nope' })).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(rig.create({ name: 'Crypto1' })).rejects.toMatchObject({ code: 'EPERM' })
    await expect(rig.call('bdev_crypto_delete', { name: 'nope' })).rejects.toMatchObject({ code: 'ENODEV' })
    await expect(rig.call('bdev_crypto_delete', { name: 'Base0' })).rejects.toMatchObject({ code: 'ENODEV' })
  })

  it('refuses a base whose blocks cannot be cut into data units with EINVAL', async () => {
    const odd = await new Rig(520, 64).start()
    odd.key()
    odd.key('incr', KEY, KEY2, 'INCR_512_UPPER_LBA')
    odd.addBase()
    await expect(odd.create()).rejects.toMatchObject({ code: 'EINVAL', message: expect.stringContaining('520') })
    await expect(odd.create({ key_name: 'incr' })).rejects.toMatchObject({ code: 'EINVAL' })
    expect(odd.host.configJson().filter(({ method }) => method === 'bdev_crypto_create')).toEqual([])
    odd.host.keys.destroy('incr')
    await odd.stop()
  })

  it('shows no metadata, and refuses a base with protection information', async () => {
    rig.addBase('Md0', { mdSizeBytes: 16 })
    await rig.create({ base_bdev_name: 'Md0' })
    expect(rig.host.bdevByName('Crypto0')).toMatchObject({ mdSizeBytes: 0, mdInterleave: false, difType: 0 })
    expect((await rig.write(1, block(4))).status).toBe(Success)
    rig.addBase('Dif0', { mdSizeBytes: 8, difType: 1 })
    await expect(rig.create({ name: 'Crypto1', base_bdev_name: 'Dif0' })).rejects.toMatchObject({ code: 'ENOTSUP' })
  })

  it('holds its key until it is deleted, while its base is away, too', async () => {
    await rig.create({ base_bdev_name: 'Later' })
    const busy = { code: 'EBUSY', message: expect.stringContaining('crypto bdev "Crypto0"') }
    const destroy = async (): Promise<void> => rig.host.keys.destroy('key0')
    await expect(destroy()).rejects.toMatchObject(busy)
    rig.addBase('Later')
    await turns()
    expect(rig.host.bdevByName('Crypto0')).toBeDefined()
    await rig.own.unregisterBdev('Later')
    expect(rig.host.bdevByName('Crypto0')).toBeUndefined()
    await expect(destroy()).rejects.toMatchObject(busy)
    rig.addBase('Later')
    await turns()
    expect((await rig.write(0, block(1))).status).toBe(Success)
    rig.close()
    expect(await rig.call('bdev_crypto_delete', { name: 'Crypto0' })).toBe(true)
    await destroy()
  })

  it('follows the size of its base', async () => {
    await rig.create()
    const grown = new Promise<number>(resolve => {
      const desc = rig.host.openBdev('Crypto0', {
        onEvent({ bdev }) {
          resolve(bdev.numBlocks)
          desc.close()
        },
      })
    })
    rig.own.notifyBlockcntChange(rig.host.bdevByName('Base0')!, 4096)
    expect(await grown).toBe(4096)
  })

  it('makes a key of SPDK\'s obsolete parameters, saves it by name, and destroys it with the bdev', async () => {
    const legacy = { key_name: undefined, cipher: 'AES_XTS', key: KEY, key2: KEY2, crypto_pmd: 'crypto_aesni_mb' }
    await rig.create(legacy)
    expect(rig.host.keys.has('Crypto0_AES_XTS')).toBe(true)
    const saved = { base_bdev_name: 'Base0', name: 'Crypto0', key_name: 'Crypto0_AES_XTS' }
    expect(rig.host.configJson()).toContainEqual({ method: 'bdev_crypto_create', params: saved })
    await rig.write(3, block(9))
    const wanted = opensslXts('encrypt', block(9), { key: KEY, key2: KEY2, mode: 'SIMPLE_LBA', blockSizeBytes: 512, lba: 3 })
    expect(Buffer.compare(rig.disk.subarray(3 * 512, 4 * 512), wanted)).toBe(0)
    rig.close()
    await rig.call('bdev_crypto_delete', { name: 'Crypto0' })
    expect(rig.host.keys.has('Crypto0_AES_XTS')).toBe(false)
    await expect(rig.create({ ...legacy, base_bdev_name: 'Base0', key: KEY2 })).rejects.toMatchObject({ rpcMessage: 'No key was found' })
    await rig.create({ ...legacy, base_bdev_name: 'Later' })
    await expect(rig.create({ ...legacy, name: 'Other', cipher: undefined })).rejects.toMatchObject({ rpcMessage: 'No key was found' })
    expect(rig.host.keys.keysJson().map(({ name }) => name)).toEqual(['key0', 'Crypto0_AES_XTS'])
  })

  it('shows no byte of a key in messages, errors, bdev_get_bdevs, or when an object is printed', async () => {
    const legacy = { key_name: undefined, cipher: 'AES_XTS', key: KEY, key2: KEY2 }
    const failures = await Promise.all(
      [{ key: `${KEY}00` }, { key: 'zz'.repeat(16), key2: KEY2 }, { key2: KEY }, { cipher: 'AES_CBC' }].map(bad =>
        rig.create({ ...legacy, ...bad }).then(() => null, (thrown: unknown) => thrown),
      ),
    )
    expect(failures).not.toContain(null)
    await rig.create(legacy)
    await rig.write(0, block(1))
    const bdev = rig.host.bdevByName('Crypto0')!
    const printed = [failures, bdev, rig.host].map(object => inspect(object, { depth: 6 }))
    const shown = [...rig.log, JSON.stringify(bdevInfoJson(bdev)), ...printed].join('\n')
    expect(rig.log.length).toBeGreaterThan(0)
    for (const secret of [KEY, KEY2, 'zz'.repeat(16)]) {
      expect(shown).not.toContain(secret)
      expect(shown.replaceAll(/[\s,]/g, '')).not.toContain([...Buffer.from(secret, 'hex')].join('') || secret)
    }
  })

  it('has its parameters in its README', () => {
    expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(parameterTables(crypto))
  })
})
