// SPDX-License-Identifier: Apache-2.0
import { connect, type Socket } from 'node:net'
import { cleanup } from './support.js'

// The least of an NBD client, from https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md: NBD_OPT_GO for the
// default block size, simple replies.

const OPTION_MAGIC = Buffer.from('IHAVEOPT')
const NBD_OPT_GO = 7
const NBD_INFO_BLOCK_SIZE = 3
const NBD_REP_ACK = 1
const NBD_REP_INFO = 3
const NBD_FLAG_READ_ONLY = 2

/** A connection in transmission. */
export class NbdClient {
  readonly #socket: Socket
  sizeBytes = 0
  readOnly = false
  #received = Buffer.alloc(0)
  #wanted: { length: number; resolve: (bytes: Buffer) => void; reject: (error: Error) => void } | undefined
  #closed = false

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#serve()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#closed = true
      this.#wanted?.reject(new Error('the server closed the connection'))
    })
    cleanup(() => socket.destroy())
  }

  /** Connects, and enters the export. */
  static async open(path: string, exportName: string): Promise<NbdClient> {
    const client = new NbdClient(connect(path))
    await client.#take(18)
    const name = Buffer.from(exportName)
    const data = Buffer.concat([u32(name.length), name, u16(1), u16(NBD_INFO_BLOCK_SIZE)])
    client.#socket.write(Buffer.concat([u32(3), OPTION_MAGIC, u32(NBD_OPT_GO), u32(data.length), data]))
    for (;;) {
      const head = await client.#take(20)
      const type = head.readUInt32BE(12)
      const info = await client.#take(head.readUInt32BE(16))
      if (type === NBD_REP_ACK) return client
      if (type !== NBD_REP_INFO)
        throw new Error(`NBD_OPT_GO of "${exportName}": reply 0x${type.toString(16)}: ${info.toString()}`)
      if (info.readUInt16BE(0) !== 0) continue
      client.sizeBytes = Number(info.readBigUInt64BE(2))
      client.readOnly = (info.readUInt16BE(10) & NBD_FLAG_READ_ONLY) !== 0
    }
  }

  /** Reads nothing more from the server. */
  pause(): void {
    this.#socket.pause()
  }

  /** NBD_CMD_READ. */
  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    this.request(0, offsetBytes, lengthBytes)
    await this.#reply()
    return this.#take(lengthBytes)
  }

  /** NBD_CMD_WRITE. */
  async write(offsetBytes: number, data: Buffer): Promise<void> {
    this.request(1, offsetBytes, data.length)
    this.#socket.write(data)
    await this.#reply()
  }

  /** Sends the head of a request and nothing more. */
  request(type: number, offsetBytes: number, lengthBytes: number): void {
    const offset = Buffer.alloc(8)
    offset.writeBigUInt64BE(BigInt(offsetBytes))
    this.#socket.write(Buffer.concat([u32(0x2560_9513), u16(0), u16(type), Buffer.alloc(8), offset, u32(lengthBytes)]))
  }

  async #reply(): Promise<void> {
    const error = (await this.#take(16)).readUInt32BE(4)
    if (error !== 0) throw new Error(`NBD error ${error}`)
  }

  #take(length: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#wanted = { length, resolve, reject }
      if (this.#closed) reject(new Error('the server closed the connection'))
      this.#serve()
    })
  }

  #serve(): void {
    const wanted = this.#wanted
    if (wanted === undefined || this.#received.length < wanted.length) return
    this.#wanted = undefined
    const bytes = this.#received.subarray(0, wanted.length)
    this.#received = this.#received.subarray(wanted.length)
    wanted.resolve(bytes)
  }
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
