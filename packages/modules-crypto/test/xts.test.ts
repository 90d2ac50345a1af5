// SPDX-License-Identifier: Apache-2.0
// What lies on the base is AES-XTS as OpenSSL computes it, and what a real SPDK wrote can be read.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { IoStatus, TWEAK_MODES } from '@bdevkit/module-sdk'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { opensslXts, Rig } from './support.js'

const hex = (bytes: number): fc.Arbitrary<string> =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map(array => Buffer.from(array).toString('hex'))
const keyPair = fc
  .constantFrom(16, 32)
  .chain(bytes => fc.tuple(hex(bytes), hex(bytes)))
  .filter(([key, key2]) => key !== key2)

/** Bytes that differ everywhere, the same for the same seed. */
function noise(seed: number, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  let state = seed | 1
  for (let i = 0; i < lengthBytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    bytes[i] = state >>> 24
  }
  return bytes
}

/** Cuts `bytes` where `cuts`, in parts of a whole, say. */
function cut(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set([0, ...cuts.map(part => Math.floor(part * bytes.length)), bytes.length])].sort((a, b) => a - b)
  return places.slice(1).map((end, i) => bytes.subarray(places[i], end))
}

describe('AES-XTS', () => {
  it('on the base is that of OpenSSL for any key, mode, block size, offset, length and scatter list, and reads back', async () => {
    const sizes = fc.constantFrom(512, 1024, 4096, 528)
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 })
    const io = fc.record({ lba: fc.nat(200), blocks: fc.integer({ min: 1, max: 40 }), cuts, readCuts: cuts, seed: fc.nat() })
    await fc.assert(
      fc.asyncProperty(keyPair, fc.constantFrom(...TWEAK_MODES), sizes, fc.array(io, { minLength: 1, maxLength: 6 }), async ([key, key2], mode, size, ios) => {
        const blockSizeBytes = mode.startsWith('INCR_512') && size === 528 ? 512 : size
        const rig = await new Rig(blockSizeBytes, 256).start()
        try {
          rig.key('key0', key, key2, mode)
          rig.addBase()
          await rig.create()
          const plain = noise(7, rig.disk.length)
          rig.disk.set(opensslXts('encrypt', plain, { key, key2, mode, blockSizeBytes, lba: 0 }))
          // All at once, where they do not overlap: the units of one turn are encrypted together.
          let free = 0
          const writes: Promise<unknown>[] = []
          for (const { lba, blocks, cuts: own, seed } of ios) {
            const start = free + (lba % 8)
            if (start + blocks > 256) break
            free = start + blocks
            const bytes = noise(seed, blocks * blockSizeBytes)
            const kept = bytes.slice()
            plain.set(bytes, start * blockSizeBytes)
            writes.push(rig.write(start, ...cut(bytes, own)).then(ended => {
              expect(ended.status).toBe(IoStatus.Success)
              expect(Buffer.compare(bytes, kept)).toBe(0)
            }))
          }
          await Promise.all(writes)
          expect(Buffer.compare(rig.disk, opensslXts('encrypt', plain, { key, key2, mode, blockSizeBytes, lba: 0 }))).toBe(0)
          await Promise.all(ios.map(async ({ lba, blocks, readCuts }) => {
            const bytes = new Uint8Array(blocks * blockSizeBytes)
            expect((await rig.read(lba, ...cut(bytes, readCuts))).status).toBe(IoStatus.Success)
            expect(Buffer.compare(bytes, plain.subarray(lba * blockSizeBytes, lba * blockSizeBytes + bytes.length))).toBe(0)
          }))
        } finally {
          await rig.stop()
        }
      }),
      { numRuns: Number(process.env['CRYPTO_RUNS'] ?? 40) },
    )
  }, 60_000)

  it('reads what a real SPDK wrote, and writes the same', async () => {
    const image = gunzipSync(readFileSync(new URL('../../../compat/formats/crypto/xts128.img.gz', import.meta.url)))
    const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
    expect(sha256(image)).toBe('b5c4f390f28869417f53379d958d7a71a9b4ca5f5caf5259be491b1372150f7c')
    const rig = await new Rig(512, 2048).start()
    rig.key()
    rig.addBase()
    await rig.create()
    rig.disk.set(image)
    const plain = new Uint8Array(image.length)
    expect((await rig.read(0, plain)).status).toBe(IoStatus.Success)
    expect(sha256(plain)).toBe('9505bac75d8f638a61f915514b16f7da5c6cebb57ff1e22156966cb018f78372')
    rig.disk.fill(0)
    // SPDK got zeroes for 128 of the blocks: those are encrypted, too.
    expect(await rig.submit(cb => rig.channel.writeZeroesBlocks(1024, 128, cb, null))).toMatchObject({ status: IoStatus.Success })
    for (let lba = 0; lba < 2048; lba++) {
      if (lba >= 1024 && lba < 1152) continue
      const block = createHash('sha256').update(`xts128:${lba}`).digest()
      await rig.write(lba, Buffer.concat(new Array<Buffer>(16).fill(block)))
    }
    expect(sha256(rig.disk)).toBe(sha256(image))
    await rig.stop()
  })
})
