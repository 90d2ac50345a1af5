// SPDX-License-Identifier: Apache-2.0
// A client that can misbehave: it sends whatever it is told to, and reads when it is told to. Numbers are those of
// https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Readable, type Writable } from 'node:stream'

const OPT_EXPORT_NAME = 1
const REQUEST_MAGIC = 0x2560_9513
const SIMPLE_REPLY_MAGIC = 0x6744_6698

export const Cmd = { Read: 0, Write: 1, Disc: 2, Flush: 3, Trim: 4 } as const

/** The head of a request. */
export function request(type: number, cookie: number, offsetBytes: number, lengthBytes: number): Buffer {
  const head = Buffer.alloc(28)
  head.writeUInt32BE(REQUEST_MAGIC, 0)
  head.writeUInt16BE(type, 6)
  head.writeBigUInt64BE(BigInt(cookie), 8)
  head.writeBigUInt64BE(BigInt(offsetBytes), 16)
  head.writeUInt32BE(lengthBytes, 24)
  return head
}

/** The head of an option. `lengthBytes` may lie. */
export function option(type: number, data: Buffer = Buffer.alloc(0), lengthBytes = data.length): Buffer {
  const head = Buffer.alloc(16)
  head.write('IHAVEOPT')
  head.writeUInt32BE(type, 8)
  head.writeUInt32BE(lengthBytes, 12)
  return Buffer.concat([head, data])
}

/** Fixed newstyle, no zeroes. */
export const CLIENT_FLAGS = Buffer.from([0, 0, 0, 3])

/** One connection. */
export class RawNbd {
  readonly input: Readable
  readonly output: Writable
  /** Settles when the server has ended it, whatever the way. */
  readonly closed: Promise<void>
  #buffered: Buffer = Buffer.alloc(0)
  #iterator: AsyncIterator<Buffer> | undefined

  constructor(input: Readable, output: Writable) {
    this.input = input
    this.output = output
    for (const stream of [input, output]) stream.on('error', () => undefined)
    this.closed = new Promise(resolve => void input.once('close', resolve))
  }

  /** Connects, without a word of the protocol. */
  static async connect(path: string): Promise<RawNbd> {
    const socket: Socket = connect(path)
    const conn = new RawNbd(socket, socket)
    await once(socket, 'connect')
    return conn
  }

  /** Connects and enters an export the old way, in which replies are simple. */
  static async open(path: string, exportName = ''): Promise<RawNbd> {
    const conn = await RawNbd.connect(path)
    await conn.enter(exportName)
    return conn
  }

  /** The handshake. Returns the size of the export. */
  async enter(exportName = ''): Promise<number> {
    await this.read(18)
    this.write(CLIENT_FLAGS, option(OPT_EXPORT_NAME, Buffer.from(exportName)))
    return Number((await this.read(10)).readBigUInt64BE())
  }

  write(...parts: Buffer[]): void {
    this.output.write(Buffer.concat(parts))
  }

  /** Exactly this many bytes. */
  async read(lengthBytes: number): Promise<Buffer> {
    this.#iterator ??= Readable.prototype[Symbol.asyncIterator].call(this.input)
    while (this.#buffered.length < lengthBytes) {
      const { done, value } = await this.#iterator.next()
      if (done === true) throw new Error(`wanted ${lengthBytes} bytes, found the end after ${this.#buffered.length}`)
      this.#buffered = Buffer.concat([this.#buffered, value as Buffer])
    }
    const taken = this.#buffered.subarray(0, lengthBytes)
    this.#buffered = this.#buffered.subarray(lengthBytes)
    return taken
  }

  /** All that comes until the end. */
  async readToEnd(): Promise<Buffer> {
    const parts = [this.#buffered]
    this.#iterator ??= Readable.prototype[Symbol.asyncIterator].call(this.input)
    try {
      for (;;) {
        const { done, value } = await this.#iterator.next()
        if (done === true) break
        parts.push(value as Buffer)
      }
    } catch {
      // A connection that is reset has an end, too.
    }
    return Buffer.concat(parts)
  }

  /** A simple reply: its error, and the data of a read. */
  async reply(cookie: number, dataBytes = 0): Promise<{ error: number; data: Buffer }> {
    const head = await this.read(16)
    const found = [head.readUInt32BE(0), Number(head.readBigUInt64BE(8))]
    if (found[0] !== SIMPLE_REPLY_MAGIC || found[1] !== cookie)
      throw new Error(`wanted the reply to ${cookie}, found ${head.toString('hex')}`)
    const error = head.readUInt32BE(4)
    return { error, data: error === 0 ? await this.read(dataBytes) : Buffer.alloc(0) }
  }

  destroy(): void {
    this.input.destroy()
    this.output.destroy()
  }
}
