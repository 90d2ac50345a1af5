// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CRC32C_INITIAL, crc32cFinal } from '../src/index.js'
import type { Iov } from '../src/index.js'
import * as reference from '../src/reference.js'
import { AREA_BYTES, accel, heap, holds, lengthBytes, place, scramble, seed, skew, snapshot } from './support.js'

/** Three disjoint stretches of an area, so that two operands may share a buffer without touching each other. */
const second = AREA_BYTES
const third = 2 * AREA_BYTES
const flipList = fc.array(fc.nat(), { maxLength: 3 })

describe('each kernel agrees with its reference, in every kind of buffer', () => {
  it('copy: between buffers, and within one over itself', () => {
    fc.assert(
      fc.property(place, place, skew, fc.integer({ min: -300, max: 300 }), lengthBytes, seed, (to, from, at, shift, n, s) => {
        scramble(from, s)
        if (to.buf !== from.buf) scramble(to, s + 1)
        const srcOff = second + at
        const dstOff = srcOff + shift
        // Taken when both are scrambled: a view of the heap and the heap are the same bytes.
        const source = snapshot(from)
        const expected = snapshot(to)
        reference.copy(expected, dstOff, source, srcOff, n)
        accel.copy(to.buf, to.base + dstOff, from.buf, from.base + srcOff, n)
        expect(holds(to, expected)).toBe(true)
      }),
    )
  })

  it('fill: touches its range and nothing beside it', () => {
    fc.assert(
      fc.property(place, skew, lengthBytes, fc.integer({ min: 0, max: 255 }), seed, (to, at, n, value, s) => {
        scramble(to, s)
        const expected = snapshot(to)
        reference.fill(expected, at, value, n)
        accel.fill(to.buf, to.base + at, value, n)
        expect(holds(to, expected)).toBe(true)
      }),
    )
  })

  it('compare: finds the first of the bytes that differ', () => {
    fc.assert(
      fc.property(place, place, skew, skew, lengthBytes, flipList, seed, (p, q, i, j, n, flips, s) => {
        scramble(p, s)
        accel.copy(q.buf, q.base + second + j, p.buf, p.base + i, n)
        if (n > 0) for (const flip of flips) q.buf[q.base + second + j + (flip % n)]! ^= 0x10
        const want = reference.compare(p.buf, p.base + i, q.buf, q.base + second + j, n)
        expect(accel.compare(p.buf, p.base + i, q.buf, q.base + second + j, n)).toBe(want)
      }),
    )
  })

  it('isZero: sees a single bit anywhere, and none outside its range', () => {
    fc.assert(
      fc.property(place, skew, lengthBytes, fc.option(fc.nat()), fc.integer({ min: 0, max: 7 }), (p, at, n, dirty, bit) => {
        accel.fill(p.buf, p.base, 0xff, 3 * AREA_BYTES)
        accel.fill(p.buf, p.base + at, 0, n)
        if (dirty !== null && n > 0) p.buf[p.base + at + (dirty % n)] = 1 << bit
        expect(accel.isZero(p.buf, p.base + at, n)).toBe(dirty === null || n === 0)
      }),
    )
  })

  it('xor: of two ranges, and of a range with itself', () => {
    fc.assert(
      fc.property(place, place, skew, skew, lengthBytes, fc.boolean(), seed, (to, from, i, j, n, same, s) => {
        scramble(from, s)
        if (to.buf !== from.buf) scramble(to, s + 1)
        const [src, srcOff] = same ? [to, i] : [from, second + j]
        const expected = snapshot(to)
        reference.xor(expected, i, same ? expected : snapshot(from), srcOff, n)
        accel.xor(to.buf, to.base + i, src.buf, src.base + srcOff, n)
        expect(holds(to, expected)).toBe(true)
      }),
    )
  })

  it('xorInto: any number of sources, one of which may be the destination', () => {
    const source = fc.record({ from: place, at: skew })
    fc.assert(
      fc.property(
        place, fc.array(source, { minLength: 1, maxLength: 9 }), fc.option(fc.nat()), lengthBytes, seed,
        (to, sources, own, n, s) => {
          for (const p of new Set([to, ...sources.map(({ from }) => from)])) scramble(p, s)
          const iovs: Iov[] = sources.map(({ from, at }, k) => ({
            buf: from.buf, off: from.base + (k % 2 === 0 ? second : third) + at, len: n,
          }))
          if (own !== null) iovs[own % iovs.length] = { buf: to.buf, off: to.base, len: n }
          const expected = snapshot(to)
          reference.xorInto(expected, 0, iovs, iovs.length, n)
          accel.xorInto(to.buf, to.base, iovs, iovs.length, n)
          expect(holds(to, expected)).toBe(true)
        },
      ),
    )
  })

  it('crc32c: from any seed, in one run or cut in two', () => {
    fc.assert(
      fc.property(place, skew, lengthBytes, fc.integer({ min: 0, max: 0xffff_ffff }), fc.nat(), seed, (p, at, n, crc, cut, s) => {
        scramble(p, s)
        const want = reference.crc32c(crc, p.buf, p.base + at, n)
        expect(accel.crc32c(crc, p.buf, p.base + at, n)).toBe(want)
        const first = cut % (n + 1)
        const half = accel.crc32c(crc, p.buf, p.base + at, first)
        expect(accel.crc32c(half, p.buf, p.base + at + first, n - first)).toBe(want)
      }),
    )
  })
})

describe('crc32c', () => {
  /** The check value of the CRC catalogue, then the test vectors of RFC 3720 appendix B.4. */
  const vectors: [string, Uint8Array, number][] = [
    ['"123456789"', new TextEncoder().encode('123456789'), 0xe3069283],
    ['32 zero bytes', new Uint8Array(32), 0x8a9136aa],
    ['32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ['32 bytes counting up', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    ['32 bytes counting down', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  ]
  it.each(vectors)('of %s is the published value', (_name, bytes, want) => {
    expect(crc32cFinal(accel.crc32c(CRC32C_INITIAL, bytes, 0, bytes.length))).toBe(want)
    const off = heap.alloc(bytes.length)
    accel.copy(heap.u8, off, bytes, 0, bytes.length)
    expect(crc32cFinal(accel.crc32c(CRC32C_INITIAL, heap.u8, off, bytes.length))).toBe(want)
    heap.free(off)
  })

  it('of nothing is the seed, as an unsigned number', () => {
    expect(accel.crc32c(0xdeadbeef, heap.u8, heap.sizeBytes, 0)).toBe(0xdeadbeef)
    expect(accel.crc32c(-1, new Uint8Array(0), 0, 0)).toBe(0xffff_ffff)
  })
})
