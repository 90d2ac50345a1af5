// SPDX-License-Identifier: Apache-2.0
import { Buffer } from 'node:buffer'
import {
  BASE_ALLOCATION,
  BASE_ALLOCATION_ID,
  FLAG_FIXED_NEWSTYLE,
  FLAG_NO_ZEROES,
  IHAVEOPT,
  Info,
  NBD_MAGIC,
  Opt,
  OPTION_REPLY_MAGIC,
  Rep,
  STRING_BYTES_MAX,
} from './protocol.js'
import { OPTIONS_MAX, OPTION_BYTES_MAX, OPTION_SKIP_BYTES_MAX, PAYLOAD_BYTES_MAX } from './limits.js'

/** What the handshake tells of an export. */
export interface ExportInfo {
  /** Its own name; may differ from the one asked for where that was `''`. */
  readonly name: string
  readonly description: string
  readonly sizeBytes: number
  readonly transmissionFlags: number
  readonly minimumBytes: number
  readonly preferredBytes: number
}

/** What a client has chosen. */
export interface Negotiated {
  /** The name as the client wrote it. */
  readonly exportName: string
  readonly structuredReplies: boolean
  /** Whether BLOCK_STATUS may be asked, about base:allocation. */
  readonly baseAllocation: boolean
}

/** The handshake's view of its server. */
export interface HandshakeSide {
  /** Names and descriptions for LIST. */
  listExports(): readonly { readonly name: string; readonly description: string }[]
  /** An export by name, `''` for the default one; undefined where there is none now. */
  lookup(name: string, structuredReplies: boolean): ExportInfo | undefined
  /**
   * Enters the transmission phase. False where the export cannot be had; then the client may choose another one.
   */
  enter(negotiated: Negotiated): boolean
  /** Sends bytes. */
  send(bytes: Buffer): void
  /** Minimum block sizes above this must be asked for, in bytes. */
  readonly blockSizeRequiredAboveBytes: number
  /** Whether the server is stopping. */
  readonly stopping: boolean
}

/** How a handshake goes on. `done`: transmission; `end`: send what is queued, then close; `drop`: close now. */
export type HandshakeState = 'more' | 'done' | 'end' | 'drop'

type Stage = 'clientFlags' | 'optionHead' | 'optionData' | 'skip'

/**
 * The server's side of the fixed newstyle handshake (proto.md "Newstyle negotiation", "Fixed newstyle negotiation"),
 * without sockets: bytes in by `feed`, however they are cut, bytes out by `side.send`.
 */
export class Handshake {
  readonly #side: HandshakeSide
  state: HandshakeState = 'more'
  /** Why the connection is to end. */
  reason = ''
  #stage: Stage = 'clientFlags'
  #have = Buffer.alloc(4)
  #haveBytes = 0
  #skipBytes = 0
  #option = 0
  #optionsLeft = OPTIONS_MAX
  #noZeroes = false
  #structuredReplies = false
  /** Name of the export for which base:allocation is set, null while it is not. */
  #contextExport: string | null = null

  constructor(side: HandshakeSide) {
    this.#side = side
  }

  /** Sends the server's first words. */
  greet(): void {
    const hello = Buffer.alloc(18)
    hello.writeBigUInt64BE(NBD_MAGIC, 0)
    hello.writeBigUInt64BE(IHAVEOPT, 8)
    hello.writeUInt16BE(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES, 16)
    this.#side.send(hello)
  }

