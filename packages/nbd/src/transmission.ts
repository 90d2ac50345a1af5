// SPDX-License-Identifier: Apache-2.0
// data plane
import { ERRNO, type BdevIo, type Iov } from '@bdevkit/module-sdk'
import { bufferClassBytes, type IoBuffer } from './buffers.js'
import type { Connection } from './connection.js'
import { ioErrorText, nbdErrorOfErrno, nbdErrorOfIo } from './errors.js'
import {
  BASE_BYTES,
  LENT_PER_CONNECTION_MAX,
  LENT_TOTAL_MAX,
  PAYLOAD_BYTES_MAX,
  PAYLOAD_SKIP_BYTES_MAX,
  PINNED_RECEIVE_MAX,
  RECEIVE_BEHIND_BYTES_MAX,
  REPLY_BYTES,
  RESERVED_BYTES,
} from './limits.js'
import { Phase } from './phase.js'
import { Cmd, CmdFlag, NbdError, OFFSET_DATA_BYTES, REQUEST_BYTES, REQUEST_MAGIC, SIMPLE_REPLY_BYTES, cmdName } from './protocol.js'
import { dropReply, replyBlockStatus, replyEmptyRead, replyError, replyOk, reserve, scheduleFlush, writeReadHead } from './replies.js'
import { checkRequest, refusalText } from './request-check.js'
import type { NbdRequest } from './request.js'

/** How often a submission is tried anew where the framework says at once that there is an I/O again. */
const SUBMIT_TRIES_MAX = 8
const noIovs: Iov[] = []

/** Works on what has been received, in a turn of the connection's thread: one read event, or the rest of one that stopped at a limit. */
export function parseRequests(conn: Connection): void {
  try {
    parse(conn)
  } catch (thrown) {
    conn.core.log.error(`nbd connection ${conn.id}: ${(thrown as Error).stack ?? String(thrown)}`)
    conn.destroy('internal error')
  }
  if (conn.payloadLeft > 0) conn.core.watch()
  if (!conn.inEvent && conn.replies.pending) scheduleFlush(conn)
}

function parse(conn: Connection): void {
  while (conn.phase === Phase.Transmission) {
    if (conn.payload !== null) {
      if (!takePayload(conn)) return
      continue
    }
    const receive = conn.receive
    const left = conn.receiveEnd - conn.receiveAt
    let view = receive.view
    let at = conn.receiveAt
    let fromHead = false
    if (conn.headBytes > 0 || left < REQUEST_BYTES) {
      const part = Math.min(REQUEST_BYTES - conn.headBytes, left)
      for (let i = 0; i < part; i++) conn.head[conn.headBytes + i] = receive.node[at + i]!
      conn.headBytes += part
      conn.receiveAt += part
      if (conn.headBytes < REQUEST_BYTES) return
      view = conn.headView
      at = 0
      fromHead = true
    }
    if (view.getUint32(at) !== REQUEST_MAGIC) {
      conn.destroy(`a request starts with 0x${view.getUint32(at).toString(16)}`)
      return
    }
    const type = view.getUint16(at + 6)
    const lengthBytes = view.getUint32(at + 24)
    if (!admit(conn, type, lengthBytes)) {
      conn.suspended = true
      conn.pauseReading()
      return
    }
    if (fromHead) conn.headBytes = 0
    else conn.receiveAt += REQUEST_BYTES
    conn.requests++
    const flags = view.getUint16(at + 4)
    const request = conn.core.requests.take(conn)
    conn.inFlight++
    request.type = type
    request.flags = flags
    request.cookie0 = view.getInt32(at + 8)
    request.cookie1 = view.getInt32(at + 12)
    const low = view.getUint32(at + 20)
    request.offsetBytes = view.getUint32(at + 16) * 0x1_0000_0000 + low
    request.lengthBytes = lengthBytes
    if (type === Cmd.Disc) {
      retire(request)
      conn.drain('the peer disconnected', conn.core.limits.closeTimeoutMs)
      return
    }
    const error = checkRequest(conn, type, flags, request.offsetBytes, low, lengthBytes)
    if (error !== 0) {
      refuse(conn, request, error)
      continue
    }
    request.offsetBlocks = request.offsetBytes / conn.geometry.blockSizeBytes
    request.numBlocks = lengthBytes / conn.geometry.blockSizeBytes
    start(conn, request)
  }
}

