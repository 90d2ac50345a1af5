// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DifErrorType, DifFlag, DifPiFormat, DifType, type DifContextSpec } from '@bdevkit/module-sdk'
import * as reference from '../src/reference.js'
import { properties } from './dif-properties.js'
import { accel, heap, lengthBytes, place, scramble, seed, skew } from './support.js'

const { dif } = accel
const digits = new TextEncoder().encode('123456789')

describe('checksums of guards', () => {
  /** The check values of the CRC catalogue; CRC-64 of 4 KiB from the NVM command set specification. */
  it('are the published values', () => {
    expect(accel.crc16T10dif(0, digits, 0, 9)).toBe(0xd0db)
    expect(accel.crc64Nvme(0n, digits, 0, 9)).toBe(0xae8b14860a799888n)
    const block = new Uint8Array(4096)
    expect(accel.crc64Nvme(0n, block, 0, 4096)).toBe(0x6482d367eb22b64en)
    expect(accel.crc64Nvme(0n, block.fill(0xff), 0, 4096)).toBe(0xc0ddba7302eca3acn)
  })

  it('agree with their references from any seed, in every kind of buffer, in one run or cut in two', () => {
    fc.assert(
      fc.property(place, skew, lengthBytes, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat(), seed, (p, at, n, crc, cut, s) => {
        scramble(p, s)
        const off = p.base + at
        const half = cut % (n + 1)
        const want16 = reference.crc16T10dif(Number(crc & 0xffffn), p.buf, off, n)
        const first16 = accel.crc16T10dif(Number(crc & 0xffffn), p.buf, off, half)
        expect(accel.crc16T10dif(first16, p.buf, off + half, n - half)).toBe(want16)
        const first64 = accel.crc64Nvme(crc, p.buf, off, half)
        expect(accel.crc64Nvme(first64, p.buf, off + half, n - half)).toBe(reference.crc64Nvme(crc, p.buf, off, n))
      }),
    )
  })
})

