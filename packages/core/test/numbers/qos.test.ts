// SPDX-License-Identifier: Apache-2.0
import { IoStatus } from '@bdevkit/module-sdk'
import { afterEach, describe, expect, it } from 'vitest'
import type { Bdev } from '../../src/bdev/bdev.js'
import { ChannelFlag } from '../../src/channel/bdev-channel.js'
import type { DescChannel } from '../../src/descriptor/desc-channel.js'
import { Qos } from '../../src/qos/qos.js'
import { getQosLimits, qosConfigJson, setQosLimits } from '../../src/qos/qos-control.js'
import { BLOCK_BYTES, Rig, type Sent } from './support.js'

let rig: Rig
afterEach(() => rig.finish())

/** Limits in units a second, finer than the API allows, as SPDK's own tests set them. */
function limitUnits(bdev: Bdev, perSecond: readonly [rwIos: number, rwBytes: number, rBytes: number, wBytes: number]): Qos {
  const qos = new Qos(bdev)
  perSecond.forEach((value, i) => (qos.limits[i]!.perSecond = value))
  bdev.qos = qos
  return qos
}

const limited = (channel: DescChannel): boolean => (channel.ch.flags & ChannelFlag.Qos) !== 0
const put = (thread: number, channel: DescChannel): void => rig.on(thread, () => channel.put())

