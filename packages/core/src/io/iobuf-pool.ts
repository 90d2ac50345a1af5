// SPDX-License-Identifier: Apache-2.0
// data plane
import type { DmaHeap } from '@bdevkit/accel'
import type { DmaBuffer } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { IOBUF_ALIGN_BYTES, NOMEM_POLL_US } from '../limits.js'
import type { Poller } from '../thread/poller.js'
import type { SpdkThread } from '../thread/thread.js'
import { POISON } from './io-strict.js'

/** A buffer of a pool. Its object is lent again and again. */
export class PoolBuffer implements DmaBuffer {
  readonly buf: Uint8Array
  readonly off: number
  readonly len: number
  /** How many buffers of its size it stands for. */
  readonly rights: number
  /** Whose it is while it is lent. */
  owner: IobufCache | null = null
  /** Whose I/O holds it; `null` for whoever took it without an I/O, and for I/O of modules that have no bases. */
  bdev: Bdev | null = null
  /** It is counted in the host's `heldAbove`. */
  above = false

  constructor(buf: Uint8Array, off: number, len: number, rights: number) {
    this.buf = buf
    this.off = off
    this.len = len
    this.rights = rights
  }
}

/** Somebody who waits for a buffer; `buffer` is `null` where the wait was given up. */
export interface BufferWaiter<Arg = any> {
  readonly fn: (arg: Arg, buffer: PoolBuffer | null) => void
  readonly arg: Arg
  readonly lengthBytes: number
  /** The bdev of the I/O that waits; `null` without one. */
  readonly bdev: Bdev | null
  next: BufferWaiter | null
  buffer: PoolBuffer | null
}

/** Buffers that are held by I/O of modules that have bases, or by whoever took one without an I/O. */
export interface HeldBuffers {
  above: number
}

/**
 * Buffers of one size. What is counted are rights: memory is taken from the heap when a right is used for the first time, and
 * kept. Half of the rights at most are in reserve for single threads; what one of them uses beyond its reserve comes out of
 * the rest, in turn where several wait.
 *
 * A request longer than the size counts as several buffers and has memory of its own for as long as it is lent.
 */
export class IobufPool {
  readonly heap: DmaHeap
  readonly strict: boolean
  /** Counts, for all pools of a host, buffers of which somebody below may be waited for. */
  readonly held: HeldBuffers
  sizeBytes: number
  count: number
  /** Rights that no thread has in reserve and nobody uses. */
  free: number
  reserved = 0
  madeBytes = 0
  readonly caches: IobufCache[] = []
  /** Caches with waiters, in the order of their turns. */
  readonly waiting: IobufCache[] = []
  #spare: PoolBuffer[] = []
  #poller: Poller<IobufPool> | null = null

  constructor(heap: DmaHeap, strict: boolean, sizeBytes: number, count: number, held: HeldBuffers = { above: 0 }) {
    this.heap = heap
    this.strict = strict
    this.held = held
    this.sizeBytes = sizeBytes
    this.count = count
    this.free = count
  }

  /** The longest request that is served. */
  get maxBytes(): number {
    return (this.count - (this.count >>> 1)) * this.sizeBytes
  }

  /** Takes another size and count while nothing is lent. */
  resize(sizeBytes: number, count: number, cacheSize: number): void {
    for (const { off } of this.#spare) this.heap.free(off)
    this.#spare = []
    this.madeBytes = 0
    this.sizeBytes = sizeBytes
    this.count = count
    this.free = count
    this.reserved = 0
    for (const cache of this.caches) this.#reserve(cache, cacheSize)
  }

  addCache(thread: SpdkThread, cacheSize: number): IobufCache {
    const cache = new IobufCache(this, thread)
    this.caches.push(cache)
    this.#reserve(cache, cacheSize)
    return cache
  }

  /** The thread exits: what it had in reserve is everybody's. */
  removeCache(cache: IobufCache): void {
    this.caches.splice(this.caches.indexOf(cache), 1)
    this.reserved -= cache.reserve
    this.free += Math.max(0, cache.reserve - cache.used)
    cache.reserve = 0
    if (this.waiting.length > 0) this.serve()
  }

  /** Memory for a request of so many rights; `null` where the heap has none. */
  memory(lengthBytes: number, rights: number): PoolBuffer | null {
    if (rights === 1) {
      const spare = this.#spare.pop()
      if (spare !== undefined) return spare
    }
    const len = rights === 1 ? this.sizeBytes : lengthBytes
    const off = this.heap.alloc(len, IOBUF_ALIGN_BYTES)
    if (off >= 0) {
      this.madeBytes += len
      return new PoolBuffer(this.heap.u8, off, len, rights)
    }
    // Whoever has the heap may give it back without a word to this pool.
    this.#poller ??= this.caches[0]!.thread.registerPoller<IobufPool>(serveAgain, this, NOMEM_POLL_US, 'iobuf_retry')
    return null
  }

  recycle(buffer: PoolBuffer): void {
    if (this.strict) buffer.buf.fill(POISON, buffer.off, buffer.off + buffer.len)
    if (buffer.rights === 1) {
      this.#spare.push(buffer)
    } else {
      this.madeBytes -= buffer.len
      this.heap.free(buffer.off)
    }
  }

  /** Lends what is free to those who wait: to each cache in turn, and in a cache to the oldest. */
  serve(): void {
    const { waiting } = this
    while (waiting.length > 0) {
      const cache = waiting[0]!
      if (!cache.serveOldest(true)) return
      waiting.shift()
      if (cache.head !== null) waiting.push(cache)
    }
  }

  /** Body of the poller. */
  serveAgain(): number {
    this.#poller?.unregister()
    this.#poller = null
    this.serve()
    return 1
  }

  #reserve(cache: IobufCache, cacheSize: number): void {
    cache.reserve = Math.max(0, Math.min(cacheSize, this.free, (this.count >>> 1) - this.reserved))
    this.reserved += cache.reserve
    this.free -= cache.reserve
  }
}

