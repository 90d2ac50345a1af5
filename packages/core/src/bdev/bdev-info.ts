// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from '@bdevkit/module-sdk'
import { ClaimType, IO_TYPE_NAMES } from '@bdevkit/module-sdk'
import { CLAIM_TYPE_NAMES } from '../descriptor/claim.js'
import { addStat, createStat, IO_ERROR_NAMES, Stat, STAT_KINDS } from '../stat/io-stat.js'
import type { Bdev } from './bdev.js'

/** Ticks of a second in statistics: they are nanoseconds. */
export const TICK_RATE = 1_000_000_000

/** One element of `bdev_get_bdevs`, members in SPDK's order. */
export function bdevInfoJson(bdev: Bdev): JsonObject {
  const claimed = bdev.claims.type !== ClaimType.None
  return {
    name: bdev.name,
    aliases: [...bdev.aliases],
    product_name: bdev.productName,
    block_size: bdev.blockSizeBytes,
    num_blocks: bdev.numBlocks,
    preferred_write_alignment: bdev.preferredWriteAlignmentBlocks,
    preferred_write_granularity: bdev.preferredWriteGranularityBlocks,
    optimal_write_size: bdev.optimalWriteSizeBlocks,
    preferred_unmap_alignment: bdev.preferredUnmapAlignmentBlocks,
    preferred_unmap_granularity: bdev.preferredUnmapGranularityBlocks,
    uuid: bdev.uuid,
    ...(bdev.numaId === undefined ? {} : { numa_id: bdev.numaId }),
    assigned_rate_limits: { rw_ios_per_sec: 0, rw_mbytes_per_sec: 0, r_mbytes_per_sec: 0, w_mbytes_per_sec: 0 },
    claimed,
    ...(claimed ? { claim_type: CLAIM_TYPE_NAMES[bdev.claims.type]! } : {}),
    zoned: false,
    supported_io_types: Object.fromEntries(IO_TYPE_NAMES.slice(1).map((name, i) => [name, bdev.ioTypeSupported(i + 1)])),
    driver_specific: bdev.callPlain<JsonObject>('dumpInfoJson', bdev.ctx) ?? {},
  }
}

/** The counters of a bdev, all threads together (`spdk_bdev_get_device_stat`). */
export function bdevStat(bdev: Bdev): Float64Array {
  const sum = createStat()
  addStat(sum, bdev.stat)
  for (const ch of bdev.channels) addStat(sum, ch.stat)
  return sum
}

/** Members of a `bdev_get_iostat` element after its name, in SPDK's order. Bytes, operations, and ticks of 1/`TICK_RATE` s. */
export function statJson(stat: Float64Array): JsonObject {
  const json: Record<string, number> = {}
  const counts = {
    read: ['bytes_read', 'num_read_ops'],
    write: ['bytes_written', 'num_write_ops'],
    unmap: ['bytes_unmapped', 'num_unmap_ops'],
    copy: ['bytes_copied', 'num_copy_ops'],
  } as const
  STAT_KINDS.forEach((kind, i) => {
    json[counts[kind][0]] = stat[i * Stat.Size + Stat.Bytes]!
    json[counts[kind][1]] = stat[i * Stat.Size + Stat.Ops]!
  })
  const ticks = (ms: number): number => (Number.isFinite(ms) ? Math.round(ms * (TICK_RATE / 1000)) : 0)
  STAT_KINDS.forEach((kind, i) => {
    json[`${kind}_latency_ticks`] = ticks(stat[i * Stat.Size + Stat.Ticks]!)
    json[`max_${kind}_latency_ticks`] = ticks(stat[i * Stat.Size + Stat.Max]!)
    json[`min_${kind}_latency_ticks`] = ticks(stat[i * Stat.Size + Stat.Min]!)
  })
  return json
}

/** Failures of a bdev by status, only those that happened. */
export function ioErrorJson(bdev: Bdev): JsonObject {
  return Object.fromEntries(IO_ERROR_NAMES.map((name, i) => [name, bdev.ioErrors[i]!] as const).filter(([, count]) => count > 0))
}
