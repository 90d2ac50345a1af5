// SPDX-License-Identifier: Apache-2.0
import { IO_TYPE_NAMES, type JsonSchema } from '@bdevkit/module-sdk'

// What the answers of the bdev layer look like, for documentation and typed clients. An answer may have further members: SPDK adds some.

const text = { type: 'string' }
const integer = { type: 'integer' }
const boolean = { type: 'boolean' }
const anyObject = { type: 'object' }
const list = (items: JsonSchema): JsonSchema => ({ type: 'array', items })
const members = (required: JsonSchema, optional: JsonSchema = {}): JsonSchema => ({
  type: 'object',
  required: Object.keys(required),
  properties: { ...required, ...optional },
})
const integers = (...names: string[]): JsonSchema => Object.fromEntries(names.map(name => [name, integer]))

/** One element of `bdev_get_bdevs`. */
export const BDEV_INFO: JsonSchema = members(
  {
    name: text,
    aliases: list(text),
    product_name: text,
    ...integers(
      'block_size',
      'num_blocks',
      'preferred_write_alignment',
      'preferred_write_granularity',
      'optimal_write_size',
      'preferred_unmap_alignment',
      'preferred_unmap_granularity',
    ),
    uuid: text,
    assigned_rate_limits: members(integers('rw_ios_per_sec', 'rw_mbytes_per_sec', 'r_mbytes_per_sec', 'w_mbytes_per_sec')),
    claimed: boolean,
    zoned: boolean,
    supported_io_types: members(Object.fromEntries(IO_TYPE_NAMES.slice(1).map(name => [name, boolean]))),
    driver_specific: anyObject,
  },
  { ...integers('numa_id', 'md_size', 'dif_type'), md_interleave: boolean, dif_is_head_of_md: boolean, claim_type: text },
)

const COUNTERS = integers(
  ...[
    'bytes_read',
    'num_read_ops',
    'bytes_written',
    'num_write_ops',
    'bytes_unmapped',
    'num_unmap_ops',
    'bytes_copied',
    'num_copy_ops',
  ],
  ...['read', 'write', 'unmap', 'copy'].flatMap(what => ['', 'max_', 'min_'].map(bound => `${bound}${what}_latency_ticks`)),
)

/** Answer of `bdev_get_iostat`: of bdevs, or of the channels of one. */
export const IOSTAT: JsonSchema = members(integers('tick_rate', 'ticks'), {
  bdevs: list(
    members(
      { name: text, ...COUNTERS },
      {
        ...integers('queue_depth_polling_period', 'queue_depth', 'io_time', 'weighted_io_time'),
        io_error: anyObject,
        driver_specific: anyObject,
      },
    ),
  ),
  name: text,
  channels: list(members({ thread_id: integer, ...COUNTERS })),
})

/** Answer of `bdev_get_histogram`. */
export const HISTOGRAM: JsonSchema = members({
  histogram: text,
  ...integers('granularity', 'min_range', 'max_range', 'tsc_rate'),
})

/** Answer of `notify_get_notifications`. */
export const NOTIFICATIONS: JsonSchema = list(members({ type: text, ctx: text, id: integer }))

/** Answer of `framework_get_config`. */
export const CALLS: JsonSchema = list(members({ method: text }, { params: anyObject }))
