// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parameterTables } from '@bdevkit/conformance'
import { bdevInfoJson } from '@bdevkit/core'
import { IoStatus, IoType, type BdevIo, type RpcCall } from '@bdevkit/module-sdk'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import delay from '../src/index.js'
import { Rig } from './support.js'

const { Success, Aborted, Failed, NvmeError, AioError } = IoStatus
const latencies = { avg_read_latency: 100, p99_read_latency: 100, avg_write_latency: 1000, p99_write_latency: 1000 }
const params = { name: 'Delay0', base_bdev_name: 'Base0', ...latencies }

let rig: Rig
beforeEach(async () => {
  rig = await new Rig().start()
  rig.addBase('Base0', '5eed0000-0000-4000-8000-000000000002')
})
afterEach(() => rig.stop())

/** What is saved of the delay bdevs. */
const calls = (): RpcCall[] => rig.host.configJson().filter(({ method }) => method.startsWith('bdev_delay'))
const create = (extra: object = {}): Promise<unknown> => rig.call('bdev_delay_create', { ...params, ...extra })
const update = (latency_type: string, latency_us: number): Promise<unknown> =>
  rig.call('bdev_delay_update_latency', { delay_bdev_name: 'Delay0', latency_type, latency_us })

describe('latency', () => {
  it('of a ZCOPY is that of a read where it shows data, and that of a write where it keeps them', async () => {
    await create()
    const take: { io?: BdevIo; byte?: number } = {}
    const start = (populate: boolean) => rig.submit((channel, cb, ended) => channel.zcopyStart(0, 1, populate, (io, ok, own) => {
      take.io = io
      take.byte = io.iovs[0]!.buf[io.iovs[0]!.off]!
      own.us = Math.round(rig.clock.nowMs() * 1000)
      void [cb, ok]
    }, ended))
    const atUs = (): number => Math.round(rig.clock.nowMs() * 1000)
    const from = atUs()
    const populated = start(true)
    await rig.clock.advance(500)
    expect([take.byte, populated.us - from >= 100, populated.us - from <= 120]).toEqual([7, true, true])
    const commit = rig.submit((channel, cb, ended) => channel.zcopyEnd(take.io!, true, cb, ended))
    await rig.clock.advance(3000)
    expect([commit.status, commit.us >= 1000, commit.us <= 1020]).toEqual([Success, true, true])
    const blank = atUs()
    const empty = start(false)
    await rig.clock.advance(0)
    expect(empty.us).toBe(blank)
    const discard = rig.submit((channel, cb, ended) => channel.zcopyEnd(take.io!, false, cb, ended))
    await rig.clock.advance(0)
    expect([discard.status, discard.us]).toEqual([Success, 0])
  })

  it('answers reads and writes after their latency, and everything else at once', async () => {
    await create()
    const read = rig.read()
    const write = rig.write()
    const flush = rig.submit((channel, cb, ended) => channel.flushBlocks(0, 1, cb, ended))
    const unmap = rig.submit((channel, cb, ended) => channel.unmapBlocks(0, 1, cb, ended))
    await rig.clock.advance(3000)
    expect([read, write, flush, unmap].map(({ status }) => status)).toEqual([Success, Success, Success, Success])
    expect(read.us).toBeGreaterThanOrEqual(100)
    expect(read.us).toBeLessThanOrEqual(120)
    expect(write.us).toBeGreaterThanOrEqual(1000)
    expect(write.us).toBeLessThanOrEqual(1020)
    expect([flush.us, unmap.us]).toEqual([0, 0])
  })

  it('counts from the answer of the base', async () => {
    await create()
    rig.hold = true
    const read = rig.read()
    await rig.clock.advance(500)
    rig.held.shift()!.complete(Success)
    await rig.clock.advance(300)
    expect(read.us).toBeGreaterThanOrEqual(600)
    expect(read.us).toBeLessThanOrEqual(620)
  })

  it('gives one in a hundred reads the p99 latency, the same ones for the same seed', async () => {
    const run = async (): Promise<number[]> => {
      await create({ p99_read_latency: 5000, seed: 42 })
      const reads = Array.from({ length: 400 }, () => rig.read())
      await rig.clock.advance(6000)
      rig.close()
      await rig.call('bdev_delay_delete', { name: 'Delay0' })
      return reads.flatMap(({ us }, i) => (us > 4000 ? [i] : []))
    }
    const slow = await run()
    expect(slow.length).toBeGreaterThan(0)
    expect(slow.length).toBeLessThan(12)
    expect(await run()).toEqual(slow)
  })

  it('lets the event loop sleep while nothing is due within milliseconds, and wakes in time', async () => {
    await create({ avg_read_latency: 50_000, p99_read_latency: 50_000 })
    const read = rig.read()
    await rig.clock.settle()
    expect(rig.clock.asleep).toBe(true)
    await rig.clock.advance(60_000)
    expect(read.us).toBeGreaterThanOrEqual(50_000)
    expect(read.us).toBeLessThanOrEqual(50_020)
    expect(rig.clock.dead).toBe(true)
  })

  it('keeps the order of the base\'s answers within a class when the latency is lowered, and passes it on to later I/O', async () => {
    await create()
    const first = rig.read()
    await rig.clock.settle()
    await update('avg_read', 0)
    await update('p99_read', 0)
    const second = rig.read()
    await rig.clock.advance(200)
    expect(rig.order).toEqual([first, second])
    expect(rig.read().us).toBe(-1)
    await rig.clock.settle()
    expect(rig.order[2]!.us).toBe(0)
    await update('avg_read', 300)
    await update('p99_read', 300)
    const slow = rig.read()
    await rig.clock.advance(400)
    expect(slow.us).toBeGreaterThanOrEqual(300)
  })

  it('keeps what the base said, with its detail', async () => {
    await create()
    rig.hold = true
    const ends = [rig.read(0), rig.read(1), rig.read(2), rig.read(3)]
    await rig.clock.settle()
    rig.held[0]!.completeNvme(0, 2, 0x81)
    rig.held[1]!.completeAio(-28)
    rig.held[2]!.complete(Failed)
    rig.held[3]!.complete(NvmeError)
    rig.held.length = 0
    await rig.clock.advance(200)
    expect(ends.map(({ status }) => status)).toEqual([NvmeError, AioError, Failed, NvmeError])
    expect(ends[0]!.nvme).toEqual([2, 0x81])
    expect(ends[1]!.errno).toBe(-28)
    for (const { us } of ends) expect(us).toBeGreaterThanOrEqual(100)
  })
})

