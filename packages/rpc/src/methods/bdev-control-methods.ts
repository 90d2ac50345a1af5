// SPDX-License-Identifier: Apache-2.0
import { HISTOGRAM_MAX_NS, HISTOGRAM_MIN_NS, TICK_RATE, type Histogram, type Host, type QosLimits } from '@bdevkit/core'
import { BdevError, IO_TYPE_NAMES, RpcError, type JsonObject } from '@bdevkit/module-sdk'
import { JSONRPC_INTERNAL_ERROR, JSONRPC_INVALID_PARAMS } from '../errors.js'
import type { RpcRegistry } from '../registry.js'
import { HISTOGRAM } from '../result-schemas.js'
import { errnoOf, strerror } from '../strerror.js'

/** Parameters of `bdev_set_qos_limit`: a limit that is left out stays as it is, 0 takes it off. */
export interface SetQosLimitParams {
  name: string
  rw_ios_per_sec?: number
  /** MiB. */
  rw_mbytes_per_sec?: number
  /** MiB. */
  r_mbytes_per_sec?: number
  /** MiB. */
  w_mbytes_per_sec?: number
}

/** Parameters of `bdev_enable_histogram`. */
export interface EnableHistogramParams {
  name: string
  enable: boolean
  /** Name of an I/O type; without it all. */
  opc?: string
  granularity?: number
  min_nsec?: number
  max_nsec?: number
}

/** Parameters of `bdev_get_histogram_borders`. */
export interface GetHistogramBordersParams {
  name: string
  /** Microseconds, ascending. */
  borders: number[]
}

/** Parameters of `bdev_set_qd_sampling_period`. */
export interface SetQdSamplingPeriodParams {
  name: string
  /** Microseconds; 0 = off. */
  period: number
}

const uint64 = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER }
const string = { type: 'string' }
const TICKS_PER_US = TICK_RATE / 1e6

/** Adds the methods of `lib/bdev/bdev_rpc.c` that set limits and measure, and one of our own that tells who waits for whom. */
export function registerBdevControlMethods(registry: RpcRegistry, host: Host): void {
  registry.register(
    'bdev_set_qos_limit',
    {
      description: 'Limits the I/Os or the MiB a second of a bdev; 0 takes a limit off.',
      cli: { positional: ['name'] },
      result: { type: 'boolean' },
      params: {
        type: 'object',
        required: ['name'],
        properties: {
          name: string,
          rw_ios_per_sec: uint64,
          rw_mbytes_per_sec: uint64,
          r_mbytes_per_sec: uint64,
          w_mbytes_per_sec: uint64,
        },
      },
    },
    (params: SetQosLimitParams) => setQosLimit(host, params),
  )
  registry.register(
    'bdev_enable_histogram',
    {
      description: 'Turns the latency histogram of a bdev on or off.',
      cli: { positional: ['name'], flags: { enable: '--histogram', opc: '-o' } },
      result: { type: 'boolean' },
      params: {
        type: 'object',
        required: ['name', 'enable'],
        properties: {
          name: string,
          enable: { type: 'boolean' },
          opc: string,
          granularity: { type: 'integer', minimum: 0, maximum: 255 },
          min_nsec: uint64,
          max_nsec: uint64,
        },
      },
    },
    (params: EnableHistogramParams) => enableHistogram(host, params),
  )
  registry.register(
    'bdev_get_histogram',
    {
      cli: { positional: ['name'] },
      result: HISTOGRAM,
      description: 'The latency histogram of a bdev, all channels together.',
      params: { type: 'object', required: ['name'], properties: { name: string } },
    },
    async ({ name }: { name: string }) => histogramJson(await getHistogram(host, name)),
  )
  registry.register(
    'bdev_get_histogram_borders',
    {
      description: 'How many latencies are at or below each of the given borders, in microseconds, and how many there are.',
      cli: { positional: ['name'] },
      result: { type: 'object' },
      params: {
        type: 'object',
        required: ['name', 'borders'],
        properties: { name: string, borders: { type: 'array', maxItems: 256, items: uint64 } },
      },
    },
    async ({ name, borders }: GetHistogramBordersParams) => {
      const histogram = await getHistogram(host, name)
      if (borders.length === 0) return histogramJson(histogram)
      return { borders_count: histogram.bordersCount(borders.map(us => us * TICKS_PER_US)) }
    },
  )
  registry.register(
    'bdev_set_qd_sampling_period',
    {
      description: 'Samples the queue depth of a bdev every so many microseconds; 0 = never.',
      cli: { positional: ['name', 'period'] },
      result: { type: 'boolean' },
      params: { type: 'object', required: ['name', 'period'], properties: { name: string, period: uint64 } },
    },
    async ({ name, period }: SetQdSamplingPeriodParams) => host.control.setQdSamplingPeriod(name, period).then(() => true),
  )
  // Not one of SPDK's: there a wait that does not end can only be seen in a debugger.
  registry.register(
    'bdev_get_pending',
    {
      result: { type: 'array', items: { type: 'object' } },
      states: 'any',
      description: 'What the bdev layer waits for, whom, and since when; oldest first. No method of SPDK.',
    },
    () =>
      host
        .pending()
        .map(({ what, who, sinceMs }) => ({
          what,
          waits_for: who,
          waiting_ms: Math.round(host.reactor.clock.nowMs() - sinceMs),
        })),
    { sentParams: 'ignore' },
  )
}

