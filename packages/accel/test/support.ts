// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { Accel, DmaHeap } from '../src/index.js'

export const MIB = 1024 * 1024

/** One heap for all tests of a file: reserving is cheap, but instantiating kernels per run is not free. */
export const heap = new DmaHeap({ sizeBytes: 64 * MIB })
export const accel = new Accel(heap)

/** Longer than both staging areas together, so that staged calls run in several pieces. */
export const AREA_BYTES = 48 * 1024
const heapArea = heap.alloc(3 * AREA_BYTES, 4096)
const foreignArea = new Uint8Array(3 * AREA_BYTES)
const otherArea = Buffer.alloc(3 * AREA_BYTES)

/** A buffer of a caller: the heap itself, a view of it, or memory of its own. `base` is where its area starts. */
export interface Place {
  readonly label: string
  readonly buf: Uint8Array
  readonly base: number
}

export const places: readonly Place[] = [
  { label: 'heap.u8', buf: heap.u8, base: heapArea },
  { label: 'a view of the heap', buf: heap.u8.subarray(heapArea, heapArea + 3 * AREA_BYTES), base: 0 },
  { label: 'a Uint8Array', buf: foreignArea, base: 0 },
  { label: 'a Buffer', buf: otherArea, base: 0 },
]

export const place = fc.constantFrom(...places)

/** Short ones, ones round the widths of the kernels' loops and of the staging area, and any. */
export const lengthBytes = fc.oneof(
  fc.integer({ min: 0, max: 200 }),
  fc.constantFrom(0, 1, 15, 16, 17, 63, 64, 65, 127, 128, 383, 384, 385, 511, 512, 4096, 16_383, 16_384, 16_385, 32_768),
  fc.integer({ min: 0, max: AREA_BYTES - 128 }),
)
export const skew = fc.integer({ min: 0, max: 128 })
export const seed = fc.integer()

/** Fills all of a place's area with bytes that follow from `seed`. */
export function scramble({ buf, base }: Place, from: number): void {
  const words = new Uint32Array((3 * AREA_BYTES) / 4)
  let x = from | 1
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    words[i] = x
  }
  buf.set(new Uint8Array(words.buffer), base)
}

/** A copy of a place's area, to let the reference work on. */
export function snapshot({ buf, base }: Place): Uint8Array {
  return buf.slice(base, base + 3 * AREA_BYTES)
}

/** Whether a place's area holds exactly the bytes of `expected`: nothing changed that should not have. */
export function holds({ buf, base }: Place, expected: Uint8Array): boolean {
  return Buffer.compare(buf.subarray(base, base + expected.length), expected) === 0
}
