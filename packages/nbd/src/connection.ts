// SPDX-License-Identifier: Apache-2.0
import type { Socket } from 'node:net'
import type { BdevDesc, DescChannel } from '@bdevkit/module-sdk'
import type { IoBuffer } from './buffers.js'
import type { ExportGeometry, ExportUser, NbdExport } from './export.js'
import { Handshake, type ExportInfo, type HandshakeSide, type Negotiated } from './handshake.js'
import { HANDSHAKE_UNSENT_BYTES_MAX, RECEIVE_BYTES, RECEIVE_DIRECT_BYTES_MIN, REPLY_BYTES } from './limits.js'
import { Phase } from './phase.js'
import { REQUEST_BYTES } from './protocol.js'
import { ReplyQueue, type ReplyQueueOwner } from './reply-queue.js'
import type { NbdRequest } from './request.js'
import type { ServerCore } from './server-core.js'
import { descriptorOf, writeQueueBytes } from './sockets.js'
import { abandonPayload, parseRequests } from './transmission.js'

/** What is known of a connection, for people. */
export interface ConnectionInfo {
  /** Counts up from 1 within a server. */
  readonly id: number
  /** Name of the export; `''` before one is chosen and for the default one. */
  readonly exportName: string
  readonly state: 'handshake' | 'transmission' | 'draining' | 'dead'
  /** Requests in flight. */
  readonly inFlight: number
  /** Requests since the connection began. */
  readonly requests: number
  /** Bytes of buffers that it holds. */
  readonly heldBytes: number
  /** Bytes of replies that the peer has not read yet. */
  readonly unsentBytes: number
}

/** Where a read of the socket goes. */
const Target = {
  /** Into `receive`. */
  Receive: 0,
  /** Into the payload's own buffer. */
  Payload: 1,
  /** Into memory that all connections share, to be copied at once: `receive` was not free when Node asked. */
  Spare: 2,
  /** Into `receive`, behind the part of a payload that is there already. */
  Behind: 3,
} as const

const states = ['handshake', 'transmission', 'draining', 'dead'] as const

/**
 * One peer: a reading and a writing socket, mostly the same. Its fields are those of the data plane (`transmission.ts`); the
 * methods are its life.
 */
export class Connection implements ExportUser, HandshakeSide, ReplyQueueOwner {
  readonly core: ServerCore
  readonly id: number
  readonly reader: Socket
  readonly writer: Socket
  readonly replies: ReplyQueue
  readonly startedMs: number
  phase: number = Phase.Handshake
  /** Bytes of all buffers held. */
  heldBytes = 0
  /** Bytes of lent memory in queued replies and reads in flight. */
  lentBytes = 0
  /** Reads that borrow, in flight or queued. */
  lentReads = 0
  inFlight = 0
  requests = 0

  // What came in: `receive` from `at` to `end` is not parsed yet.
  receive: IoBuffer
  receiveAt = 0
  receiveEnd = 0
  /** Former receive buffers whose payloads are still being written. */
  pinnedBuffers = 0
  /** A request's head that came in pieces. */
  readonly head = new Uint8Array(REQUEST_BYTES)
  readonly headView = new DataView(this.head.buffer)
  headBytes = 0
  /** The WRITE whose payload is on its way. */
  payload: NbdRequest | null = null
  payloadLeft = 0
  /** The last thing that came was a payload received to its own buffer, or the head of one. */
  longPayloads = false
  /** Counts payloads that did not come with their head. */
  payloads = 0
  /** Where the next read of the socket goes. */
  target: number = Target.Receive

  replyBuffer: IoBuffer | null = null
  /** Parsing stopped at a limit; bytes may be left in `receive`. */
  suspended = false
  resumeQueued = false
  /** Whether it stands in the server's line for memory. */
  waitsForMemory = false
  flushQueued = false
  /** A read event is being worked on: its end flushes. */
  inEvent = false
  /** Whether replies are held for company: see `Coalescer`. */
  held = false
  /** Read events since the coalescer looked. */
  heldEvents = 0
  /** Bytes received since replies are held. */
  heldInBytes = 0
  /** How well holding works with this peer: more came meanwhile, lately. */
  pipelining = 0
  /** Read events with more than one request while it did not. */
  batches = 0

