// SPDX-License-Identifier: Apache-2.0
import { createHost, type Host, type HostOptions } from '@bdevkit/core'
import { defineBdevModule, IoStatus, IoType, type BdevHost, type BdevIo } from '@bdevkit/module-sdk'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LatencyHistogram } from '../src/perf-latency.js'
import { PerfRun } from '../src/perf-run.js'
import type { PerfWorkload } from '../src/perf-workloads.js'
import type { PerfResult } from '../src/perf.js'
import { bdev, bdevHere, malloc, nullBdev, stackFile } from './support.js'

const args = (name: string, workload: PerfWorkload, ...more: string[]): string[] => {
  const file = stackFile([nullBdev('Null0'), malloc('Malloc0')])
  const times = ['-t', '0.1', '--warmup', '0']
  return ['perf', '-c', file, '--bdev', name, '-w', workload, '-q', '8', '-o', '4k', ...times, ...more]
}

describe('bdev perf', () => {
  it('prints one line of JSON whose figures agree with each other', async () => {
    const { status, stdout, stderr } = await bdev(args('Null0', 'randwrite', '--json'))
    expect([status, stderr]).toEqual([0, ''])
    const result = JSON.parse(stdout) as PerfResult
    const keys = 'bdev workload ioSizeBytes queueDepth seconds ios iops mibPerSec latencyUs failed cpuSeconds'
    expect(Object.keys(result)).toEqual(keys.split(' '))
    expect(result).toMatchObject({ bdev: 'Null0', workload: 'randwrite', ioSizeBytes: 4096, queueDepth: 8, failed: 0 })
    expect(result.seconds).toBeGreaterThanOrEqual(0.1)
    expect(result.ios).toBeGreaterThan(0)
    // The seconds are printed to the microsecond.
    expect(result.iops / (result.ios / result.seconds)).toBeCloseTo(1, 4)
    expect(result.mibPerSec).toBeCloseTo(result.iops / 256, 1)
    expect(result.cpuSeconds).toBeGreaterThan(0)
    expect(result.cpuSeconds).toBeLessThan(result.seconds * 1.1)
    const { avg, p50, p99, p999, max, resolution } = result.latencyUs!
    expect(Object.keys(result.latencyUs!)).toEqual(['avg', 'p50', 'p99', 'p999', 'min', 'max', 'resolution'])
    expect([0, p50, p99, p999, max]).toEqual([0, p50, p99, p999, max].sort((a, b) => a - b))
    expect(avg).toBeGreaterThan(0)
    expect(avg).toBeLessThanOrEqual(max)
    expect(resolution).toBeGreaterThan(0)
    expect(resolution).toBeLessThan(100)
  })

  it('verifies that malloc keeps what is written', async () => {
    const { status, stdout } = await bdevHere(args('Malloc0', 'verify'))
    expect(status).toBe(0)
    expect(stdout).toMatch(/^bdev Malloc0: verify, 4096 bytes, queue depth 8, .*\n {2}[1-9]\d* I\/Os, .*, 0 failed\n/)
    expect(stdout).toMatch(/latency in µs: avg [\d.]+, /)
  })

  it('finds that null keeps nothing, says where, and ends with status 1', async () => {
    const { status, stdout, stderr } = await bdevHere(args('Null0', 'verify', '--json', '--no-latency'))
    expect(status).toBe(1)
    expect(stderr).toMatch(
      /^error: bdev: perf: verify: bdev "Null0", block 0, byte \d+, round 1: wrote 0x[0-9a-f]{2}, read 0x00\n/,
    )
    expect(stderr.trim().split('\n')).toHaveLength(11)
    const { failed, latencyUs } = JSON.parse(stdout) as PerfResult
    expect(failed).toBeGreaterThan(10)
    expect(latencyUs).toBeNull()
  })

  it('says what a bdev cannot do', async () => {
    const unmap = await bdevHere(args('Null0', 'unmap'))
    const odd = await bdevHere(args('Malloc0', 'read', '-o', '1000'))
    const absent = await bdevHere(args('Nope', 'read'))
    const large = await bdevHere(args('Malloc0', 'verify', '-o', '512k'))
    expect(unmap).toMatchObject({ status: 1, stderr: 'bdev: -w unmap: bdev "Null0" (Null disk) does not support unmap\n' })
    expect(odd).toMatchObject({ status: 2, stderr: expect.stringContaining('-o 1000: wanted a multiple of the 512 bytes') })
    expect(absent).toMatchObject({
      status: 1,
      stderr: 'bdev: --bdev Nope: there is no such bdev; the stack file has Null0, Malloc0\n',
    })
    expect(large).toMatchObject({ status: 2, stderr: expect.stringContaining('has only 1048576 bytes') })
  })
})