/**
 * Whether a request may start now, by the limits. It looks at the head only, so that nothing has been taken where it may not.
 * Each refusal has a wake-up: an answered request, a sent reply, or memory that somebody else gives back.
 */
function admit(conn: Connection, type: number, lengthBytes: number): boolean {
  const limits = conn.core.limits
  if (conn.inFlight >= limits.requests || conn.replies.bytes >= limits.unsentBytes) return false
  let need = 0
  let room = SIMPLE_REPLY_BYTES * 2
  if (type === Cmd.Read && lengthBytes <= PAYLOAD_BYTES_MAX) {
    if (lengthBytes <= conn.geometry.inlineBytes) room = OFFSET_DATA_BYTES + lengthBytes + conn.geometry.alignBytes
    else if (!mayBorrow(conn)) need = bufferClassBytes(lengthBytes)
    else if (conn.lentReads > 0 && conn.lentBytes + lengthBytes > limits.connectionBytes) return false
  } else if (type === Cmd.Write && lengthBytes > 0 && lengthBytes <= PAYLOAD_BYTES_MAX) {
    const at = conn.headBytes > 0 ? conn.receiveAt : conn.receiveAt + REQUEST_BYTES
    if (!payloadStays(conn, at, lengthBytes)) need = bufferClassBytes(lengthBytes)
  }
  const reply = conn.replyBuffer!
  if (reply.usedBytes + room > reply.sizeBytes) need += REPLY_BYTES
  if (need === 0) return true
  if (conn.heldBytes + need <= BASE_BYTES + RESERVED_BYTES) {
    conn.core.forgetMemory(conn)
    return true
  }
  if (conn.heldBytes + need > BASE_BYTES + limits.connectionBytes && conn.heldBytes > BASE_BYTES) {
    conn.core.forgetMemory(conn)
    return false
  }
  return conn.core.grantMemory(conn, need)
}

function mayBorrow(conn: Connection): boolean {
  return conn.geometry.lends && conn.lentReads < LENT_PER_CONNECTION_MAX && conn.core.lentReads < LENT_TOTAL_MAX
}

/**
 * Whether a payload that starts at `at` may be written from where it lies, or will lie when the rest has come behind it. The
 * latter only within a read event: after one, Node has been told already where to read to next.
 */
function payloadStays(conn: Connection, at: number, lengthBytes: number): boolean {
  if (conn.geometry.alignBytes > 1 || conn.pinnedBuffers >= PINNED_RECEIVE_MAX) return false
  if (conn.receiveEnd - at >= lengthBytes) return true
  return conn.inEvent && lengthBytes <= RECEIVE_BEHIND_BYTES_MAX && at + lengthBytes <= conn.receive.sizeBytes
}

/** Answers a request that cannot start. The payload of a WRITE is read all the same, to find the next head behind it. */
function refuse(conn: Connection, request: NbdRequest, error: number): void {
  if (request.type === Cmd.Write && request.lengthBytes > 0) {
    if (request.lengthBytes > PAYLOAD_SKIP_BYTES_MAX) {
      retire(request)
      conn.destroy(`a write brings ${request.lengthBytes} bytes, at most ${PAYLOAD_BYTES_MAX} are accepted`)
      return
    }
    // The reply follows the payload: a client may not expect one to a request that it is still sending.
    request.refusal = error
    expectPayload(conn, request)
    return
  }
  replyRefusal(conn, request, error)
}

function replyRefusal(conn: Connection, request: NbdRequest, error: number): void {
  replyError(request, error, conn.structuredReplies ? refusalText(conn, request, error) : '')
  retire(request)
}

function expectPayload(conn: Connection, request: NbdRequest): void {
  conn.payload = request
  conn.payloadLeft = request.lengthBytes
  conn.payloads++
}

/** Begins a valid request. */
function start(conn: Connection, request: NbdRequest): void {
  const lengthBytes = request.lengthBytes
  switch (request.type) {
    case Cmd.Read:
      startRead(conn, request)
      return
    case Cmd.Write:
      if (lengthBytes === 0) break
      startWrite(conn, request)
      return
    case Cmd.Cache:
      break
    case Cmd.BlockStatus:
      reserve(request, 0, SIMPLE_REPLY_BYTES * 2, 1)
      replyBlockStatus(request)
      retire(request)
      return
    case Cmd.Flush:
      reserve(request, 0, SIMPLE_REPLY_BYTES, 1)
      submit(request)
      return
    default:
      if (lengthBytes === 0) break
      reserve(request, 0, SIMPLE_REPLY_BYTES, 1)
      submit(request)
      return
  }
  reserve(request, 0, SIMPLE_REPLY_BYTES, 1)
  replyOk(request)
  retire(request)
}

