// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { visitChannels } from '../channel/walk-channels.js'
import { addStat, clearStat, createStat, IO_ERROR_NAMES, Stat, TICK_RATE, type StatResetMode } from './io-stat.js'

/** Counters of a bdev, or of one channel (`struct spdk_bdev_io_stat`). Only I/O that succeeded is counted. */
export interface BdevIoStat {
  /** Bytes read. */
  bytesRead: number
  /** READs that succeeded. */
  numReadOps: number
  /** Bytes written. */
  bytesWritten: number
  /** WRITEs that succeeded. */
  numWriteOps: number
  /** Bytes unmapped. */
  bytesUnmapped: number
  /** UNMAPs that succeeded. */
  numUnmapOps: number
  /** Bytes copied. */
  bytesCopied: number
  /** COPYs that succeeded. */
  numCopyOps: number
  /** Sum of latencies in ticks of 1/`ticksRate` s; a minimum of 0 where nothing was counted since it was set back. */
  readLatencyTicks: number
  /** Longest READ, in ticks. */
  maxReadLatencyTicks: number
  /** Shortest READ, in ticks; 0 where none was counted. */
  minReadLatencyTicks: number
  /** Sum of latencies of WRITE, in ticks. */
  writeLatencyTicks: number
  /** Longest WRITE, in ticks. */
  maxWriteLatencyTicks: number
  /** Shortest WRITE, in ticks; 0 where none was counted. */
  minWriteLatencyTicks: number
  /** Sum of latencies of UNMAP, in ticks. */
  unmapLatencyTicks: number
  /** Longest UNMAP, in ticks. */
  maxUnmapLatencyTicks: number
  /** Shortest UNMAP, in ticks; 0 where none was counted. */
  minUnmapLatencyTicks: number
  /** Sum of latencies of COPY, in ticks. */
  copyLatencyTicks: number
  /** Longest COPY, in ticks. */
  maxCopyLatencyTicks: number
  /** Shortest COPY, in ticks; 0 where none was counted. */
  minCopyLatencyTicks: number
  /** Ticks of a second. */
  ticksRate: number
  /** Failures by the name of their status, only those that happened; for a channel always empty. */
  ioError: Readonly<Record<string, number>>
}

/** Counters of one channel. */
export interface ChannelIoStat {
  /** `id` of the channel's thread. */
  readonly threadId: number
  /** Its counters. */
  readonly stat: BdevIoStat
}

/**
 * The counters of a bdev: those of channels that are gone and of each that is there, on its thread
 * (`spdk_bdev_get_device_stat`). What `reset` names is set back as it is read.
 */
export async function getDeviceStat(bdev: Bdev, reset: StatResetMode = 'none'): Promise<BdevIoStat> {
  const sum = createStat()
  addStat(sum, bdev.stat)
  clearStat(bdev.stat, reset)
  const errors = bdev.ioErrors.slice()
  clearErrors(bdev, reset)
  await visitChannels(bdev, ch => {
    addStat(sum, ch.stat)
    clearStat(ch.stat, reset)
  })
  return ioStat(sum, errors)
}

/** The counters of each channel, in the order of threads. */
export async function getChannelStats(bdev: Bdev, reset: StatResetMode = 'none'): Promise<ChannelIoStat[]> {
  const stats: ChannelIoStat[] = []
  await visitChannels(bdev, ch => {
    stats.push({ threadId: ch.thread.id, stat: ioStat(ch.stat, null) })
    clearStat(ch.stat, reset)
  })
  return stats
}

/** Sets counters back, those that the module keeps included. `none` does nothing. */
export async function resetDeviceStat(bdev: Bdev, mode: StatResetMode): Promise<void> {
  if (mode === 'none') return
  bdev.callPlain('resetDeviceStat', bdev.ctx)
  clearStat(bdev.stat, mode)
  clearErrors(bdev, mode)
  await visitChannels(bdev, ch => clearStat(ch.stat, mode))
}

/** What the bdev's module counts by itself; `undefined` where it counts nothing. */
export function moduleStatJson(bdev: Bdev): JsonObject | undefined {
  return bdev.callPlain<JsonObject>('dumpDeviceStatJson', bdev.ctx)
}