describe('cases of SPDK', () => {
  it('basic_qos: the first channel refills, every I/O completes on its thread, queued I/O can be aborted, limits outlive the close', async () => {
    rig = await Rig.create(2)
    const bdev = await rig.bdev()
    const qos = limitUnits(bdev, [2000, 8_192_000, 8_192_000, 0])
    let desc = rig.open()
    const channels = [rig.channel(0, desc), rig.channel(1, desc)] as const
    expect(channels.map(limited)).toEqual([true, true])
    expect(qos.thread).toBe(rig.threads[0])

    const first = rig.submit(0, channels[0])
    rig.complete(0)
    expect(first.status).toBe(IoStatus.Success)
    const second = rig.submit(1, channels[1])
    rig.complete(0)
    await rig.poll()
    expect(second.status).toBe(0)
    rig.complete(1)
    expect(second.status).toBe(IoStatus.Success)

    await rig.advance(1)
    for (const thread of [0, 1] as const) {
      const target = rig.submit(thread, channels[thread])
      const abort = rig.abort(thread, channels[thread], target)
      expect([target.status, abort.status]).toEqual([IoStatus.Aborted, IoStatus.Success])
    }

    rig.on(0, () => desc.close())
    expect(qos.thread).toBeNull()
    desc = rig.open()
    await rig.poll()
    expect(qos.thread).toBe(rig.threads[0])
    put(0, channels[0])
    put(1, channels[1])
    await rig.poll()
    rig.on(0, () => desc.close())
    expect(qos.thread).toBeNull()
    desc = rig.open()
    await rig.poll()
    expect(qos.thread).toBeNull()
    const later = [rig.channel(1, desc), rig.channel(0, desc)] as const
    expect(later.map(limited)).toEqual([true, true])
    expect(qos.thread).toBe(rig.threads[1])
    put(1, later[0])
    put(0, later[1])
    rig.on(0, () => desc.close())
  })

  it('io_during_qos_queue: one read of two waits for the next timeslice, a write does not', async () => {
    rig = await Rig.create(2)
    limitUnits(await rig.bdev(), [4000, 8_192_000, 4_096_000, 4_096_000])
    const desc = rig.open()
    const channels = [rig.channel(0, desc), rig.channel(1, desc)] as const
    const read1 = rig.submit(1, channels[1])
    const read0 = rig.submit(0, channels[0])
    const write = rig.submit(0, channels[0], 'write')
    rig.complete(1)
    rig.complete(0)
    expect([read0.status, read1.status, write.status]).toEqual([0, IoStatus.Success, IoStatus.Success])
    await rig.advance(1)
    rig.complete(0)
    expect(read0.status).toBe(IoStatus.Success)
    put(0, channels[0])
    put(1, channels[1])
    rig.on(0, () => desc.close())
  })

  it('io_during_qos_reset: a reset aborts what waits for quota and what the device has', async () => {
    rig = await Rig.create(2)
    limitUnits(await rig.bdev(), [2000, 4_096_000, 0, 8_192_000])
    const desc = rig.open()
    const channels = [rig.channel(0, desc), rig.channel(1, desc)] as const
    const atDevice = rig.submit(1, channels[1], 'write')
    const queued = rig.submit(0, channels[0], 'write')
    expect([rig.pending(0).length, rig.pending(1).length]).toEqual([0, 1])
    const reset = rig.reset(0, channels[0])
    await rig.poll()
    expect(queued.status).toBe(IoStatus.Aborted)
    rig.complete(1, 1, IoStatus.Aborted)
    rig.complete(0)
    await rig.poll()
    expect([atDevice.status, reset.status]).toEqual([IoStatus.Aborted, IoStatus.Success])
    put(0, channels[0])
    put(1, channels[1])
    rig.on(0, () => desc.close())
  })

  it('qos_dynamic_enable: limits come and go under I/O, and only one change at a time', async () => {
    rig = await Rig.create(2)
    const bdev = await rig.bdev()
    const desc = rig.open()
    const channels = [rig.channel(0, desc), rig.channel(1, desc)] as const
    expect(channels.map(limited)).toEqual([false, false])
    await rig.settle(setQosLimits(bdev, { rwIosPerSec: 10_000, rwMbytesPerSec: 100, rMbytesPerSec: 100, wMbytesPerSec: 10 }))
    expect(channels.map(limited)).toEqual([true, true])

    for (let i = 0; i < 10; i++) {
      const sent = rig.submit(0, channels[0])
      rig.complete(0)
      expect(sent.status).toBe(IoStatus.Success)
    }
    const waiting = [rig.submit(0, channels[0]), rig.submit(1, channels[1])]
    expect([rig.pending(0).length, rig.pending(1).length]).toEqual([0, 0])

    await rig.settle(setQosLimits(bdev, { rwIosPerSec: 0, rwMbytesPerSec: 0, rMbytesPerSec: 0 }))
    expect(channels.map(limited)).toEqual([true, true])
    await rig.settle(setQosLimits(bdev, { wMbytesPerSec: 0 }))
    expect(channels.map(limited)).toEqual([false, false])
    expect(bdev.qos).toBeNull()
    rig.complete(0)
    expect(waiting.map(({ status }) => status)).toEqual([IoStatus.Success, 0])
    rig.complete(1)
    expect(waiting[1]!.status).toBe(IoStatus.Success)

    await rig.settle(setQosLimits(bdev, { rwIosPerSec: 0 }))
    await rig.settle(setQosLimits(bdev, { rwIosPerSec: 10_000 }))
    expect(channels.map(limited)).toEqual([true, true])
    const [disable, enable] = rig.on(1, () => [setQosLimits(bdev, { rwIosPerSec: 0 }), setQosLimits(bdev, { rwMbytesPerSec: 10 })])
    await expect(rig.settle(enable!)).rejects.toMatchObject({ code: 'EAGAIN' })
    await rig.settle(disable!)
    expect(channels.map(limited)).toEqual([false, false])
    await rig.settle(rig.on(1, () => setQosLimits(bdev, { rwIosPerSec: 10_000 })))
    expect(channels.map(limited)).toEqual([true, true])
    put(0, channels[0])
    put(1, channels[1])
    rig.on(0, () => desc.close())
  })

  it('unregister_and_qos_poller: the bdev goes although its limits were in force', async () => {
    rig = await Rig.create(2)
    const bdev = await rig.bdev()
    let removed = false
    const desc = rig.open('ut', { onEvent: () => (removed = true) })
    const channel = rig.channel(0, desc)
    await rig.settle(setQosLimits(bdev, { rwIosPerSec: 10_000, rwMbytesPerSec: 0 }))
    const unregistered = rig.host.unregister('ut')
    await rig.poll()
    expect(removed).toBe(true)
    expect(rig.destructed).toEqual([])
    const qos = bdev.qos!
    rig.on(0, () => {
      channel.put()
      desc.close()
    })
    expect(qos.thread).toBeNull()
    await rig.advance(1)
    await rig.settle(unregistered)
    expect(rig.destructed).toEqual(['ut'])
  })

  it('qos_bdev_open_close_data_race: an open and close while the last channel goes leaves no poller behind', async () => {
    rig = await Rig.create(2)
    const bdev = await rig.bdev()
    const desc = rig.open()
    await rig.settle(setQosLimits(bdev, { rwIosPerSec: 1000, rwMbytesPerSec: 10_000, rMbytesPerSec: 1000, wMbytesPerSec: 1000 }))
    const channel = rig.channel(1, desc)
    rig.on(1, () => {
      rig.threads[0]!.sendMsg(() => desc.close(), undefined)
      channel.put()
      rig.host.openBdev('ut', { onEvent: () => {} }).close()
    })
    await rig.poll()
    expect(bdev.qos!.thread).toBeNull()
    await rig.settle(rig.host.unregister('ut'))
    expect(rig.threads.map(({ pollers }) => pollers.length)).toEqual([0, 0])
  })

  it('bdev_unregister_open_qos_data_race: an unregistration between open and the start of the limits ends', async () => {
    rig = await Rig.create(3)
    const bdev = await rig.bdev()
    let desc = rig.open('ut', { thread: 1 })
    const channel = rig.channel(2, desc)
    await rig.settle(setQosLimits(bdev, { rwIosPerSec: 1000, rwMbytesPerSec: 10_000 }))
    let unregistered!: Promise<void>
    rig.on(1, () => {
      rig.threads[2]!.sendMsg(() => channel.put(), undefined)
      desc.close()
      desc = rig.host.openBdev('ut', { write: true, onEvent: () => {} })
      rig.threads[0]!.sendMsg(() => {
        unregistered = rig.host.unregister('ut')
        rig.threads[1]!.sendMsg(() => desc.close(), undefined)
      }, undefined)
    })
    await rig.settle(unregistered)
    expect(rig.threads.map(({ pollers }) => pollers.length)).toEqual([0, 0, 0])
    expect(rig.destructed).toEqual(['ut'])
  })
})