  /** Takes bytes `start` to `end` and returns how many belonged to the handshake. */
  feed(bytes: Uint8Array, start: number, end: number): number {
    let at = start
    while (this.state === 'more') {
      if (this.#stage === 'skip') {
        const skipped = Math.min(this.#skipBytes, end - at)
        at += skipped
        this.#skipBytes -= skipped
        if (this.#skipBytes > 0) break
        this.#reply(Rep.ErrTooBig, `option data of at most ${OPTION_BYTES_MAX} bytes, please`)
        this.#expect('optionHead', 16)
        continue
      }
      const part = Math.min(this.#have.length - this.#haveBytes, end - at)
      this.#have.set(bytes.subarray(at, at + part), this.#haveBytes)
      at += part
      this.#haveBytes += part
      if (this.#haveBytes < this.#have.length) break
      this.#step(this.#have)
    }
    return at - start
  }

  #expect(stage: Stage, lengthBytes: number): void {
    this.#stage = stage
    this.#have = Buffer.alloc(lengthBytes)
    this.#haveBytes = 0
  }

  #step(have: Buffer): void {
    if (this.#stage === 'clientFlags') this.#clientFlags(have.readUInt32BE(0))
    else if (this.#stage === 'optionHead') this.#optionHead(have)
    else {
      this.#expect('optionHead', 16)
      this.#run(have)
    }
  }

  /** proto.md "Client flags": a flag that the server did not offer ends the connection. */
  #clientFlags(flags: number): void {
    if ((flags & ~(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES)) !== 0) {
      this.#drop(`client flags 0x${flags.toString(16)} are not among those offered`)
      return
    }
    this.#noZeroes = (flags & FLAG_NO_ZEROES) !== 0
    this.#expect('optionHead', 16)
  }

  #optionHead(head: Buffer): void {
    if (head.readBigUInt64BE(0) !== IHAVEOPT) {
      this.#drop('an option does not start with IHAVEOPT')
      return
    }
    if (this.#optionsLeft-- === 0) {
      this.#drop('too many options before an export was chosen')
      return
    }
    this.#option = head.readUInt32BE(8)
    const lengthBytes = head.readUInt32BE(12)
    if (lengthBytes <= OPTION_BYTES_MAX) {
      this.#expect('optionData', lengthBytes)
    } else if (lengthBytes <= OPTION_SKIP_BYTES_MAX && this.#option !== Opt.ExportName) {
      this.#stage = 'skip'
      this.#skipBytes = lengthBytes
    } else {
      this.#drop(`option ${this.#option} brings ${lengthBytes} bytes, at most ${OPTION_SKIP_BYTES_MAX} are accepted`)
    }
  }

  #run(data: Buffer): void {
    if (this.#side.stopping && this.#option !== Opt.Abort) {
      this.#reply(Rep.ErrShutdown, 'the server is shutting down')
      return
    }
    switch (this.#option) {
      case Opt.ExportName:
        this.#exportName(data)
        return
      case Opt.Abort:
        this.#reply(Rep.Ack)
        this.state = 'end'
        this.reason = 'the client aborted the handshake'
        return
      case Opt.List:
        this.#list(data)
        return
      case Opt.Info:
      case Opt.Go:
        this.#infoOrGo(data)
        return
      case Opt.StructuredReply:
        if (data.length > 0 || this.#structuredReplies) this.#reply(Rep.ErrInvalid)
        else {
          this.#structuredReplies = true
          this.#reply(Rep.Ack)
        }
        return
      case Opt.ListMetaContext:
      case Opt.SetMetaContext:
        this.#metaContext(data)
        return
      case Opt.StartTls:
        if (data.length > 0) this.#reply(Rep.ErrInvalid)
        else this.#reply(Rep.ErrUnsup, 'this server does not offer TLS')
        return
      default:
        this.#reply(Rep.ErrUnsup)
    }
  }

  /** NBD_OPT_EXPORT_NAME knows no errors: what cannot be served is dropped. A client that came this way was not told of block sizes. */
  #exportName(data: Buffer): void {
    const name = textOf(data)
    if (name === undefined) {
      this.#drop('an export name is too long or holds a NUL')
      return
    }
    const info = this.#side.lookup(name, this.#structuredReplies)
    if (info === undefined || !this.#side.enter(this.#negotiated(name))) {
      this.#drop(`there is no export "${name}"`)
      return
    }
    const answer = Buffer.alloc(this.#noZeroes ? 10 : 134)
    answer.writeBigUInt64BE(BigInt(info.sizeBytes), 0)
    answer.writeUInt16BE(info.transmissionFlags, 8)
    this.#side.send(answer)
    this.state = 'done'
  }

  #list(data: Buffer): void {
    if (data.length > 0) {
      this.#reply(Rep.ErrInvalid, 'NBD_OPT_LIST takes no data')
      return
    }
    const exports = this.#side.listExports()
    this.#optionsLeft += OPTIONS_MAX * exports.length
    for (const { name, description } of exports) {
      const nameBytes = Buffer.from(name)
      const head = Buffer.alloc(4)
      head.writeUInt32BE(nameBytes.length)
      this.#replyData(Rep.Server, Buffer.concat([head, nameBytes, Buffer.from(description)]))
    }
    this.#reply(Rep.Ack)
  }

  #infoOrGo(data: Buffer): void {
    const asked = parseInfo(data)
    if (asked === undefined) {
      this.#reply(Rep.ErrInvalid, 'malformed request')
      return
    }
    const info = this.#side.lookup(asked.name, this.#structuredReplies)
    if (info === undefined) {
      this.#reply(Rep.ErrUnknown, `there is no export "${asked.name}"`)
      return
    }
    const sizesAsked = asked.infos.includes(Info.BlockSize)
    const refused = !sizesAsked && info.minimumBytes > this.#side.blockSizeRequiredAboveBytes
    if (!refused && this.#option === Opt.Go && !this.#side.enter(this.#negotiated(asked.name))) {
      this.#reply(Rep.ErrUnknown, `export "${asked.name}" cannot be used now`)
      return
    }
    if (!refused) {
      const body = Buffer.alloc(12)
      body.writeUInt16BE(Info.Export, 0)
      body.writeBigUInt64BE(BigInt(info.sizeBytes), 2)
      body.writeUInt16BE(info.transmissionFlags, 10)
      this.#replyData(Rep.Info, body)
      if (asked.infos.includes(Info.Name)) this.#replyText(Info.Name, info.name)
      if (asked.infos.includes(Info.Description) && info.description !== '') this.#replyText(Info.Description, info.description)
    }
    // Also ahead of the refusal, so that the client need not ask again (proto.md, NBD_REP_ERR_BLOCK_SIZE_REQD).
    if (sizesAsked || refused) {
      const body = Buffer.alloc(14)
      body.writeUInt16BE(Info.BlockSize, 0)
      body.writeUInt32BE(info.minimumBytes, 2)
      body.writeUInt32BE(info.preferredBytes, 6)
      body.writeUInt32BE(PAYLOAD_BYTES_MAX, 10)
      this.#replyData(Rep.Info, body)
    }
    if (refused) {
      this.#reply(Rep.ErrBlockSizeReqd, `ask for NBD_INFO_BLOCK_SIZE: this export takes multiples of ${info.minimumBytes} bytes only`)
      return
    }
    this.#reply(Rep.Ack)
    if (this.#option === Opt.Go) this.state = 'done'
  }

  /** proto.md NBD_OPT_LIST_META_CONTEXT, NBD_OPT_SET_META_CONTEXT and "The base: metadata namespace". */
  #metaContext(data: Buffer): void {
    const set = this.#option === Opt.SetMetaContext
    if (set) this.#contextExport = null
    if (set && !this.#structuredReplies) {
      this.#reply(Rep.ErrInvalid, 'negotiate structured replies first')
      return
    }
    const asked = parseMetaContext(data)
    if (asked === undefined) {
      this.#reply(Rep.ErrInvalid, 'malformed request')
      return
    }
    if (this.#side.lookup(asked.name, this.#structuredReplies) === undefined) {
      this.#reply(Rep.ErrUnknown, `there is no export "${asked.name}"`)
      return
    }
    const found = set
      ? asked.queries.includes(BASE_ALLOCATION)
      : asked.queries.length === 0 || asked.queries.includes(BASE_ALLOCATION) || asked.queries.includes('base:')
    if (found) {
      const body = Buffer.alloc(4 + BASE_ALLOCATION.length)
      body.writeUInt32BE(set ? BASE_ALLOCATION_ID : 0, 0)
      body.write(BASE_ALLOCATION, 4)
      this.#replyData(Rep.MetaContext, body)
      if (set) this.#contextExport = asked.name
    }
    this.#reply(Rep.Ack)
  }

