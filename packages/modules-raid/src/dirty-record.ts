// SPDX-License-Identifier: Apache-2.0
// The dirty map as it is on disk: one bit for each region of the array.
import { RECORD_HEADER_BYTES, RECORD_PLACES } from './own-record.js'

const PAYLOAD_HEADER_BYTES = 24
/** Regions that a record has room for. */
export const REGIONS_MAX = (RECORD_PLACES.dirtyMapA.lengthBytes - RECORD_HEADER_BYTES - PAYLOAD_HEADER_BYTES) * 8
const DEGRADED = 1
const CLEAN = 2

/** What the record says. */
export interface DirtyRecord {
  /** Grows with each one that is written: the larger one is the newer one. */
  readonly generation: number
  /** Blocks of the array in one region: a power of two. */
  readonly regionBlocks: number
  readonly numRegions: number
  /**
   * A member was missing. Of parity levels, what was written since then cannot be told apart from what is on the disks: a start
   * with that member still missing risks no more than it did before.
   */
  readonly degraded: boolean
  /** The array has ended well: what is dirty waits for its first resync, and was not torn. */
  readonly clean: boolean
  /** By region, bit 0 first: whether its copies or its parity may not agree. */
  readonly bits: Uint8Array
}

export function encodeDirtyRecord({ generation, regionBlocks, numRegions, degraded, clean, bits }: DirtyRecord): Uint8Array {
  const payload = new Uint8Array(PAYLOAD_HEADER_BYTES + Math.ceil(numRegions / 8))
  const view = new DataView(payload.buffer)
  view.setBigUint64(0, BigInt(generation), true)
  view.setBigUint64(8, BigInt(regionBlocks), true)
  view.setUint32(16, numRegions, true)
  view.setUint32(20, (degraded ? DEGRADED : 0) | (clean ? CLEAN : 0), true)
  payload.set(bits.subarray(0, Math.ceil(numRegions / 8)), PAYLOAD_HEADER_BYTES)
  return payload
}

/** `undefined` for what is no dirty map. */
export function decodeDirtyRecord(payload: Uint8Array): DirtyRecord | undefined {
  if (payload.length < PAYLOAD_HEADER_BYTES) return undefined
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  const generation = Number(view.getBigUint64(0, true))
  const regionBlocks = Number(view.getBigUint64(8, true))
  const numRegions = view.getUint32(16, true)
  const sound = Number.isSafeInteger(generation) && Number.isSafeInteger(regionBlocks) && Number.isInteger(Math.log2(regionBlocks)) &&
    numRegions <= REGIONS_MAX && payload.length === PAYLOAD_HEADER_BYTES + Math.ceil(numRegions / 8)
  if (!sound) return undefined
  const flags = view.getUint32(20, true)
  const bits = payload.slice(PAYLOAD_HEADER_BYTES)
  return { generation, regionBlocks, numRegions, degraded: (flags & DEGRADED) !== 0, clean: (flags & CLEAN) !== 0, bits }
}

/** The smallest region of at least `blocksMin` by which `numBlocks` blocks fit a record. */
export function regionBlocksFor(numBlocks: number, blocksMin: number): number {
  let regionBlocks = 2 ** Math.ceil(Math.log2(Math.max(1, blocksMin)))
  while (Math.ceil(numBlocks / regionBlocks) > REGIONS_MAX) regionBlocks *= 2
  return regionBlocks
}
