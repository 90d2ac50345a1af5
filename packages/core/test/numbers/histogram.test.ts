// SPDX-License-Identifier: Apache-2.0
// Names in brackets are those of SPDK's own tests (test/unit/lib/bdev/bdev.c, mt/bdev.c, test/unit/lib/util/histogram).
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { IoType } from '@bdevkit/module-sdk'
import type { Bdev } from '../../src/bdev/bdev.js'
import { Histogram } from '../../src/stat/histogram.js'
import { codeOf } from '../support/harness.js'
import { Rig } from './support.js'

/** Ticks are nanoseconds. */
const MS = 1_000_000

describe('buckets', () => {
  /** Exclusive upper border of bucket (range, index), as SPDK has it. */
  const border = (granularity: number, range: number, index: number): number =>
    range === 0 ? index + 1 : 2 ** (range + granularity - 1) + (index + 1) * 2 ** (range - 1)

  it('hold exactly the values below their border and not below the one before', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 2 ** 45 }), (granularity, value) => {
        const histogram = Histogram.create(granularity, 0, 2 ** 50)
        histogram.tally(value)
        const at = histogram.counts.indexOf(1)
        const [range, index] = [Math.floor(at / 2 ** granularity), at % 2 ** granularity]
        const before = index > 0 ? border(granularity, range, index - 1) : range > 0 ? border(granularity, range - 1, 2 ** granularity - 1) : 0
        expect([before <= value, value < border(granularity, range, index)]).toEqual([true, true])
      }),
    )
  })

  it('at the ends take what is smaller and larger', () => {
    const histogram = Histogram.create(4, 1000, 100_000)
    for (const value of [0, 1, 500, 2 ** 40]) histogram.tally(value)
    expect([histogram.counts[0], histogram.counts.at(-1)]).toEqual([3, 1])
  })

  it('are refused where the smallest value is not below the largest, and where there are too many', async () => {
    expect(await codeOf(() => Histogram.create(7, 1000, 1000))).toBe('ENOMEM')
    expect(await codeOf(() => Histogram.create(64))).toBe('EINVAL')
    expect(await codeOf(() => Histogram.create(30))).toBe('ENOMEM')
  })
})

describe('the latencies of a bdev', () => {
  let rig: Rig
  let bdev: Bdev

  beforeEach(async () => {
    rig = await Rig.create()
    bdev = await rig.bdev()
  })
  afterEach(() => rig.finish())

  const count = async (): Promise<number> => {
    let sum = 0
    for (const n of (await rig.settle(rig.host.control.getHistogram('ut'))).counts) sum += n
    return sum
  }

  it('are counted on all channels while that is on [bdev_histograms], [bdev_histograms_mt]', async () => {
    const desc = rig.open()
    const channels = [rig.channel(0, desc), rig.channel(1, desc)]
    await rig.settle(rig.host.control.enableHistogram('ut'))
    expect([bdev.histogram!.enabled, await count()]).toEqual([true, 0])
    for (const thread of [0, 1]) {
      rig.submit(thread, channels[thread]!, 'write')
      rig.submit(thread, channels[thread]!, 'read')
      await rig.advance(3)
      rig.complete(thread)
      await rig.poll()
    }
    const histogram = await rig.settle(rig.host.control.getHistogram('ut'))
    const used: number[] = []
    histogram.forEach(({ startTicks, endTicks, count: n }) => n > 0 && used.push(startTicks / MS, endTicks / MS, n))
    expect([used.length, used[2]]).toEqual([3, 4])
    expect([used[0]! <= 3, used[1]! > 3]).toEqual([true, true])
    await rig.settle(rig.host.control.disableHistogram('ut'))
    expect([bdev.histogram!.enabled, await codeOf(() => rig.settle(rig.host.control.getHistogram('ut')))]).toEqual([false, 'EFAULT'])
    for (const thread of [0, 1]) rig.on(thread, () => channels[thread]!.put())
    rig.on(0, () => desc.close())
    await rig.poll()
  })

  it('can be those of one I/O type, and of channels that are made later', async () => {
    await rig.settle(rig.host.control.enableHistogram('ut', { ioType: IoType.Write }))
    const desc = rig.open()
    const channel = rig.channel(0, desc)
    rig.submit(0, channel, 'write')
    rig.submit(0, channel, 'read')
    rig.complete(0)
    await rig.poll()
    expect(await count()).toBe(1)
    rig.on(0, () => (channel.put(), desc.close()))
    await rig.poll()
  })

  it('change once at a time: EAGAIN', async () => {
    const desc = rig.open()
    const channel = rig.channel(0, desc)
    const changes = [rig.host.control.enableHistogram('ut'), rig.host.control.enableHistogram('ut'), rig.host.control.disableHistogram('ut')]
    const codes = changes.map(change => codeOf(() => change))
    await rig.poll()
    expect(await Promise.all(codes)).toEqual(['nothing thrown', 'EAGAIN', 'EAGAIN'])
    rig.on(0, () => (channel.put(), desc.close()))
    await rig.poll()
  })

  it('are saved with the configuration, with what is not the default', async () => {
    const saved = (): unknown => rig.host.configJson().find(({ method }) => method === 'bdev_enable_histogram')
    expect(saved()).toBe(undefined)
    await rig.settle(rig.host.control.enableHistogram('ut', { ioType: IoType.Read, granularity: 5, minNs: 1_000, maxNs: 120_000_000_000 }))
    expect(saved()).toEqual({ method: 'bdev_enable_histogram', params: { name: 'ut', enable: true, opc: 'read', granularity: 5 } })
  })

  it('cost a channel nothing once they are off', async () => {
    const desc = rig.open()
    const channel = rig.channel(0, desc)
    await rig.settle(rig.host.control.enableHistogram('ut'))
    expect(channel.ch.flags).not.toBe(0)
    await rig.settle(rig.host.control.disableHistogram('ut'))
    expect(channel.ch.flags).toBe(0)
    rig.on(0, () => (channel.put(), desc.close()))
    await rig.poll()
  })
})
