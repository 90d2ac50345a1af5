// SPDX-License-Identifier: Apache-2.0
// data plane
// Where the delays of one I/O type come from: pure arithmetic, one seed gives one sequence.
import { BdevError } from '@bdevkit/module-sdk'

/** How I/O of one type is delayed, as the RPC methods take it. Times in microseconds. */
export type Distribution = {
  io_type: string
  distribution: 'uniform' | 'normal' | 'pareto' | 'empirical'
  min_us?: number
  max_us?: number
  mean_us?: number
  stddev_us?: number
  scale_us?: number
  shape?: number
  file?: string
  seed?: number
}

/** What no drawn delay exceeds unless `max_us` says otherwise: a heavy tail is no hang. */
export const MAX_US = 60_000_000
/** Most samples that a file may hold. */
export const MAX_SAMPLES = 1_000_000

/**
 * xoshiro128** 1.1 (Blackman and Vigna, "Scrambled linear pseudorandom number generators"), its state filled by splitmix32
 * from the seed. `stream` keeps the sequences of several users of one seed apart.
 */
export class Random {
  #a: number
  #b: number
  #c: number
  #d: number

  constructor(seed: number, stream = 0) {
    let state = (seed ^ Math.imul(stream, 0x9e37_79b9)) | 0
    const splitmix = (): number => { // cold: a sequence starts
      state = (state + 0x9e37_79b9) | 0
      let z = state
      z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad)
      z = Math.imul(z ^ (z >>> 15), 0x735a_2d97)
      return z ^ (z >>> 15)
    }
    this.#a = splitmix()
    this.#b = splitmix()
    this.#c = splitmix()
    this.#d = splitmix()
  }

  /** The next 32 bits. */
  next(): number {
    const b = this.#b
    const times5 = Math.imul(b, 5)
    const result = Math.imul((times5 << 7) | (times5 >>> 25), 9)
    this.#c ^= this.#a
    this.#d ^= b
    this.#b = b ^ this.#c
    this.#a ^= this.#d
    this.#c ^= b << 9
    this.#d = (this.#d << 11) | (this.#d >>> 21)
    return result >>> 0
  }

  /** Uniform in [0, 1), 53 bits. */
  uniform(): number {
    return ((this.next() >>> 5) * 0x400_0000 + (this.next() >>> 6)) / 0x20_0000_0000_0000
  }
}

const Kind = { Uniform: 0, Normal: 1, Pareto: 2, Empirical: 3 } as const

/** Draws delays of one distribution. */
export class Sampler {
  readonly #random: Random
  readonly #kind: number
  /** Meaning by kind: lower bound, mean, or scale, in milliseconds. */
  readonly #first: number
  /** Width or standard deviation, in milliseconds, or -1 / shape. */
  readonly #second: number
  readonly #maxMs: number
  readonly #samplesMs: Float64Array

  /** @throws BdevError EINVAL parameters are missing or contradict each other. */
  constructor(spec: Distribution, samplesUs: Float64Array, random: Random) {
    const who = `${spec.distribution} distribution for ${spec.io_type}`
    const number = (name: 'min_us' | 'max_us' | 'mean_us' | 'stddev_us' | 'scale_us' | 'shape'): number => { // cold: a distribution is set
      const value = spec[name]
      if (value === undefined) throw new BdevError('EINVAL', `${who}: ${name} is missing`)
      return value
    }
    this.#random = random
    this.#samplesMs = samplesUs.map(us => us / 1000) // cold: a distribution is set
    this.#maxMs = (spec.max_us ?? MAX_US) / 1000
    switch (spec.distribution) {
      case 'uniform':
        this.#kind = Kind.Uniform
        this.#first = number('min_us') / 1000
        this.#second = number('max_us') / 1000 - this.#first
        if (this.#second < 0) throw new BdevError('EINVAL', `${who}: min_us ${spec.min_us} is above max_us ${spec.max_us}`)
        break
      case 'normal':
        this.#kind = Kind.Normal
        this.#first = number('mean_us') / 1000
        this.#second = number('stddev_us') / 1000
        break
      case 'pareto':
        this.#kind = Kind.Pareto
        this.#first = number('scale_us') / 1000
        this.#second = -1 / number('shape')
        break
      case 'empirical':
        this.#kind = Kind.Empirical
        this.#first = 0
        this.#second = 0
        if (samplesUs.length === 0) throw new BdevError('EINVAL', `${who}: file is missing`)
        break
    }
  }

  /** The next delay in milliseconds, 0 to the limit. */
  nextMs(): number {
    let ms: number
    switch (this.#kind) {
      case Kind.Uniform:
        return this.#first + this.#random.uniform() * this.#second
      case Kind.Normal:
        ms = this.#first + this.#second * this.#gauss()
        break
      case Kind.Pareto:
        ms = this.#first * Math.pow(1 - this.#random.uniform(), this.#second)
        break
      default:
        ms = this.#samplesMs[Math.floor(this.#random.uniform() * this.#samplesMs.length)]
    }
    return ms > this.#maxMs ? this.#maxMs : ms > 0 ? ms : 0
  }

  /** Standard normal, by Box and Muller; two draws for each, so that the sequence has no memory. */
  #gauss(): number {
    return Math.sqrt(-2 * Math.log(1 - this.#random.uniform())) * Math.cos(2 * Math.PI * this.#random.uniform())
  }
}

/** One draw in a hundred is a p99 one. */
const ONE_IN_100 = Math.floor(2 ** 32 / 100)

/** The delays of one I/O type: average and p99, or a distribution. */
export class Latency {
  /** Number of the channel's queue for the average; the one behind it is for p99. */
  readonly firstQueue: number
  sampler: Sampler | null = null
  readonly #random: Random

  constructor(firstQueue: number, random: Random) {
    this.firstQueue = firstQueue
    this.#random = random
  }

  /** The queue of the next I/O: that of the average, or once in a hundred that of p99. */
  nextQueue(): number {
    return this.#random.next() < ONE_IN_100 ? this.firstQueue + 1 : this.firstQueue
  }
}

/**
 * The samples, in microseconds, of a text that is a JSON array of numbers or has one number per line; `#` begins a comment.
 * @throws BdevError EINVAL something else is in it, a number is negative or too large, there is none, or there are too many.
 */
export function parseSamples(text: string, file: string): Float64Array {
  const bad = (what: string): BdevError => new BdevError('EINVAL', `samples of ${file}: ${what}`) // cold: a file is read
  const isJson = text.trimStart().startsWith('[')
  let values: unknown[]
  try {
    values = isJson ? (JSON.parse(text) as unknown[]) : linesOf(text)
  } catch (cause) {
    throw new BdevError('EINVAL', `samples of ${file}: it starts as a JSON array, but is none`, { cause })
  }
  if (values.length === 0 || values.length > MAX_SAMPLES) throw bad(`wanted 1 to ${MAX_SAMPLES} numbers, found ${values.length}`)
  return Float64Array.from(values, (value, i) => { // cold: a file is read
    const us = isJson ? value : Number(value)
    if (typeof us === 'number' && us >= 0 && us <= MAX_US) return us
    throw bad(`wanted microseconds, 0 to ${MAX_US}, as ${isJson ? 'element' : 'number'} ${i + 1}, found ${JSON.stringify(value).slice(0, 40)}`)
  })
}

/** What stands on the lines of a text, without comments and empty lines. */
function linesOf(text: string): string[] {
  const lines = text.split('\n').map(line => line.replace(/#.*/, '').trim()) // cold: a file is read
  return lines.filter(line => line !== '') // cold: a file is read
}
