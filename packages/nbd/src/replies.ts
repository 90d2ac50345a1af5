// SPDX-License-Identifier: Apache-2.0
// data plane
import type { IoBuffer } from './buffers.js'
import type { Connection } from './connection.js'
import { ERROR_TEXT_BYTES_MAX, REPLY_BYTES } from './limits.js'
import {
  BASE_ALLOCATION_ID,
  CHUNK_BYTES,
  Chunk,
  OFFSET_DATA_BYTES,
  REPLY_FLAG_DONE,
  SIMPLE_REPLY_BYTES,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from './protocol.js'
import { unrefReply } from './reply-queue.js'
import type { NbdRequest } from './request.js'

// Writes replies into the connection's reply buffer. Room is reserved when a request starts, in the order of arrival, so that
// the replies of requests that complete in that order lie one behind the other and go out as one piece.

/** Keeps room for a reply of `headBytes` and `dataBytes`, the data aligned as the bdev wants it. */
export function reserve(request: NbdRequest, dataBytes: number, headBytes: number, alignBytes: number): void {
  const conn = request.conn
  let reply = conn.replyBuffer!
  let at = alignBytes <= 1 ? reply.usedBytes : alignData(reply.usedBytes + headBytes, alignBytes) - headBytes
  if (at + headBytes + dataBytes > reply.sizeBytes) {
    reply = nextReplyBuffer(conn, reply)
    at = alignBytes <= 1 ? 0 : alignData(headBytes, alignBytes) - headBytes
  }
  reply.usedBytes = at + headBytes + dataBytes
  reply.refs++
  request.reply = reply
  request.replyAt = at
}

/** Buffers start at pages, so an offset in one is as aligned as the memory there. */
function alignData(at: number, alignBytes: number): number {
  return Math.ceil(at / alignBytes) * alignBytes
}

/** The full one stays with the replies that lie in it; it goes back when the last has been sent. */
function nextReplyBuffer(conn: Connection, full: IoBuffer): IoBuffer {
  if (full.refs === 0) {
    full.usedBytes = 0
    return full
  }
  const reply = conn.takeBuffer(REPLY_BYTES)
  conn.replyBuffer = reply
  return reply
}

/** Gives up the room of a request that is not answered there. */
export function dropReply(request: NbdRequest): void {
  const reply = request.reply
  if (reply === null) return
  request.reply = null
  unrefReply(reply, 1, request.conn, request.conn.core.buffers)
}

/** Answers with success and no data. proto.md "Simple reply message" allows that form beside structured replies. */
export function replyOk(request: NbdRequest): void {
  const reply = request.reply!
  writeSimple(reply.view, request.replyAt, 0, request)
  request.reply = null
  request.conn.replies.addReply(reply, request.replyAt, SIMPLE_REPLY_BYTES)
}

/** Writes what stands before the data of a READ and returns its length. */
export function writeReadHead(request: NbdRequest): number {
  const view = request.reply!.view
  const at = request.replyAt
  if (!request.conn.structuredReplies) {
    writeSimple(view, at, 0, request)
    return SIMPLE_REPLY_BYTES
  }
  writeChunk(view, at, Chunk.OffsetData, 8 + request.lengthBytes, request)
  view.setUint32(at + CHUNK_BYTES, Math.floor(request.offsetBytes / 0x1_0000_0000))
  view.setUint32(at + CHUNK_BYTES + 4, request.offsetBytes % 0x1_0000_0000)
  return OFFSET_DATA_BYTES
}

/** Answers a READ of nothing. A content chunk has at least one byte, so the structured form is NBD_REPLY_TYPE_NONE. */
export function replyEmptyRead(request: NbdRequest): void {
  if (!request.conn.structuredReplies) {
    replyOk(request)
    return
  }
  const reply = request.reply!
  writeChunk(reply.view, request.replyAt, Chunk.None, 0, request)
  request.reply = null
  request.conn.replies.addReply(reply, request.replyAt, CHUNK_BYTES)
}

/** Answers BLOCK_STATUS for base:allocation: all data, one extent of the length asked for, which suits REQ_ONE as well. */
export function replyBlockStatus(request: NbdRequest): void {
  const reply = request.reply!
  const view = reply.view
  const at = request.replyAt
  writeChunk(view, at, Chunk.BlockStatus, 12, request)
  view.setUint32(at + CHUNK_BYTES, BASE_ALLOCATION_ID)
  view.setUint32(at + CHUNK_BYTES + 4, request.lengthBytes)
  view.setUint32(at + CHUNK_BYTES + 8, 0)
  request.reply = null
  request.conn.replies.addReply(reply, at, CHUNK_BYTES + 12)
}

/** Answers with an error; `text` goes with it in a structured reply. */
export function replyError(request: NbdRequest, error: number, text: string): void {
  const conn = request.conn
  if (!conn.structuredReplies) {
    reserve(request, 0, SIMPLE_REPLY_BYTES, 1)
    writeSimple(request.reply!.view, request.replyAt, error, request)
    conn.replies.addReply(request.reply!, request.replyAt, SIMPLE_REPLY_BYTES)
    request.reply = null
    return
  }
  const textBytes = Math.min(text.length, ERROR_TEXT_BYTES_MAX)
  reserve(request, 0, CHUNK_BYTES + 6 + textBytes, 1)
  const reply = request.reply!
  const view = reply.view
  const at = request.replyAt
  writeChunk(view, at, Chunk.Error, 6 + textBytes, request)
  view.setUint32(at + CHUNK_BYTES, error)
  view.setUint16(at + CHUNK_BYTES + 4, textBytes)
  // Names of bdevs may hold more than ASCII; the wire wants UTF-8, and a question mark is that.
  for (let i = 0; i < textBytes; i++) {
    const code = text.charCodeAt(i)
    view.setUint8(at + CHUNK_BYTES + 6 + i, code < 0x80 ? code : 0x3f)
  }
  request.reply = null
  conn.replies.addReply(reply, at, CHUNK_BYTES + 6 + textBytes)
}

/** Sends what completes outside a read event, once per batch of completions. */
export function scheduleFlush(conn: Connection): void {
  if (conn.flushQueued) return
  conn.flushQueued = true
  conn.core.thread.sendMsg(flushQueued, conn)
}

function flushQueued(conn: Connection): void {
  conn.flushQueued = false
  conn.flush()
}

function writeSimple(view: DataView, at: number, error: number, request: NbdRequest): void {
  view.setUint32(at, SIMPLE_REPLY_MAGIC)
  view.setUint32(at + 4, error)
  view.setInt32(at + 8, request.cookie0)
  view.setInt32(at + 12, request.cookie1)
}

function writeChunk(view: DataView, at: number, type: number, lengthBytes: number, request: NbdRequest): void {
  view.setUint32(at, STRUCTURED_REPLY_MAGIC)
  view.setUint16(at + 4, REPLY_FLAG_DONE)
  view.setUint16(at + 6, type)
  view.setInt32(at + 8, request.cookie0)
  view.setInt32(at + 12, request.cookie1)
  view.setUint32(at + 16, lengthBytes)
}
