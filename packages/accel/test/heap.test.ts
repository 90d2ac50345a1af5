// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { DmaHeap } from '../src/index.js'
import { MIB } from './support.js'

const RESERVED_BYTES = 65_536
const holdsOnly = (bytes: Uint8Array, value: number): boolean => Buffer.compare(bytes, Buffer.alloc(bytes.length, value)) === 0
const roundUp = (lengthBytes: number): number => Math.max(64, Math.ceil(lengthBytes / 64) * 64)

afterEach(() => {
  vi.unstubAllGlobals()
})

/** A host that grants memories of at most `pagesMax` pages, and at most `count` of them. */
function stingyHost(pagesMax: number, count = Infinity): { asked: number[] } {
  const real = (globalThis as unknown as { WebAssembly: { Memory: new (descriptor: { initial: number }) => object } }).WebAssembly
  const asked: number[] = []
  const Stingy = function (descriptor: { initial: number }): object {
    asked.push(descriptor.initial)
    if (descriptor.initial > pagesMax || count-- <= 0) throw new RangeError('WebAssembly.Memory(): could not allocate memory')
    return new real.Memory(descriptor)
  }
  vi.stubGlobal('WebAssembly', Object.create(real, { Memory: { value: Stingy } }))
  return { asked }
}

describe('allocation against a model', () => {
  type Step = { free: number } | { lengthBytes: number; alignBytes: number }
  const sizeBytes = 2 * MIB
  const length = fc.oneof(
    fc.integer({ min: 0, max: 600 }),
    fc.constantFrom(64, 512, 4096, 8192, 65_536, 131_072),
    fc.integer({ min: 0, max: 300_000 }),
  )
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 3, arbitrary: fc.record({ lengthBytes: length, alignBytes: fc.constantFrom(1, 8, 64, 128, 512, 4096, 65_536) }) },
    { weight: 2, arbitrary: fc.record({ free: fc.nat() }) },
  )

  /** Whether a model with these buffers still has a gap that an allocation fits into. */
  function fits(buffers: Map<number, number>, lengthBytes: number, alignBytes: number): boolean {
    let gap = RESERVED_BYTES
    for (const [off, len] of [...buffers].sort(([a], [b]) => a - b).concat([[sizeBytes, 0]])) {
      if (Math.ceil(gap / alignBytes) * alignBytes + roundUp(lengthBytes) <= off) return true
      gap = off + roundUp(len)
    }
    return false
  }

  it('buffers are aligned, apart, zero, kept, refused only when nothing fits, and join again when freed', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), steps => {
        const heap = new DmaHeap({ sizeBytes })
        const buffers = new Map<number, number>()
        const stamp = (off: number): number => (off / 64) % 251 + 1
        const freeOne = (off: number): void => {
          const len = buffers.get(off)!
          expect(holdsOnly(heap.u8.subarray(off, off + len), stamp(off))).toBe(true)
          heap.free(off)
          buffers.delete(off)
        }
        for (const step of steps) {
          if ('free' in step) {
            const offsets = [...buffers.keys()]
            if (offsets.length > 0) freeOne(offsets[step.free % offsets.length]!)
            continue
          }
          const { lengthBytes, alignBytes } = step
          const off = heap.alloc(lengthBytes, alignBytes)
          if (off < 0) {
            expect(off).toBe(-1)
            expect(fits(buffers, lengthBytes, Math.max(64, alignBytes))).toBe(false)
            continue
          }
          expect(off % Math.max(64, alignBytes)).toBe(0)
          expect(off).toBeGreaterThanOrEqual(RESERVED_BYTES)
          expect(off + lengthBytes).toBeLessThanOrEqual(sizeBytes)
          expect(buffers.has(off)).toBe(false)
          expect(holdsOnly(heap.u8.subarray(off, off + lengthBytes), 0)).toBe(true)
          heap.u8.fill(stamp(off), off, off + lengthBytes)
          buffers.set(off, lengthBytes)
        }
        expect(heap.inUseBytes).toBe([...buffers.values()].reduce((sum, len) => sum + roundUp(len), 0))
        for (const off of buffers.keys()) freeOne(off)
        expect(heap.inUseBytes).toBe(0)
        expect(heap.alloc(sizeBytes - RESERVED_BYTES, 4096)).toBe(RESERVED_BYTES)
        expect(holdsOnly(heap.u8.subarray(RESERVED_BYTES), 0)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })
})