  // Set by the handshake.
  exp: NbdExport | null = null
  desc: BdevDesc = null!
  channel: DescChannel = null!
  geometry: ExportGeometry = null!
  exportName = ''
  transmissionFlags = 0
  structuredReplies = false
  baseAllocation = false
  blockShift = 0
  sizeBytes = 0

  /** When a draining or removed connection is cut, in server time. */
  deadlineMs = Infinity
  /** Whether the bdev is going away. */
  removed = false
  #handshake: Handshake
  #readerClosed = false
  #writerClosed = false
  #reading = true
  #ended = false
  /** Resolves when nothing is left of it. */
  readonly gone: Promise<void>
  #setGone: () => void = () => {}

  constructor(core: ServerCore, id: number, adopt: (receiver: Receiver) => { reader: Socket; writer: Socket }) {
    this.core = core
    this.id = id
    this.startedMs = core.nowMs()
    this.receive = this.takeBuffer(RECEIVE_BYTES)
    this.gone = new Promise(resolve => {
      this.#setGone = resolve
    })
    const { reader, writer } = adopt(this)
    this.reader = reader
    this.writer = writer
    this.replies = new ReplyQueue(this, core.buffers)
    this.replies.fd = reader === writer ? descriptorOf(writer) : -1
    this.#handshake = new Handshake(this)
    reader.on('end', () => this.drain('the peer closed its side', core.limits.closeTimeoutMs))
    reader.on('error', error => this.destroy(`socket: ${error.message}`))
    reader.once('close', () => this.#closed('reader'))
    if (writer !== reader) {
      writer.on('error', error => this.destroy(`socket: ${error.message}`))
      writer.once('close', () => this.#closed('writer'))
    } else {
      this.#writerClosed = true
    }
  }

  /** Greets the peer and begins to read. */
  start(): void {
    this.#handshake.greet()
    this.reader.resume()
  }

  info(): ConnectionInfo {
    return {
      id: this.id,
      exportName: this.exportName,
      state: states[this.phase]!,
      inFlight: this.inFlight,
      requests: this.requests,
      heldBytes: this.heldBytes,
      unsentBytes: this.replies.bytes,
    }
  }

  /** Memory for the next read of the socket. Node asks when a read has been worked on, not when the next one is due. */
  nextBuffer(): Uint8Array {
    const payload = this.payload
    if (this.phase >= Phase.Draining || this.receiveAt !== this.receiveEnd) {
      this.target = Target.Spare
      return this.core.spare.node
    }
    if (payload !== null && payload.refusal === 0) {
      if (payload.pinned !== null) {
        this.target = Target.Behind
        return this.receive.node.subarray(this.receiveEnd)
      }
      if (this.payloadLeft >= RECEIVE_DIRECT_BYTES_MIN) {
        this.target = Target.Payload
        return payload.data!.node.subarray(payload.lengthBytes - this.payloadLeft, payload.lengthBytes)
      }
    }
    this.target = Target.Receive
    // After a long payload another one is likely: the less of it comes with its head, the less has to be copied to its place.
    return this.longPayloads ? this.freeReceive().start : this.freeReceive().node
  }

  /** The receive buffer, or another one where writes still lie in it. */
  freeReceive(): IoBuffer {
    if (this.receive.refs > 0) {
      this.pinnedBuffers++
      this.receive = this.takeBuffer(RECEIVE_BYTES)
    }
    return this.receive
  }

  /** The socket has read `lengthBytes` into what `nextBuffer` gave. False stops it. */
  received(lengthBytes: number): boolean {
    if (this.phase >= Phase.Draining) return false
    if (this.target === Target.Payload) {
      this.payloadLeft -= lengthBytes
    } else if (this.target === Target.Behind) {
      this.receiveEnd += lengthBytes
    } else {
      this.longPayloads = false
      if (this.target === Target.Spare) {
        const receive = this.freeReceive()
        this.core.accel.copy(receive.u8, receive.off, this.core.spare.u8, this.core.spare.off, lengthBytes)
      }
      this.receiveAt = 0
      this.receiveEnd = lengthBytes
      if (this.phase === Phase.Handshake && !this.#handshakeBytes()) return this.#reading
    }
    const before = this.requests
    this.inEvent = true
    this.core.thread.execMsg(parseRequests, this)
    this.inEvent = false
    if (this.replies.pending || this.phase === Phase.Draining) {
      if (this.phase !== Phase.Transmission || !this.core.coalescer.hold(this, this.requests - before, lengthBytes)) this.flush()
    }
    return this.#reading
  }

  /** Hands all queued replies to the socket. */
  flush(): void {
    if (this.phase === Phase.Dead || this.#ended) return
    this.replies.flush(this.writer)
    if (this.phase === Phase.Draining) this.#endIfIdle()
  }

  /** Stops reading until `resumeReading`. */
  pauseReading(): void {
    if (!this.#reading) return
    this.#reading = false
    this.reader.pause()
  }

  /** Goes on reading; everything that came before is parsed. */
  resumeReading(): void {
    if (this.#reading || this.phase !== Phase.Transmission) return
    this.#reading = true
    this.reader.resume()
  }

  /** A number that changes whenever the peer sends payload or takes replies. */
  progressMark(): number {
    return this.requests + this.replies.sentBytes - this.payloadLeft / 2 - writeQueueBytes(this.writer) / 4
  }

  /** Takes a buffer and counts it. */
  takeBuffer(bytes: number): IoBuffer {
    const buffer = this.core.buffers.take(bytes)
    this.heldBytes += buffer.sizeBytes
    return buffer
  }

  /** Gives back what `takeBuffer` gave. */
  giveBuffer(buffer: IoBuffer): void {
    this.heldBytes -= buffer.sizeBytes
    this.core.buffers.give(buffer)
    this.core.memoryFreed()
  }

  releasedBuffer(buffer: IoBuffer): void {
    this.heldBytes -= buffer.sizeBytes
    this.core.memoryFreed()
  }

  releasedLent(bytes: number, last: boolean): void {
    this.lentBytes -= bytes
    if (!last) return
    this.lentReads--
    this.core.lentReads--
  }

  sent(): void {
    if (this.suspended) this.core.resumeLater(this)
    if (this.phase === Phase.Draining) this.#endIfIdle()
  }

  /** No request is in flight any more. */
  idle(): void {
    if (this.phase === Phase.Draining && !this.inEvent && !this.flushQueued) this.#endIfIdle()
    else if (this.phase === Phase.Dead) this.#detach()
  }

  /** Reads no further requests, answers those in flight, and closes; after `timeoutMs` it closes in any case. */
  drain(reason: string, timeoutMs: number): void {
    if (this.phase === Phase.Dead) return
    this.deadlineMs = Math.min(this.deadlineMs, this.core.nowMs() + timeoutMs)
    this.core.watch()
    if (this.phase === Phase.Draining) return
    this.core.log.debug(`nbd connection ${this.id}: ends: ${reason}`)
    this.phase = Phase.Draining
    this.pauseReading()
    abandonPayload(this)
    this.suspended = false
    this.core.forgetMemory(this)
    if (!this.inEvent && !this.flushQueued) this.#endIfIdle()
  }

  /** Closes at once, whatever is queued. */
  destroy(reason: string): void {
    if (this.phase === Phase.Dead) return
    this.core.log.debug(`nbd connection ${this.id}: closed: ${reason}`)
    this.phase = Phase.Dead
    this.suspended = false
    this.core.forgetMemory(this)
    this.reader.destroy()
    this.writer.destroy()
  }

  onRemove(): void {
    this.removed = true
    // Borrowed memory may be used anew as soon as the bdev is gone: not a byte of it may be sent from now on.
    if (this.lentReads > 0) this.destroy('the bdev is being removed')
    else this.drain('the bdev is being removed', this.core.limits.removeTimeoutMs)
  }

  // The handshake's view.

  get blockSizeRequiredAboveBytes(): number {
    return this.core.blockSizeRequiredAboveBytes
  }

  get stopping(): boolean {
    return this.core.stopping
  }

  listExports(): readonly { name: string; description: string }[] {
    return this.core.listExports()
  }

  lookup(name: string, structuredReplies: boolean): ExportInfo | undefined {
    const exp = this.core.findExport(name)
    const desc = exp?.attach()
    if (exp === undefined || desc === null || desc === undefined) return undefined
    const geometry = exp.geometry(desc.bdev)
    return {
      name: exp.name,
      description: exp.options.description ?? '',
      sizeBytes: geometry.sizeBytes,
      transmissionFlags: exp.transmissionFlags(geometry, structuredReplies),
      minimumBytes: geometry.minimumBytes,
      preferredBytes: geometry.preferredBytes,
    }
  }

  enter(negotiated: Negotiated): boolean {
    const exp = this.core.findExport(negotiated.exportName)
    const desc = exp?.attach()
    if (exp === undefined || desc === null || desc === undefined) return false
    const channel = desc.getIoChannel()
    if (channel === null) return false
    this.exp = exp
    this.desc = desc
    this.channel = channel
    exp.users.add(this)
    this.geometry = exp.geometry(desc.bdev)
    this.sizeBytes = this.geometry.sizeBytes
    this.blockShift = Math.log2(this.geometry.blockSizeBytes)
    this.exportName = negotiated.exportName
    this.structuredReplies = negotiated.structuredReplies
    this.baseAllocation = negotiated.baseAllocation
    this.transmissionFlags = exp.transmissionFlags(this.geometry, negotiated.structuredReplies)
    this.replyBuffer = this.takeBuffer(REPLY_BYTES)
    this.phase = Phase.Transmission
    return true
  }

  send(bytes: Buffer): void {
    this.writer.write(bytes)
  }

  /** Feeds the handshake. True where transmission has begun. */
  #handshakeBytes(): boolean {
    const handshake = this.#handshake
    this.receiveAt += handshake.feed(this.receive.node, this.receiveAt, this.receiveEnd)
    if (this.writer.writableLength > HANDSHAKE_UNSENT_BYTES_MAX) {
      this.destroy('the peer does not read the answers to its options')
      return false
    }
    switch (handshake.state) {
      case 'more':
        return false
      case 'done':
        this.core.log.debug(
          `nbd connection ${this.id}: export "${this.exportName}", flags 0x${this.transmissionFlags.toString(16)}, ` +
            `${this.structuredReplies ? 'structured' : 'simple'} replies`,
        )
        return true
      case 'end':
        this.drain(handshake.reason, this.core.limits.closeTimeoutMs)
        return false
      case 'drop':
        this.destroy(handshake.reason)
        return false
    }
  }

  #endIfIdle(): void {
    if (this.inFlight > 0 || this.#ended) return
    if (this.replies.pending) this.replies.flush(this.writer)
    if (this.#ended) return
    this.#ended = true
    this.writer.destroySoon()
    if (this.reader !== this.writer) this.reader.destroy()
  }

  #closed(side: 'reader' | 'writer'): void {
    if (side === 'reader') this.#readerClosed = true
    else this.#writerClosed = true
    if (!this.#readerClosed || !this.#writerClosed) return
    if (this.phase !== Phase.Dead) this.core.log.debug(`nbd connection ${this.id}: closed`)
    this.phase = Phase.Dead
    this.core.forgetMemory(this)
    this.replies.abandon()
    abandonPayload(this)
    if (this.inFlight === 0) this.#detach()
  }

  /** Puts the channel and gives everything back: the socket is closed and nothing is in flight. */
  #detach(): void {
    if (!this.#readerClosed || !this.#writerClosed) return
    if (this.replyBuffer !== null) this.giveBuffer(this.replyBuffer)
    this.replyBuffer = null
    if (this.receive !== null) this.giveBuffer(this.receive)
    this.receive = null!
    this.core.remove(this)
    const exp = this.exp
    if (exp !== null) {
      this.exp = null
      this.channel.put()
      exp.detach(this)
    }
    this.#setGone()
  }
}

/** What a socket with its own receive buffers needs of a connection. */
export type Receiver = Pick<Connection, 'nextBuffer' | 'received'>
