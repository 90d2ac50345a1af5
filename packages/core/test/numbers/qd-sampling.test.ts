// SPDX-License-Identifier: Apache-2.0
// Names in brackets are those of SPDK's own tests (test/unit/lib/bdev/bdev.c).
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { IoStatus } from '@bdevkit/module-sdk'
import type { Bdev } from '../../src/bdev/bdev.js'
import type { Desc } from '../../src/descriptor/desc.js'
import type { DescChannel } from '../../src/descriptor/desc-channel.js'
import { codeOf } from '../support/harness.js'
import { Rig } from './support.js'

describe('queue-depth sampling [bdev_set_qd_sampling]', () => {
  let rig: Rig
  let bdev: Bdev
  let desc: Desc
  let channels: [DescChannel, DescChannel]

  beforeEach(async () => {
    rig = await Rig.create()
    bdev = await rig.bdev()
    desc = rig.open()
    channels = [rig.channel(0, desc), rig.channel(1, desc)]
  })
  afterEach(async () => {
    rig.on(0, () => channels[0].put())
    rig.on(1, () => channels[1].put())
    rig.on(0, () => desc.close())
    await rig.poll()
    await rig.finish()
  })

  it('sums up what the module has, over all channels, once a period', async () => {
    await rig.settle(rig.host.control.setQdSamplingPeriod('ut', 10_000))
    expect([bdev.qdSampling.periodUs, bdev.qdSampling.queueDepth, bdev.descs.length]).toEqual([10_000, undefined, 2])
    await rig.advance(11)
    expect([bdev.qdSampling.queueDepth, bdev.qdSampling.ioTimeUs]).toEqual([0, 0])
    for (let i = 0; i < 3; i++) rig.submit(i & 1 ? 1 : 0, channels[i & 1 ? 1 : 0])
    await rig.advance(10)
    expect(bdev.qdSampling).toMatchObject({ queueDepth: 3, ioTimeUs: 10_000, weightedIoTimeUs: 30_000 })
    expect(await rig.settle(rig.host.control.getCurrentQd('ut'))).toBe(3)
    rig.complete(0)
    rig.complete(1)
    await rig.advance(10)
    expect(bdev.qdSampling).toMatchObject({ queueDepth: 0, ioTimeUs: 10_000, weightedIoTimeUs: 30_000 })
    await rig.settle(rig.host.control.setQdSamplingPeriod('ut', 0))
    await rig.poll()
    expect([bdev.qdSampling.periodUs, bdev.descs.length]).toEqual([0, 1])
  })

  it('takes a change over when a sample that is under way has ended', async () => {
    bdev.qdSampling.setPeriod(10_000)
    bdev.qdSampling.setPeriod(20_000)
    expect(bdev.qdSampling.periodUs).toBe(10_000)
    await rig.poll()
    expect(bdev.qdSampling.periodUs).toBe(20_000)
    rig.submit(0, channels[0])
    await rig.advance(21)
    expect(bdev.qdSampling).toMatchObject({ queueDepth: 1, ioTimeUs: 20_000 })
    bdev.qdSampling.setPeriod(30_000)
    bdev.qdSampling.setPeriod(0)
    await rig.poll()
    expect([bdev.qdSampling.periodUs, bdev.descs.length]).toEqual([0, 1])
    rig.complete(0)
    await rig.poll()
  })

  it('does not get in the way of a reset or of the removal of the bdev', async () => {
    bdev.qdSampling.setPeriod(1_000)
    const write = rig.submit(0, channels[0], 'write')
    const reset = rig.reset(0, channels[0])
    await rig.advance(5)
    rig.complete(0)
    await rig.poll()
    expect([write.status, reset.status]).toEqual([IoStatus.Success, IoStatus.Success])
    const gone = rig.host.unregister('ut')
    rig.on(0, () => channels[0].put())
    rig.on(1, () => channels[1].put())
    rig.on(0, () => desc.close())
    await rig.settle(gone)
    expect(rig.destructed).toEqual(['ut'])
    bdev = await rig.bdev()
    desc = rig.open()
    channels = [rig.channel(0, desc), rig.channel(1, desc)]
  })

  it('refuses a period that is none, and an unknown bdev', async () => {
    expect(await codeOf(() => rig.settle(rig.host.control.setQdSamplingPeriod('ut', -1)))).toBe('EINVAL')
    expect(await codeOf(() => rig.settle(rig.host.control.setQdSamplingPeriod('none', 1)))).toBe('ENODEV')
  })
})