describe('rate limits', () => {
  async function opened(limits: Parameters<typeof setQosLimits>[1]): Promise<{ bdev: Bdev; channel: DescChannel; done(): void }> {
    rig = await Rig.create(1)
    const bdev = await rig.bdev()
    const desc = rig.open()
    const channel = rig.channel(0, desc)
    await rig.settle(setQosLimits(bdev, limits))
    return {
      bdev,
      channel,
      done: () => rig.on(0, () => (channel.put(), desc.close())),
    }
  }

  /** Keeps `depth` I/Os of `numBlocks` in flight on an instant device; how many completed in `ms`. */
  async function drive(channel: DescChannel, type: 'read' | 'write', numBlocks: number, depth: number, ms: number): Promise<number> {
    let completed = 0
    const sent: Sent[] = Array.from({ length: depth }, () => rig.submit(0, channel, type, numBlocks))
    const endMs = rig.clock.now + ms
    while (rig.clock.now < endMs) {
      await rig.advance(1)
      while (rig.pending(0).length > 0) {
        rig.complete(0)
        for (const [i, { status }] of sent.entries()) {
          if (status !== IoStatus.Success) continue
          completed++
          sent[i] = rig.submit(0, channel, type, numBlocks)
        }
      }
    }
    await rig.settle(setQosLimits(channel.bdev, { rwIosPerSec: 0, rwMbytesPerSec: 0, rMbytesPerSec: 0, wMbytesPerSec: 0 }))
    rig.complete(0)
    return completed
  }

  it('let as many I/Os through as they say', async () => {
    const { channel, done } = await opened({ rwIosPerSec: 5000 })
    expect(await drive(channel, 'read', 1, 32, 200)).toBe(5 * 200 + 5)
    done()
  })

  it('count bytes, and make up for an I/O that is larger than a timeslice', async () => {
    const { channel, done } = await opened({ rwMbytesPerSec: 10 })
    const completed = await drive(channel, 'write', 16, 8, 500)
    const bytesPerSec = (completed * 16 * BLOCK_BYTES) / 0.5
    expect(bytesPerSec / (10 * 2 ** 20)).toBeGreaterThan(0.98)
    expect(bytesPerSec / (10 * 2 ** 20)).toBeLessThan(1.05)
    done()
  })

  it('tell reads from writes', async () => {
    const { channel, done } = await opened({ rMbytesPerSec: 4 })
    const reads = [rig.submit(0, channel, 'read', 4), rig.submit(0, channel, 'read', 4)]
    const writes = [rig.submit(0, channel, 'write', 4), rig.submit(0, channel, 'write', 4)]
    rig.complete(0)
    expect([...reads, ...writes].map(({ status }) => status)).toEqual([1, 0, 1, 1])
    await rig.advance(4)
    rig.complete(0)
    expect(reads[1]!.status).toBe(IoStatus.Success)
    done()
  })

  it('round I/O rates up to 1000 and keep what is not named', async () => {
    const { bdev, done } = await opened({ rwIosPerSec: 1 })
    expect(getQosLimits(bdev)).toEqual({ rwIosPerSec: 1000, rwMbytesPerSec: 0, rMbytesPerSec: 0, wMbytesPerSec: 0 })
    expect(rig.log.join()).toContain('1 is no multiple of 1000; 1000 is used')
    await rig.settle(setQosLimits(bdev, { wMbytesPerSec: 2 ** 50 }))
    expect(getQosLimits(bdev)).toMatchObject({ rwIosPerSec: 1000, wMbytesPerSec: 17_592_186_044_415 })
    expect(qosConfigJson(bdev)).toEqual({ method: 'bdev_set_qos_limit', params: { name: 'ut', rw_ios_per_sec: 1000, w_mbytes_per_sec: 17_592_186_044_415 } })
    await expect(setQosLimits(bdev, { rwIosPerSec: -1 })).rejects.toMatchObject({ code: 'EINVAL' })
    done()
  })

  it('give a slower rate at once when they change, and go on with it', async () => {
    const { bdev, channel, done } = await opened({ rwIosPerSec: 100_000 })
    for (let i = 0; i < 60; i++) rig.submit(0, channel)
    rig.complete(0)
    await rig.settle(setQosLimits(bdev, { rwIosPerSec: 1000 }))
    const sent = Array.from({ length: 4 }, () => rig.submit(0, channel))
    for (let i = 1; i <= 4; i++) {
      rig.complete(0)
      expect(sent.filter(({ status }) => status === IoStatus.Success)).toHaveLength(i)
      await rig.advance(1)
    }
    done()
  })

  it('cost no time while nothing is sent, and drop quota that was not used', async () => {
    const { channel, done } = await opened({ rwIosPerSec: 2000 })
    await rig.advance(10)
    expect(rig.clock.idle).toBe(true)
    await rig.advance(5000)
    const sent = Array.from({ length: 5 }, () => rig.submit(0, channel))
    rig.complete(0)
    expect(sent.map(({ status }) => status)).toEqual([1, 1, 0, 0, 0])
    await rig.advance(2)
    rig.complete(0)
    expect(sent.map(({ status }) => status)).toEqual([1, 1, 1, 1, 1])
    done()
  })

  it('share one quota between threads', async () => {
    rig = await Rig.create(3)
    const bdev = await rig.bdev()
    const desc = rig.open()
    const channels = [0, 1, 2].map(thread => rig.channel(thread, desc))
    await rig.settle(setQosLimits(bdev, { rwIosPerSec: 6000 }))
    const sent = channels.flatMap((channel, thread) => Array.from({ length: 4 }, () => rig.submit(thread, channel)))
    for (const thread of [0, 1, 2]) rig.complete(thread)
    expect(sent.filter(({ status }) => status === 1)).toHaveLength(6)
    await rig.advance(1)
    for (const thread of [0, 1, 2]) rig.complete(thread)
    expect(sent.filter(({ status }) => status === 1)).toHaveLength(12)
    channels.forEach((channel, thread) => put(thread, channel))
    rig.on(0, () => desc.close())
  })

  it('abort what is queued when the last descriptor closes, so that nothing waits for ever', async () => {
    rig = await Rig.create(1)
    const bdev = await rig.bdev()
    const desc = rig.open()
    const channel = rig.channel(0, desc)
    await rig.settle(setQosLimits(bdev, { rwIosPerSec: 1000 }))
    const sent = [rig.submit(0, channel), rig.submit(0, channel)]
    rig.on(0, () => desc.close())
    await rig.poll()
    expect(sent[1]!.status).toBe(IoStatus.Aborted)
    rig.complete(0)
    put(0, channel)
  })
})
