// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { IoStatus, IoType, type BdevLimits, type BdevSpec, type Iov } from '@bdevkit/module-sdk'
import { resolveLimits } from '../src/bdev/bdev-limits.js'
import { FakeModule, type FakeDisk } from './support/fake-bdev.js'
import { openRw, startHost, submit, type Opened } from './support/harness.js'

// SPLIT_RUNS=100000 vitest run packages/core/test/io-split.property.test.ts
// Run once with 100,000: no counterexample.
const RUNS = Number(process.env['SPLIT_RUNS'] ?? 1000)

const BLOCKS = 256
const BLOCK_BYTES = [1, 4, 7, 16]
/** Elements that the children of a round have together. */
const ROUND = 32

interface Geometry extends BdevLimits {
  optimalIoBoundaryBlocks: number
  writeUnitSizeBlocks: number
}

const limit = (max: number): fc.Arbitrary<number> => fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 3, arbitrary: fc.integer({ min: 1, max }) })

const geometry: fc.Arbitrary<Geometry> = fc.record({
  splitOnOptimalIoBoundary: fc.boolean(),
  optimalIoBoundaryBlocks: limit(40),
  splitOnWriteUnit: fc.boolean(),
  writeUnitSizeBlocks: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 12 })),
  maxSegmentSizeBytes: limit(64),
  maxNumSegments: limit(40),
  maxRwSizeBlocks: limit(50),
})

const request = fc.record({
  write: fc.boolean(),
  blockBytes: fc.constantFrom(...BLOCK_BYTES),
  offset: fc.nat(BLOCKS - 1),
  blocks: fc.integer({ min: 1, max: 160 }),
  /** Where the data is cut into elements, as shares of 1000. */
  cuts: fc.array(fc.nat(1000), { maxLength: 90 }),
})

/** Numbers below 2^31, the same in every run. */
let state = 1
function random(): number {
  state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
  return state
}

/** A child as the module sees it: its blocks, and its elements as `from+length` of the request's bytes. */
interface Child {
  at: string
  pieces: string[]
}

/**
 * What the module should see, byte by byte: a child takes bytes until a boundary, a limit or the end of the request, a new
 * element begins at each of the request's and where the last is full, and what does not fill a block is left to the next.
 */
function model(limits: Geometry, write: boolean, blockBytes: number, offset: number, lengths: number[]): { rounds: Child[][]; fails: boolean } {
  const starts = new Set<number>()
  let total = 0
  for (const length of lengths) {
    starts.add(total)
    total += length
  }
  const boundary = (write && limits.splitOnWriteUnit!) ? limits.writeUnitSizeBlocks : limits.splitOnOptimalIoBoundary! ? limits.optimalIoBoundaryBlocks : 0
  const rounds: Child[][] = []
  let round: Child[] = []
  let slots = ROUND
  let pos = 0
  const nextRound = (): void => {
    rounds.push(round)
    round = []
    slots = ROUND
  }
  while (pos < total) {
    const most = Math.min(slots, limits.maxNumSegments! || Infinity)
    const block = offset + pos / blockBytes
    const pieces: number[][] = []
    let end = pos
    while (end < total) {
      const taken = (end - pos) / blockBytes
      if (end > pos && boundary > 0 && (block + taken) % boundary === 0) break
      if (limits.maxRwSizeBlocks! > 0 && taken === limits.maxRwSizeBlocks) break
      const last = pieces.at(-1)
      const full = last !== undefined && last[1] === limits.maxSegmentSizeBytes
      if (last === undefined || full || starts.has(end)) {
        if (pieces.length === most) break
        pieces.push([end, 0])
      }
      pieces.at(-1)![1]!++
      end++
    }
    const used = pieces.length
    end -= (end - pos) % blockBytes
    if (end === pos) {
      if (round.length === 0) {
        if (rounds.length === 0) rounds.push([])
        return { rounds, fails: true }
      }
      nextRound()
      continue
    }
    const kept = pieces.filter(([from]) => from! < end).map(([from, length]) => `${from}+${Math.min(length!, end - from!)}`)
    round.push({ at: `${block}+${(end - pos) / blockBytes}`, pieces: kept })
    pos = end
    slots -= used
    if (slots === 0 && pos < total) nextRound()
  }
  rounds.push(round)
  return { rounds, fails: false }
}