describe('reset, abort, removal', () => {
  it('RESET aborts what is delayed, then resets the base; what the base still had ends before the RESET', async () => {
    await create()
    const delayed = rig.write()
    await rig.clock.settle()
    rig.hold = true
    const below = rig.write()
    await rig.clock.settle()
    const reset = rig.submit((channel, cb, ended) => channel.reset(cb, ended))
    await rig.clock.settle()
    expect(rig.order).toEqual([delayed, below, reset])
    expect([delayed, below, reset].map(({ status }) => status)).toEqual([Aborted, Aborted, Success])
    rig.hold = false
    const after = rig.write()
    await rig.clock.advance(1100)
    expect(after.us).toBeGreaterThanOrEqual(1000)
  })

  it('ABORT takes a delayed I/O out, and asks the base for one that is there', async () => {
    await create()
    const delayed = rig.write()
    await rig.clock.settle()
    const first = rig.submit((channel, cb, ended) => channel.abort(delayed, cb, ended))
    await rig.clock.settle()
    expect([delayed.status, first.status]).toEqual([Aborted, Success])
    expect(rig.seen).not.toContain(IoType.Abort)
    rig.hold = true
    const below = rig.write()
    await rig.clock.settle()
    const second = rig.submit((channel, cb, ended) => channel.abort(below, cb, ended))
    await rig.clock.advance(1100)
    expect([below.status, second.status]).toEqual([Aborted, Success])
    expect(rig.seen).toContain(IoType.Abort)
  })

  it('a removal does not wait for a delay of an hour', async () => {
    await create({ avg_read_latency: 3_600_000_000, p99_read_latency: 3_600_000_000 })
    const read = rig.read()
    await rig.clock.settle()
    await rig.call('bdev_delay_delete', { name: 'Delay0' })
    expect(read).toMatchObject({ status: Success, us: 0 })
    expect(rig.host.bdevByName('Delay0')).toBeUndefined()
  })
})

