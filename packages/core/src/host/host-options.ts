// SPDX-License-Identifier: Apache-2.0
import type { CipherProvider } from '@bdevkit/accel'
import type { LogSink } from '../log.js'
import type { Clock } from '../thread/clock.js'

/** Options of `createHost`. */
export interface HostOptions {
  /** Where messages go; default: errors, warnings and notices to the console's error stream. */
  log?: LogSink
  /**
   * Check modules for misuse: I/O objects are not recycled, modules work on copies of buffers that are poisoned on
   * completion. Slow; for tests. Default false.
   */
  strict?: boolean
  /** Time and event loop; default the process's own. */
  clock?: Clock
  /** I/Os in use at most (`bdev_io_pool_size`), default 65535. */
  bdevIoPoolSize?: number
  /** I/Os reserved for each thread (`bdev_io_cache_size`), default 256. */
  bdevIoCacheSize?: number
  /** Examine every new bdev (`bdev_auto_examine`), default true. */
  autoExamine?: boolean
  /** AES for crypto keys, `null` for none; default: node:crypto where the process has it (`builtinCiphers` of accel). */
  ciphers?: CipherProvider | null
  /** Told of registrations, removals and new sizes; `Host.notifications` keeps them. */
  onNotification?: (type: string, ctx: string) => void
}

/** Options of the bdev layer (`struct spdk_bdev_opts`). */
export interface BdevOptions {
  /** I/Os in use at most, default 65535. */
  bdevIoPoolSize?: number
  /** I/Os reserved for each thread, default 256. */
  bdevIoCacheSize?: number
  /** Examine every new bdev, default true. */
  bdevAutoExamine?: boolean
  /** Small buffers that each thread has in reserve, default 128. */
  iobufSmallCacheSize?: number
  /** Large buffers that each thread has in reserve, default 16. */
  iobufLargeCacheSize?: number
}

/** Where a host is in its life. */
export type HostState = 'startup' | 'initializing' | 'running' | 'failed' | 'finishing' | 'finished'

/** What is still in use, for leak checks: all zero after every bdev is gone. */
export interface HostUsage {
  /** Registered bdevs. */
  bdevs: number
  /** Open descriptors. */
  descriptors: number
  /** Channels of bdevs, on all threads. */
  channels: number
  /** I/Os taken and not freed. */
  bdevIos: number
  /** Submitters waiting for an I/O. */
  ioWaiters: number
  /** Pooled buffers lent. */
  iobufs: number
  /** Those who wait for one. */
  iobufWaiters: number
  /** Bytes of the DMA heap in use beyond what the host itself and its buffer pools keep. */
  dmaBytes: number
}