/** The counters of a bdev at once, read from this thread; an I/O that completes on another meanwhile may be half counted. */
export function bdevStat(bdev: Bdev): Float64Array {
  const sum = createStat()
  addStat(sum, bdev.stat)
  for (const ch of bdev.channels) addStat(sum, ch.stat)
  return sum
}

/** Failures of a bdev by the name of their status, only those that happened. */
export function ioErrorJson(bdev: Bdev): JsonObject {
  return ioErrorOf(bdev.ioErrors)
}

/** As `ioStatJson`, for what `bdevStat` returns. */
export function statJson(counters: Float64Array): JsonObject {
  return ioStatJson(ioStat(counters, null))
}

/** Members of a `bdev_get_iostat` element after its name, in SPDK's order. */
export function ioStatJson(stat: BdevIoStat): JsonObject {
  return {
    bytes_read: stat.bytesRead,
    num_read_ops: stat.numReadOps,
    bytes_written: stat.bytesWritten,
    num_write_ops: stat.numWriteOps,
    bytes_unmapped: stat.bytesUnmapped,
    num_unmap_ops: stat.numUnmapOps,
    bytes_copied: stat.bytesCopied,
    num_copy_ops: stat.numCopyOps,
    read_latency_ticks: stat.readLatencyTicks,
    max_read_latency_ticks: stat.maxReadLatencyTicks,
    min_read_latency_ticks: stat.minReadLatencyTicks,
    write_latency_ticks: stat.writeLatencyTicks,
    max_write_latency_ticks: stat.maxWriteLatencyTicks,
    min_write_latency_ticks: stat.minWriteLatencyTicks,
    unmap_latency_ticks: stat.unmapLatencyTicks,
    max_unmap_latency_ticks: stat.maxUnmapLatencyTicks,
    min_unmap_latency_ticks: stat.minUnmapLatencyTicks,
    copy_latency_ticks: stat.copyLatencyTicks,
    max_copy_latency_ticks: stat.maxCopyLatencyTicks,
    min_copy_latency_ticks: stat.minCopyLatencyTicks,
    io_error: stat.ioError,
  }
}

function clearErrors(bdev: Bdev, mode: StatResetMode): void {
  if (mode === 'all' || mode === 'error') bdev.ioErrors.fill(0)
}

function ioStat(counters: Float64Array, errors: Float64Array | null): BdevIoStat {
  const group = (i: number): Float64Array => counters.subarray(i * Stat.Size, (i + 1) * Stat.Size)
  const [read, write, unmap, copy] = [group(0), group(1), group(2), group(3)]
  const ticks = (kind: Float64Array, at: number): number => {
    const ms = kind[at]!
    return Number.isFinite(ms) ? Math.round(ms * (TICK_RATE / 1000)) : 0
  }
  return {
    bytesRead: read[Stat.Bytes]!,
    numReadOps: read[Stat.Ops]!,
    bytesWritten: write[Stat.Bytes]!,
    numWriteOps: write[Stat.Ops]!,
    bytesUnmapped: unmap[Stat.Bytes]!,
    numUnmapOps: unmap[Stat.Ops]!,
    bytesCopied: copy[Stat.Bytes]!,
    numCopyOps: copy[Stat.Ops]!,
    readLatencyTicks: ticks(read, Stat.Ticks),
    maxReadLatencyTicks: ticks(read, Stat.Max),
    minReadLatencyTicks: ticks(read, Stat.Min),
    writeLatencyTicks: ticks(write, Stat.Ticks),
    maxWriteLatencyTicks: ticks(write, Stat.Max),
    minWriteLatencyTicks: ticks(write, Stat.Min),
    unmapLatencyTicks: ticks(unmap, Stat.Ticks),
    maxUnmapLatencyTicks: ticks(unmap, Stat.Max),
    minUnmapLatencyTicks: ticks(unmap, Stat.Min),
    copyLatencyTicks: ticks(copy, Stat.Ticks),
    maxCopyLatencyTicks: ticks(copy, Stat.Max),
    minCopyLatencyTicks: ticks(copy, Stat.Min),
    ticksRate: TICK_RATE,
    ioError: errors === null ? {} : ioErrorOf(errors),
  }
}

function ioErrorOf(errors: Float64Array): Record<string, number> {
  return Object.fromEntries(IO_ERROR_NAMES.map((name, i) => [name, errors[i]!] as const).filter(([, count]) => count > 0))
}
