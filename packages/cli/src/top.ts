// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { RpcCallError, type GraphNode, type RpcClient } from '@bdevkit/rpc'
import { connect, type BdevkitMethods } from '@bdevkit/rpc/client'
import { formatTable, out } from './output.js'
import { StopSignals } from './signals.js'

/** Options of `bdev top`. */
export interface TopOptions {
  socket: string
  /** Seconds between two tables. */
  interval: number
  /** Tables to print; until a signal where it is absent. */
  count?: number
  /** False: no histograms are turned on. */
  latency: boolean
  json?: boolean
}

/** One bdev in an interval. */
export interface TopRow {
  bdev: string
  /** 0 for what nothing stands on. */
  layer: number
  iops: number
  mibPerSec: number
  /** Mean, median and 99th percentile of the interval, microseconds; null where nothing was measured. */
  avgUs: number | null
  p50Us: number | null
  p99Us: number | null
  /** I/Os with the module, as last sampled. */
  queueDepth: number | null
}

type Client = RpcClient<BdevkitMethods>
type Sample = NonNullable<BdevkitMethods['bdev_get_iostat']['result']['bdevs']>[number]

const QD_PERIOD_US = 10_000
const MIB = 1024 * 1024
const CLEAR = '\u001b[H\u001b[2J'

/** `bdev top`: what each bdev does, again and again. What it turns on to measure, it turns off at the end. */
export async function top(options: TopOptions): Promise<number> {
  const client = await connect(options.socket)
  const signals = new StopSignals()
  const meters = new Map<string, Meter>()
  const ended = new AbortController()
  void signals.first.then(() => ended.abort())
  try {
    let before = await sample(client)
    await meterAll(client, before.bdevs, meters, options.latency)
    for (let printed = 0; printed < (options.count ?? Infinity) && !ended.signal.aborted; printed++) {
      await sleep(options.interval * 1000, undefined, { signal: ended.signal }).catch(() => undefined)
      if (ended.signal.aborted) break
      const now = await sample(client)
      await meterAll(client, now.bdevs, meters, options.latency)
      show(await rows(client, before, now, meters), options)
      before = now
    }
    return 0
  } finally {
    await Promise.all([...meters].map(([name, meter]) => meter.off(client, name)))
    signals.dispose()
    await client.close()
  }
}

/** What this command has turned on for one bdev. */
class Meter {
  counts: Float64Array | undefined
  #histogram = false
  #sampling = false

  async on(client: Client, name: string, sampled: boolean, latency: boolean): Promise<void> {
    if (!sampled) {
      await client.call('bdev_set_qd_sampling_period', { name, period: QD_PERIOD_US })
      this.#sampling = true
    }
    if (!latency || (await histogram(client, name)) !== undefined) return
    await client.call('bdev_enable_histogram', { name, enable: true })
    this.#histogram = true
  }