  #negotiated(exportName: string): Negotiated {
    return { exportName, structuredReplies: this.#structuredReplies, baseAllocation: this.#contextExport === exportName }
  }

  #reply(type: number, text = ''): void {
    this.#replyData(type, Buffer.from(text.slice(0, STRING_BYTES_MAX / 4)))
  }

  #replyText(info: number, text: string): void {
    const body = Buffer.alloc(2 + Buffer.byteLength(text))
    body.writeUInt16BE(info, 0)
    body.write(text, 2)
    this.#replyData(Rep.Info, body)
  }

  #replyData(type: number, data: Buffer): void {
    const reply = Buffer.alloc(20 + data.length)
    reply.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0)
    reply.writeUInt32BE(this.#option, 8)
    reply.writeUInt32BE(type, 12)
    reply.writeUInt32BE(data.length, 16)
    data.copy(reply, 20)
    this.#side.send(reply)
  }

  #drop(reason: string): void {
    this.state = 'drop'
    this.reason = reason
  }
}

/** A string of the protocol; undefined where it is too long or holds a NUL (proto.md "Conventions"). */
function textOf(bytes: Buffer): string | undefined {
  return bytes.length > STRING_BYTES_MAX || bytes.includes(0) ? undefined : bytes.toString()
}

/** Data of NBD_OPT_INFO and NBD_OPT_GO; undefined where lengths do not fit. */
function parseInfo(data: Buffer): { name: string; infos: number[] } | undefined {
  if (data.length < 6) return undefined
  const nameBytes = data.readUInt32BE(0)
  if (nameBytes > data.length - 6) return undefined
  const name = textOf(data.subarray(4, 4 + nameBytes))
  const count = data.readUInt16BE(4 + nameBytes)
  if (name === undefined || data.length !== 6 + nameBytes + 2 * count) return undefined
  const infos: number[] = []
  for (let at = 6 + nameBytes; at < data.length; at += 2) infos.push(data.readUInt16BE(at))
  return { name, infos }
}

/** Data of the meta context options; undefined where lengths do not fit. */
function parseMetaContext(data: Buffer): { name: string; queries: string[] } | undefined {
  if (data.length < 8) return undefined
  const nameBytes = data.readUInt32BE(0)
  if (nameBytes > data.length - 8) return undefined
  const name = textOf(data.subarray(4, 4 + nameBytes))
  if (name === undefined) return undefined
  let left = data.readUInt32BE(4 + nameBytes)
  let at = 8 + nameBytes
  const queries: string[] = []
  for (; left > 0; left--) {
    if (at + 4 > data.length) return undefined
    const lengthBytes = data.readUInt32BE(at)
    at += 4
    if (lengthBytes > data.length - at) return undefined
    const query = textOf(data.subarray(at, at + lengthBytes))
    if (query === undefined) return undefined
    queries.push(query)
    at += lengthBytes
  }
  return at === data.length ? { name, queries } : undefined
}
