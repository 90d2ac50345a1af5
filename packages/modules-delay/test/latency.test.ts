// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Latency, MAX_US, parseSamples, Random, Sampler, type Distribution } from '../src/latency.js'

const NONE = new Float64Array(0)
const seeds = fc.integer({ min: 0, max: 0xffff_ffff })

const distributions: fc.Arbitrary<Distribution> = fc.oneof(
  fc.tuple(fc.integer({ max: 5000, min: 0 }), fc.integer({ max: 5000, min: 0 })).map(([min_us, width]) => ({
    io_type: 'read', distribution: 'uniform' as const, min_us, max_us: min_us + width,
  })),
  fc.record({ mean_us: fc.integer({ min: 0, max: 5000 }), stddev_us: fc.integer({ min: 0, max: 2000 }) }).map(numbers => ({
    io_type: 'read', distribution: 'normal' as const, ...numbers,
  })),
  fc.record({ scale_us: fc.integer({ min: 1, max: 5000 }), shape: fc.double({ min: 0.1, max: 10, noNaN: true }) }).map(numbers => ({
    io_type: 'read', distribution: 'pareto' as const, ...numbers,
  })),
)

function drawn(spec: Distribution, seed: number, count: number, samples = NONE): number[] {
  const sampler = new Sampler(spec, samples, new Random(seed, 1))
  return Array.from({ length: count }, () => sampler.nextMs() * 1000)
}

const mean = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length

describe('random numbers', () => {
  it('are those of xoshiro128** over splitmix32, for ever', () => {
    const random = new Random(42)
    expect([random.next(), random.next(), random.next(), random.next()]).toEqual([660_444_221, 3_652_823_732, 77_672_526, 910_233_633])
  })

  it('repeat with the seed, and differ between seeds and streams', () => {
    const take = (random: Random): number[] => Array.from({ length: 8 }, () => random.next())
    fc.assert(fc.property(seeds, seeds, fc.integer({ min: 1, max: 22 }), (seed, other, stream) => {
      expect(take(new Random(seed))).toEqual(take(new Random(seed)))
      expect(take(new Random(seed, stream))).not.toEqual(take(new Random(seed)))
      if (other !== seed) expect(take(new Random(other))).not.toEqual(take(new Random(seed)))
    }))
  })

  it('are uniform in [0, 1)', () => {
    const random = new Random(7)
    const buckets = new Array<number>(16).fill(0)
    for (let i = 0; i < 160_000; i++) buckets[Math.floor(random.uniform() * 16)]!++
    // Chi squared with 15 degrees of freedom; 37.7 has a probability of 0.001.
    expect(buckets.reduce((sum, n) => sum + (n - 10_000) ** 2 / 10_000, 0)).toBeLessThan(37.7)
  })
})

describe('distributions', () => {
  it('give one sequence for one seed, never negative and never above the limit', () => {
    fc.assert(fc.property(distributions, seeds, (spec, seed) => {
      const first = drawn(spec, seed, 50)
      expect(drawn(spec, seed, 50)).toEqual(first)
      for (const us of first) {
        expect(us).toBeGreaterThanOrEqual(0)
        expect(us).toBeLessThanOrEqual(MAX_US)
      }
    }))
  })

  it('uniform has its bounds and its mean', () => {
    const list = drawn({ io_type: 'read', distribution: 'uniform', min_us: 100, max_us: 300 }, 1, 20_000)
    expect(Math.min(...list)).toBeGreaterThanOrEqual(100)
    expect(Math.max(...list)).toBeLessThanOrEqual(300)
    expect(mean(list)).toBeCloseTo(200, -1)
  })

  it('normal has its mean and its standard deviation', () => {
    const list = drawn({ io_type: 'read', distribution: 'normal', mean_us: 1000, stddev_us: 100 }, 2, 20_000)
    expect(Math.abs(mean(list) - 1000)).toBeLessThan(4)
    expect(Math.abs(Math.sqrt(mean(list.map(us => (us - 1000) ** 2))) - 100)).toBeLessThan(4)
  })

  it('pareto has its least value, its median and its tail, cut at max_us', () => {
    const spec = { io_type: 'read', distribution: 'pareto', scale_us: 100, shape: 2, max_us: 1000 } as const
    const list = drawn(spec, 3, 20_000).sort((a, b) => a - b)
    expect(list[0]).toBeGreaterThanOrEqual(100)
    expect(Math.abs(list[10_000]! - 100 * Math.SQRT2)).toBeLessThan(3)
    expect(list.filter(us => us === 1000).length / 20_000).toBeCloseTo(0.01, 2)
  })

  it('empirical draws its samples, each alike', () => {
    const list = drawn({ io_type: 'read', distribution: 'empirical' }, 4, 30_000, Float64Array.of(10, 20, 500))
    for (const us of [10, 20, 500]) expect(Math.abs(list.filter(found => found === us).length - 10_000)).toBeLessThan(400)
  })

  it.each<[string, Partial<Distribution>]>([
    ['min_us is missing', { distribution: 'uniform', max_us: 1 }],
    ['min_us 5 is above max_us 1', { distribution: 'uniform', min_us: 5, max_us: 1 }],
    ['stddev_us is missing', { distribution: 'normal', mean_us: 1 }],
    ['shape is missing', { distribution: 'pareto', scale_us: 1 }],
    ['file is missing', { distribution: 'empirical' }],
  ])('are refused with EINVAL where %s', (text, spec) => {
    const make = (): Sampler => new Sampler({ io_type: 'read', ...spec } as Distribution, NONE, new Random(0))
    expect(make).toThrowError(expect.objectContaining({ code: 'EINVAL', message: expect.stringContaining(text) }))
  })

  it('average and p99: one draw in a hundred is a p99 one', () => {
    const latency = new Latency(2, new Random(5))
    const slow = Array.from({ length: 100_000 }, () => latency.nextQueue()).filter(queue => queue === 3).length
    expect(Math.abs(slow - 1000)).toBeLessThan(130)
  })
})

describe('samples', () => {
  it('are read from a JSON array or from lines', () => {
    expect([...parseSamples('[1, 2.5, 3]', 'f')]).toEqual([1, 2.5, 3])
    expect([...parseSamples('# measured\n1\n\n2.5 # slow\r\n3', 'f')]).toEqual([1, 2.5, 3])
  })

  it('come back as they were written, in both forms', () => {
    fc.assert(fc.property(fc.array(fc.double({ min: 0, max: MAX_US, noNaN: true }).map(us => us + 0), { minLength: 1 }), list => {
      expect([...parseSamples(JSON.stringify(list), 'f')]).toEqual(list.map(us => us || 0))
      expect([...parseSamples(list.join('\n'), 'f')]).toEqual(list.map(us => us || 0))
    }))
  })

  it.each(['', '[]', '[1', '[1, "2"]', '[null]', 'slow', '-1', '1e99', 'NaN', '[[1]]'])('are refused with EINVAL: %j', text => {
    expect(() => parseSamples(text, 'f')).toThrowError(expect.objectContaining({ code: 'EINVAL' }))
  })

  it('of any text either are numbers in range or EINVAL', () => {
    fc.assert(fc.property(fc.string(), text => {
      try {
        for (const us of parseSamples(text, 'f')) expect(us >= 0 && us <= MAX_US).toBe(true)
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: 'EINVAL' })
      }
    }))
  })
})