describe('protection information', () => {
  it.each(Object.entries(properties))('%s', (_name, property) => {
    fc.assert(property as fc.IPropertyWithHooks<unknown>, { numRuns: 150 })
  })

  const spec: DifContextSpec = {
    blockSizeBytes: 520,
    mdSizeBytes: 8,
    mdInterleave: true,
    difIsHeadOfMd: false,
    difType: DifType.Type1,
    difPiFormat: DifPiFormat.Guard16,
    difCheckFlags: DifFlag.GuardCheck | DifFlag.ReftagCheck,
  }

  it('lies on the disk as T10 has it: guard, application tag, reference tag, all big-endian', () => {
    const context = dif.context(spec)
    context.initRefTag = 0x12345678
    const block = new Uint8Array(520)
    block.set(digits)
    dif.generate(context, [{ buf: block, off: 0, len: 520 }], 1, 1)
    const guard = reference.crc16T10dif(0, block, 0, 512)
    expect(Buffer.from(block.subarray(512)).toString('hex')).toBe(`${guard.toString(16).padStart(4, '0')}000012345678`)
  })

  it('says which block is wrong, and how', () => {
    const context = dif.context(spec)
    const off = heap.alloc(4 * 520)
    const iovs = [{ buf: heap.u8, off, len: 4 * 520 }]
    dif.generate(context, iovs, 1, 4)
    expect(dif.verify(context, iovs, 1, 4)).toBe(true)
    context.initRefTag = 7
    expect(dif.verify(context, iovs, 1, 4)).toBe(false)
    expect(context.error).toEqual({ type: DifErrorType.Reftag, expected: 7n, actual: 0n, offsetBlocks: 0 })
    context.initRefTag = 0
    heap.u8[off + 3 * 520 + 100] = 1
    expect(dif.verify(context, iovs, 1, 4)).toBe(false)
    expect(context.error).toMatchObject({ type: DifErrorType.Guard, expected: 0n, offsetBlocks: 3 })
    heap.free(off)
  })

  it.each([DifPiFormat.Guard16, DifPiFormat.Guard32, DifPiFormat.Guard64])('every bit of it counts, in format %i', difPiFormat => {
    const mdSizeBytes = difPiFormat === DifPiFormat.Guard16 ? 8 : 16
    const block = new Uint8Array(4096 + mdSizeBytes)
    const iovs = [{ buf: block, off: 0, len: block.length }]
    const difCheckFlags = spec.difCheckFlags | DifFlag.ApptagCheck
    const context = dif.context({ ...spec, difPiFormat, mdSizeBytes, blockSizeBytes: block.length, difCheckFlags, appTag: 0x1234 })
    dif.generate(context, iovs, 1, 1)
    for (let bit = 0; bit < mdSizeBytes * 8; bit++) {
      const at = 4096 + (bit >> 3)
      block[at]! ^= 1 << (bit & 7)
      // With a guard of 32 bits, two bytes are left to storage tags, which nobody makes.
      expect([bit, dif.verify(context, iovs, 1, 1)]).toEqual([bit, difPiFormat === DifPiFormat.Guard32 && (at === 4102 || at === 4103)])
      block[at]! ^= 1 << (bit & 7)
    }
    // Type 3 goes unchecked where both tags are all ones: each bit of them counts, too.
    const type3 = dif.context({ ...spec, difType: DifType.Type3, difPiFormat, mdSizeBytes, blockSizeBytes: block.length, difCheckFlags, appTag: 0xffff })
    type3.initRefTag = 0xffff_ffff
    dif.generate(type3, iovs, 1, 1)
    block[0] = 1
    expect(dif.verify(type3, iovs, 1, 1)).toBe(true)
    const tags = { [DifPiFormat.Guard16]: 2, [DifPiFormat.Guard32]: 4, [DifPiFormat.Guard64]: 8 }[difPiFormat]!
    for (let at = 4096 + tags; at < block.length; at++) {
      block[at]! ^= 0x80
      expect([at, dif.verify(type3, iovs, 1, 1)]).toEqual([at, difPiFormat === DifPiFormat.Guard32 && (at === 4102 || at === 4103)])
      block[at]! ^= 0x80
    }
  })

  it('is not checked where the application tag says so', () => {
    const context = dif.context({ ...spec, difCheckFlags: spec.difCheckFlags | DifFlag.ApptagCheck, appTag: 0xffff })
    const iovs = [{ buf: new Uint8Array(520), off: 0, len: 520 }]
    dif.generate(context, iovs, 1, 1)
    iovs[0]!.buf[0] = 1
    expect(dif.verify(context, iovs, 1, 1)).toBe(true)
    const type3 = dif.context({ ...spec, difType: DifType.Type3 })
    expect(dif.verify(type3, iovs, 1, 1)).toBe(false)
  })

  it.each([
    ['an unknown format', { difPiFormat: 3 }, 'difPiFormat 0, 1 or 2, found 3'],
    ['an unknown type', { difType: 4 }, 'difType 0 to 3, found 4'],
    ['metadata that is too small', { mdSizeBytes: 4 }, 'metadata of at least 8 bytes, found 4'],
    ['no data at all', { blockSizeBytes: 8 }, 'data blocks of a multiple of 512 bytes, found 0'],
    ['data blocks of an odd size', { blockSizeBytes: 528, mdSizeBytes: 8 }, 'data blocks of a multiple of 512 bytes, found 520'],
    ['small data blocks with a long guard', { blockSizeBytes: 528, mdSizeBytes: 16, difPiFormat: 2 }, 'data blocks of a multiple of 4096 bytes, found 512'],
  ])('refuses %s', (_name, wrong, message) => {
    expect(() => dif.context({ ...spec, ...wrong })).toThrow(message)
  })

  it('refuses elements that hold too little, before it writes', () => {
    const context = dif.context(spec)
    const block = new Uint8Array(519)
    expect(() => dif.generate(context, [{ buf: block, off: 0, len: 519 }], 1, 1)).toThrow('accel.dif.generate: wanted 520 bytes in 1 iovecs, found 519')
    expect(block.every(byte => byte === 0)).toBe(true)
    expect(() => dif.dixVerify(context, [{ buf: block, off: 0, len: 520 }], 1, block, 0, 1)).toThrow(RangeError)
  })
})