describe('alloc and free', () => {
  const heap = new DmaHeap({ sizeBytes: 4 * MIB })

  it('answers -1 when the heap is full, and serves again after a free', () => {
    const all: number[] = []
    for (let off = heap.alloc(65_536); off >= 0; off = heap.alloc(65_536)) all.push(off)
    expect(all).toHaveLength(63)
    expect(heap.alloc(1)).toBe(-1)
    expect(heap.alloc(2 ** 40)).toBe(-1)
    heap.free(all[17]!)
    expect(heap.alloc(65_536, 65_536)).toBe(all[17])
    for (const off of all) heap.free(off)
    expect(heap.inUseBytes).toBe(0)
  })

  it('zeroes what was written before, of any size', () => {
    for (const lengthBytes of [100, 4096, 65_536, MIB + 100]) {
      const off = heap.alloc(lengthBytes)
      heap.u8.fill(0xee, off, off + lengthBytes)
      heap.u8[off + lengthBytes - 1] = 1
      heap.free(off)
      const again = heap.alloc(lengthBytes)
      expect(again).toBe(off)
      expect(holdsOnly(heap.u8.subarray(again, again + lengthBytes), 0)).toBe(true)
      heap.free(again)
    }
  })

  it('refuses a double free, an unknown offset and one inside a buffer, by their offset', () => {
    const off = heap.alloc(8192)
    heap.free(off)
    expect(() => heap.free(off)).toThrow(
      new RangeError(
        `dma heap: free: nothing in use starts at offset ${off}; it was freed before, or never returned by alloc`,
      ),
    )
    const held = heap.alloc(8192)
    for (const wrong of [0, -1, NaN, held + 1, held + 64, 2 ** 40]) {
      expect(() => heap.free(wrong)).toThrow(RangeError)
      expect(() => heap.free(wrong)).toThrow(`offset ${wrong};`)
    }
    heap.free(held)
  })

  it('refuses lengths and alignments that are none', () => {
    for (const lengthBytes of [-1, 1.5, NaN, Infinity]) {
      expect(() => heap.alloc(lengthBytes)).toThrow(`found ${lengthBytes}`)
      expect(() => heap.allocBulk(lengthBytes)).toThrow(`found ${lengthBytes}`)
    }
    for (const alignBytes of [0, -64, 96, NaN, 2 ** 31]) expect(() => heap.alloc(64, alignBytes)).toThrow(`found ${alignBytes}`)
  })
})

describe('reservation', () => {
  it('is the largest one that a 32-bit address space holds, unless told otherwise', () => {
    expect(new DmaHeap().sizeBytes).toBe(2 ** 32 - 65_536)
    expect(new DmaHeap({ sizeBytes: 1_000_000 }).sizeBytes).toBe(16 * 65_536)
  })

  it('falls back to what the host grants, and says how much that is', () => {
    const { asked } = stingyHost(10_000)
    const heap = new DmaHeap()
    expect(heap.sizeBytes).toBe(512 * MIB)
    expect(heap.u8.length).toBe(512 * MIB)
    expect(asked).toEqual([65_535, 32_768, 16_384, 8192])
    expect(heap.alloc(512 * MIB)).toBe(-1)
  })

  it('fails with the way out when the host grants next to nothing', () => {
    stingyHost(100)
    expect(() => new DmaHeap()).toThrow('raise the limit on virtual memory (ulimit -v) or ask for less')
    expect(new DmaHeap({ sizeBytes: 4 * MIB }).sizeBytes).toBe(4 * MIB)
  })

  it('refuses sizes that cannot be', () => {
    for (const sizeBytes of [0, 65_536, 2 ** 32, -1, NaN]) {
      expect(() => new DmaHeap({ sizeBytes })).toThrow(new RegExp(`^dma heap: wanted sizeBytes .* found ${sizeBytes}$`))
    }
    expect(() => new DmaHeap({ sizeBytes: MIB, ioReserveBytes: -1 })).toThrow('found -1')
  })

  it('gives each heap its own bytes', () => {
    const [a, b] = [new DmaHeap({ sizeBytes: MIB }), new DmaHeap({ sizeBytes: MIB })]
    const off = a.alloc(64)
    a.u8[off] = 1
    expect(b.u8[b.alloc(64)]).toBe(0)
  })
})

