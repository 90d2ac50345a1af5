// SPDX-License-Identifier: Apache-2.0
// data plane
import type { BdevIo, IoWaitEntry } from '@bdevkit/module-sdk'
import type { IoBuffer } from './buffers.js'
import type { Connection } from './connection.js'

/** One request of a peer, from its head to the moment its reply is queued. Pooled. */
export class NbdRequest {
  conn: Connection = null!
  type = 0
  flags = 0
  /** The cookie's two halves, as they came. */
  cookie0 = 0
  cookie1 = 0
  offsetBytes = 0
  lengthBytes = 0
  offsetBlocks = 0
  numBlocks = 0
  /** Reply buffer with room for this reply, at `replyAt`, or null. */
  reply: IoBuffer | null = null
  replyAt = 0
  /** A buffer of its own: payload, or the data of a long read. */
  data: IoBuffer | null = null
  /** The receive buffer that the payload lies in. */
  pinned: IoBuffer | null = null
  /** Where a bdev finds or puts the data. */
  buf: Uint8Array = nothing
  bufOff = 0
  /** Whether it borrows the bdev's memory. */
  lent = false
  /** The error that it gets when its payload has been read and dropped. */
  refusal = 0
  /** In its second step: the FLUSH of a FUA. */
  flushing = false
  readonly wait: IoWaitEntry<NbdRequest>
  next: NbdRequest | null = null

  constructor(onIoAvailable: (request: NbdRequest) => void) {
    this.wait = { fn: onIoAvailable, arg: this }
  }
}

const nothing = new Uint8Array(0)

/** Requests without use, for all connections of a server. */
export class RequestPool {
  readonly #onIoAvailable: (request: NbdRequest) => void
  #free: NbdRequest | null = null
  #used = 0

  constructor(onIoAvailable: (request: NbdRequest) => void) {
    this.#onIoAvailable = onIoAvailable
  }

  /** Requests in use. */
  get used(): number {
    return this.#used
  }

  take(conn: Connection): NbdRequest {
    this.#used++
    let request = this.#free
    if (request === null) {
      request = new NbdRequest(this.#onIoAvailable)
    } else {
      this.#free = request.next
      request.next = null
    }
    request.conn = conn
    return request
  }

  give(request: NbdRequest): void {
    this.#used--
    request.reply = null
    request.data = null
    request.pinned = null
    request.buf = nothing
    request.lent = false
    request.refusal = 0
    request.flushing = false
    request.next = this.#free
    this.#free = request
  }
}

/** A piece of the reply stream: a range of a reply buffer, of a read's own buffer, or of memory that a bdev lent. */
export class Segment {
  /** The buffer, null for lent memory. */
  owner: IoBuffer | null = null
  /** References on `owner` that go when it is sent. */
  refs = 0
  /** Whether `owner` is one read's own buffer. */
  own = false
  /** Lent memory. */
  buf: Uint8Array | null = null
  /** The I/O that lends it, on its last piece. */
  io: BdevIo | null = null
  off = 0
  lengthBytes = 0
}