  async off(client: Client, name: string): Promise<void> {
    const gone = (thrown: unknown): void => {
      if (!(thrown instanceof RpcCallError)) throw thrown
    }
    if (this.#sampling) await client.call('bdev_set_qd_sampling_period', { name, period: 0 }).catch(gone)
    if (this.#histogram) await client.call('bdev_enable_histogram', { name, enable: false }).catch(gone)
  }
}

async function meterAll(client: Client, bdevs: readonly Sample[], meters: Map<string, Meter>, latency: boolean): Promise<void> {
  for (const { name, queue_depth_polling_period } of bdevs) {
    if (meters.has(name)) continue
    const meter = new Meter()
    meters.set(name, meter)
    // A bdev may go between two questions.
    await meter.on(client, name, queue_depth_polling_period !== undefined, latency).catch(() => undefined)
  }
}

async function sample(
  client: Client,
): Promise<{ ticks: number; tickRate: number; bdevs: readonly Sample[]; layers: Map<string, number> }> {
  const { ticks, tick_rate: tickRate, bdevs = [] } = await client.call('bdev_get_iostat', {})
  const graph = (await client.call('bdevkit_get_graph', undefined).catch(() => [])) as GraphNode[]
  return { ticks, tickRate, bdevs, layers: layersOf(graph) }
}

/** How far below the top each bdev is. */
function layersOf(graph: readonly GraphNode[]): Map<string, number> {
  const layers = new Map<string, number>()
  const visit = (name: string, layer: number): void => {
    if (layer > graph.length || (layers.get(name) ?? -1) >= layer) return
    layers.set(name, layer)
    for (const base of graph.find(node => node.name === name)?.bases ?? []) visit(base, layer + 1)
  }
  const bases = new Set(graph.flatMap(node => node.bases))
  for (const { name } of graph) if (!bases.has(name)) visit(name, 0)
  return layers
}

type Samples = Awaited<ReturnType<typeof sample>>

async function rows(client: Client, before: Samples, now: Samples, meters: Map<string, Meter>): Promise<TopRow[]> {
  const seconds = (now.ticks - before.ticks) / now.tickRate
  const result: TopRow[] = []
  for (const stat of now.bdevs) {
    const earlier = before.bdevs.find(({ name }) => name === stat.name)
    if (earlier === undefined) continue
    const delta = (...names: (keyof Sample)[]): number =>
      names.reduce((sum, name) => sum + Math.max(0, Number(stat[name]) - Number(earlier[name])), 0)
    const ios = delta('num_read_ops', 'num_write_ops', 'num_unmap_ops', 'num_copy_ops')
    const bytes = delta('bytes_read', 'bytes_written', 'bytes_unmapped', 'bytes_copied')
    const ticks = delta('read_latency_ticks', 'write_latency_ticks', 'unmap_latency_ticks', 'copy_latency_ticks')
    const meter = meters.get(stat.name)
    const [p50Us, p99Us] = meter === undefined ? [null, null] : await percentiles(client, stat.name, meter)
    result.push({
      bdev: stat.name,
      layer: now.layers.get(stat.name) ?? 0,
      iops: ios / seconds,
      mibPerSec: bytes / MIB / seconds,
      avgUs: ios === 0 ? null : (ticks / ios / now.tickRate) * 1e6,
      p50Us,
      p99Us,
      queueDepth: stat.queue_depth ?? null,
    })
  }
  return result.sort((a, b) => a.layer - b.layer)
}

interface Buckets {
  readonly granularity: number
  readonly minRange: number
  readonly tickRate: number
  readonly counts: Float64Array
}

/** `undefined` where it is off, or the bdev has gone. */
async function histogram(client: Client, name: string): Promise<Buckets | undefined> {
  try {
    const { histogram: base64, granularity, min_range, tsc_rate } = await client.call('bdev_get_histogram', { name })
    const bytes = Buffer.from(base64, 'base64')
    const counts = Float64Array.from({ length: bytes.length / 8 }, (_, i) => Number(bytes.readBigUInt64LE(i * 8)))
    return { granularity, minRange: min_range, tickRate: tsc_rate, counts }
  } catch (thrown) {
    if (thrown instanceof RpcCallError) return undefined
    throw thrown
  }
}

/** Median and 99th percentile of what came since the last call. */
async function percentiles(client: Client, name: string, meter: Meter): Promise<[number | null, number | null]> {
  const found = await histogram(client, name)
  if (found === undefined) return [null, null]
  const earlier = meter.counts
  meter.counts = found.counts
  const delta = found.counts.map((count, i) => Math.max(0, count - (earlier?.[i] ?? 0)))
  return [percentileUs(found, delta, 0.5), percentileUs(found, delta, 0.99)]
}

/** Middle of the bucket that holds the share, microseconds; null where nothing was counted. */
export function percentileUs(
  { granularity, minRange, tickRate }: Omit<Buckets, 'counts'>,
  counts: Float64Array,
  share: number,
): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return null
  let seen = 0
  for (let i = 0; i < counts.length; i++) {
    seen += counts[i] as number
    if (seen < total * share) continue
    const perRange = 2 ** granularity
    const range = minRange + Math.floor(i / perRange)
    const index = i % perRange
    // As SPDK cuts them: the first range counts ticks, each further one doubles the width of its buckets.
    const width = range === 0 ? 1 : 2 ** (range - 1)
    const start = range === 0 ? index : 2 ** (granularity + range - 1) + index * width
    return ((start + width / 2) / tickRate) * 1e6
  }
  return null
}

function show(table: readonly TopRow[], { json }: TopOptions): void {
  if (json === true) return out(JSON.stringify(table))
  const us = (value: number | null): string => (value === null ? '-' : value < 100 ? value.toFixed(1) : value.toFixed(0))
  const head = ['bdev', 'IOPS', 'MiB/s', 'avg µs', 'p50 µs', 'p99 µs', 'queue']
  const lines = table.map(row => [
    `${'  '.repeat(row.layer)}${row.bdev}`,
    row.iops.toFixed(0),
    row.mibPerSec.toFixed(1),
    us(row.avgUs),
    us(row.p50Us),
    us(row.p99Us),
    row.queueDepth === null ? '-' : String(row.queueDepth),
  ])
  if (process.stdout.isTTY) process.stdout.write(CLEAR)
  for (const line of formatTable([head, ...lines])) out(line)
  out('')
}
