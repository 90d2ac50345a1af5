// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Iov } from '../src/index.js'
import * as reference from '../src/reference.js'
import { AREA_BYTES, accel, heap, holds, place, places, scramble, seed, snapshot } from './support.js'

const foreign = places[2]!

/** Elements one after the other in random buffers, empty ones among them. */
const elementLength = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 5000 }))
const iovList = fc
  .array(fc.record({ at: place, len: elementLength }), { maxLength: 8 })
  .map(elements => {
    let off = AREA_BYTES
    const iovs: Iov[] = elements.map(({ at, len }) => {
      const iov = { buf: at.buf, off: at.base + off, len }
      off += len + 7
      return iov
    })
    return { iovs, totalBytes: iovs.reduce((sum, { len }) => sum + len, 0) }
  })

describe('scatter-gather lists', () => {
  it('what is scattered and gathered again is the same bytes, in every mix of buffers', () => {
    fc.assert(
      fc.property(iovList, place, fc.nat(), seed, ({ iovs, totalBytes }, flat, part, s) => {
        const n = part % (totalBytes + 1)
        scramble(flat, s)
        const original = snapshot(flat)
        accel.copyToIovs(iovs, iovs.length, flat.buf, flat.base, n)
        accel.fill(flat.buf, flat.base, 0, n)
        accel.copyFromIovs(flat.buf, flat.base, iovs, iovs.length, n)
        expect(Buffer.compare(flat.buf.subarray(flat.base, flat.base + n), original.subarray(0, n))).toBe(0)
      }),
    )
  })

  it('a scatter writes exactly its elements, in their order', () => {
    fc.assert(
      fc.property(iovList, seed, ({ iovs, totalBytes }, s) => {
        for (const p of places) scramble(p, s)
        const data = snapshot(foreign).slice(0, totalBytes)
        // Places 0 and 1 are the same bytes; the reference keeps them apart, so elements of a view count as the heap's.
        const expected = places.map(snapshot)
        let done = 0
        for (const { buf, off, len } of iovs) {
          places.forEach((p, i) => {
            const sameBytes = p.buf === buf || (i < 2 && (buf === places[0]!.buf || buf === places[1]!.buf))
            const base = buf === heap.u8 ? places[0]!.base : 0
            if (sameBytes) reference.copy(expected[i]!, off - base, data, done, len)
          })
          done += len
        }
        accel.copyToIovs(iovs, iovs.length, data, 0, totalBytes)
        places.forEach((p, i) => expect(holds(p, expected[i]!)).toBe(true))
      }),
    )
  })

  it('a comparison answers with the index into the whole run', () => {
    fc.assert(
      fc.property(iovList, place, fc.option(fc.nat()), seed, ({ iovs, totalBytes }, flat, flip, s) => {
        scramble(flat, s)
        accel.copyToIovs(iovs, iovs.length, flat.buf, flat.base, totalBytes)
        expect(accel.compareIovs(iovs, iovs.length, flat.buf, flat.base, totalBytes)).toBe(-1)
        if (flip === null || totalBytes === 0) return
        const at = flip % totalBytes
        flat.buf[flat.base + at]! ^= 0x80
        expect(accel.compareIovs(iovs, iovs.length, flat.buf, flat.base, totalBytes)).toBe(at)
        expect(accel.compareIovs(iovs, iovs.length, flat.buf, flat.base, at)).toBe(-1)
      }),
    )
  })

  it('a fill covers all elements, and the zero test sees each of them', () => {
    fc.assert(
      fc.property(iovList, fc.nat(), ({ iovs, totalBytes }, dirty) => {
        accel.fillIovs(iovs, iovs.length, 0xa5)
        for (const { buf, off, len } of iovs) expect(buf.subarray(off, off + len).every(byte => byte === 0xa5)).toBe(true)
        accel.fillIovs(iovs, iovs.length, 0)
        expect(accel.isZeroIovs(iovs, iovs.length)).toBe(true)
        if (totalBytes === 0) return
        let at = dirty % totalBytes
        for (const { buf, off, len } of iovs) {
          if (at >= 0 && at < len) buf[off + at] = 1
          at -= len
        }
        expect(accel.isZeroIovs(iovs, iovs.length)).toBe(false)
      }),
    )
  })

  it('only the first iovCnt elements are used', () => {
    const off = heap.alloc(8192)
    const iovs = [{ buf: heap.u8, off, len: 4096 }, { buf: heap.u8, off: off + 4096, len: 4096 }]
    accel.fillIovs(iovs, 1, 7)
    expect(heap.u8[off + 4095]).toBe(7)
    expect(accel.isZero(heap.u8, off + 4096, 4096)).toBe(true)
    expect(accel.isZeroIovs(iovs.slice(1), 1)).toBe(true)
    heap.free(off)
  })

  it('lists that are too short for the length are refused, by call and by number', () => {
    const iovs = [{ buf: new Uint8Array(100), off: 0, len: 100 }, { buf: new Uint8Array(28), off: 0, len: 28 }]
    const flat = new Uint8Array(512)
    expect(() => accel.copyToIovs(iovs, 2, flat, 0, 512)).toThrow(
      new RangeError('accel.copyToIovs: wanted 512 bytes in 2 iovecs, found 128; check iovCnt and each len'),
    )
    expect(() => accel.copyFromIovs(flat, 0, iovs, 1, 128)).toThrow('accel.copyFromIovs: wanted 128 bytes in 1 iovecs, found 100')
    expect(() => accel.compareIovs(iovs, 2, flat, 0, 200)).toThrow('accel.compareIovs: wanted 200 bytes in 2 iovecs, found 128')
    expect(() => accel.copyToIovs(iovs, 2, flat, 0, NaN)).toThrow(RangeError)
    expect(() => accel.copyToIovs(iovs, 2, flat, 0, -1)).toThrow(RangeError)
  })
})
