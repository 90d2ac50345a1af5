// SPDX-License-Identifier: Apache-2.0
import type { Logger } from '@bdevkit/module-sdk'
import type { Socket } from 'node:net'
import { dispatch } from './dispatch.js'
import { reasonText } from './errors.js'
import { JsonSplitter } from './json-splitter.js'
import { REQUESTS_IN_WORK_MAX, RESPONSE_BYTES_MAX, RESPONSE_BYTES_READ_STOP } from './limits.js'
import type { RpcRegistry } from './registry.js'

/** What a connection needs from its server. */
export interface ConnectionOwner {
  readonly registry: RpcRegistry
  readonly log: Logger
  /** False while the server is paused or closing. */
  readonly reading: boolean
  /** Counts unsent bytes of all connections; false when they would be too many. */
  reserve(lengthBytes: number): boolean
  unreserve(lengthBytes: number): void
  removed(connection: Connection): void
}

/** One client: cuts its bytes into requests, runs them, and sends the answers in the order in which they are complete. */
export class Connection {
  readonly #socket: Socket
  readonly #owner: ConnectionOwner
  readonly #splitter = new JsonSplitter()
  #requestsInWork = 0
  #answers: string[] = []
  #unsentBytes = 0
  #flushPlanned = false
  #peerEnded = false
  #ending = false
  #closed = false

  constructor(socket: Socket, owner: ConnectionOwner) {
    this.#socket = socket
    this.#owner = owner
    socket.on('data', chunk => this.#received(chunk))
    socket.on('end', () => {
      this.#peerEnded = true
      this.#endWhenIdle()
    })
    socket.on('error', error => this.#owner.log.debug(`connection: ${error.message}`))
    socket.on('close', () => this.#gone())
    this.updateReading()
  }

  /** Requests without an answer yet. */
  get requestsInWork(): number {
    return this.#requestsInWork
  }

  /** Reads or stops reading, as the server and the piles of work and answers demand. */
  updateReading(): void {
    const piled = this.#unsentBytes > RESPONSE_BYTES_READ_STOP || this.#requestsInWork >= REQUESTS_IN_WORK_MAX
    if (this.#owner.reading && !piled) this.#socket.resume()
    else this.#socket.pause()
  }

  /** Takes no further request, and ends once every answer is sent. */
  drain(): void {
    this.#peerEnded = true
    this.updateReading()
    this.#endWhenIdle()
  }

  /** Closes at once. Requests in work go on; their answers are dropped. */
  destroy(): void {
    this.#socket.destroy()
    this.#gone()
  }

  #received(chunk: Buffer): void {
    const onValue = (value: Uint8Array) => this.#request(value)
    try {
      this.#splitter.push(chunk, onValue)
      this.#splitter.endNumber(onValue)
    } catch (error) {
      // As SPDK: there is no place to go on from, so the connection closes, and nobody waits for an answer it cannot match.
      this.#owner.log.warn(`connection closed: ${reasonText(error)}`)
      this.destroy()
    }
    if (!this.#closed) this.updateReading()
  }

  #request(value: Uint8Array): void {
    if (this.#closed) return
    this.#requestsInWork++
    dispatch(this.#owner.registry, value, text => {
      this.#requestsInWork--
      if (!this.#closed) this.#answer(text)
    })
  }

  #answer(text: string | undefined): void {
    if (text !== undefined) {
      if (this.#unsentBytes + text.length > RESPONSE_BYTES_MAX || !this.#owner.reserve(text.length)) {
        this.#owner.log.error(
          `connection closed: its client leaves ${this.#unsentBytes} bytes of answers unread, and ${text.length} more came`,
        )
        return this.destroy()
      }
      this.#unsentBytes += text.length
      this.#answers.push(text)
    }
    if (this.#flushPlanned) return
    this.#flushPlanned = true
    // After this turn's requests: one write for all their answers, and none when a later one of the chunk is no JSON.
    process.nextTick(() => this.#flush())
  }

  #flush(): void {
    this.#flushPlanned = false
    if (this.#closed) return
    if (this.#answers.length > 0) {
      const text = this.#answers.join('')
      this.#answers = []
      this.#socket.write(text, 'latin1', () => {
        if (this.#closed) return
        this.#unsentBytes -= text.length
        this.#owner.unreserve(text.length)
        this.updateReading()
        this.#endWhenIdle()
      })
    }
    this.updateReading()
    this.#endWhenIdle()
  }

  #endWhenIdle(): void {
    if (!this.#peerEnded || this.#requestsInWork > 0 || this.#unsentBytes > 0 || this.#ending || this.#closed) return
    this.#ending = true
    this.#socket.end(() => this.destroy())
  }

  #gone(): void {
    if (this.#closed) return
    this.#closed = true
    this.#answers = []
    this.#owner.unreserve(this.#unsentBytes)
    this.#unsentBytes = 0
    this.#owner.removed(this)
  }
}
