// SPDX-License-Identifier: Apache-2.0
import { performance } from 'node:perf_hooks'
import type { Bdev, Desc, Host } from '@bdevkit/core'
import { IoType } from '@bdevkit/module-sdk'
import { errnoName } from '@bdevkit/rpc'
import { threadCpuSeconds } from './cpu-time.js'
import { CliError, err, out, UsageError } from './output.js'
import { LatencyHistogram } from './perf-latency.js'
import { PerfRun } from './perf-run.js'
import type { PerfWorkload } from './perf-workloads.js'
import { finishHost, openStack, type StackOptions } from './stack.js'

/** Options of `bdev perf`. */
export interface PerfOptions extends StackOptions {
  bdev: string
  workload: PerfWorkload
  readPercentage: number
  queueDepth: number
  /** Bytes. */
  ioSize: number
  /** Seconds of a pass. */
  time: number
  /** Seconds. */
  warmup: number
  latency: boolean
  json?: boolean
  /** Measure when `perform_tests` asks for it, on `rpcSocket`. */
  waitForTests?: boolean
  rpcSocket?: string
}

/** Latencies of the second pass, microseconds. */
export interface PerfLatency {
  avg: number
  p50: number
  p99: number
  p999: number
  min: number
  max: number
  /** Smallest step of the clock. */
  resolution: number
}

/** What `bdev perf --json` prints. */
export interface PerfResult {
  bdev: string
  workload: PerfWorkload
  ioSizeBytes: number
  queueDepth: number
  /** Length of the measured window. */
  seconds: number
  /** I/Os that completed in the window; verify counts its writes and its reads. */
  ios: number
  iops: number
  mibPerSec: number
  latencyUs: PerfLatency | null
  /** Failed I/Os and mismatches of both passes and of the warm-up. */
  failed: number
  /** CPU time of the main thread in the window. */
  cpuSeconds: number
}

/** How often the clock is looked at while a pass runs. */
const TICK_US = 1000

const NEEDS: Readonly<Record<PerfWorkload, readonly number[]>> = {
  read: [IoType.Read],
  randread: [IoType.Read],
  write: [IoType.Write],
  randwrite: [IoType.Write],
  rw: [IoType.Read, IoType.Write],
  randrw: [IoType.Read, IoType.Write],
  verify: [IoType.Read, IoType.Write],
  flush: [IoType.Flush],
  unmap: [IoType.Unmap],
  write_zeroes: [IoType.WriteZeroes],
  reset: [IoType.Reset],
}
const NAMES: Readonly<Record<number, string>> = {
  [IoType.Read]: 'read',
  [IoType.Write]: 'write',
  [IoType.Flush]: 'flush',
  [IoType.Unmap]: 'unmap',
  [IoType.WriteZeroes]: 'write_zeroes',
  [IoType.Reset]: 'reset',
}

/** `bdev perf`: status 1 where an I/O failed. */
export async function perf(options: PerfOptions): Promise<number> {
  if (options.waitForTests === true) return (await import('./perf-wait.js')).perfWaiting(options)
  const { host } = await openStack(options)
  try {
    const result = await runPerf(host, options)
    if (options.json === true) out(JSON.stringify(result))
    else printResult(result)
    return result.failed > 0 ? 1 : 0
  } finally {
    for (const wait of await finishHost(host)) err(`bdev: ended in spite of ${wait}`)
  }
}

/**
 * Measures one bdev of a host.
 * @throws UsageError, CliError what is asked for does not fit the bdev; BdevError it cannot be opened.
 */
export async function runPerf(host: Host, options: PerfOptions): Promise<PerfResult> {
  const { bdev: name, workload } = options
  const found = host.bdevByName(name)
  if (found === undefined) {
    const names = host.bdevs.map(bdev => bdev.name).join(', ')
    throw new CliError(`--bdev ${name}: there is no such bdev; the stack file has ${names === '' ? 'none' : names}`)
  }
  checkBdev(found, options)
  const write = workload !== 'read' && workload !== 'randread'
  const desc = host.openBdev(name, { write, owner: 'bdev perf', hideMetadata: found.mdInterleave, onEvent: () => undefined })
  return measure(desc, options)
}

function checkBdev(bdev: Bdev, { workload, ioSize, queueDepth }: PerfOptions): void {
  const lacks = NEEDS[workload].filter(type => !bdev.ioTypeSupported(type)).map(type => NAMES[type])
  if (lacks.length > 0) {
    throw new CliError(`-w ${workload}: bdev "${bdev.name}" (${bdev.productName}) does not support ${lacks.join(', ')}`)
  }
  const { dataBlockSizeBytes: blockSizeBytes, numBlocks } = bdev
  if (ioSize % blockSizeBytes !== 0) {
    throw new UsageError(`-o ${ioSize}: wanted a multiple of the ${blockSizeBytes} bytes that a block of bdev "${bdev.name}" has`)
  }
  const least = workload === 'verify' ? ioSize * queueDepth : ioSize
  if (least > numBlocks * blockSizeBytes) {
    const what = workload === 'verify' ? '-q I/Os of -o bytes side by side for verify' : 'one I/O'
    throw new UsageError(`-o ${ioSize}: wanted ${what}, but bdev "${bdev.name}" has only ${numBlocks * blockSizeBytes} bytes`)
  }
}