describe('bulk storage', () => {
  it('lies in memory 0 while that keeps its reserve, then in a memory of its own', () => {
    const heap = new DmaHeap({ sizeBytes: 8 * MIB, ioReserveBytes: 2 * MIB })
    const first = heap.allocBulk(5 * MIB)!
    expect([first.length, first[0]!.buf === heap.u8, first[0]!.len]).toEqual([1, true, 5 * MIB])
    expect(first[0]!.off % 4096).toBe(0)
    const second = heap.allocBulk(MIB)!
    expect(second[0]!.buf === heap.u8).toBe(false)
    expect([second.length, second[0]!.off, second[0]!.len]).toEqual([1, 0, MIB])
    expect([heap.inUseBytes, heap.bulkInUseBytes]).toEqual([5 * MIB, MIB])
    for (let mib = 0; mib < 2; mib++) expect(heap.alloc(MIB)).toBeGreaterThan(0)
    heap.freeBulk(first)
    heap.freeBulk(second)
    expect([heap.inUseBytes, heap.bulkInUseBytes]).toEqual([2 * MIB, 0])
  })

  it('is zero again after it was used', () => {
    const heap = new DmaHeap({ sizeBytes: 16 * MIB, ioReserveBytes: 0 })
    for (let round = 0; round < 3; round++) {
      const extents = heap.allocBulk(8 * MIB - 4096)!
      const { buf, off, len } = extents[0]!
      expect(buf === heap.u8).toBe(true)
      expect(holdsOnly(buf.subarray(off, off + len), 0)).toBe(true)
      buf.fill(round + 1, off + 5000, off + len)
      heap.freeBulk(extents)
    }
  })

  it('is known by the extents that were returned, not by equal ones', () => {
    const heap = new DmaHeap({ sizeBytes: 8 * MIB })
    const extents = heap.allocBulk(MIB)!
    expect(() => heap.freeBulk(extents.map(extent => ({ ...extent })))).toThrow(RangeError)
    heap.freeBulk(extents)
  })

  it('refuses a second free, and then frees nothing', () => {
    const heap = new DmaHeap({ sizeBytes: 8 * MIB })
    const [gone, held] = [heap.allocBulk(MIB)!, heap.allocBulk(MIB)!]
    heap.freeBulk(gone)
    expect(() => heap.freeBulk([...held, ...gone])).toThrow('dma heap: freeBulk: the extent of 1048576 bytes')
    expect(heap.inUseBytes).toBe(MIB)
    heap.freeBulk(held)
  })

  it('of 6 GiB works where the host has the address space', () => {
    const heap = new DmaHeap({ sizeBytes: 8 * MIB })
    const extents = heap.allocBulk(6 * 2 ** 30)
    if (extents === undefined) {
      expect(heap.bulkInUseBytes).toBe(0)
      return
    }
    expect(extents.reduce((sum, { len }) => sum + len, 0)).toBe(6 * 2 ** 30)
    for (const { buf, off, len } of extents) {
      expect(off + len).toBeLessThanOrEqual(buf.length)
      buf[off + len - 1] = 1
    }
    expect(new Set(extents.slice(0, -1).map(({ len }) => len)).size).toBe(1)
    heap.freeBulk(extents)
    expect(heap.bulkInUseBytes).toBe(0)
  })

  it('comes in smaller memories where the host refuses large ones', () => {
    const heap = new DmaHeap({ sizeBytes: 8 * MIB })
    stingyHost(32_768)
    expect(heap.allocBulk(5 * 2 ** 30)!.map(({ len }) => len / 2 ** 30)).toEqual([2, 2, 1])
  })

  it('is undefined when the host refuses, or the size cannot be meant', () => {
    const heap = new DmaHeap({ sizeBytes: 8 * MIB })
    const { asked } = stingyHost(65_535, 1)
    expect(heap.allocBulk(2 ** 50)).toBeUndefined()
    expect(asked).toEqual([])
    expect(heap.allocBulk(6 * 2 ** 30)).toBeUndefined()
    expect(heap.bulkInUseBytes).toBe(0)
  })
})