async function setQosLimit(host: Host, { name, ...params }: SetQosLimitParams): Promise<boolean> {
  const limits: QosLimits = {
    ...(params.rw_ios_per_sec === undefined ? {} : { rwIosPerSec: params.rw_ios_per_sec }),
    ...(params.rw_mbytes_per_sec === undefined ? {} : { rwMbytesPerSec: params.rw_mbytes_per_sec }),
    ...(params.r_mbytes_per_sec === undefined ? {} : { rMbytesPerSec: params.r_mbytes_per_sec }),
    ...(params.w_mbytes_per_sec === undefined ? {} : { wMbytesPerSec: params.w_mbytes_per_sec }),
  }
  await host.forEachBdevByName([name], async bdev => {
    if (Object.keys(limits).length === 0) throw new RpcError(-(errnoOf('EINVAL') as number), 'No rate limits specified')
    try {
      await host.control.setQosLimits(bdev.name, limits)
    } catch (cause) {
      const errno = errnoOf(String((cause as { code?: unknown }).code))
      if (errno === undefined) throw cause
      throw new RpcError(JSONRPC_INVALID_PARAMS, `Failed to configure rate limit: ${strerror(errno)}`, { cause })
    }
  })
  return true
}

async function enableHistogram(host: Host, { name, enable, opc, ...params }: EnableHistogramParams): Promise<boolean> {
  await host.forEachBdevByName([name], async bdev => {
    // Index 0 is no type: "all" is said by leaving it out.
    const ioType = opc === undefined ? 0 : IO_TYPE_NAMES.indexOf(opc, 1)
    if (ioType < 0) throw new RpcError(JSONRPC_INTERNAL_ERROR, 'Invalid Io type')
    if (!enable) return host.control.disableHistogram(bdev.name)
    const { granularity, min_nsec: minNs = HISTOGRAM_MIN_NS, max_nsec: maxNs = HISTOGRAM_MAX_NS } = params
    return host.control.enableHistogram(bdev.name, {
      ioType,
      minNs,
      maxNs,
      ...(granularity === undefined ? {} : { granularity }),
    })
  })
  return true
}

async function getHistogram(host: Host, name: string): Promise<Histogram> {
  const found = await host.forEachBdevByName([name], async bdev => {
    // SPDK allocates by the geometry that was set last, and has none before the first time.
    if (bdev.histogram === null)
      throw new BdevError('ENOMEM', `bdev "${name}": its histogram was never enabled; call bdev_enable_histogram`)
    try {
      return await host.control.getHistogram(bdev.name)
    } catch (cause) {
      if ((cause as { code?: unknown }).code !== 'EFAULT') throw cause
      throw new RpcError(JSONRPC_INTERNAL_ERROR, strerror(errnoOf('EFAULT') as number), { cause })
    }
  })
  return found as Histogram
}

function histogramJson(histogram: Histogram): JsonObject {
  return {
    histogram: Buffer.from(histogram.bytes().buffer).toString('base64'),
    granularity: histogram.granularity,
    min_range: histogram.minRange,
    max_range: histogram.maxRange,
    tsc_rate: TICK_RATE,
  }
}
