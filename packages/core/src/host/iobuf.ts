// SPDX-License-Identifier: Apache-2.0
import type { DmaBuffer, Iobuf as SdkIobuf, IobufEntry, JsonObject, RpcCall } from '@bdevkit/module-sdk'
import { BdevError } from '@bdevkit/module-sdk'
import { PoolBuffer, IobufChannel, IobufPool, type BufferWaiter, type HeldBuffers } from '../io/iobuf-pool.js'
import {
  IOBUF_LARGE_BYTES, IOBUF_LARGE_BYTES_MIN, IOBUF_LARGE_CACHE, IOBUF_LARGE_COUNT, IOBUF_LARGE_COUNT_MIN, IOBUF_SMALL_BYTES,
  IOBUF_SMALL_BYTES_MIN, IOBUF_SMALL_CACHE, IOBUF_SMALL_COUNT, IOBUF_SMALL_COUNT_MIN,
} from '../limits.js'
import type { SpdkThread } from '../thread/thread.js'
import type { Host } from './host.js'

/** Sizes of the buffer pools (`struct spdk_iobuf_opts`). */
export interface IobufOptions {
  /** Small buffers, default 8192, at least 64. */
  smallPoolCount?: number
  /** Large buffers, default 1024, at least 8. */
  largePoolCount?: number
  /** Length of a small buffer in bytes, default 8192, at least 4096. */
  smallBufBytes?: number
  /** Length of a large buffer in bytes, default 135168, at least 8192. */
  largeBufBytes?: number
  /** Small buffers that each thread has in reserve, default 128. All threads together get half of the pool at most. */
  smallCacheSize?: number
  /** Large buffers that each thread has in reserve, default 16. As above. */
  largeCacheSize?: number
}

/** The pools of I/O buffers of a host. Memory is taken from the DMA heap when it is first used. */
export class Iobuf implements SdkIobuf {
  /** Pool of small buffers. @internal */
  readonly small: IobufPool
  /** Pool of large buffers. @internal */
  readonly large: IobufPool
  /** Small buffers that each thread has in reserve. */
  smallCacheSize = IOBUF_SMALL_CACHE
  /** Large buffers that each thread has in reserve. */
  largeCacheSize = IOBUF_LARGE_CACHE
  readonly #host: Host
  readonly #held: HeldBuffers = { above: 0 }
  readonly #channels = new Map<SpdkThread, IobufChannel>()