async function measure(desc: Desc, options: PerfOptions): Promise<PerfResult> {
  const { workload, ioSize, queueDepth, readPercentage, time, warmup } = options
  const { blockSizeBytes } = desc
  const { host, name } = desc.bdev
  const channel = desc.getIoChannel()
  if (channel === null) {
    desc.close()
    throw new CliError(`bdev "${name}": no channel could be made; the log says why`)
  }
  try {
    const run = new PerfRun(host, channel, { workload, queueDepth, readPercentage, ioBlocks: ioSize / blockSizeBytes })
    const { seconds, ios, cpuSeconds } = await pass(run, null, warmup, time)
    let latencyUs: PerfLatency | null = null
    if (options.latency) {
      const histogram = new LatencyHistogram()
      await pass(run, histogram, 0, time)
      latencyUs = describeLatency(histogram)
    }
    run.free()
    const iops = ios / seconds
    return {
      bdev: name,
      workload,
      ioSizeBytes: ioSize,
      queueDepth,
      seconds: round(seconds, 6),
      ios,
      iops: round(iops, 1),
      mibPerSec: round((iops * ioSize) / 2 ** 20, 2),
      latencyUs,
      failed: run.failed,
      cpuSeconds: round(cpuSeconds, 6),
    }
  } finally {
    channel.put()
    desc.close()
  }
}

interface Mark {
  readonly ms: number
  readonly ios: number
  readonly cpuSeconds: number
}

type Window = Pick<PerfResult, 'seconds' | 'ios' | 'cpuSeconds'>

/** Runs the workload for `warmup` and then `time` seconds and waits for the I/O in flight. The result is the window's alone. */
async function pass(run: PerfRun, latency: LatencyHistogram | null, warmup: number, time: number): Promise<Window> {
  const thread = run.host.appThread
  let first: Mark | undefined
  let last: Mark | undefined
  const warmUntilMs = performance.now() + warmup * 1000
  let untilMs = Infinity
  // A poller: the loop of I/Os itself never looks at the clock.
  const poller = thread.registerPoller(
    () => {
      const nowMs = performance.now()
      if (first === undefined) {
        if (nowMs < warmUntilMs) return 0
        const cpuSeconds = threadCpuSeconds()
        first = { cpuSeconds, ios: run.ios, ms: performance.now() }
        untilMs = first.ms + time * 1000
      } else if (nowMs >= untilMs && last === undefined) {
        last = { ms: performance.now(), ios: run.ios, cpuSeconds: threadCpuSeconds() }
        run.stopped = true
      }
      return 0
    },
    null,
    TICK_US,
    'perf',
  )
  const drained = new Promise<void>(resolve => {
    run.onDrained = resolve
  })
  thread.execMsg(() => run.start(latency), null)
  await drained
  poller.unregister()
  if (run.refusedErrno !== 0) {
    throw new CliError(`bdev "${run.channel.bdev.name}" refused an I/O: ${errnoName(run.refusedErrno) ?? run.refusedErrno}`)
  }
  const from = first!
  const to = last!
  return { seconds: (to.ms - from.ms) / 1000, ios: to.ios - from.ios, cpuSeconds: to.cpuSeconds - from.cpuSeconds }
}

function describeLatency(histogram: LatencyHistogram): PerfLatency {
  const us = (ns: number): number => round(ns / 1000, 3)
  return {
    avg: us(histogram.count === 0 ? 0 : histogram.sumNs / histogram.count),
    p50: us(histogram.percentileNs(0.5)),
    p99: us(histogram.percentileNs(0.99)),
    p999: us(histogram.percentileNs(0.999)),
    min: us(histogram.percentileNs(0)),
    max: us(histogram.maxNs),
    resolution: us(clockResolutionNs()),
  }
}

/** The smallest step that the clock was seen to take: its own, or the time that reading it takes. */
function clockResolutionNs(): number {
  let smallestMs = Infinity
  let beforeMs = performance.now()
  for (let i = 0; i < 10_000; i++) {
    const nowMs = performance.now()
    if (nowMs > beforeMs) smallestMs = Math.min(smallestMs, nowMs - beforeMs)
    beforeMs = nowMs
  }
  return smallestMs * 1e6
}

function printResult(result: PerfResult): void {
  const { bdev, workload, ioSizeBytes, queueDepth, seconds, ios, iops, mibPerSec, latencyUs, failed, cpuSeconds } = result
  const perIo = ios === 0 ? '' : `, ${((cpuSeconds / ios) * 1e9).toFixed(0)} ns for each I/O`
  out(`bdev ${bdev}: ${workload}, ${ioSizeBytes} bytes, queue depth ${queueDepth}, ${seconds.toFixed(2)} s`)
  out(`  ${ios} I/Os, ${Math.round(iops)} IOPS, ${mibPerSec} MiB/s, ${failed} failed`)
  out(`  main thread on a core: ${cpuSeconds.toFixed(3)} s${perIo}`)
  if (latencyUs === null) return
  const { avg, p50, p99, p999, max, resolution } = latencyUs
  out(`  latency in µs: avg ${avg}, p50 ${p50}, p99 ${p99}, p99.9 ${p999}, max ${max} (clock: ${resolution})`)
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}
