// SPDX-License-Identifier: Apache-2.0
// data plane
import { Buffer } from 'node:buffer'
import { writeSync, writevSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { BdevIo } from '@bdevkit/module-sdk'
import type { BufferPool, IoBuffer } from './buffers.js'
import { Segment } from './request.js'

/** Slots of a new queue, a power of two. */
const SLOTS = 64

/** Pieces that are worth one `writev` at once; the kernel takes at most 1024. */
const NOW_PIECES_MAX = 64

/** Told by a queue what its connection must know. */
export interface ReplyQueueOwner {
  /** The current reply buffer: it is kept when nobody needs its content. */
  readonly replyBuffer: IoBuffer | null
  /** `bytes` of a read's own buffer or of a former reply buffer are free again. */
  releasedBuffer(buffer: IoBuffer): void
  /** Lent memory went back; `last` with the last piece of a read. */
  releasedLent(bytes: number, last: boolean): void
  /** A batch has been sent, or the socket failed. */
  sent(): void
}

/**
 * The replies of one connection on their way to the socket, in the order of completion. What is added between two flushes
 * goes out in one write; neighbours in memory become one piece.
 */
export class ReplyQueue {
  readonly #owner: ReplyQueueOwner
  readonly #pool: BufferPool
  #slots: Segment[] = []
  #batches: number[] = []
  #mask = SLOTS - 1
  /** Oldest piece that the socket still needs; counters only grow, slots are `counter & mask`. */
  #head = 0
  /** First piece that the socket does not have yet. */
  #unsent = 0
  #tail = 0
  #batchHead = 0
  #batchTail = 0
  /** Descriptor of the socket, -1 where only the stream may write. Used while the stream is alive and has nothing to write. */
  fd = -1
  /** Bytes queued or handed to the socket and not yet sent. */
  bytes = 0
  /** Bytes that have been sent since the connection began. */
  sentBytes = 0
  readonly #onWritten = (): void => this.#written()

  constructor(owner: ReplyQueueOwner, pool: BufferPool) {
    this.#owner = owner
    this.#pool = pool
    for (let i = 0; i < SLOTS; i++) {
      this.#slots.push(new Segment())
      this.#batches.push(0)
    }
  }

  /** Whether pieces wait for `flush`. */
  get pending(): boolean {
    return this.#unsent !== this.#tail
  }

  /** Whether nothing is queued or being sent. */
  get empty(): boolean {
    return this.#head === this.#tail
  }

  /** Queues a reserved range of a reply buffer; the reservation's reference goes with it. */
  addReply(buffer: IoBuffer, off: number, lengthBytes: number): void {
    this.bytes += lengthBytes
    if (this.#tail !== this.#unsent) {
      const last = this.#slots[(this.#tail - 1) & this.#mask]!
      if (last.owner === buffer && last.off + last.lengthBytes === off) {
        last.lengthBytes += lengthBytes
        last.refs++
        return
      }
    }
    const segment = this.#push(off, lengthBytes)
    segment.owner = buffer
    segment.refs = 1
  }

  /** Queues the content of a read's own buffer, which goes back to the pool afterwards. */
  addOwn(buffer: IoBuffer, lengthBytes: number): void {
    this.bytes += lengthBytes
    const segment = this.#push(0, lengthBytes)
    segment.owner = buffer
    segment.own = true
  }

  /** Queues what a completed READ lent; the I/O is freed when all of it has been sent. */
  addLent(io: BdevIo): void {
    const iovs = io.iovs
    const last = io.iovCnt - 1
    for (let i = 0; i <= last; i++) {
      const iov = iovs[i]!
      this.bytes += iov.len
      const segment = this.#push(iov.off, iov.len)
      segment.buf = iov.buf
      if (i === last) segment.io = io
    }
  }

  /** Hands everything queued to the socket, in one write. */
  flush(socket: Socket): void {
    if (this.#tail === this.#unsent) return
    if (this.#head === this.#unsent && this.fd >= 0 && !socket.destroyed && socket.writableLength === 0) {
      this.#writeNow()
      if (this.#tail === this.#head) {
        this.#owner.sent()
        return
      }
    }
    const count = this.#tail - this.#unsent
    this.#batches[this.#batchTail++ & this.#mask] = count
    let at = this.#unsent
    this.#unsent = this.#tail
    if (count === 1) {
      socket.write(chunkOf(this.#slots[at & this.#mask]!), this.#onWritten)
      return
    }
    socket.cork()
    while (++at < this.#tail) socket.write(chunkOf(this.#slots[(at - 1) & this.#mask]!))
    socket.write(chunkOf(this.#slots[(at - 1) & this.#mask]!), this.#onWritten)
    socket.uncork()
  }

  /**
   * Writes straight to the descriptor what the kernel takes at once, which is nearly always all: a stream's write costs more
   * than the system call does. What is left goes the stream's way, and so does every error.
   */
  #writeNow(): void {
    const count = this.#tail - this.#head
    if (count > NOW_PIECES_MAX) return
    let sentBytes: number
    try {
      if (count === 1) {
        const segment = this.#slots[this.#head & this.#mask]!
        sentBytes = writeSync(this.fd, segment.owner!.node, segment.off, segment.lengthBytes)
      } else {
        const chunks: Uint8Array[] = []
        for (let at = this.#head; at < this.#tail; at++) chunks.push(chunkOf(this.#slots[at & this.#mask]!))
        sentBytes = writevSync(this.fd, chunks)
      }
    } catch {
      return
    }
    while (this.#head !== this.#tail) {
      const segment = this.#slots[this.#head & this.#mask]!
      if (sentBytes < segment.lengthBytes) {
        segment.off += sentBytes
        segment.lengthBytes -= sentBytes
        this.bytes -= sentBytes
        this.sentBytes += sentBytes
        break
      }
      sentBytes -= segment.lengthBytes
      this.#release()
    }
    this.#unsent = this.#head
  }

  /** Forgets everything and gives its memory back. Only for a socket whose descriptor is closed. */
  abandon(): void {
    while (this.#head !== this.#tail) this.#release()
    this.#unsent = this.#tail
    this.#batchHead = this.#batchTail
  }

  #written(): void {
    if (this.#batchHead === this.#batchTail) return
    let count = this.#batches[this.#batchHead++ & this.#mask]!
    while (count-- > 0) this.#release()
    this.#owner.sent()
  }

  #push(off: number, lengthBytes: number): Segment {
    if (this.#tail - this.#head === this.#mask + 1) this.#grow()
    const segment = this.#slots[this.#tail++ & this.#mask]!
    segment.off = off
    segment.lengthBytes = lengthBytes
    return segment
  }

  #release(): void {
    const segment = this.#slots[this.#head++ & this.#mask]!
    const owner = segment.owner
    this.bytes -= segment.lengthBytes
    this.sentBytes += segment.lengthBytes
    if (owner === null) {
      segment.buf = null
      const io = segment.io
      segment.io = null
      this.#owner.releasedLent(segment.lengthBytes, io !== null)
      if (io !== null) io.free()
      return
    }
    segment.owner = null
    if (segment.own) {
      segment.own = false
      this.#owner.releasedBuffer(owner)
      this.#pool.give(owner)
      return
    }
    unrefReply(owner, segment.refs, this.#owner, this.#pool)
  }

  /** Doubles the rings; a batch has at least one piece, so that both fill up no faster than the slots. */
  #grow(): void {
    const size = this.#mask + 1
    const slots: Segment[] = []
    const batches: number[] = []
    for (let i = 0; i < size; i++) {
      slots.push(this.#slots[(this.#head + i) & this.#mask]!)
      batches.push(this.#batches[(this.#batchHead + i) & this.#mask]!)
    }
    for (let i = 0; i < size; i++) {
      slots.push(new Segment())
      batches.push(0)
    }
    this.#unsent -= this.#head
    this.#tail -= this.#head
    this.#head = 0
    this.#batchTail -= this.#batchHead
    this.#batchHead = 0
    this.#slots = slots
    this.#batches = batches
    this.#mask = size * 2 - 1
  }
}

/** Drops `refs` references on a reply buffer. Without any, the current one starts over and a former one goes back. */
export function unrefReply(buffer: IoBuffer, refs: number, owner: ReplyQueueOwner, pool: BufferPool): void {
  buffer.refs -= refs
  if (buffer.refs > 0) return
  if (buffer === owner.replyBuffer) {
    buffer.usedBytes = 0
    return
  }
  owner.releasedBuffer(buffer)
  pool.give(buffer)
}

function chunkOf(segment: Segment): Uint8Array {
  const owner = segment.owner
  if (owner !== null) return owner.node.subarray(segment.off, segment.off + segment.lengthBytes) // cold: what the kernel did not take at once
  const buf = segment.buf!
  return Buffer.from(buf.buffer as ArrayBuffer, buf.byteOffset + segment.off, segment.lengthBytes)
}