/** Whether the module may see the request as it is. */
function fits(limits: Geometry, write: boolean, blockBytes: number, offset: number, lengths: number[]): boolean {
  const total = lengths.reduce((sum, length) => sum + length, 0)
  const blocks = total / blockBytes
  const boundary = (write && limits.splitOnWriteUnit!) ? limits.writeUnitSizeBlocks : limits.splitOnOptimalIoBoundary! ? limits.optimalIoBoundaryBlocks : 0
  if (boundary > 0) for (let block = offset + 1; block < offset + blocks; block++) if (block % boundary === 0) return false
  if (limits.maxNumSegments! > 0 && lengths.length > limits.maxNumSegments!) return false
  if (limits.maxSegmentSizeBytes! > 0 && lengths.some(length => length > limits.maxSegmentSizeBytes!)) return false
  return !(limits.maxRwSizeBlocks! > 0 && blocks > limits.maxRwSizeBlocks!)
}

it('an I/O reaches the module in pieces within its limits, as a model of single bytes says, and moves the same data', async () => {
  const fake = new FakeModule()
  const { host, drain, clock } = await startHost([fake])
  const disks = new Map<number, { disk: FakeDisk; at: Opened }>()
  for (const blockBytes of BLOCK_BYTES) {
    const disk = fake.create(`disk${blockBytes}`, { numBlocks: BLOCKS, blockSizeBytes: blockBytes })
    disks.set(blockBytes, { disk, at: openRw(host, `disk${blockBytes}`) })
  }
  await clock.settle()
  let request_: Uint8Array = new Uint8Array(0)
  let seen: Child[] = []
  for (const { disk } of disks.values()) {
    disk.submit = io => {
      const pieces = Array.from({ length: io.iovCnt }, (_, i) => io.iovs[i]!).map(({ buf, off, len }) => `${buf.byteOffset - request_.byteOffset + off}+${len}`)
      seen.push({ at: `${io.offsetBlocks}+${io.numBlocks}`, pieces })
      disk.held.push(io)
    }
  }
  fc.assert(
    fc.property(geometry, request, (limits, { write, blockBytes, offset, blocks, cuts }) => {
      const { disk, at } = disks.get(blockBytes)!
      const numBlocks = Math.min(blocks, BLOCKS - offset)
      const total = numBlocks * blockBytes
      // The bdev as if it had been registered so.
      const resolved = resolveLimits({ ...limits, blockSizeBytes: blockBytes } as BdevSpec, ~(1 << IoType.Copy), 135_168)
      Object.assign(disk.bdev, { limits: resolved, writeUnitSizeBlocks: limits.writeUnitSizeBlocks })
      Object.assign(at.channel, { fastTypes: ~resolved.splitTypes })

      request_ = new Uint8Array(total).map(() => (write ? random() & 255 : 0))
      const points = [...new Set([0, ...cuts.map(cut => Math.floor((cut * total) / 1001)), total])].toSorted((a, b) => a - b)
      const lengths = points.slice(1).map((point, i) => point - points[i]!)
      const iovs: Iov[] = []
      for (const [i, len] of lengths.entries()) {
        // Now and then an element of nothing: it changes nothing.
        if (cuts[i]! % 11 === 0) iovs.push({ buf: request_, off: total, len: 0 })
        iovs.push({ buf: request_.subarray(points[i]), off: 0, len })
      }
      const before = disk.data.slice()
      const counted = limits.maxNumSegments === 0 || iovs.length === lengths.length
      fc.pre(counted)

      seen = []
      const call = write ? 'writevBlocks' : 'readvBlocks'
      const done = submit((cb, result) => at.channel[call](iovs, iovs.length, offset, numBlocks, cb, result))
      const unit = limits.splitOnWriteUnit! && write ? limits.writeUnitSizeBlocks : 0
      if (fits(limits, write, blockBytes, offset, lengths)) {
        drain()
        if (numBlocks < unit) {
          expect([done.status, seen]).toEqual([IoStatus.Failed, []])
          return
        }
        expect(seen.map(child => child.at)).toEqual([`${offset}+${numBlocks}`])
        disk.completeAll()
        expect(done.success).toBe(true)
      } else {
        const { rounds, fails } = model(limits, write, blockBytes, offset, lengths)
        let tooSmall = false
        for (const round of rounds) {
          drain()
          const passed = round.filter(({ at: where }) => Number(where.split('+')[1]) >= unit)
          tooSmall ||= passed.length < round.length
          expect(seen).toEqual(passed)
          seen = []
          for (const io of [...disk.held].toSorted(() => random() - 2 ** 30)) disk.complete(io)
          if (tooSmall) break
        }
        drain()
        expect(done.calls).toBe(1)
        expect(done.success).toBe(!fails && !tooSmall)
        if (!done.success) return
      }
      const range = disk.data.slice(offset * blockBytes, offset * blockBytes + total)
      expect(range).toEqual(write ? request_ : before.slice(offset * blockBytes, offset * blockBytes + total))
      expect(request_).toEqual(range)
    }),
    { numRuns: RUNS },
  )
  expect(host.usage()).toMatchObject({ bdevIos: 0, ioWaiters: 0, iobufs: 0 })
}, 3_600_000)
