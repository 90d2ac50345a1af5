// SPDX-License-Identifier: Apache-2.0
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { Thread } from '@bdevkit/module-sdk'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { Accel, builtinCiphers, DmaHeap, XtsChannel, XtsEngine, XtsKey } from '../src/index.js'
import type { Iov } from '../src/index.js'
import { accel, heap, MIB } from './support.js'

const SIMPLE_LBA = 0
const JOIN_NEG_LBA_WITH_LBA = 1
const INCR_512_FULL_LBA = 2
const INCR_512_UPPER_LBA = 3

/** Messages of a thread, run by hand: a turn is what stands there when it begins. */
class Turns {
  #messages: (() => void)[] = []
  readonly thread = {
    id: 1,
    name: 'test',
    sendMsg: (fn: (arg: any) => void, arg: unknown) => void this.#messages.push(() => fn(arg)),
  }

  get waiting(): number {
    return this.#messages.length
  }

  turn(): void {
    for (const run of this.#messages.splice(0)) run()
  }

  all(): void {
    while (this.#messages.length > 0) this.turn()
  }
}

const ciphers = builtinCiphers()!
const thrown: unknown[] = []
const engine = new XtsEngine(accel, (_where, what) => thrown.push(what))
let turns: Turns
beforeEach(() => {
  turns = new Turns()
  thrown.length = 0
})

/** The tweak of a data unit, from its description in SPDK's include/spdk/accel_module.h and lib/accel/accel_sw.c. */
function tweakOf(mode: number, unit: number): Buffer {
  const tweak = Buffer.alloc(16)
  const n = BigInt(unit)
  if (mode === JOIN_NEG_LBA_WITH_LBA) {
    tweak.writeBigUInt64LE(n, 0)
    tweak.writeBigUInt64LE(~n & 0x7fff_ffff_ffff_ffffn, 8)
  } else {
    tweak.writeBigUInt64LE(n, mode === INCR_512_FULL_LBA ? 0 : 8)
  }
  return tweak
}

/** XTS as node:crypto does it, unit by unit. */
function expected(
  encrypt: boolean,
  keys: Uint8Array,
  mode: number,
  blockSizeBytes: number,
  offsetBlocks: number,
  data: Uint8Array,
): Buffer {
  const unitBytes = mode >= INCR_512_FULL_LBA ? 512 : blockSizeBytes
  const algorithm = `aes-${keys.length * 4}-xts`
  const units: Buffer[] = []
  for (let at = 0; at < data.length; at += unitBytes) {
    const tweak = tweakOf(mode, (offsetBlocks * blockSizeBytes) / unitBytes + at / unitBytes)
    const cipher = encrypt ? createCipheriv(algorithm, keys, tweak) : createDecipheriv(algorithm, keys, tweak)
    units.push(cipher.update(data.subarray(at, at + unitBytes)))
  }
  return Buffer.concat(units)
}

const keyOf = (keys: Uint8Array, mode: number): XtsKey =>
  new XtsKey(ciphers, keys.subarray(0, keys.length / 2), keys.subarray(keys.length / 2), mode)
const channelOf = (keys: Uint8Array, mode: number, blockSizeBytes: number, of = engine): XtsChannel =>
  new XtsChannel(of, keyOf(keys, mode), blockSizeBytes, turns.thread as unknown as Thread)

const AREA_BYTES = 4 * MIB
const area = heap.alloc(AREA_BYTES, 4096)
const foreign = new Uint8Array(AREA_BYTES)

/** `bytes` cut at `cuts`, in the heap, outside it, or here and there. */
function scatter(bytes: Uint8Array, cuts: readonly number[], places: 'heap' | 'foreign' | 'both', start: number): Iov[] {
  const at = [0, ...[...new Set(cuts.map(cut => cut % (bytes.length + 1)))].sort((a, b) => a - b), bytes.length]
  const iovs: Iov[] = []
  for (let i = 0; i + 1 < at.length; i++) {
    const piece = bytes.subarray(at[i], at[i + 1])
    const inHeap = places === 'heap' || (places === 'both' && i % 2 === 0)
    const [buf, off] = inHeap ? [heap.u8, area + start + at[i] + 3 * i] : [foreign, start + at[i] + 5 * i]
    buf.set(piece, off)
    iovs.push({ buf, off, len: piece.length })
  }
  return iovs
}
const bytesOf = (iovs: readonly Iov[]): Buffer => Buffer.concat(iovs.map(({ buf, off, len }) => buf.slice(off, off + len)))
const dataOf = (lengthBytes: number, seed: number): Uint8Array => {
  const words = new Uint32Array(lengthBytes / 4)
  let x = seed | 1
  for (let i = 0; i < words.length; i++) words[i] = x = Math.imul(x, 1664525) + 1013904223
  return new Uint8Array(words.buffer)
}
const keyBytes = fc.constantFrom(32, 64).chain(n => fc.uint8Array({ minLength: n, maxLength: n }))
const mode = fc.constantFrom(SIMPLE_LBA, JOIN_NEG_LBA_WITH_LBA, INCR_512_FULL_LBA, INCR_512_UPPER_LBA)
const blockSizeBytes = fc.constantFrom(512, 512, 4096, 1024, 65_536)
const offsetBlocks = fc.oneof(
  fc.nat(1000),
  fc.constantFrom(2 ** 31 - 1, 2 ** 32 - 2, 2 ** 32, 2 ** 36 - 3),
  fc.integer({ min: 0, max: 2 ** 36 }),
)
const cuts = fc.oneof(fc.constant([] as number[]), fc.array(fc.nat(), { maxLength: 6 }))
const places = fc.constantFrom('heap' as const, 'foreign' as const, 'both' as const)

describe('AES-XTS', () => {
  it('encrypts what node:crypto encrypts unit by unit, from any buffers into one, and leaves the source alone', () => {
    const request = fc.record({
      offsetBlocks,
      numBlocks: fc.integer({ min: 1, max: 24 }),
      cuts,
      places,
      skip: fc.nat(700),
      toHeap: fc.boolean(),
    })
    fc.assert(
      fc.property(
        keyBytes,
        mode,
        blockSizeBytes,
        fc.array(request, { minLength: 1, maxLength: 5 }),
        fc.integer(),
        (keys, m, block, requests, seed) => {
          const channel = channelOf(keys, m, block)
          const done: [number, number][] = []
          const big = block === 65_536
          const checks = requests.map((r, i) => {
            const numBlocks = big ? Math.min(r.numBlocks, 4) : r.numBlocks
            const data = dataOf(numBlocks * block + Math.ceil(r.skip / 4) * 4, seed + i)
            const iovs = scatter(data, r.cuts, r.places, i * 400_000)
            const [dst, dstOff] = r.toHeap ? [heap.u8, area + 2 * MIB + i * 300_000 + 1] : [foreign, 2 * MIB + i * 300_000 + 1]
            channel.encrypt(
              dst,
              dstOff,
              iovs,
              iovs.length,
              r.skip,
              r.offsetBlocks,
              numBlocks,
              (arg, errno) => done.push([arg, errno]),
              i,
            )
            const plain = data.subarray(r.skip, r.skip + numBlocks * block)
            return () => {
              expect(
                Buffer.compare(dst.slice(dstOff, dstOff + plain.length), expected(true, keys, m, block, r.offsetBlocks, plain)),
              ).toBe(0)
              expect(Buffer.compare(bytesOf(iovs), data)).toBe(0)
            }
          })
          expect(done).toEqual([])
          turns.all()
          expect(done).toEqual(requests.map((_, i) => [i, 0]))
          for (const check of checks) check()
        },
      ),
      { numRuns: 150 },
    )
  })

  it('decrypts in place what node:crypto encrypted, wherever the buffers are cut', () => {
    fc.assert(
      fc.property(
        keyBytes,
        mode,
        blockSizeBytes,
        offsetBlocks,
        fc.integer({ min: 1, max: 24 }),
        cuts,
        places,
        fc.integer(),
        (keys, m, block, lba, n, cut, place, seed) => {
          const numBlocks = block === 65_536 ? Math.min(n, 4) : n
          const plain = dataOf(numBlocks * block, seed)
          const iovs = scatter(expected(true, keys, m, block, lba, plain), cut, place, 0)
          const done: number[] = []
          channelOf(keys, m, block).decrypt(iovs, iovs.length, lba, numBlocks, (_arg, errno) => done.push(errno), null)
          turns.all()
          expect(done).toEqual([0])
          expect(Buffer.compare(bytesOf(iovs), plain)).toBe(0)
        },
      ),
      { numRuns: 150 },
    )
  })

  it('cuts a long request into batches, between which other messages run', () => {
    const keys = dataOf(32, 9)
    const plain = dataOf(MIB, 5)
    heap.u8.set(plain, area)
    const done: number[] = []
    channelOf(keys, SIMPLE_LBA, 512).decrypt(
      [{ buf: heap.u8, off: area, len: MIB }],
      1,
      7,
      MIB / 512,
      (_arg, errno) => done.push(errno),
      null,
    )
    turns.turn()
    expect(done).toEqual([])
    expect(turns.waiting).toBe(1)
    turns.all()
    expect(done).toEqual([0])
    expect(Buffer.compare(heap.u8.slice(area, area + MIB), expected(false, keys, SIMPLE_LBA, 512, 7, plain))).toBe(0)
  })

  it('runs all requests of a turn with one message, and asks the cipher once for many small ones', () => {
    let updates = 0
    const counting = {
      createEcb(key: Uint8Array, direction: 'encrypt' | 'decrypt') {
        const cipher = ciphers.createEcb(key, direction)
        return { update: (data: Uint8Array, dst: Uint8Array, dstOff: number) => (updates++, cipher.update(data, dst, dstOff)) }
      },
    }
    const key = new XtsKey(counting, dataOf(16, 1), dataOf(16, 2), SIMPLE_LBA)
    const channel = new XtsChannel(engine, key, 512, turns.thread as unknown as Thread)
    let done = 0
    for (let i = 0; i < 32; i++) {
      channel.encrypt(
        heap.u8,
        area + MIB + i * 512,
        [{ buf: heap.u8, off: area, len: 512 }],
        1,
        0,
        i,
        1,
        () => void done++,
        null,
      )
    }
    expect(turns.waiting).toBe(1)
    turns.turn()
    expect([done, updates, turns.waiting]).toEqual([32, 2, 0])
  })

  it('lets a callback queue the next request, which runs in the next turn', () => {
    const channel = channelOf(dataOf(64, 3), SIMPLE_LBA, 512)
    const iovs = [{ buf: heap.u8, off: area, len: 512 }]
    let ran = 0
    const again = (): void => {
      if (++ran < 3) channel.decrypt(iovs, 1, ran, 1, again, null)
    }
    channel.decrypt(iovs, 1, 0, 1, again, null)
    for (let turn = 1; turn <= 3; turn++) {
      turns.turn()
      expect(ran).toBe(turn)
    }
    expect(turns.waiting).toBe(0)
  })

  it('fails the requests of a batch with -EIO when the cipher throws, and goes on with later ones', () => {
    let broken = true
    const failing = {
      createEcb(key: Uint8Array, direction: 'encrypt' | 'decrypt') {
        const cipher = ciphers.createEcb(key, direction)
        return {
          update(data: Uint8Array, dst: Uint8Array, dstOff: number) {
            if (broken && direction === 'decrypt') throw new Error('no AES today')
            cipher.update(data, dst, dstOff)
          },
        }
      },
    }
    const channel = new XtsChannel(
      engine,
      new XtsKey(failing, dataOf(16, 1), dataOf(16, 2), SIMPLE_LBA),
      512,
      turns.thread as unknown as Thread,
    )
    const iovs = [{ buf: heap.u8, off: area, len: 512 }]
    const ended: number[] = []
    const failedBefore = engine.decrypted.failed
    channel.decrypt(iovs, 1, 0, 1, (_arg, errno) => ended.push(errno), null)
    channel.decrypt(iovs, 1, 1, 1, (_arg, errno) => ended.push(errno), null)
    turns.all()
    broken = false
    channel.decrypt(iovs, 1, 2, 1, (_arg, errno) => ended.push(errno), null)
    turns.all()
    expect(ended).toEqual([-5, -5, 0])
    expect(engine.decrypted.failed - failedBefore).toBe(2)
    expect(thrown).toHaveLength(1)
  })

  it('reports a callback that throws, and calls the others', () => {
    const channel = channelOf(dataOf(32, 4), SIMPLE_LBA, 512)
    const iovs = [{ buf: heap.u8, off: area, len: 512 }]
    let called = 0
    channel.decrypt(
      iovs,
      1,
      0,
      1,
      () => {
        throw new Error('mine')
      },
      null,
    )
    channel.decrypt(iovs, 1, 0, 1, () => void called++, null)
    turns.all()
    expect([called, thrown.length]).toEqual([1, 1])
  })

  it('refuses ranges that leave their buffers, before anything is queued', () => {
    const channel = channelOf(dataOf(32, 4), SIMPLE_LBA, 512)
    const iov = { buf: heap.u8, off: area, len: 512 }
    const never = (): void => expect.unreachable()
    expect(() => channel.decrypt([iov], 1, 0, 2, never, null)).toThrow(
      /wanted 1024 bytes from byte 0 of 1 iovecs on, found 512/,
    )
    expect(() => channel.decrypt([{ ...iov, off: heap.sizeBytes - 256 }], 1, 0, 1, never, null)).toThrow(RangeError)
    expect(() => channel.decrypt([{ ...iov, off: 0 }], 1, 0, 1, never, null)).toThrow(/the heap/)
    expect(() => channel.decrypt([iov], 1, -1, 1, never, null)).toThrow(RangeError)
    expect(() => channel.decrypt([iov], 1, 0, 0, never, null)).toThrow(RangeError)
    expect(() => channel.encrypt(heap.u8, heap.sizeBytes - 511, [iov], 1, 0, 0, 1, never, null)).toThrow(/destination/)
    expect(() => channel.encrypt(new Uint8Array(511), 0, [iov], 1, 0, 0, 1, never, null)).toThrow(/destination/)
    expect(() => channel.encrypt(heap.u8, area, [iov], 1, 1, 0, 1, never, null)).toThrow(RangeError)
    expect(turns.waiting).toBe(0)
  })

  it('refuses block sizes that are no whole units', () => {
    for (const [m, block] of [
      [SIMPLE_LBA, 520],
      [SIMPLE_LBA, 0],
      [INCR_512_FULL_LBA, 528],
      [INCR_512_UPPER_LBA, 256],
    ] as const) {
      expect(() => channelOf(dataOf(32, 4), m, block)).toThrow(/no whole data units/)
    }
  })

  it('says so when the heap has no room for its working memory', () => {
    const full = new DmaHeap({ sizeBytes: 131_072 })
    full.alloc(1024)
    expect(() => new XtsEngine(new Accel(full), () => {})).toThrow(/dma heap/)
  })
})

describe('a tweak mode and its place in the world', () => {
  const keys = Uint8Array.from({ length: 64 }, (_, i) => i)
  const plain = new Uint8Array(65_536).fill(0x41)
  /** dm-crypt's aes-xts-plain64 with sectors of 512 bytes: the sector number as the first 64 bits, little-endian. */
  const plain64 = Buffer.concat(
    Array.from({ length: 128 }, (_, sector) => {
      const iv = Buffer.alloc(16)
      iv.writeBigUInt64LE(BigInt(sector))
      return createCipheriv('aes-256-xts', keys, iv).update(plain.subarray(sector * 512, sector * 512 + 512))
    }),
  )

  it.each([512, 4096])("INCR_512_FULL_LBA is dm-crypt's aes-xts-plain64, with blocks of %i bytes", block => {
    heap.u8.set(plain, area)
    const iovs = [{ buf: heap.u8, off: area, len: plain.length }]
    channelOf(keys, INCR_512_FULL_LBA, block).encrypt(heap.u8, area + MIB, iovs, 1, 0, 0, plain.length / block, () => {}, null)
    turns.all()
    expect(Buffer.compare(heap.u8.slice(area + MIB, area + MIB + plain.length), plain64)).toBe(0)
  })
})