  /** The pools of `host`, at default sizes. @internal */
  constructor(host: Host) {
    this.#host = host
    this.small = new IobufPool(host.heap, host.strict, IOBUF_SMALL_BYTES, IOBUF_SMALL_COUNT, this.#held)
    this.large = new IobufPool(host.heap, host.strict, IOBUF_LARGE_BYTES, IOBUF_LARGE_COUNT, this.#held)
  }

  get smallBufBytes(): number {
    return this.small.sizeBytes
  }

  get largeBufBytes(): number {
    return this.large.sizeBytes
  }

  /** Buffers lent, counted in buffers of their size. */
  get inUse(): number {
    let sum = 0
    for (const { small, large } of this.#channels.values()) sum += small.used + large.used
    return sum
  }

  /** Buffers whose holder may wait for I/O below: held by I/O of modules that have bases, or taken without an I/O. @internal */
  get heldAbove(): number {
    return this.#held.above
  }

  /** Those who wait for a buffer. */
  get waiters(): number {
    let sum = 0
    for (const { small, large } of this.#channels.values()) {
      for (const { head } of [small, large]) for (let at = head; at !== null; at = at.next) sum++
    }
    return sum
  }

  /** Bytes of the DMA heap that the pools have taken. */
  get heapBytes(): number {
    return this.small.madeBytes + this.large.madeBytes
  }

  /** A thread's channel; made with the thread, so that its reserve is there. @internal */
  channelOf(thread: SpdkThread): IobufChannel {
    let channel = this.#channels.get(thread)
    if (channel === undefined) {
      channel = new IobufChannel(this.small.addCache(thread, this.smallCacheSize), this.large.addCache(thread, this.largeCacheSize))
      this.#channels.set(thread, channel)
    }
    return channel
  }

  get<Arg>(lengthBytes: number, entry: IobufEntry<Arg>): DmaBuffer | undefined {
    const channel = this.channelOf(this.#host.currentThread())
    if (!(lengthBytes >= 0 && channel.serves(lengthBytes))) {
      throw new RangeError(`iobuf: wanted a length of at most ${this.large.maxBytes} bytes (half of the large pool, iobuf_set_options), found ${lengthBytes}`)
    }
    const cache = channel.cacheFor(lengthBytes)
    const buffer = cache.get(lengthBytes, null)
    if (buffer !== null) return buffer
    cache.wait({ fn: callEntry, arg: entry, lengthBytes, bdev: null, next: null, buffer: null })
    return undefined
  }

  cancel(entry: IobufEntry): boolean {
    const channel = this.channelOf(this.#host.currentThread())
    return (channel.small.unwait(isFor, entry) ?? channel.large.unwait(isFor, entry)) !== null
  }

  put(buffer: DmaBuffer): void {
    const owner = buffer instanceof PoolBuffer ? buffer.owner : null
    if (owner === null) this.#host.misuse('iobuf: a buffer was put that is not lent: put twice, or from elsewhere; ignored')
    else owner.give(buffer as PoolBuffer)
  }

  /**
   * Sets sizes before `init` (`spdk_iobuf_set_opts`, and two of `spdk_bdev_opts`); what is left out stays.
   * @throws BdevError EINVAL a number too small; EBUSY `init` was called, or buffers are in use.
   */
  setOptions(options: IobufOptions): void {
    const { state } = this.#host
    if (state !== 'startup') throw new BdevError('EBUSY', `options of the buffer pools: the host is ${state}; set them before init`)
    if (this.inUse + this.waiters > 0) throw new BdevError('EBUSY', `options of the buffer pools: ${this.inUse} buffer(s) are in use; set them before the first I/O`)
    const { smallCacheSize = this.smallCacheSize, largeCacheSize = this.largeCacheSize } = options
    const { smallPoolCount = this.small.count, largePoolCount = this.large.count } = options
    const { smallBufBytes = this.small.sizeBytes, largeBufBytes = this.large.sizeBytes } = options
    const least = {
      smallPoolCount: [smallPoolCount, IOBUF_SMALL_COUNT_MIN], largePoolCount: [largePoolCount, IOBUF_LARGE_COUNT_MIN],
      smallBufBytes: [smallBufBytes, IOBUF_SMALL_BYTES_MIN], largeBufBytes: [largeBufBytes, IOBUF_LARGE_BYTES_MIN],
      smallCacheSize: [smallCacheSize, 0], largeCacheSize: [largeCacheSize, 0],
    }
    for (const [name, [found, min]] of Object.entries(least)) {
      if (!(Number.isSafeInteger(found) && found! >= min!)) throw new BdevError('EINVAL', `options of the buffer pools: wanted ${name} to be an integer of at least ${min}, found ${found}`)
    }
    this.smallCacheSize = smallCacheSize
    this.largeCacheSize = largeCacheSize
    this.small.resize(smallBufBytes, smallPoolCount, smallCacheSize)
    this.large.resize(largeBufBytes, largePoolCount, largeCacheSize)
  }

  /** What a thread has of the pools, in words. @internal */
  leftOn(thread: SpdkThread): string[] {
    const channel = this.#channels.get(thread)
    if (channel === undefined) return []
    const { small, large } = channel
    const left: string[] = []
    if (small.used + large.used > 0) left.push(`${small.used + large.used} buffer(s)`)
    if (small.head !== null || large.head !== null) left.push('those who wait for a buffer')
    return left
  }

  /** The thread exits; it has nothing lent. @internal */
  threadExited(thread: SpdkThread): void {
    const channel = this.#channels.get(thread)
    if (channel === undefined) return
    this.#channels.delete(thread)
    this.small.removeCache(channel.small)
    this.large.removeCache(channel.large)
  }

  /** Result of `iobuf_get_stats`. */
  statsJson(): JsonObject[] {
    return [{ module: 'bdev', small_pool: poolJson(this.small), large_pool: poolJson(this.large) }]
  }

  /** Calls that bring the options back. */
  configJson(): RpcCall[] {
    const params = {
      small_pool_count: this.small.count,
      large_pool_count: this.large.count,
      small_bufsize: this.small.sizeBytes,
      large_bufsize: this.large.sizeBytes,
      enable_numa: false,
    }
    return [{ method: 'iobuf_set_options', params }]
  }
}

function poolJson({ caches }: IobufPool): JsonObject {
  const sum = { cache: 0, main: 0, retry: 0, cache_size: 0 }
  for (const cache of caches) {
    sum.cache += cache.fromReserve
    sum.main += cache.fromPool
    sum.retry += cache.waited
    sum.cache_size += cache.reserve
  }
  return sum
}

function callEntry(entry: IobufEntry, buffer: PoolBuffer | null): void {
  if (buffer !== null) entry.fn(entry.arg, buffer)
}

function isFor(waiter: BufferWaiter, entry: IobufEntry): boolean {
  return waiter.arg === entry
}
