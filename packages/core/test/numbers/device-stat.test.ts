// SPDX-License-Identifier: Apache-2.0
// Names in brackets are those of SPDK's own tests (test/unit/lib/bdev/bdev.c).
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { IoStatus } from '@bdevkit/module-sdk'
import type { Bdev } from '../../src/bdev/bdev.js'
import type { Desc } from '../../src/descriptor/desc.js'
import type { DescChannel } from '../../src/descriptor/desc-channel.js'
import { moduleStatJson } from '../../src/index.js'
import { BLOCK_BYTES, Rig } from './support.js'

const MS = 1_000_000

describe('the statistics of a bdev', () => {
  let rig: Rig
  let bdev: Bdev
  let desc: Desc
  let channels: DescChannel[]

  beforeEach(async () => {
    rig = await Rig.create()
    bdev = await rig.bdev()
    desc = rig.open()
    channels = [rig.channel(0, desc), rig.channel(1, desc)]
  })
  afterEach(async () => {
    for (const thread of [0, 1]) rig.on(thread, () => channels[thread]!.refs > 0 && channels[thread]!.put())
    rig.on(0, () => desc.close())
    await rig.poll()
    await rig.finish()
  })

  const run = async (thread: number, type: 'read' | 'write', ms: number, status: number = IoStatus.Success): Promise<void> => {
    rig.submit(thread, channels[thread]!, type)
    await rig.advance(ms)
    rig.complete(thread, 1, status)
    await rig.poll()
  }
  const get = (reset?: 'all' | 'maxmin' | 'error' | 'none') => rig.settle(rig.host.control.getIoStat('ut', reset))

  it('add up over channels, those that are gone included [get_device_stat_test]', async () => {
    await run(0, 'read', 2)
    await run(1, 'read', 6)
    await run(1, 'write', 4)
    rig.on(1, () => channels[1]!.put())
    await rig.poll()
    expect(bdev.channels.length).toBe(1)
    const stat = await get()
    expect(stat).toMatchObject({ numReadOps: 2, bytesRead: 2 * BLOCK_BYTES, numWriteOps: 1, numUnmapOps: 0, minUnmapLatencyTicks: 0, ioError: {} })
    expect(stat.readLatencyTicks / MS).toBeCloseTo(8, 0)
    expect([stat.maxReadLatencyTicks / MS, stat.minReadLatencyTicks / MS].map(Math.round)).toEqual([6, 2])
  })

  it('are set back as they are read, in part or as a whole [get_device_stat_with_reset]', async () => {
    await run(0, 'read', 2)
    await run(1, 'read', 6)
    await run(0, 'read', 1, IoStatus.Failed)
    expect(await get('none')).toMatchObject({ numReadOps: 2, ioError: { failed: 1 } })
    expect(await get('error')).toMatchObject({ numReadOps: 2, ioError: { failed: 1 } })
    const afterErrors = await get('maxmin')
    expect([afterErrors.ioError, Math.round(afterErrors.maxReadLatencyTicks / MS)]).toEqual([{}, 6])
    const afterExtremes = await get('all')
    expect(afterExtremes).toMatchObject({ numReadOps: 2, maxReadLatencyTicks: 0, minReadLatencyTicks: 0 })
    expect(await get()).toMatchObject({ numReadOps: 0, bytesRead: 0, readLatencyTicks: 0 })
  })

  it('show each channel by itself, in the order of threads', async () => {
    await run(1, 'write', 1)
    const [first, second] = await rig.settle(rig.host.control.getChannelIoStats('ut', 'all'))
    expect([first!.threadId, first!.stat.numWriteOps, second!.threadId, second!.stat.numWriteOps]).toEqual([
      rig.threads[0]!.id, 0, rig.threads[1]!.id, 1,
    ])
    expect((await get()).numWriteOps).toBe(0)
  })

  it('of the module are set back with them and shown beside them', async () => {
    await rig.settle(rig.host.control.resetIoStat('ut', 'none'))
    expect(rig.deviceStatResets).toBe(0)
    await run(0, 'read', 1)
    await rig.settle(rig.host.control.resetIoStat('ut', 'maxmin'))
    expect([rig.deviceStatResets, (await get()).numReadOps, moduleStatJson(bdev)]).toEqual([1, 1, { spins: 7 }])
    await rig.settle(rig.host.control.resetIoStat('ut'))
    expect((await get()).numReadOps).toBe(0)
  })

  it('count every status of a failure by its name', async () => {
    const { Failed, NvmeError, ScsiError, Miscompare, FirstFusedFailed, Aborted, AioError } = IoStatus
    for (const status of [Failed, NvmeError, ScsiError, Miscompare, FirstFusedFailed, Aborted, AioError]) await run(0, 'read', 0, status)
    const { ioError } = await get()
    expect(ioError).toEqual({ failed: 1, nvme_error: 1, scsi_error: 1, miscompare: 1, first_fused_failed: 1, aborted: 1, aio_error: 1 })
  })
})
