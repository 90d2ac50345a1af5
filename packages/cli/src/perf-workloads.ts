// SPDX-License-Identifier: Apache-2.0

/** Workloads of `bdev perf`: bdevperf's, with its names. */
export const PERF_WORKLOADS = [
  'read',
  'write',
  'randread',
  'randwrite',
  'rw',
  'randrw',
  'verify',
  'flush',
  'unmap',
  'write_zeroes',
  'reset',
] as const
/** One of {@link PERF_WORKLOADS}. */
export type PerfWorkload = (typeof PERF_WORKLOADS)[number]
