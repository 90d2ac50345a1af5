// SPDX-License-Identifier: Apache-2.0
import { createCipheriv } from 'node:crypto'
import { inspect } from 'node:util'
import type { CryptoKeyParams } from '@bdevkit/module-sdk'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createHost, type Host } from '../src/index.js'

const key = '00112233445566778899aabbccddeeff'
const key2 = 'ffeeddccbbaa99887766554433221100'
const good: CryptoKeyParams = { name: 'k', cipher: 'AES_XTS', key, key2 }

let host: Host
let messages: string[]
beforeEach(async () => {
  messages = []
  host = createHost({ log: (_level, source, message) => messages.push(`${source}: ${message}`) })
  await host.init()
})
afterEach(() => host.finish())

/** How a creation ends: the code and text of its error, or nothing. */
function failure(params: Partial<CryptoKeyParams>): { code: string; message: string } | undefined {
  try {
    host.keys.create({ ...good, ...params })
    return undefined
  } catch (thrown) {
    return thrown as { code: string; message: string }
  }
}

/** An error of that code that says so. */
const refusal = (code: string, text = '') => expect.objectContaining({ code, message: expect.stringContaining(text) })

describe('a crypto key', () => {
  it.each<[string, Partial<CryptoKeyParams>]>([
    ['of 15 bytes', { key: key.slice(2), key2: key2.slice(2) }],
    ['of 24 bytes', { key: key + key.slice(0, 16), key2: key2 + key2.slice(0, 16) }],
    ['of 64 bytes', { key: key.repeat(4), key2: key2.repeat(4) }],
    ['of no bytes', { key: '' }],
    ['of an odd number of digits', { key: key.slice(1) }],
    ['that is no hexadecimal number', { key: 'z'.repeat(32) }],
    ['that looks like a number to a lenient parser', { key: `0x${key.slice(2)}` }],
    ['whose halves differ in length', { key2: key2 + key2 }],
    ['whose halves are equal', { key2: key }],
    ['whose halves are equal but for the case of their digits', { key2: key.toUpperCase() }],
    ['for AES_CBC', { cipher: 'AES_CBC' }],
    ['for a cipher nobody knows', { cipher: 'ROT13' }],
    ['with a tweak mode nobody knows', { tweak_mode: 'FOO' as 'SIMPLE_LBA' }],
  ])('%s is refused with EINVAL, and the refusal does not show it', (_what, params) => {
    const found = failure(params)
    expect(found?.code).toBe('EINVAL')
    expect(host.keys.has('k')).toBe(false)
    for (const text of [params.key, params.key2, key, key2]) {
      if (text !== undefined && text.length > 0) expect(found?.message).not.toContain(text)
    }
  })

  it('without a second half is refused with EINVAL', () => {
    expect(() => host.keys.create({ name: 'k', cipher: 'AES_XTS', key })).toThrow(/key2 is missing/)
  })

  it('of a name that is taken is refused with EEXIST, after everything else was looked at', () => {
    host.keys.create(good)
    expect(failure({})?.code).toBe('EEXIST')
    expect(failure({ key: 'zz' })?.code).toBe('EINVAL')
  })

  it('is answered and saved as it was given, in the order of creation', () => {
    const upper = { name: 'b', cipher: 'AES_XTS', key: key.toUpperCase(), key2, tweak_mode: 'INCR_512_FULL_LBA' } as const
    host.keys.create(upper)
    host.keys.create({ ...good, name: 'a', key: key.repeat(2), key2: key2.repeat(2) })
    expect(host.keys.keysJson()).toEqual([upper, { name: 'a', cipher: 'AES_XTS', key: key.repeat(2), key2: key2.repeat(2) }])
    expect(host.keys.keysJson('b')).toEqual([upper])
    expect(host.keys.configJson()[0]).toEqual({ method: 'accel_crypto_key_create', params: upper })
    expect(() => host.keys.keysJson('c')).toThrow(/there is no crypto key "c"/)
  })

  it('shows its bytes to nothing that prints the host, nor to the log', () => {
    host.keys.create(good)
    const held = host.keys.hold('k', 'crypto bdev "C0"')
    const printed = inspect([host.keys, held, held.channel(512)], { depth: 12, showHidden: true })
    const seen = [printed, JSON.stringify(held), ...messages].join('\n')
    expect(seen).toContain('HeldKey')
    expect(seen).not.toContain(key)
    expect(seen).not.toContain(key2)
  })

  it('is not destroyed while somebody holds it, who is named; afterwards it is', () => {
    host.keys.create(good)
    const [first, second] = [host.keys.hold('k', 'crypto bdev "C0"'), host.keys.hold('k', 'crypto bdev "C1"')]
    expect(() => host.keys.destroy('k')).toThrow(refusal('EBUSY', 'crypto bdev "C0", crypto bdev "C1" use it'))
    first.release()
    first.release()
    expect(() => host.keys.destroy('k')).toThrow(refusal('EBUSY'))
    second.release()
    host.keys.destroy('k')
    expect(host.keys.has('k')).toBe(false)
    expect(() => host.keys.destroy('k')).toThrow(refusal('ENOENT'))
    expect(() => host.keys.hold('k', 'x')).toThrow(refusal('ENOENT'))
    expect(() => first.channel(512)).toThrow(refusal('EBADF'))
  })

  it('refuses blocks that it cannot cut into data units, with EINVAL', () => {
    host.keys.create(good)
    host.keys.create({ ...good, name: 'incr', tweak_mode: 'INCR_512_UPPER_LBA' })
    expect(() => host.keys.hold('k', 'x').channel(520)).toThrow(refusal('EINVAL', 'multiples of 16'))
    expect(() => host.keys.hold('incr', 'x').channel(528)).toThrow(refusal('EINVAL', 'multiples of 512'))
  })

  it('is refused with ENOENT where nothing does AES, and works with a provider of the application', async () => {
    const none = createHost({ log: () => {}, ciphers: null })
    expect(none.keys.available).toBe(false)
    expect(() => none.keys.create(good)).toThrow(refusal('ENOENT'))
    await none.finish()
    const made: number[] = []
    const own = createHost({
      log: () => {},
      ciphers: { createEcb: bytes => (made.push(bytes.length), { update: (data, dst, dstOff) => dst.set(data, dstOff) }) },
    })
    own.keys.create(good)
    expect(made).toEqual([16, 16, 16])
    await own.finish()
  })

  it('encrypts on the thread its channel was made for, and is counted', async () => {
    host.keys.create(good)
    const thread = host.createThread('worker')
    const buffer = host.dma.alloc(1024)!
    buffer.buf.fill(0x5a, buffer.off, buffer.off + 512)
    const iovs = [{ buf: buffer.buf, off: buffer.off, len: 512 }]
    const current = await new Promise<unknown>(resolve => {
      thread.execMsg(() => {
        const channel = host.keys.hold('k', 'test').channel(512)
        channel.encrypt(buffer.buf, buffer.off + 512, iovs, 1, 0, 3, 1, () => resolve(host.currentThread()), null)
      }, undefined)
    })
    expect(current).toBe(thread)
    const tweak = Buffer.alloc(16)
    tweak.writeBigUInt64LE(3n, 8)
    const wanted = createCipheriv('aes-128-xts', Buffer.from(key + key2, 'hex'), tweak).update(Buffer.alloc(512, 0x5a))
    expect(Buffer.from(buffer.buf.slice(buffer.off + 512, buffer.off + 1024)).equals(wanted)).toBe(true)
    expect(host.keys.stats.encrypt).toEqual({ executed: 1, failed: 0, numBytes: 512 })
    host.dma.free(buffer)
    expect(host.usage().dmaBytes).toBe(0)
  })
})
