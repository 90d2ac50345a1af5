// SPDX-License-Identifier: Apache-2.0
// data plane
import { BdevError } from '@bdevkit/module-sdk'
import { HISTOGRAM_BUCKETS_MAX } from '../limits.js'

/** log2 of the buckets for each power of two, where nothing else is asked for. */
export const HISTOGRAM_GRANULARITY = 7
const UINT64_BITS = 64
const TWO_32 = 0x1_0000_0000

/** One bucket as {@link Histogram.forEach} shows it. */
export interface HistogramBucket {
  /** Values above or equal to this, for all buckets but the first, which starts at 0. */
  readonly startTicks: number
  /** Values below this, for all buckets but the last, which has no end. */
  readonly endTicks: number
  /** Values counted. */
  readonly count: number
}

/**
 * Counts values in buckets that grow with them, as SPDK does (spdk/histogram_data.h): each power of two above
 * 2^granularity is a range of 2^granularity equal buckets. Values are whole ticks.
 */
export class Histogram {
  /** log2 of the buckets for each power of two. */
  readonly granularity: number
  /** Ranges that are kept; smaller values fall into the first bucket, larger ones into the last. */
  readonly minRange: number
  /** The last range that is kept. */
  readonly maxRange: number
  /** Range after range. */
  readonly counts: Float64Array
  /** I/O type that is counted; 0 = all. */
  readonly ioType: number

  private constructor(granularity: number, minRange: number, maxRange: number, ioType: number) {
    this.granularity = granularity
    this.minRange = minRange
    this.maxRange = maxRange
    this.ioType = ioType
    this.counts = new Float64Array((maxRange - minRange + 1) * 2 ** granularity)
  }

  /**
   * An empty one for values from `minTicks` up to but not including `maxTicks`, 2^64 where left out.
   * @throws BdevError EINVAL a granularity out of range; ENOMEM `minTicks` is not below `maxTicks`, or more buckets than one
   * histogram may have.
   */
  static create(granularity = HISTOGRAM_GRANULARITY, minTicks = 0, maxTicks = 2 ** UINT64_BITS, ioType = 0): Histogram {
    if (!(Number.isInteger(granularity) && granularity >= 0 && granularity < UINT64_BITS)) {
      throw new BdevError('EINVAL', `histogram: wanted a granularity from 0 to ${UINT64_BITS - 1}, found ${granularity}`)
    }
    if (!(minTicks >= 0 && minTicks < maxTicks)) {
      throw new BdevError('ENOMEM', `histogram: wanted a smallest value below the largest, found ${minTicks} and ${maxTicks}`)
    }
    const minRange = rangeOf(minTicks, granularity)
    const maxRange = rangeOf(maxTicks - 1, granularity)
    const buckets = (maxRange - minRange + 1) * 2 ** granularity
    if (buckets > HISTOGRAM_BUCKETS_MAX) {
      throw new BdevError('ENOMEM', `histogram: granularity ${granularity} makes ${buckets} buckets, wanted at most ${HISTOGRAM_BUCKETS_MAX}; take a smaller one, or limit the values`)
    }
    return new Histogram(granularity, minRange, maxRange, ioType)
  }

  /** An empty one with the same buckets. */
  like(): Histogram {
    return new Histogram(this.granularity, this.minRange, this.maxRange, this.ioType)
  }

  /** Counts one value. */
  tally(ticks: number): void {
    this.counts[this.bucketOf(ticks)]! += 1
  }

  /** Index into `counts` of the bucket for a value. */
  bucketOf(ticks: number): number {
    const range = rangeOf(ticks, this.granularity)
    const perRange = 2 ** this.granularity
    if (range < this.minRange) return 0
    if (range > this.maxRange) return this.counts.length - 1
    const index = range <= 1 ? ticks % perRange : Math.floor(ticks / 2 ** (range - 1)) % perRange
    return (range - this.minRange) * perRange + index
  }

  /** Whether both have the same buckets. */
  sameGeometry(other: Histogram): boolean {
    return this.granularity === other.granularity && this.minRange === other.minRange && this.maxRange === other.maxRange
  }

  /**
   * Adds the counts of `other`.
   * @throws BdevError EINVAL its buckets differ.
   */
  merge(other: Histogram): void {
    if (!this.sameGeometry(other)) throw new BdevError('EINVAL', 'histograms of different geometry cannot be added')
    for (let i = 0; i < this.counts.length; i++) this.counts[i]! += other.counts[i]!
  }

  /** Number of values. */
  get total(): number {
    let sum = 0
    for (let i = 0; i < this.counts.length; i++) sum += this.counts[i]!
    return sum
  }

  /** Visits every bucket, smallest values first. */
  forEach(fn: (bucket: HistogramBucket) => void): void {
    const perRange = 2 ** this.granularity
    let startTicks = 0
    for (let i = 0; i < this.counts.length; i++) {
      const endTicks = bucketEnd(this.minRange + Math.floor(i / perRange), i % perRange, this.granularity)
      fn({ startTicks, endTicks, count: this.counts[i]! })
      startTicks = endTicks
    }
  }

  /**
   * How many values lie in buckets that start at or below each of `bordersTicks`, which ascend; the last element counts all
   * values (`spdk_histogram_get_borders_count`).
   */
  bordersCount(bordersTicks: readonly number[]): number[] {
    const counts: number[] = []
    let soFar = 0
    this.forEach(({ startTicks, count }) => { // cold: asked for
      while (counts.length < bordersTicks.length && startTicks > bordersTicks[counts.length]!) counts.push(soFar)
      soFar += count
    })
    while (counts.length <= bordersTicks.length) counts.push(soFar)
    return counts
  }

  /** The counts as little-endian 64-bit integers, the form of `bdev_get_histogram`. */
  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.counts.length * 8)
    const view = new DataView(bytes.buffer)
    for (let i = 0; i < this.counts.length; i++) {
      view.setUint32(8 * i, this.counts[i]! % TWO_32, true)
      view.setUint32(8 * i + 4, Math.floor(this.counts[i]! / TWO_32), true)
    }
    return bytes
  }
}

function rangeOf(ticks: number, granularity: number): number {
  return Math.max(0, bitLength(ticks) - granularity)
}

/** Bits that a 64-bit integer needs; larger values count as the largest. */
function bitLength(value: number): number {
  if (value < TWO_32) return 32 - Math.clz32(value)
  if (value >= 2 ** (UINT64_BITS - 1)) return UINT64_BITS
  return UINT64_BITS - Math.clz32(value / TWO_32)
}

function bucketEnd(range: number, index: number, granularity: number): number {
  if (range === 0) return index + 1
  return 2 ** (range + granularity - 1) + (index + 1) * 2 ** (range - 1)
}
