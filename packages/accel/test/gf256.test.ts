// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Iov } from '../src/index.js'
import * as reference from '../src/reference.js'
import { AREA_BYTES, accel, heap, holds, lengthBytes, place, scramble, seed, skew, snapshot } from './support.js'

const second = AREA_BYTES
const third = 2 * AREA_BYTES

/** The inverse of a byte other than 0, found by trying. */
function inverse(a: number): number {
  for (let b = 1; b < 256; b++) if (reference.gfMul(a, b) === 1) return b
  throw new RangeError(`0x${a.toString(16)} has no inverse`)
}
const powerOf2 = (exponent: number): number => (exponent === 0 ? 1 : reference.gfMul(2, powerOf2(exponent - 1)))

describe('GF(2^8)', () => {
  it('has the generator 2: its powers are all bytes but 0, in the order of the published table', () => {
    const powers = Array.from({ length: 255 }, (_, i) => powerOf2(i))
    expect(new Set(powers).size).toBe(255)
    // H. P. Anvin, "The mathematics of RAID-6": 2^8 = 0x1d, 2^9 = 0x3a, 2^12 = 0xcd, 2^255 = 1.
    expect([powers[8], powers[9], powers[12], powerOf2(255)]).toEqual([0x1d, 0x3a, 0xcd, 1])
  })

  it('gfMulXor: agrees with its reference for every constant, in every kind of buffer', () => {
    fc.assert(
      fc.property(place, place, skew, skew, fc.integer({ min: 0, max: 255 }), lengthBytes, seed, (to, from, i, j, c, n, s) => {
        scramble(from, s)
        if (to.buf !== from.buf) scramble(to, s + 1)
        const expected = snapshot(to)
        reference.gfMulXor(expected, i, snapshot(from), second + j, c, n)
        accel.gfMulXor(to.buf, to.base + i, from.buf, from.base + second + j, c, n)
        expect(holds(to, expected)).toBe(true)
      }),
    )
  })

  it('gfMulXor: of a range with itself multiplies by c + 1', () => {
    const off = heap.alloc(256)
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
    for (const buf of [heap.u8, bytes.slice()]) {
      const at = buf === heap.u8 ? off : 0
      buf.set(bytes, at)
      accel.gfMulXor(buf, at, buf, at, 0x8e, 256)
      expect([...buf.subarray(at, at + 256)]).toEqual([...bytes].map(byte => byte ^ reference.gfMul(byte, 0x8e)))
    }
    heap.free(off)
  })

  it('gfMulXor: refuses a constant that is no byte', () => {
    for (const c of [-1, 256, 1.5, NaN]) {
      expect(() => accel.gfMulXor(heap.u8, 70_000, heap.u8, 80_000, c, 16)).toThrow(`wanted a constant from 0 to 255, found ${c}`)
    }
  })

  it('pqInto: agrees with its reference, in every kind of buffer', () => {
    const source = fc.record({ from: place, at: skew })
    fc.assert(
      fc.property(place, fc.array(source, { minLength: 1, maxLength: 9 }), fc.integer({ min: 0, max: 24_000 }), seed, (to, sources, n, s) => {
        for (const p of new Set([to, ...sources.map(({ from }) => from)])) scramble(p, s)
        const iovs: Iov[] = sources.map(({ from, at }, k) => ({
          buf: from.buf, off: from.base + (k % 2 === 0 ? second : third) + at, len: n,
        }))
        const expected = snapshot(to)
        reference.xorInto(expected, 0, iovs, iovs.length, n)
        reference.qInto(expected, 24_064, iovs, iovs.length, n)
        accel.pqInto(to.buf, to.base, to.buf, to.base + 24_064, iovs, iovs.length, n)
        expect(holds(to, expected)).toBe(true)
      }),
    )
  })

  it('any two lost members of 4 to 16 come back from the others', () => {
    const n = 96
    const zeros = new Uint8Array(n)
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 16 }), fc.nat(), fc.nat(), seed, (width, a, b, s) => {
        const data = Array.from({ length: width - 2 }, (_, k) => Uint8Array.from({ length: n }, (_, i) => (s + k * 31 + i * i * 7) & 0xff))
        const iovs = (lost: readonly number[]): Iov[] => data.map((buf, k) => ({ buf: lost.includes(k) ? zeros : buf, off: 0, len: n }))
        const p = new Uint8Array(n)
        const q = new Uint8Array(n)
        accel.pqInto(p, 0, q, 0, iovs([]), data.length, n)
        const x = Math.min(a % data.length, b % data.length)
        const y = Math.max(a % data.length, b % data.length)
        const px = new Uint8Array(n)
        const qx = new Uint8Array(n)
        accel.pqInto(px, 0, qx, 0, iovs([x, y]), data.length, n)
        accel.xor(px, 0, p, 0, n)
        accel.xor(qx, 0, q, 0, n)
        // px = dx + dy and qx = 2^x dx + 2^y dy; where x is y, one member and the first parity are lost.
        const dx = new Uint8Array(n)
        if (x === y) {
          accel.gfMulXor(dx, 0, qx, 0, inverse(powerOf2(x)), n)
        } else {
          const divisor = inverse(powerOf2(x) ^ powerOf2(y))
          accel.gfMulXor(dx, 0, px, 0, reference.gfMul(powerOf2(y), divisor), n)
          accel.gfMulXor(dx, 0, qx, 0, divisor, n)
          accel.xor(px, 0, dx, 0, n)
          expect(Buffer.compare(px, data[y]!)).toBe(0)
        }
        expect(Buffer.compare(dx, data[x]!)).toBe(0)
      }),
    )
  })
})
