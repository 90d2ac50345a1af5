// SPDX-License-Identifier: Apache-2.0
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { Accel, DmaHeap } from '../src/index.js'
import { MIB } from './support.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** How much the resident memory of the process grows while `work` runs, in MiB. */
function growthMib(work: () => void): number {
  collectGarbage()
  const before = process.memoryUsage.rss()
  work()
  return (process.memoryUsage.rss() - before) / MIB
}

describe('resident memory', () => {
  const heap = new DmaHeap()
  const accel = new Accel(heap)

  it('does not grow when heaps, buffers and bulk storage are reserved', () => {
    const grown = growthMib(() => {
      const own = new DmaHeap()
      expect(own.alloc(256 * MIB)).toBeGreaterThan(0)
      for (let i = 0; i < 16_384; i++) own.alloc(4096)
      const inside = own.allocBulk(1024 * MIB)!
      const beside = own.allocBulk(own.sizeBytes)!
      expect([inside[0]!.buf === own.u8, beside[0]!.buf === own.u8]).toEqual([true, false])
      own.freeBulk(beside)
    })
    expect(grown).toBeLessThan(24)
  })

  it('does not grow when a range is used again of which nothing was written', () => {
    // Some kernels count what is only read, too.
    const fresh = new Float64Array((256 * MIB) / 8)
    const read = growthMib(() => void fresh.includes(1))
    const grown = growthMib(() => {
      for (let round = 0; round < 2; round++) {
        const extents = heap.allocBulk(256 * MIB)!
        expect(accel.isZero(heap.u8, extents[0]!.off, 256 * MIB)).toBe(true)
        heap.freeBulk(extents)
      }
    })
    expect(grown).toBeLessThan(Math.max(0, read) + 24)
  })

  it('goes back to the host when bulk storage in a memory of its own is freed', () => {
    const small = new DmaHeap({ sizeBytes: MIB })
    const grown = growthMib(() => {
      const written = growthMib(() => {
        const extents = small.allocBulk(128 * MIB)!
        extents[0]!.buf.fill(1)
        small.freeBulk(extents)
      })
      expect(written).toBeGreaterThan(100)
      collectGarbage()
      collectGarbage() // Ends the background part of the first.
    })
    expect(grown).toBeLessThan(24)
  })
})
