// SPDX-License-Identifier: Apache-2.0
import type { Logger } from '@bdevkit/module-sdk'
import { rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { isMainThread } from 'node:worker_threads'
import { Connection, type ConnectionOwner } from './connection.js'
import { CONNECTIONS_MAX, CONNECTIONS_WAITING_MAX, RESPONSE_BYTES_TOTAL_MAX } from './limits.js'
import type { RpcRegistry } from './registry.js'
import { lockSocketPath, RpcListenError, type SocketLock } from './socket-lock.js'

/** Options of {@link RpcServer.listen}. */
export interface RpcServerOptions {
  readonly registry: RpcRegistry
  /** Accept connections but serve nothing before {@link RpcServer.resume}: SPDK's way while its configuration loads. */
  readonly paused?: boolean
  /** Default: the registry's. */
  readonly log?: Logger
  /** Unsent bytes of answers of all clients; the one that goes past it is closed. Default 128 MiB. */
  readonly responseBytesTotalMax?: number
}

const CLOSE_TIMEOUT_MS = 2_000

/**
 * SPDK's JSON-RPC server on a Unix socket of mode 0600, guarded by `<path>.lock`. At most {@link CONNECTIONS_MAX} clients are
 * served at a time; others wait as in SPDK's listen queue.
 */
export class RpcServer {
  /** The socket's path. */
  readonly path: string
  readonly #log: Logger
  readonly #server: Server
  readonly #lock: SocketLock
  readonly #owner: ConnectionOwner
  readonly #connections = new Set<Connection>()
  readonly #waiting = new Set<Socket>()
  readonly #responseBytesTotalMax: number
  #paused: boolean
  #closing: Promise<void> | undefined
  #allGone: (() => void) | undefined
  #unsentBytes = 0

  private constructor(path: string, server: Server, lock: SocketLock, options: RpcServerOptions) {
    this.path = path
    this.#server = server
    this.#lock = lock
    this.#log = options.log ?? options.registry.log
    this.#paused = options.paused ?? false
    this.#responseBytesTotalMax = options.responseBytesTotalMax ?? RESPONSE_BYTES_TOTAL_MAX
    const reading = () => !this.#paused && this.#closing === undefined
    this.#owner = {
      registry: options.registry,
      log: this.#log,
      get reading() {
        return reading()
      },
      reserve: lengthBytes => this.#reserve(lengthBytes),
      unreserve: lengthBytes => void (this.#unsentBytes -= lengthBytes),
      removed: connection => this.#removed(connection),
    }
  }

  /**
   * Serves `registry` on `path`.
   * @throws RpcListenError when the path is too long, in use, no socket, or cannot be made.
   */
  static async listen(path: string, options: RpcServerOptions): Promise<RpcServer> {
    if (!isMainThread) {
      throw new RpcListenError(
        'ENOTSUP',
        path,
        'wanted to serve it from the main thread, found a worker, which cannot set the umask',
      )
    }
    const lock = await lockSocketPath(path)
    try {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
      const rpcServer = new RpcServer(path, server, lock, options)
      server.on('connection', socket => rpcServer.#accept(socket))
      await bind(server, path)
      server.on('error', error => rpcServer.#log.error(`RPC socket "${path}": ${error.message}`))
      return rpcServer
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  /** Clients served now, and clients that wait for a place. */
  get connections(): { readonly served: number; readonly waiting: number } {
    return { served: this.#connections.size, waiting: this.#waiting.size }
  }

  /** Stops reading requests; those in work are answered. */
  pause(): void {
    this.#paused = true
    for (const connection of this.#connections) connection.updateReading()
  }

  /** Reads requests again. */
  resume(): void {
    this.#paused = false
    for (const connection of this.#connections) connection.updateReading()
  }

  /**
   * Takes no further connection and no further request, waits for those in work and for their answers to be read, then
   * removes the socket and the lock. After `timeoutMs` (default 2000) what is left is closed and named in the log.
   */
  close(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.timeoutMs ?? CLOSE_TIMEOUT_MS)
    return this.#closing
  }

  async #close(timeoutMs: number): Promise<void> {
    await Promise.resolve() // #closing is set before any connection asks whether to read
    const stopped = new Promise(resolve => this.#server.close(resolve))
    for (const socket of this.#waiting) socket.destroy()
    this.#waiting.clear()
    for (const connection of this.#connections) connection.drain()
    if (this.#connections.size > 0) {
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>(resolve => {
        this.#allGone = resolve
        timer = setTimeout(resolve, timeoutMs)
      })
      clearTimeout(timer)
      for (const connection of this.#connections) {
        const left = `${connection.requestsInWork} requests of a client in work after ${timeoutMs} ms`
        this.#log.warn(`RPC socket "${this.path}": closed with ${left}`)
        connection.destroy()
      }
    }
    await stopped
    await rm(this.path, { force: true })
    await this.#lock.release()
  }

  #accept(socket: Socket): void {
    if (this.#closing !== undefined) return void socket.destroy()
    if (this.#connections.size < CONNECTIONS_MAX) return void this.#connections.add(new Connection(socket, this.#owner))
    if (this.#waiting.size >= CONNECTIONS_WAITING_MAX) {
      this.#log.warn(
        `RPC socket "${this.path}": a connection is refused: ${CONNECTIONS_MAX} are served and ${CONNECTIONS_WAITING_MAX} wait`,
      )
      return void socket.destroy()
    }
    socket.on('error', () => undefined)
    socket.once('close', () => this.#waiting.delete(socket))
    this.#waiting.add(socket)
  }

  #removed(connection: Connection): void {
    this.#connections.delete(connection)
    if (this.#connections.size === 0) this.#allGone?.()
    for (const socket of this.#waiting) {
      this.#waiting.delete(socket)
      this.#accept(socket)
      return
    }
  }

  #reserve(lengthBytes: number): boolean {
    if (this.#unsentBytes + lengthBytes > this.#responseBytesTotalMax) return false
    this.#unsentBytes += lengthBytes
    return true
  }
}

/** Binds with the umask that makes the socket 0600 from its first moment: listen() on a path binds before it returns. */
function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(new RpcListenError(cause.code ?? 'EIO', path, `wanted to listen on it: ${cause.message}`, { cause }))
    })
    server.once('listening', () => {
      server.removeAllListeners('error')
      resolve()
    })
    const umask = process.umask(0o177)
    try {
      server.listen({ path, backlog: CONNECTIONS_WAITING_MAX })
    } finally {
      process.umask(umask)
    }
  })
}
