// SPDX-License-Identifier: Apache-2.0
import type { JsonObject, RpcCall } from '@bdevkit/module-sdk'
import { BdevError, IO_TYPE_NAMES } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { ChannelFlag, type BdevChannel } from '../channel/bdev-channel.js'
import { visitChannels } from '../channel/walk-channels.js'
import { Histogram, HISTOGRAM_GRANULARITY } from './histogram.js'
import { TICK_RATE } from './io-stat.js'

/** What {@link enableHistogram} counts, and how finely (`struct spdk_bdev_enable_histogram_opts`). */
export interface HistogramOptions {
  /** Only this I/O type. Default 0: all. */
  ioType?: number
  /** log2 of the buckets for each power of two, default 7. */
  granularity?: number
  /** Latencies from here on are told apart, in nanoseconds. Default 0. */
  minNs?: number
  /** Latencies below this are told apart, in nanoseconds. Default Infinity. */
  maxNs?: number
}

/** How the latencies of a bdev are counted, or were when it was last on. */
export interface HistogramSettings {
  enabled: boolean
  /** Options as they are in force. */
  readonly options: Required<HistogramOptions>
  /** An empty one. */
  readonly shape: Histogram
}

const NS_TO_TICKS = TICK_RATE / 1e9

/**
 * Counts the latency of each I/O from now on, in one histogram a channel (`spdk_bdev_histogram_enable_ext`). Settles when all
 * channels do. On again with the same geometry it goes on counting, with another one it starts anew.
 * @throws BdevError EAGAIN it is being turned on or off; EINVAL an option is out of range; ENOMEM `minNs` is not below
 * `maxNs`, or too many buckets.
 */
export async function enableHistogram(bdev: Bdev, options: HistogramOptions = {}): Promise<void> {
  const ioType = options.ioType ?? 0
  if (ioType !== 0 && IO_TYPE_NAMES[ioType] === undefined) throw new BdevError('EINVAL', `histogram of bdev "${bdev.name}": wanted an I/O type, found ${ioType}`)
  const { granularity = HISTOGRAM_GRANULARITY, minNs = 0, maxNs = Infinity } = options
  const maxTicks = maxNs === Infinity ? undefined : Math.floor(maxNs * NS_TO_TICKS)
  const shape = Histogram.create(granularity, Math.floor(minNs * NS_TO_TICKS), maxTicks, ioType)
  await change(bdev, () => {
    bdev.histogram = { enabled: true, options: { ioType, granularity, minNs, maxNs }, shape }
    return attachHistogram
  })
}

/**
 * Stops counting, and forgets what was counted.
 * @throws BdevError EAGAIN it is being turned on or off.
 */
export async function disableHistogram(bdev: Bdev): Promise<void> {
  await change(bdev, () => {
    if (bdev.histogram !== null) bdev.histogram.enabled = false
    return detach
  })
}

/**
 * The latencies of all channels together, in ticks of 1/{@link TICK_RATE} s (`spdk_bdev_histogram_get`).
 * @throws BdevError EFAULT they are not counted.
 */
export async function getHistogram(bdev: Bdev): Promise<Histogram> {
  const sum = bdev.histogram?.shape.like()
  const missing = sum === undefined ? 1 : await visitChannels(bdev, ch => (ch.histogram === null || !merged(sum, ch.histogram) ? 1 : 0))
  if (sum === undefined || missing !== 0) throw notEnabled(bdev)
  return sum
}

/** The call that turns the histogram on again; `undefined` where it is off. */
export function histogramConfigJson(bdev: Bdev): RpcCall | undefined {
  if (bdev.histogram === null || !bdev.histogram.enabled) return undefined
  const { ioType, granularity, minNs, maxNs } = bdev.histogram.options
  const params: JsonObject = {
    name: bdev.name,
    enable: true,
    ...(ioType === 0 ? {} : { opc: IO_TYPE_NAMES[ioType]! }),
    ...(granularity === HISTOGRAM_GRANULARITY ? {} : { granularity }),
    ...(minNs === HISTOGRAM_MIN_NS ? {} : { min_nsec: minNs }),
    ...(maxNs === HISTOGRAM_MAX_NS ? {} : { max_nsec: Math.min(maxNs, Number.MAX_SAFE_INTEGER) }),
  }
  return { method: 'bdev_enable_histogram', params }
}

/** Default of `min_nsec` of `bdev_enable_histogram`. */
export const HISTOGRAM_MIN_NS = 1_000
/** Default of `max_nsec` of `bdev_enable_histogram`. */
export const HISTOGRAM_MAX_NS = 120_000_000_000

/** Counts the latencies of a channel where its bdev's are counted, on its thread. */
export function attachHistogram(ch: BdevChannel): void {
  const settings = ch.bdev.histogram
  if (settings === null || !settings.enabled) return
  const { shape } = settings
  if (ch.histogram === null || !ch.histogram.sameGeometry(shape) || ch.histogram.ioType !== shape.ioType) ch.histogram = shape.like()
  ch.flags |= ChannelFlag.Histogram
}

function detach(ch: BdevChannel): void {
  ch.histogram = null
  ch.flags &= ~ChannelFlag.Histogram
}

function merged(sum: Histogram, from: Histogram): boolean {
  if (!sum.sameGeometry(from)) return false
  sum.merge(from)
  return true
}

async function change(bdev: Bdev, begin: () => (ch: BdevChannel) => void): Promise<void> {
  if (bdev.histogramChanging) {
    throw new BdevError('EAGAIN', `histogram of bdev "${bdev.name}": it is being turned on or off; try again when that has ended`)
  }
  bdev.histogramChanging = true
  try {
    await visitChannels(bdev, begin())
  } finally {
    bdev.histogramChanging = false
  }
}

function notEnabled(bdev: Bdev): BdevError {
  return new BdevError('EFAULT', `histogram of bdev "${bdev.name}": latencies are not counted; turn it on first (bdev_enable_histogram)`)
}
