// SPDX-License-Identifier: Apache-2.0
// Layouts against tables and against md's own arithmetic; what two parities give back against plain code.
import { createHost } from '@bdevkit/core'
import { defineBdevModule, type BdevHost, type Iov } from '@bdevkit/module-sdk'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { leftAsymmetric, leftSymmetric5, leftSymmetric6, type ParityGeometry } from '../src/parity/geometry.js'
import { solveData } from '../src/parity/gf-solve.js'

/** What each member has of each stripe: the number of a data strip, P or Q. */
function table(geometry: ParityGeometry, numMembers: number): string[] {
  const numData = numMembers - geometry.numParity
  return Array.from({ length: numMembers }, (_, stripe) => {
    const row: string[] = Array.from({ length: numMembers }, () => '?')
    for (let role = 0; role < numMembers; role++) {
      row[geometry.slotOf(stripe, role, numMembers)] = role < numData ? String(stripe * numData + role) : role === numData ? 'P' : 'Q'
    }
    return row.join(' ')
  })
}

/** `raid5_compute_sector` of Linux's drivers/md/raid5.c, as far as a stripe and a data disk go. */
function md(
  algorithm: 'raid5 left-asymmetric' | 'raid5 left-symmetric' | 'raid6 left-symmetric', stripe: number, dd: number, disks: number,
): { dd: number; pd: number; qd: number } {
  const pd = disks - 1 - (stripe % disks)
  if (algorithm === 'raid5 left-asymmetric') return { dd: dd >= pd ? dd + 1 : dd, pd, qd: -1 }
  if (algorithm === 'raid5 left-symmetric') return { dd: (pd + 1 + dd) % disks, pd, qd: -1 }
  return { dd: (pd + 2 + dd) % disks, pd, qd: (pd + 1) % disks }
}

describe('layouts', () => {
  it('are those of the tables', () => {
    expect(table(leftSymmetric5, 4)).toEqual(['0 1 2 P', '4 5 P 3', '8 P 6 7', 'P 9 10 11'])
    expect(table(leftSymmetric6, 5)).toEqual(['Q 0 1 2 P', '3 4 5 P Q', '7 8 P Q 6', '11 P Q 9 10', 'P Q 12 13 14'])
    expect(table(leftAsymmetric, 3)).toEqual(['0 1 P', '2 P 3', 'P 4 5'])
  })

  it.each([
    ['raid5 left-asymmetric', leftAsymmetric], ['raid5 left-symmetric', leftSymmetric5], ['raid6 left-symmetric', leftSymmetric6],
  ] as const)('of %s are md\'s, with any number of members', (algorithm, geometry) => {
    for (let disks = 4; disks <= 16; disks++) {
      const numData = disks - geometry.numParity
      for (let stripe = 0; stripe < 3 * disks; stripe++) {
        for (let dd = 0; dd < numData; dd++) {
          const wanted = md(algorithm, stripe, dd, disks)
          expect(geometry.slotOf(stripe, dd, disks)).toBe(wanted.dd)
          expect(geometry.slotOf(stripe, numData, disks)).toBe(wanted.pd)
          if (wanted.qd >= 0) expect(geometry.slotOf(stripe, numData + 1, disks)).toBe(wanted.qd)
        }
      }
    }
  })
})

/** The product in GF(2^8) with the polynomial 0x11d, bit by bit. */
function times(a: number, b: number): number {
  let product = 0
  for (let power = a, bits = b; bits > 0; bits >>= 1) {
    if (bits & 1) product ^= power
    power = power & 0x80 ? (power << 1) ^ 0x11d : power << 1
  }
  return product
}

/** P and Q of bytes, one of each data strip. */
function parities(data: readonly number[]): [number, number] {
  let p = 0
  let q = 0
  let power = 1
  for (const byte of data) {
    p ^= byte
    q ^= times(power, byte)
    power = times(power, 2)
  }
  return [p, q]
}

async function hostOfModule(): Promise<{ own: BdevHost; finish: () => Promise<void> }> {
  let own: BdevHost | undefined
  const host = createHost({ log: () => {} })
  host.use(defineBdevModule({ name: 'solver', sdk: '0.1', setup: given => ((own = given), {}) }))
  await host.init()
  return { own: own!, finish: () => host.finish() }
}

describe('any two of a stripe', () => {
  it('are made from the others, at every width from 4 to 16', async () => {
    const { own, finish } = await hostOfModule()
    const length = 48
    const memory = own.dma.alloc(length * 16)!
    for (let width = 4; width <= 16; width++) {
      const numData = width - 2
      fc.assert(fc.property(fc.infiniteStream(fc.nat(255)), bytes => {
        const whole: number[][] = Array.from({ length: width }, () => [])
        for (let at = 0; at < length; at++) {
          const data = Array.from({ length: numData }, () => bytes.next().value as number)
          for (const [role, byte] of [...data, ...parities(data)].entries()) whole[role]!.push(byte)
        }
        for (let x = 0; x < width; x++) {
          for (let y = x + 1; y < width; y++) {
            const strips: Iov[] = own.allocIovs(width)
            for (const [role, strip] of strips.entries()) {
              Object.assign(strip, { buf: memory.buf, off: memory.off + role * length, len: length })
              // What is lost holds anything.
              const bytesOf = role === x || role === y ? whole[role]!.map(byte => byte ^ 0x5a) : whole[role]!
              memory.buf.set(bytesOf, strip.off)
            }
            if (x >= numData) continue // both parities: they are made from data, as ever
            solveData(own.accel, strips, numData, x, y < numData ? y : -1, y === numData, length)
            for (const role of [x, y]) {
              if (role >= numData) continue
              expect([...memory.buf.subarray(strips[role]!.off, strips[role]!.off + length)]).toEqual(whole[role])
            }
          }
        }
      }), { numRuns: 8 })
    }
    await finish()
  })
})