function serveAgain(pool: IobufPool): number {
  return pool.serveAgain()
}

/** One thread's share of a pool. */
export class IobufCache {
  readonly pool: IobufPool
  readonly thread: SpdkThread
  /** Rights that nobody else gets. */
  reserve = 0
  /** Rights in use by this thread. */
  used = 0
  head: BufferWaiter | null = null
  /** Buffers that came out of the reserve, and out of the shared pool; requests that waited. */
  fromReserve = 0
  fromPool = 0
  waited = 0
  #tail: BufferWaiter | null = null

  constructor(pool: IobufPool, thread: SpdkThread) {
    this.pool = pool
    this.thread = thread
  }

  /** A buffer where there is one and it is nobody else's turn; for an I/O of `bdev`, or without one. */
  get(lengthBytes: number, bdev: Bdev | null): PoolBuffer | null {
    return this.head === null ? this.#take(lengthBytes, bdev, false) : null
  }

  /** A buffer beyond the pool, for one without which buffers of the pool would never come back; `null` where the heap has none. */
  beyond(lengthBytes: number): PoolBuffer | null {
    const buffer = this.pool.memory(lengthBytes, 0)
    if (buffer !== null) buffer.owner = this
    return buffer
  }

  wait(waiter: BufferWaiter): void {
    this.waited++
    if (this.head === null) {
      this.head = waiter
      this.pool.waiting.push(this)
    } else {
      this.#tail!.next = waiter
    }
    this.#tail = waiter
  }

  /** Takes a waiter out of the queue, the first that `matches`; `null` where there is none. */
  unwait<Key>(matches: (waiter: BufferWaiter, key: Key) => boolean, key: Key): BufferWaiter | null {
    let prev: BufferWaiter | null = null
    for (let at = this.head; at !== null; at = at.next) {
      if (!matches(at, key)) {
        prev = at
        continue
      }
      if (prev === null) this.head = at.next
      else prev.next = at.next
      if (this.#tail === at) this.#tail = prev
      at.next = null
      const { waiting } = this.pool
      if (this.head === null) waiting.splice(waiting.indexOf(this), 1)
      // It may have been the one that all others waited behind.
      if (waiting.length > 0) this.pool.serve()
      return at
    }
    return null
  }

  give(buffer: PoolBuffer): void {
    const { pool } = this
    buffer.owner = null
    if (buffer.above) this.#uncount(buffer)
    pool.free += this.#beyond(this.used) - this.#beyond(this.used - buffer.rights)
    this.used -= buffer.rights
    pool.recycle(buffer)
    if (pool.waiting.length === 0) return
    while (this.head !== null && this.serveOldest(false)) continue
    if (this.head === null && pool.waiting.includes(this)) pool.waiting.splice(pool.waiting.indexOf(this), 1)
    pool.serve()
  }

  /** Lends to the oldest waiter, by message; out of the thread's own reserve, or `inTurn` of the shared pool too. */
  serveOldest(inTurn: boolean): boolean {
    const waiter = this.head!
    const buffer = this.#take(waiter.lengthBytes, waiter.bdev, inTurn)
    if (buffer === null) return false
    this.head = waiter.next
    if (waiter.next === null) this.#tail = null
    waiter.next = null
    waiter.buffer = buffer
    this.thread.sendMsg(deliver, waiter)
    return true
  }

  #take(lengthBytes: number, bdev: Bdev | null, inTurn: boolean): PoolBuffer | null {
    const { pool } = this
    const rights = lengthBytes <= pool.sizeBytes ? 1 : Math.ceil(lengthBytes / pool.sizeBytes)
    const shared = this.#beyond(this.used + rights) - this.#beyond(this.used)
    if (shared > 0 && (shared > pool.free || (!inTurn && pool.waiting.length > 0))) return null
    const buffer = pool.memory(lengthBytes, rights)
    if (buffer === null) return null
    pool.free -= shared
    this.used += rights
    if (shared > 0) this.fromPool++
    else this.fromReserve++
    buffer.owner = this
    if (bdev === null || bdev.module.hasBases) this.#count(buffer, bdev)
    return buffer
  }

  #count(buffer: PoolBuffer, bdev: Bdev | null): void {
    buffer.above = true
    buffer.bdev = bdev
    this.pool.held.above++
    if (bdev !== null) bdev.buffersHeld++
  }

  #uncount(buffer: PoolBuffer): void {
    if (buffer.bdev !== null) buffer.bdev.buffersHeld--
    this.pool.held.above--
    buffer.above = false
    buffer.bdev = null
  }

  /** How much of `used` is not covered by the reserve. */
  #beyond(used: number): number {
    return used > this.reserve ? used - this.reserve : 0
  }
}

function deliver(waiter: BufferWaiter): void {
  const { buffer } = waiter
  waiter.buffer = null
  waiter.fn(waiter.arg, buffer)
}

/** The buffers of one thread (`struct spdk_iobuf_channel`). */
export class IobufChannel {
  readonly small: IobufCache
  readonly large: IobufCache

  constructor(small: IobufCache, large: IobufCache) {
    this.small = small
    this.large = large
  }

  /** The cache that serves a length. */
  cacheFor(lengthBytes: number): IobufCache {
    return lengthBytes <= this.small.pool.sizeBytes ? this.small : this.large
  }

  /** Whether a request of that length can ever be served. */
  serves(lengthBytes: number): boolean {
    return lengthBytes <= this.small.pool.sizeBytes || lengthBytes <= this.large.pool.maxBytes
  }
}
