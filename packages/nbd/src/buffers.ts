// SPDX-License-Identifier: Apache-2.0
// data plane
import { Buffer } from 'node:buffer'
import type { Dma, DmaBuffer } from '@bdevkit/module-sdk'
import { BUFFER_BYTES_MIN, CACHED_BYTES_MAX } from './limits.js'

/** Pages: what the strictest bdev asks of its buffers. */
const ALIGN_BYTES = 4096

/**
 * A range of the DMA heap, with the views that sockets and parsers need. Made once and reused: bdevs get `(u8, off)`,
 * sockets get parts of `node`.
 */
export class IoBuffer {
  /** The heap, in which the range starts at `off`. */
  readonly u8: Uint8Array
  readonly off: number
  readonly sizeBytes: number
  /** The range itself. */
  readonly node: Buffer
  readonly view: DataView
  /** Its first bytes, for a read that is not to bring more. */
  readonly start: Buffer
  /** Null for ordinary memory. */
  readonly mem: DmaBuffer | null
  /** Who still needs the content: requests and queued replies, or writes in flight for a receive buffer. */
  refs = 0
  /** Bytes given out, for a reply buffer. */
  usedBytes = 0
  next: IoBuffer | null = null

  constructor(mem: DmaBuffer | null, u8: Uint8Array, off: number, sizeBytes: number) {
    this.mem = mem
    this.u8 = u8
    this.off = off
    this.sizeBytes = sizeBytes
    this.node = Buffer.from(u8.buffer as ArrayBuffer, u8.byteOffset + off, sizeBytes)
    this.view = new DataView(u8.buffer, u8.byteOffset + off, sizeBytes)
    this.start = this.node.subarray(0, BUFFER_BYTES_MIN) // cold: once a buffer
  }
}

/** The size class of `bytes`: a power of two. */
export function bufferClassBytes(bytes: number): number {
  return bytes <= BUFFER_BYTES_MIN ? BUFFER_BYTES_MIN : 2 ** (32 - Math.clz32(bytes - 1))
}

/** Buffers of all connections of a server, by power-of-two size. Reused as they are: the heap would zero them each time. */
export class BufferPool {
  readonly #dma: Pick<Dma, 'alloc' | 'free'>
  readonly #free: (IoBuffer | null)[] = new Array<IoBuffer | null>(33).fill(null)
  #cachedBytes = 0
  #usedBytes = 0

  constructor(dma: Pick<Dma, 'alloc' | 'free'>) {
    this.#dma = dma
  }

  /** Bytes that connections hold now. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** A buffer of at least `bytes`. Content is undefined. Ordinary memory where the DMA heap is exhausted. */
  take(bytes: number): IoBuffer {
    const size = bufferClassBytes(bytes)
    const index = 31 - Math.clz32(size)
    this.#usedBytes += size
    const free = this.#free[index]!
    if (free !== null) {
      this.#free[index] = free.next
      free.next = null
      this.#cachedBytes -= size
      return free
    }
    const mem = this.#dma.alloc(size, ALIGN_BYTES)
    if (mem === undefined) return new IoBuffer(null, new Uint8Array(size), 0, size)
    return new IoBuffer(mem, mem.buf, mem.off, size)
  }

  /** Takes one back. */
  give(buffer: IoBuffer): void {
    const size = buffer.sizeBytes
    buffer.refs = 0
    buffer.usedBytes = 0
    this.#usedBytes -= size
    if (buffer.mem === null) return
    if (this.#cachedBytes + size > CACHED_BYTES_MAX) {
      this.#dma.free(buffer.mem)
      return
    }
    const index = 31 - Math.clz32(size)
    buffer.next = this.#free[index]!
    this.#free[index] = buffer
    this.#cachedBytes += size
  }

  /** Gives everything that is free back to the heap. */
  clear(): void {
    for (let index = 0; index < this.#free.length; index++) {
      for (let buffer = this.#free[index] ?? null; buffer !== null; buffer = buffer.next) this.#dma.free(buffer.mem!)
      this.#free[index] = null
    }
    this.#cachedBytes = 0
  }
}
