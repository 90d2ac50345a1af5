// SPDX-License-Identifier: Apache-2.0
import { once } from 'node:events'
import { connect, type NetConnectOpts, type Socket } from 'node:net'

// A client that knows bytes, not the server's source: every number below is written out from proto.md.

/** Big-endian bytes from `[width, value]` pairs, strings and buffers. */
export function bytes(...parts: (readonly [1 | 2 | 4 | 8, number | bigint] | string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.map(part => {
      if (typeof part === 'string') return Buffer.from(part)
      if (part instanceof Uint8Array) return part
      const [width, value] = part as readonly [number, number | bigint]
      const out = Buffer.alloc(8)
      out.writeBigUInt64BE(BigInt(value))
      return out.subarray(8 - width)
    }),
  )
}

export interface OptionReply {
  option: number
  type: number
  data: Buffer
}

export interface Chunk {
  flags: number
  type: number
  cookie: bigint
  data: Buffer
}

export interface RequestFields {
  flags?: number
  cookie?: bigint
  offset?: number | bigint
  length?: number
  payload?: Uint8Array
}

/** The 28 bytes of a request, and its payload. */
export function request(type: number, fields: RequestFields = {}): Buffer {
  const { flags = 0, cookie = 1n, offset = 0, payload = Buffer.alloc(0), length = payload.length } = fields
  return bytes([4, 0x25609513], [2, flags], [2, type], [8, cookie], [8, offset], [4, length], payload)
}

/** An option of the handshake. */
export function option(number: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  return bytes('IHAVEOPT', [4, number], [4, data.length], data)
}

/** Data of NBD_OPT_INFO and NBD_OPT_GO. */
export function infoData(name: string, infos: readonly number[] = [3]): Buffer {
  return bytes([4, Buffer.byteLength(name)], name, [2, infos.length], ...infos.map(info => [2, info] as const))
}

/** Data of the meta context options. */
export function metaData(name: string, queries: readonly string[]): Buffer {
  return bytes([4, name.length], name, [4, queries.length], ...queries.flatMap(query => [[4, query.length] as const, query]))
}

export class RawClient {
  readonly socket: Socket
  /** Settles when the server has closed the connection, with an error or without. */
  readonly closed: Promise<void>
  #chunks: Buffer[] = []
  #bytes = 0
  #waiting: (() => void) | null = null
  #over = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', chunk => {
      this.#chunks.push(chunk)
      this.#bytes += chunk.length
      this.#waiting?.()
    })
    socket.on('error', () => {})
    this.closed = new Promise(resolve => {
      const over = (): void => {
        this.#over = true
        this.#waiting?.()
        resolve()
      }
      socket.once('end', over)
      socket.once('close', over)
    })
  }

  static async connect(to: NetConnectOpts): Promise<RawClient> {
    const socket = connect(to)
    await once(socket, 'connect')
    return new RawClient(socket)
  }

  /** Connects, checks the server's 18 bytes, sends client flags. */
  static async hello(path: string, clientFlags = 3): Promise<RawClient> {
    const client = await RawClient.connect({ path })
    await client.read(18)
    client.write(bytes([4, clientFlags]))
    return client
  }

  /** Connects and enters the transmission phase of an export. */
  static async enter(path: string, name = '', options: { structured?: boolean; context?: boolean } = {}): Promise<RawClient> {
    const client = await RawClient.hello(path)
    if (options.structured === true) await client.ask(8)
    if (options.context === true) await client.ask(10, metaData(name, ['base:allocation']))
    const replies = await client.ask(7, infoData(name))
    if (replies.at(-1)!.type !== 1) throw new Error(`NBD_OPT_GO: reply type 0x${replies.at(-1)!.type.toString(16)}`)
    return client
  }

  write(data: Uint8Array): void {
    this.socket.write(data)
  }

  /** Exactly `length` bytes. */
  async read(length: number): Promise<Buffer> {
    while (this.#bytes < length) {
      if (this.#over) throw new Error(`the server closed after ${this.#bytes} of ${length} bytes`)
      await new Promise<void>(resolve => {
        this.#waiting = resolve
      })
      this.#waiting = null
    }
    const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks)
    this.#chunks = [all.subarray(length)]
    this.#bytes -= length
    return all.subarray(0, length)
  }

  /** Everything that came and was not read, when the server has closed. */
  async rest(): Promise<Buffer> {
    await this.closed
    return Buffer.concat(this.#chunks)
  }

  /** Sends an option and returns its replies, the last one final. */
  async ask(number: number, data: Uint8Array = Buffer.alloc(0)): Promise<OptionReply[]> {
    this.write(option(number, data))
    return this.optionReplies()
  }

  async optionReplies(): Promise<OptionReply[]> {
    const replies: OptionReply[] = []
    for (;;) {
      const head = await this.read(20)
      if (head.readBigUInt64BE(0) !== 0x3e889045565a9n) throw new Error(`option reply magic ${head.toString('hex')}`)
      const type = head.readUInt32BE(12)
      replies.push({ option: head.readUInt32BE(8), type, data: await this.read(head.readUInt32BE(16)) })
      if (type === 1 || type >= 0x80000000) return replies
    }
  }

  /** A simple reply; data follows where there is no error. */
  async simple(dataBytes = 0): Promise<{ error: number; cookie: bigint; data: Buffer }> {
    const head = await this.read(16)
    if (head.readUInt32BE(0) !== 0x67446698) throw new Error(`simple reply magic ${head.toString('hex')}`)
    const error = head.readUInt32BE(4)
    return { error, cookie: head.readBigUInt64BE(8), data: error === 0 ? await this.read(dataBytes) : Buffer.alloc(0) }
  }

  async chunk(): Promise<Chunk> {
    const head = await this.read(20)
    if (head.readUInt32BE(0) !== 0x668e33ef) throw new Error(`chunk magic ${head.toString('hex')}`)
    return { flags: head.readUInt16BE(4), type: head.readUInt16BE(6), cookie: head.readBigUInt64BE(8), data: await this.read(head.readUInt32BE(16)) }
  }

  /** Sends a request and takes its simple reply. */
  async ok(type: number, fields: RequestFields = {}, dataBytes = 0): Promise<{ error: number; cookie: bigint; data: Buffer }> {
    this.write(request(type, fields))
    return this.simple(dataBytes)
  }

  end(): void {
    this.socket.destroy()
  }
}