function startRead(conn: Connection, request: NbdRequest): void {
  const lengthBytes = request.lengthBytes
  const headBytes = conn.structuredReplies ? OFFSET_DATA_BYTES : SIMPLE_REPLY_BYTES
  if (lengthBytes === 0) {
    reserve(request, 0, headBytes, 1)
    replyEmptyRead(request)
    retire(request)
    return
  }
  if (lengthBytes <= conn.geometry.inlineBytes) {
    reserve(request, lengthBytes, headBytes, conn.geometry.alignBytes)
    const reply = request.reply!
    request.buf = reply.u8
    request.bufOff = reply.off + request.replyAt + headBytes
  } else {
    reserve(request, 0, headBytes, 1)
    if (mayBorrow(conn)) {
      request.lent = true
      conn.lentReads++
      conn.lentBytes += lengthBytes
      conn.core.lentReads++
    } else {
      const data = conn.takeBuffer(lengthBytes)
      request.data = data
      request.buf = data.u8
      request.bufOff = data.off
    }
  }
  submit(request)
}

function startWrite(conn: Connection, request: NbdRequest): void {
  const lengthBytes = request.lengthBytes
  const receive = conn.receive
  reserve(request, 0, SIMPLE_REPLY_BYTES, 1)
  if (payloadStays(conn, conn.receiveAt, lengthBytes)) {
    receive.refs++
    request.pinned = receive
    request.buf = receive.u8
    request.bufOff = receive.off + conn.receiveAt
    if (conn.receiveEnd - conn.receiveAt < lengthBytes) {
      expectPayload(conn, request)
      return
    }
    conn.receiveAt += lengthBytes
    submit(request)
    return
  }
  const data = conn.takeBuffer(lengthBytes)
  request.data = data
  request.buf = data.u8
  request.bufOff = data.off
  conn.longPayloads = lengthBytes > RECEIVE_BEHIND_BYTES_MAX
  expectPayload(conn, request)
}

/** Moves what is here of a payload to its place. False where more has to come. */
function takePayload(conn: Connection): boolean {
  const request = conn.payload!
  const part = Math.min(conn.payloadLeft, conn.receiveEnd - conn.receiveAt)
  if (part > 0) {
    if (request.data !== null) {
      const done = request.lengthBytes - conn.payloadLeft
      const receive = conn.receive
      conn.core.accel.copy(request.buf, request.bufOff + done, receive.u8, receive.off + conn.receiveAt, part)
    }
    conn.receiveAt += part
    conn.payloadLeft -= part
  }
  if (conn.payloadLeft > 0) return false
  conn.payload = null
  if (request.refusal === 0) submit(request)
  else replyRefusal(conn, request, request.refusal)
  return true
}

/** The connection will not see the rest of a payload. */
export function abandonPayload(conn: Connection): void {
  const request = conn.payload
  conn.payload = null
  conn.payloadLeft = 0
  conn.receiveAt = 0
  conn.receiveEnd = 0
  conn.headBytes = 0
  if (request === null) return
  dropReply(request)
  retire(request)
}

/** Sends a request to the bdev, now or when the framework has an I/O for it. */
function submit(request: NbdRequest): void {
  const conn = request.conn
  const channel = conn.channel
  let rc = 0
  for (let tries = 0; tries < SUBMIT_TRIES_MAX; tries++) {
    if (request.flushing) {
      rc = channel.flushBlocks(request.offsetBlocks, request.numBlocks, onDone, request)
    } else {
      switch (request.type) {
        case Cmd.Read:
          rc = request.lent
            ? channel.readvBlocks(noIovs, 0, request.offsetBlocks, request.numBlocks, onReadDone, request)
            : channel.readBlocks(request.buf, request.bufOff, request.offsetBlocks, request.numBlocks, onReadDone, request)
          break
        case Cmd.Write:
          rc = channel.writeBlocks(request.buf, request.bufOff, request.offsetBlocks, request.numBlocks, onDone, request)
          break
        case Cmd.Flush:
          rc = channel.flushBlocks(0, channel.bdev.numBlocks, onDone, request)
          break
        case Cmd.Trim:
          rc = channel.unmapBlocks(request.offsetBlocks, request.numBlocks, onDone, request)
          break
        default:
          rc = channel.writeZeroesBlocks(request.offsetBlocks, request.numBlocks, onDone, request)
      }
    }
    if (rc === 0) return
    if (rc !== -ERRNO.ENOMEM) break
    if (channel.queueIoWait(request.wait) === 0) return
  }
  // A bdev with a volatile cache and no FLUSH cannot make data durable, and must not seem to.
  const flush = request.flushing || request.type === Cmd.Flush
  fail(request, flush && rc === -ERRNO.ENOTSUP ? NbdError.Io : nbdErrorOfErrno(-rc, request.flags), `errno ${-rc}`)
}

