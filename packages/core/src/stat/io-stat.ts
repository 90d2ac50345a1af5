// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoType } from '@bdevkit/module-sdk'

/** Counters of one kind of I/O, as offsets into its group of {@link createStat}'s array. Times are milliseconds. */
export const Stat = { Ops: 0, Bytes: 1, Ticks: 2, Max: 3, Min: 4, Size: 5 } as const

/** Kinds that are counted, in the order of `bdev_get_iostat`. */
export const STAT_KINDS = ['read', 'write', 'unmap', 'copy'] as const

/** Entry of {@link STAT_INDEX} where it depends on more than the type. */
export const STAT_BY_DATA = -2
/** Index of an I/O type's group in a stat array, -1 where it is not counted. */
export const STAT_INDEX: Int8Array = new Int8Array(32).fill(-1)
STAT_INDEX[IoType.Read] = 0
STAT_INDEX[IoType.Write] = Stat.Size
STAT_INDEX[IoType.Unmap] = 2 * Stat.Size
STAT_INDEX[IoType.Copy] = 3 * Stat.Size
STAT_INDEX[IoType.Zcopy] = STAT_BY_DATA

/** Counters of one channel, on shared memory. */
export function createStat(): Float64Array {
  const stat = new Float64Array(new SharedArrayBuffer(STAT_KINDS.length * Stat.Size * 8))
  clearStat(stat)
  return stat
}

/** Ticks of a second in statistics: they are nanoseconds. */
export const TICK_RATE = 1_000_000_000

/** What is set back (`enum spdk_bdev_reset_stat_mode`): everything, the extremes, the counts of failures, nothing. */
export type StatResetMode = 'all' | 'maxmin' | 'error' | 'none'

/** Sets counters of a channel back; failures are not among them. */
export function clearStat(stat: Float64Array, mode: StatResetMode = 'all'): void {
  if (mode === 'none' || mode === 'error') return
  for (let at = 0; at < stat.length; at += Stat.Size) {
    if (mode === 'all') stat.fill(0, at, at + Stat.Max)
    stat[at + Stat.Max] = 0
    stat[at + Stat.Min] = Infinity
  }
}

/** Counts an I/O that succeeded. */
export function countSuccess(stat: Float64Array, at: number, bytes: number, ticksMs: number): void {
  stat[at + Stat.Ops]! += 1
  stat[at + Stat.Bytes]! += bytes
  stat[at + Stat.Ticks]! += ticksMs
  if (ticksMs > stat[at + Stat.Max]!) stat[at + Stat.Max] = ticksMs
  if (ticksMs < stat[at + Stat.Min]!) stat[at + Stat.Min] = ticksMs
}

/** Adds `from` to `into`. */
export function addStat(into: Float64Array, from: Float64Array): void {
  for (let at = 0; at < into.length; at += Stat.Size) {
    into[at + Stat.Ops]! += from[at + Stat.Ops]!
    into[at + Stat.Bytes]! += from[at + Stat.Bytes]!
    into[at + Stat.Ticks]! += from[at + Stat.Ticks]!
    into[at + Stat.Max] = Math.max(into[at + Stat.Max]!, from[at + Stat.Max]!)
    into[at + Stat.Min] = Math.min(into[at + Stat.Min]!, from[at + Stat.Min]!)
  }
}

/** Names of the statuses -1 … -8, as `io_error` of `bdev_get_iostat` has them. */
export const IO_ERROR_NAMES = [
  'failed', 'nvme_error', 'scsi_error', 'nomem', 'miscompare', 'first_fused_failed', 'aborted', 'aio_error',
] as const

/** Counts a failure by its status; unknown statuses are not counted. */
export function countError(errors: Float64Array, status: number): void {
  const at = -status - 1
  if (at >= 0 && at < IO_ERROR_NAMES.length) errors[at]! += 1
}
