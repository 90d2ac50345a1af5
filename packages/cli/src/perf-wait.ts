// SPDX-License-Identifier: Apache-2.0
import { resolve } from 'node:path'
import type { Host } from '@bdevkit/core'
import { RpcError, type JsonObject } from '@bdevkit/module-sdk'
import { RpcServer, type RpcRegistry } from '@bdevkit/rpc'
import { err, out, UsageError } from './output.js'
import { parseSize } from './options.js'
import { PERF_WORKLOADS, type PerfWorkload } from './perf-workloads.js'
import { runPerf, type PerfOptions, type PerfResult } from './perf.js'
import { StopSignals } from './signals.js'
import { finishHost, openStack } from './stack.js'

const PARSE_ERROR = -32_700
const INTERNAL_ERROR = -32_603
const QUEUE_DEPTH_MAX = 65_535

/** Parameters of bdevperf's `perform_tests`; what is left out is as the command line says. */
interface PerformTestsParams {
  time_in_sec?: number
  workload_type?: string
  queue_depth?: number
  /** Bytes, with k or M. */
  io_size?: string
  rw_percentage?: number
}

const uint = { type: 'integer', minimum: 0, maximum: 0xffff_ffff }

/** `bdev perf -z`: measures when a client asks for it, until a signal. As SPDK's bdevperf, and for its `bdevperf.py`. */
export async function perfWaiting(options: PerfOptions): Promise<number> {
  if (options.rpcSocket === undefined) throw new UsageError('-z: wanted -r with the socket on which perform_tests comes')
  const path = resolve(options.rpcSocket)
  const signals = new StopSignals()
  let server: RpcServer | undefined
  let host: Host | undefined
  try {
    const stack = await openStack(options, {
      kill: signal => signals.request(signal),
      register: (registry, of) => registerPerformTests(registry, of, options),
      beforeInit: async registry => {
        server = await RpcServer.listen(path, { registry, paused: true })
      },
    })
    host = stack.host
    server?.resume()
    if (options.json === true) out(JSON.stringify({ ready: true, pid: process.pid, rpcSocket: path }))
    else err(`bdev: waits for perform_tests on ${path}`)
    await signals.first
    return 0
  } finally {
    await server?.close()
    if (host !== undefined) for (const wait of await finishHost(host)) err(`bdev: ended in spite of ${wait}`)
    signals.dispose()
  }
}

/** Adds bdevperf's `perform_tests`. */
export function registerPerformTests(registry: RpcRegistry, host: Host, defaults: PerfOptions): void {
  let running = false
  registry.register(
    'perform_tests',
    {
      description: 'Runs the workload, and answers when it has ended.',
      params: {
        type: 'object',
        // As SPDK's relaxed decoder.
        additionalProperties: true,
        properties: {
          time_in_sec: { type: 'integer' },
          workload_type: { type: 'string' },
          queue_depth: uint,
          io_size: { type: 'string' },
          rw_percentage: { type: 'integer' },
        },
      },
      decodeError: { code: PARSE_ERROR },
    },
    async (params: PerformTestsParams) => {
      // SPDK asks strerror for the text of a negative number.
      if (running) throw new RpcError(INTERNAL_ERROR, 'Unknown error -115')
      running = true
      try {
        const options = testOptions(defaults, params)
        return resultJson(await measured(host, options), options, host)
      } finally {
        running = false
      }
    },
    { mayWait: true },
  )
}

/** As bdevperf, a value of 0 is none. */
function testOptions(defaults: PerfOptions, params: PerformTestsParams): PerfOptions {
  const workload = (params.workload_type ?? defaults.workload) as PerfWorkload
  const time = params.time_in_sec === undefined || params.time_in_sec === 0 ? defaults.time : params.time_in_sec
  const queueDepth = params.queue_depth === undefined || params.queue_depth === 0 ? defaults.queueDepth : params.queue_depth
  const percentage =
    params.rw_percentage === undefined || params.rw_percentage === 0 ? defaults.readPercentage : params.rw_percentage
  const invalid = new RpcError(PARSE_ERROR, 'Invalid parameters provided')
  let { ioSize } = defaults
  try {
    if (params.io_size !== undefined) ioSize = parseSize(params.io_size)
  } catch {
    throw invalid
  }
  const fits = time > 0 && queueDepth <= QUEUE_DEPTH_MAX && percentage >= 0 && percentage <= 100
  if (!PERF_WORKLOADS.includes(workload) || !fits) throw invalid
  return { ...defaults, workload, time, queueDepth, ioSize, readPercentage: percentage }
}

async function measured(host: Host, options: PerfOptions): Promise<PerfResult> {
  let result: PerfResult
  try {
    result = await runPerf(host, options)
  } catch (cause) {
    host.log.error(`perform_tests: ${(cause as Error).message}`)
    throw new RpcError(PARSE_ERROR, 'Invalid parameters provided', { cause })
  }
  if (result.failed > 0) throw new RpcError(INTERNAL_ERROR, 'bdevperf failed with error Input/output error')
  return result
}

function resultJson(result: PerfResult, options: PerfOptions, host: Host): JsonObject {
  const { workload, ioSize, queueDepth, readPercentage, time } = options
  const mixed = workload === 'rw' || workload === 'randrw'
  const bdev = host.bdevByName(result.bdev)
  return {
    results: [
      {
        job: result.bdev,
        core_mask: '0x1',
        workload,
        ...(mixed ? { percentage: readPercentage } : {}),
        status: 'finished',
        ...(workload === 'verify' ? { verify_range: { start: 0, length: bdev?.numBlocks ?? 0 } } : {}),
        queue_depth: queueDepth,
        io_size: ioSize,
        runtime: result.seconds > 0 ? result.seconds : time,
        iops: result.iops,
        mibps: result.mibPerSec,
        io_failed: result.failed,
        io_timeout: 0,
        avg_latency_us: result.latencyUs?.avg ?? 0,
        min_latency_us: result.latencyUs?.min ?? 0,
        max_latency_us: result.latencyUs?.max ?? 0,
      },
    ],
    core_count: 1,
  }
}