describe('distributions', () => {
  const uniform = { io_type: 'read', distribution: 'uniform', min_us: 200, max_us: 400, seed: 7 } as const

  it('delay each type by its own, overtaking each other, the same for the same seed', async () => {
    const run = async (): Promise<number[]> => {
      await create({ distributions: [uniform] })
      const reads = Array.from({ length: 50 }, () => rig.read())
      const flush = rig.submit((channel, cb, ended) => channel.flushBlocks(0, 1, cb, ended))
      await rig.clock.advance(500)
      expect(flush.us).toBe(0)
      rig.close()
      await rig.call('bdev_delay_delete', { name: 'Delay0' })
      return reads.map(({ us }) => us)
    }
    const first = await run()
    expect(Math.min(...first)).toBeGreaterThanOrEqual(200)
    expect(Math.max(...first)).toBeLessThanOrEqual(420)
    expect(first).not.toEqual([...first].sort((a, b) => a - b))
    expect(await run()).toEqual(first)
  })

  it('are set and taken away live, for types that SPDK does not delay, too', async () => {
    await create()
    const set = (spec: object): Promise<unknown> => rig.call('bdev_delay_set_distribution', { delay_bdev_name: 'Delay0', ...spec })
    const flush = async (): Promise<number> => {
      const ended = rig.submit((channel, cb, own) => channel.flushBlocks(0, 1, cb, own))
      await rig.clock.advance(1000)
      return ended.us
    }
    expect(await set({ io_type: 'flush', distribution: 'normal', mean_us: 500, stddev_us: 0 })).toBe(true)
    expect(await flush()).toBeGreaterThanOrEqual(500)
    expect(await set({ io_type: 'flush', distribution: 'none' })).toBe(true)
    expect(await flush()).toBe(0)
    await expect(set({ io_type: 'flush', distribution: 'uniform' })).rejects.toMatchObject({ code: 'EINVAL' })
    await expect(rig.call('bdev_delay_set_distribution', { delay_bdev_name: 'nope', ...uniform })).rejects.toMatchObject({ code: 'ENODEV' })
  })

  it('come from a file of samples', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'delay-'))
    try {
      const file = join(folder, 'samples.txt')
      writeFileSync(file, '700\n700\n')
      await create({ distributions: [{ io_type: 'read', distribution: 'empirical', file }] })
      const read = rig.read()
      await rig.clock.advance(800)
      expect(read.us).toBeGreaterThanOrEqual(700)
      const other = { name: 'Delay1', distributions: [{ io_type: 'read', distribution: 'empirical', file: join(folder, 'nope') }] }
      await expect(create(other)).rejects.toMatchObject({ code: 'EINVAL', message: expect.stringContaining('cannot be read') })
      const noFile = { io_type: 'read', distribution: 'empirical', file: folder }
      await expect(create({ ...other, distributions: [noFile] })).rejects.toMatchObject({ code: 'EINVAL' })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('control plane', () => {
  it('shows and saves what SPDK does, in its order, and extras only where they are set', async () => {
    expect(await create()).toBe('Delay0')
    await update('avg_read', 9)
    const uuid = rig.host.bdevByName('Delay0')!.uuid
    const saved = { name: 'Delay0', base_bdev_name: 'Base0', uuid, ...latencies, avg_read_latency: 9 }
    const info = bdevInfoJson(rig.host.bdevByName('Delay0')!)
    expect(info).toMatchObject({ product_name: 'delay' })
    expect(JSON.stringify(info['driver_specific'])).toBe(JSON.stringify({ delay: saved }))
    expect(JSON.stringify(calls())).toBe(JSON.stringify([{ method: 'bdev_delay_create', params: saved }]))
    const distribution = { io_type: 'write', distribution: 'pareto', scale_us: 5, shape: 1.5, seed: 3 }
    await rig.call('bdev_delay_set_distribution', { delay_bdev_name: 'Delay0', ...distribution })
    expect(calls()).toEqual([{ method: 'bdev_delay_create', params: { ...saved, distributions: [distribution] } }])
  })

  it('saves a p99 that an update has set below its average so that it can be loaded again', async () => {
    await create()
    await update('avg_read', 5_000)
    await update('p99_write', 3)
    const saved = calls()
    expect(saved.map(({ method, params }) => [method, params])).toMatchObject([
      ['bdev_delay_create', { avg_read_latency: 5_000, p99_read_latency: 5_000, avg_write_latency: 1_000, p99_write_latency: 1_000 }],
      ['bdev_delay_update_latency', { delay_bdev_name: 'Delay0', latency_type: 'p99_read', latency_us: 100 }],
      ['bdev_delay_update_latency', { delay_bdev_name: 'Delay0', latency_type: 'p99_write', latency_us: 3 }],
    ])
    // Nothing of it is there yet when a configuration is loaded: the base comes behind.
    await rig.call('bdev_delay_delete', { name: 'Delay0' })
    await rig.own.unregisterBdev('Base0')
    for (const { method, params } of saved) await rig.call(method, params!)
    expect(calls()).toEqual(saved)
    rig.addBase('Base0')
    await rig.clock.settle()
    const read = rig.read()
    await rig.clock.advance(6_000)
    expect(read.us).toBeGreaterThanOrEqual(5_000)
  })

  it('derives its UUID in the namespace of SPDK', async () => {
    rig.addBase('PT0p0', '59d798b2-6030-5a4f-a2d6-79ca6dede909')
    await create({ base_bdev_name: 'PT0p0' })
    expect(rig.host.bdevByName('Delay0')!.uuid).toBe('9d262016-8f80-5982-bcef-d4f7ef0fa062')
  })

  it('refuses with SPDK\'s codes', async () => {
    await expect(create({ p99_read_latency: 99 })).rejects.toMatchObject({ code: 'EINVAL' })
    await expect(create({ p99_write_latency: 999 })).rejects.toMatchObject({ code: 'EINVAL' })
    await create()
    await expect(create()).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(create({ name: 'Delay1' })).rejects.toMatchObject({ code: 'EPERM' })
    await expect(rig.call('bdev_delay_delete', { name: 'nope' })).rejects.toMatchObject({ code: 'ENODEV' })
    const to = { latency_type: 'avg_read', latency_us: 1 }
    await expect(rig.call('bdev_delay_update_latency', { delay_bdev_name: 'nope', ...to })).rejects.toMatchObject({
      rpcCode: -32602, rpcMessage: 'The requested bdev does not exist.',
    })
    await expect(rig.call('bdev_delay_update_latency', { delay_bdev_name: 'Base0', ...to })).rejects.toMatchObject({
      rpcCode: -32600, rpcMessage: 'The requested bdev is not a delay bdev.',
    })
    expect(await update('avg_read', 7_000)).toBe(true)
  })

  it('waits for its base, goes with it and comes back with the latencies that were set', async () => {
    await create({ base_bdev_name: 'Later' })
    expect(rig.host.bdevByName('Delay0')).toBeUndefined()
    rig.addBase('Later')
    await rig.clock.settle()
    await update('avg_read', 250)
    await update('p99_read', 250)
    const removal = rig.own.unregisterBdev('Later')
    await rig.clock.settle()
    await removal
    expect(rig.host.bdevByName('Delay0')).toBeUndefined()
    rig.addBase('Later')
    await rig.clock.settle()
    const read = rig.read()
    await rig.clock.advance(300)
    expect(read.us).toBeGreaterThanOrEqual(250)
  })

  it('has its parameters in its README', () => {
    expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(parameterTables(delay))
  })
})
