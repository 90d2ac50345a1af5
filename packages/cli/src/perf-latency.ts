// SPDX-License-Identifier: Apache-2.0
// data plane

/** Values below 2^8 ns have a bucket each; above, each power of two is cut into 2^7: an error below 0.8 %. */
const SUB_BUCKETS = 128
/** 2^39 ns are 9 minutes; what took longer counts as that, and as itself in the maximum. */
const NS_MAX = 2 ** 39 - 1
const BUCKETS = SUB_BUCKETS * 33
const POWERS = Float64Array.from({ length: 32 }, (_, i) => 2 ** i) // cold: once per process

/** Counts latencies in buckets of a size in proportion to the value, so that nothing is allocated and nothing is sampled. */
export class LatencyHistogram {
  readonly #buckets = new Float64Array(BUCKETS)
  count = 0
  sumNs = 0
  maxNs = 0

  /** Adds one latency, in nanoseconds. */
  record(ns: number): void {
    this.count++
    this.sumNs += ns
    if (ns > this.maxNs) this.maxNs = ns
    const bounded = ns < NS_MAX ? ns : NS_MAX
    const exponent = 32 - Math.clz32((bounded / 256) | 0)
    this.#buckets[exponent * SUB_BUCKETS + ((bounded / POWERS[exponent]!) | 0)]!++
  }

  /** The latency, in nanoseconds, that `fraction` of all do not exceed: the end of its bucket. */
  percentileNs(fraction: number): number {
    let left = Math.ceil(this.count * fraction)
    for (let i = 0; i < BUCKETS; i++) {
      left -= this.#buckets[i]!
      if (left > 0) continue
      const exponent = Math.max(0, Math.floor(i / SUB_BUCKETS) - 1)
      return Math.min((i - exponent * SUB_BUCKETS + 1) * POWERS[exponent]!, this.maxNs)
    }
    return this.maxNs
  }
}
