// SPDX-License-Identifier: Apache-2.0
// The arithmetic of raid10 against sets of blocks.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { copiesBefore, oneOfEachPair, otherCopy, placeAt, rowsPerTurn } from '../src/levels/near2.js'

const shapes = fc.record({ numMembers: fc.integer({ min: 3, max: 17 }), stripBlocks: fc.integer({ min: 1, max: 9 }), rows: fc.integer({ min: 1, max: 12 }) })

describe('near copies', () => {
  it('lie on two members that are not the same, each in a place of its own, and know of each other', () => {
    fc.assert(fc.property(shapes, ({ numMembers, rows }) => {
      const taken = new Set<string>()
      for (let strip = 0; strip < Math.floor((rows * numMembers) / 2); strip++) {
        const [a, b] = [placeAt(2 * strip, numMembers), placeAt(2 * strip + 1, numMembers)]
        expect(a.slot).not.toBe(b.slot)
        expect([otherCopy(a, numMembers), otherCopy(b, numMembers)]).toEqual([b, a])
        for (const { slot, row } of [a, b]) {
          expect(row).toBeLessThan(rows)
          taken.add(`${slot}:${row}`)
        }
      }
      expect(taken.size).toBe(2 * Math.floor((rows * numMembers) / 2))
    }))
  })

  it('of any range are, member by member, blocks that follow one another, and together exactly the two copies', () => {
    fc.assert(fc.property(shapes, fc.nat(), fc.nat(), ({ numMembers, stripBlocks, rows }, from, length) => {
      const numBlocks = Math.floor((rows * numMembers) / 2) * stripBlocks
      const first = from % numBlocks
      const end = Math.min(numBlocks, first + (length % numBlocks) + 1)
      const wanted = new Set<string>()
      for (let block = first; block < end; block++) {
        for (const copy of [0, 1]) {
          const { slot, row } = placeAt(2 * Math.floor(block / stripBlocks) + copy, numMembers)
          wanted.add(`${slot}:${row * stripBlocks + (block % stripBlocks)}`)
        }
      }
      const found: string[] = []
      for (let slot = 0; slot < numMembers; slot++) {
        const memberEnd = copiesBefore(end, slot, stripBlocks, numMembers)
        for (let at = copiesBefore(first, slot, stripBlocks, numMembers); at < memberEnd; at++) found.push(`${slot}:${at}`)
      }
      expect(found).toHaveLength(wanted.size)
      expect(new Set(found)).toEqual(wanted)
    }))
  })

  it('begin a turn at a multiple of the rows that make one', () => {
    fc.assert(fc.property(shapes, fc.nat({ max: 1000 }), ({ numMembers }, position) => {
      const rows = rowsPerTurn(numMembers)
      const [one, next] = [placeAt(position, numMembers), placeAt(position + rows * numMembers, numMembers)]
      expect(next).toEqual({ slot: one.slot, row: one.row + rows })
      expect(otherCopy(next, numMembers).row - otherCopy(one, numMembers).row).toBe(rows)
      expect((rows * numMembers) % 2).toBe(0)
    }))
  })

  it('are all there exactly where some copy of every strip is', () => {
    for (let numMembers = 3; numMembers <= 10; numMembers++) {
      for (let mask = 0; mask < 1 << numMembers; mask++) {
        const there = Array.from({ length: numMembers }, (_, slot) => (mask & (1 << slot)) !== 0)
        const strips = Array.from({ length: numMembers }, (_, strip) => [placeAt(2 * strip, numMembers), placeAt(2 * strip + 1, numMembers)])
        expect([there, oneOfEachPair(there)]).toEqual([there, strips.every(places => places.some(({ slot }) => there[slot]))])
      }
    }
  })
})
