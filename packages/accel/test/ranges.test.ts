// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { accel, heap, MIB } from './support.js'

const inside = heap.alloc(4096)
const own = new Uint8Array(4096)

/** Ranges that leave their buffer; in the heap also those that reach its first page, or would wrap round 2^32. */
const bad: [string, Uint8Array, number, number][] = [
  ['past the end of the heap', heap.u8, heap.sizeBytes - 4095, 4096],
  ['in the first page of the heap', heap.u8, 0, 16],
  ['into the first page of the heap by an offset of -1', heap.u8, -1, 16],
  ['in the heap at an offset beyond 2^32', heap.u8, 2 ** 32 + 70_000, 16],
  ['of the heap with a length beyond 2^32', heap.u8, inside, 2 ** 32 + 16],
  ['in the heap at NaN', heap.u8, NaN, 16],
  ['of NaN bytes in the heap', heap.u8, inside, NaN],
  ['of -1 bytes in the heap', heap.u8, inside, -1],
  ['past the end of a buffer', own, 4000, 97],
  ['before a buffer', own, -1, 16],
  ['of -1 bytes in a buffer', own, 0, -1],
  ['of NaN bytes in a buffer', own, 0, NaN],
  ['of nothing past the end of a buffer', own, 4097, 0],
]

describe.each(bad)('a range %s', (_name, buf, off, n) => {
  it('is refused by every kernel, which names the call and the numbers and changes nothing', () => {
    const calls: [string, () => unknown][] = [
      ['copy', () => accel.copy(buf, off, heap.u8, inside, n)],
      ['copy', () => accel.copy(heap.u8, inside, buf, off, n)],
      ['fill', () => accel.fill(buf, off, 1, n)],
      ['compare', () => accel.compare(buf, off, own, 0, n)],
      ['compare', () => accel.compare(heap.u8, inside, buf, off, n)],
      ['isZero', () => accel.isZero(buf, off, n)],
      ['xor', () => accel.xor(buf, off, heap.u8, inside, n)],
      ['xor', () => accel.xor(heap.u8, inside, buf, off, n)],
      ['xorInto', () => accel.xorInto(buf, off, [{ buf: heap.u8, off: inside, len: 4096 }], 1, n)],
      ['xorInto', () => accel.xorInto(heap.u8, inside, [{ buf, off, len: n }], 1, n)],
      ['pqInto', () => accel.pqInto(buf, off, heap.u8, inside, [{ buf: heap.u8, off: inside, len: 4096 }], 1, n)],
      ['pqInto', () => accel.pqInto(heap.u8, inside, buf, off, [{ buf: heap.u8, off: inside, len: 4096 }], 1, n)],
      ['pqInto', () => accel.pqInto(heap.u8, inside, heap.u8, inside, [{ buf, off, len: n }], 1, n)],
      ['gfMulXor', () => accel.gfMulXor(buf, off, heap.u8, inside, 2, n)],
      ['gfMulXor', () => accel.gfMulXor(heap.u8, inside, buf, off, 2, n)],
      ['crc32c', () => accel.crc32c(0, buf, off, n)],
      ['fill', () => accel.fillIovs([{ buf, off, len: n }], 1, 1)],
      ['isZero', () => accel.isZeroIovs([{ buf, off, len: n }], 1)],
    ]
    const reserved = heap.u8.slice(0, 65_536)
    for (const [name, call] of calls) {
      expect(call, name).toThrow(RangeError)
      expect(call, name).toThrow(`accel.${name}: `)
      expect(call, name).toThrow(`wanted ${n} bytes`)
    }
    expect(() => accel.crc32c(0, buf, off, n)).toThrow(`wanted ${n} bytes at offset ${off}, found `)
    expect(Buffer.compare(heap.u8.slice(0, 65_536), reserved)).toBe(0)
    expect(heap.u8[inside]).toBe(0)
    expect(own.every(byte => byte === 0)).toBe(true)
  })
})

describe('a list element with a length that is none', () => {
  it('is refused, not taken for a long one', () => {
    for (const len of [NaN, -1]) {
      const iovs = [{ buf: own, off: 0, len }]
      expect(() => accel.copyToIovs(iovs, 1, heap.u8, inside, 16)).toThrow(`wanted ${len} bytes`)
      expect(() => accel.copyFromIovs(heap.u8, inside, iovs, 1, 16)).toThrow(`wanted ${len} bytes`)
      expect(() => accel.compareIovs(iovs, 1, heap.u8, inside, 16)).toThrow(`wanted ${len} bytes`)
      expect(() => accel.xorInto(heap.u8, inside, iovs, 1, 16)).toThrow('accel.xorInto: ')
    }
  })
})

describe('ranges that are legal', () => {
  it('may be empty, anywhere in a buffer', () => {
    for (const [buf, off] of [[heap.u8, 0], [heap.u8, heap.sizeBytes], [own, 0], [own, 4096], [new Uint8Array(0), 0]] as const) {
      accel.copy(buf, off, own, 0, 0)
      accel.fill(buf, off, 1, 0)
      accel.xor(buf, off, own, 0, 0)
      accel.xorInto(buf, off, [{ buf: own, off: 0, len: 0 }], 1, 0)
      expect(accel.compare(buf, off, own, 0, 0)).toBe(-1)
      expect(accel.isZero(buf, off, 0)).toBe(true)
      expect(accel.crc32c(5, buf, off, 0)).toBe(5)
    }
  })

  it('may end with the last byte of the heap', () => {
    accel.fill(heap.u8, heap.sizeBytes - 100, 9, 100)
    expect(heap.u8[heap.sizeBytes - 1]).toBe(9)
    expect(accel.compare(heap.u8, heap.sizeBytes - 100, heap.u8, heap.sizeBytes - 50, 50)).toBe(-1)
    accel.fill(heap.u8, heap.sizeBytes - 100, 0, 100)
    expect(accel.isZero(heap.u8, heap.sizeBytes - MIB, MIB)).toBe(true)
  })
})

describe('xorInto', () => {
  it('refuses a count that its list does not have, and a source that is too short', () => {
    const sources = [{ buf: own, off: 0, len: 4096 }, { buf: own, off: 0, len: 100 }]
    expect(() => accel.xorInto(own, 0, sources, 0, 16)).toThrow('accel.xorInto: wanted a count of 1 to 2 sources, found 0')
    expect(() => accel.xorInto(own, 0, sources, 3, 16)).toThrow('found 3')
    expect(() => accel.xorInto(own, 0, sources, 2, 101)).toThrow(RangeError)
  })
})