/** There is an I/O for a request that waited for one. */
export function resubmit(request: NbdRequest): void {
  if (request.conn.phase === Phase.Dead) {
    forget(request)
    return
  }
  submit(request)
}

function onReadDone(io: BdevIo, ok: boolean, request: NbdRequest): void {
  const conn = request.conn
  if (conn.phase === Phase.Dead) {
    io.free()
    forget(request)
    return
  }
  const lengthBytes = request.lengthBytes
  if (!ok || (request.lent && iovBytes(io) !== lengthBytes)) {
    const error = ok ? NbdError.Io : nbdErrorOfIo(io, request.type, request.flags, conn.removed || conn.core.stopping)
    const text = ok ? 'the bdev lent less than was asked for' : ioErrorText(io)
    io.free()
    fail(request, error, text)
    return
  }
  const reply = request.reply!
  const headBytes = writeReadHead(request)
  request.reply = null
  if (request.lent) {
    request.lent = false
    conn.replies.addReply(reply, request.replyAt, headBytes)
    conn.replies.addLent(io)
  } else {
    io.free()
    const data = request.data
    if (data === null) {
      conn.replies.addReply(reply, request.replyAt, headBytes + lengthBytes)
    } else {
      request.data = null
      conn.replies.addReply(reply, request.replyAt, headBytes)
      conn.replies.addOwn(data, lengthBytes)
    }
  }
  retire(request)
}

function iovBytes(io: BdevIo): number {
  let bytes = 0
  for (let i = 0; i < io.iovCnt; i++) bytes += io.iovs[i]!.len
  return bytes
}

/** Completion of everything but READ. */
function onDone(io: BdevIo, ok: boolean, request: NbdRequest): void {
  const conn = request.conn
  if (conn.phase === Phase.Dead) {
    io.free()
    forget(request)
    return
  }
  if (!ok) {
    const error = nbdErrorOfIo(io, request.type, request.flags, conn.removed || conn.core.stopping)
    const text = ioErrorText(io)
    io.free()
    fail(request, error, text)
    return
  }
  io.free()
  if ((request.flags & CmdFlag.Fua) !== 0 && request.type !== Cmd.Flush && !request.flushing) {
    request.flushing = true
    submit(request)
    return
  }
  replyOk(request)
  retire(request)
}

/** Answers a request that the bdev has failed. */
function fail(request: NbdRequest, error: number, text: string): void {
  const conn = request.conn
  if (request.lent) returnLent(request)
  dropReply(request)
  if (conn.phase !== Phase.Dead) {
    const name = request.flushing ? 'flush after write' : cmdName(request.type)
    replyError(request, error, conn.structuredReplies ? `bdev "${conn.channel.bdev.name}": ${name}: ${text}` : '')
  }
  retire(request)
}

/** Ends a request whose peer is gone. */
function forget(request: NbdRequest): void {
  if (request.lent) returnLent(request)
  dropReply(request)
  retire(request)
}

function returnLent(request: NbdRequest): void {
  request.lent = false
  request.conn.releasedLent(request.lengthBytes, true)
}

/** The request is over: its memory goes back, and what waited for that goes on. */
function retire(request: NbdRequest): void {
  const conn = request.conn
  const core = conn.core
  const data = request.data
  const pinned = request.pinned
  core.requests.give(request)
  if (data !== null) conn.giveBuffer(data)
  if (pinned !== null) unpin(conn, pinned)
  conn.inFlight--
  if (!conn.inEvent && conn.replies.pending) scheduleFlush(conn)
  if (conn.suspended) core.resumeLater(conn)
  if (conn.inFlight === 0 && conn.phase >= Phase.Draining) conn.idle()
}

function unpin(conn: Connection, buffer: IoBuffer): void {
  if (--buffer.refs > 0 || buffer === conn.receive) return
  conn.pinnedBuffers--
  conn.giveBuffer(buffer)
}