interface Seen {
  readonly type: number
  readonly offsetBlocks: number
  readonly numBlocks: number
}

/** Runs a workload for `count` I/Os on a bdev of 64 blocks, and returns what reached the bdev. */
async function submitted(
  workload: PerfWorkload,
  count: number,
  readPercentage = 50,
  submit: (io: BdevIo, count: number) => void = () => {},
  hostOptions: HostOptions = {},
): Promise<Seen[]> {
  const seen: Seen[] = []
  const lines: string[] = []
  const host = createHost({ log: (_, __, message) => void lines.push(message), ...hostOptions })
  host.use(
    recorder(io => {
      seen.push({ type: io.type, offsetBlocks: io.offsetBlocks, numBlocks: io.numBlocks })
      submit(io, seen.length)
      if (seen.length >= count) run.stopped = true
    }),
  )
  await host.init()
  await using handle = await host.open('R', { write: true })
  const channel = handle.desc.getIoChannel()!
  const run: PerfRun = new PerfRun(host, channel, { workload, queueDepth: 4, ioBlocks: 2, readPercentage })
  await drain(host, run)
  run.free()
  channel.put()
  messages.splice(0, Infinity, ...lines)
  failed = run.failed
  return seen
}
const messages: string[] = []
let failed = 0

function drain(host: Host, run: PerfRun): Promise<void> {
  return new Promise(resolve => {
    run.onDrained = resolve
    host.appThread.execMsg(() => run.start(null), null)
  })
}

function recorder(submit: (io: BdevIo) => void) {
  const data = new Uint8Array(64 * 512)
  return defineBdevModule({
    name: 'recorder',
    sdk: '0.1',
    setup: (host: BdevHost) => ({
      moduleInit() {
        const device = host.registerIoDevice({ name: 'recorder', createChannel: () => ({}) })
        host.registerBdev({
          name: 'R',
          productName: 'recorder',
          blockSizeBytes: 512,
          numBlocks: 64,
          ctx: device,
          fn: {
            destruct: () => {},
            ioTypeSupported: () => true,
            getIoChannel: () => device.getIoChannel(),
            submitRequest(_, io) {
              const at = io.offsetBlocks * 512
              if (io.type === IoType.Read) host.accel.copyToIovs(io.iovs, io.iovCnt, data, at, 1024)
              if (io.type === IoType.Write) host.accel.copyFromIovs(data, at, io.iovs, io.iovCnt, 1024)
              submit(io)
              if (io.status === IoStatus.Pending) io.complete(IoStatus.Success)
            },
          },
        })
      },
    }),
  })
}

describe('a workload', () => {
  it.each([
    ['read', IoType.Read],
    ['write', IoType.Write],
    ['unmap', IoType.Unmap],
    ['flush', IoType.Flush],
    ['write_zeroes', IoType.WriteZeroes],
  ] as const)('%s goes over the bdev in order, again and again', async (workload, type) => {
    const seen = await submitted(workload, 40)
    const offsets = Array.from({ length: 40 }, (_, i) => ({ type, offsetBlocks: (i % 32) * 2, numBlocks: 2 }))
    expect(seen.slice(0, 40)).toEqual(offsets)
  })

  it.each(['randread', 'randwrite', 'randrw'] as const)('%s reaches every place, aligned and inside', async workload => {
    const seen = await submitted(workload, 1000)
    expect(new Set(seen.map(({ offsetBlocks }) => offsetBlocks))).toEqual(new Set(Array.from({ length: 32 }, (_, i) => i * 2)))
  })

  it.each([[0], [25], [100]])('rw reads as often as asked: %i %%', async percentage => {
    const seen = await submitted('rw', 4000, percentage)
    const reads = seen.filter(({ type }) => type === IoType.Read).length / seen.length
    expect(Math.abs(reads * 100 - percentage)).toBeLessThanOrEqual(percentage % 100 === 0 ? 0 : 3)
  })

  it.each(['randwrite', 'randrw', 'unmap'] as const)(
    '%s waits where there are fewer I/O objects than its queue depth',
    async workload => {
      const seen = await submitted(workload, 100, 50, () => {}, { bdevIoPoolSize: 2, bdevIoCacheSize: 1 })
      expect(seen.length).toBeGreaterThanOrEqual(100)
      expect(failed).toBe(0)
    },
  )

  it('counts an I/O that fails, and goes on', async () => {
    const seen = await submitted('write', 20, 50, (io, n) => void (n === 3 && io.complete(IoStatus.Failed)))
    expect(seen.length).toBeGreaterThanOrEqual(20)
    expect(failed).toBe(1)
    expect(messages).toEqual(['perf: I/O at block 4 of bdev "R" failed with errno 5, status -1'])
  })

  it('verify names the block and the byte of a bit that has changed', async () => {
    await submitted('verify', 60, 50, (io, n) => {
      if (io.type === IoType.Read && io.offsetBlocks === 6 && n < 12) io.iovs[0]!.buf[io.iovs[0]!.off + 512 + 7]! ^= 0x10
    })
    expect(failed).toBe(1)
    expect(messages[0]).toMatch(/^perf: verify: bdev "R", block 7, byte 7, round 1: wrote 0x.., read 0x..$/)
  })

  it('verify finds a block of an earlier round', async () => {
    await submitted('verify', 200, 50, io => {
      if (io.type === IoType.Read) stale.set(io.offsetBlocks, [...(stale.get(io.offsetBlocks) ?? []), snapshot(io)])
      const old = stale.get(io.offsetBlocks)
      if (io.type === IoType.Read && io.offsetBlocks === 10 && old!.length === 2) io.iovs[0]!.buf.set(old![0]!, io.iovs[0]!.off)
    })
    expect(failed).toBe(1)
    expect(messages[0]).toContain('block 10, byte 0, round 2')
  })
})

const stale = new Map<number, Uint8Array[]>()
const snapshot = (io: BdevIo): Uint8Array => io.iovs[0]!.buf.slice(io.iovs[0]!.off, io.iovs[0]!.off + io.iovs[0]!.len)

it('the latency histogram gives percentiles within one percent of the sorted values', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 1e11, noNaN: true }), { minLength: 1, maxLength: 300 }),
      fc.constantFrom(0.5, 0.99, 0.999),
      (values, fraction) => {
        const histogram = new LatencyHistogram()
        for (const value of values) histogram.record(value)
        const sorted = [...values].sort((a, b) => a - b)
        const exact = sorted[Math.ceil(values.length * fraction) - 1]!
        const found = histogram.percentileNs(fraction)
        expect(found).toBeGreaterThanOrEqual(Math.min(exact, histogram.maxNs))
        expect(found).toBeLessThanOrEqual(exact * 1.008 + 1)
        expect(histogram.maxNs).toBe(sorted.at(-1))
      },
    ),
  )
})
