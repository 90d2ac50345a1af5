// SPDX-License-Identifier: Apache-2.0
import type { Server, Socket } from 'node:net'
import { BdevError } from '@bdevkit/module-sdk'
import { Connection, type ConnectionInfo, type Receiver } from './connection.js'
import { NbdExport, type ExportOptions } from './export.js'
import type { NbdHost } from './host.js'
import { resolveLimits, type NbdLimits } from './limits.js'
import { NBD_PORT } from './protocol.js'
import { ServerCore } from './server-core.js'
import { adoptSocket, listenOn, openReader, openWriter, type NbdAddress } from './sockets.js'
import { nbdUri } from './uri.js'

/** Options of {@link NbdServer}. */
export interface NbdServerOptions {
  /** What is served, in the order of lists. More can be added later. */
  exports?: readonly ExportOptions[]
  /** What peers may take. */
  limits?: Partial<NbdLimits>
  /**
   * A client that enters by NBD_OPT_GO or asks by NBD_OPT_INFO must have asked for block sizes where an export's minimum is
   * above this, in bytes; else it gets NBD_REP_ERR_BLOCK_SIZE_REQD. Default 1. With 512, clients that do not ask but keep
   * to sectors, as `nbd-client` and the kernel, are served from bdevs of 512-byte blocks.
   */
  blockSizeRequiredAboveBytes?: number
}

/** What `stop` found. */
export interface StopResult {
  /** Whether every connection ended by itself, all requests answered. */
  readonly drained: boolean
  /** Connections that had to be cut, as they were then. */
  readonly cut: readonly ConnectionInfo[]
}

/**
 * Serves bdevs to NBD clients. Call it with no thread current, or on the host's app thread: all I/O runs there.
 *
 * ```ts
 * const server = new NbdServer(host, { exports: [{ name: '', bdevName: 'Malloc0' }] })
 * await server.listen({ path: 'nbd.sock' })
 * const uri = server.uri()
 * ```
 */
export class NbdServer {
  readonly #core: ServerCore
  readonly #listeners: { readonly server: Server; readonly address: NbdAddress }[] = []
  #nextId = 1
  #stopped: Promise<StopResult> | null = null

  /**
   * Opens the bdevs.
   * @throws BdevError as `addExport`.
   * @throws RangeError a limit is no positive integer, or two do not fit together.
   */
  constructor(host: NbdHost, options: NbdServerOptions = {}) {
    this.#core = new ServerCore(host, resolveLimits(options.limits), options.blockSizeRequiredAboveBytes ?? 1)
    try {
      for (const exp of options.exports ?? []) this.addExport(exp)
    } catch (thrown) {
      for (const exp of this.#core.exports.values()) exp.close()
      throw thrown
    }
  }

  /** Names that clients can ask for, in the order in which they were added. */
  get exportNames(): readonly string[] {
    return [...this.#core.exports.keys()]
  }

  /** What is served, in the order in which it was added. */
  get exports(): readonly ExportOptions[] {
    return [...this.#core.exports.values()].map(({ options }) => options)
  }

  /** The connections now. */
  get connections(): readonly ConnectionInfo[] {
    return [...this.#core.connections].map(conn => conn.info())
  }

  /** Where it listens; of TCP ports that the system chose, the real one. */
  get addresses(): readonly NbdAddress[] {
    return this.#listeners.map(listener => listener.address)
  }

  /**
   * Serves one more bdev.
   * @throws BdevError EEXIST the name is taken; ENODEV no such bdev; EPERM it is claimed; EINVAL NBD cannot serve it.
   */
  addExport(options: ExportOptions): void {
    if (this.#core.exports.has(options.name)) {
      throw new BdevError('EEXIST', `nbd: wanted to add export "${options.name}", but there is one of that name; remove it first`)
    }
    this.#core.exports.set(options.name, new NbdExport(this.#core.host, options))
  }

  /**
   * Serves a bdev no longer. Its connections answer what is in flight and end, after `limits.removeTimeoutMs` in any case;
   * settles when the descriptor is closed.
   * @throws BdevError ENODEV no such export.
   */
  async removeExport(name: string): Promise<void> {
    const exp = this.#core.exports.get(name)
    if (exp === undefined) throw new BdevError('ENODEV', `nbd: wanted to remove export "${name}", but there is none of that name`)
    this.#core.exports.delete(name)
    const gone = [...this.#core.connections].filter(conn => conn.exp === exp).map(conn => conn.gone)
    for (const user of [...exp.users]) user.onRemove()
    exp.close()
    await Promise.all(gone)
  }

  /**
   * Accepts clients at an address; may be called for several.
   * @throws BdevError EADDRINUSE somebody listens there; EEXIST the path is no socket; EACCES not allowed; ESHUTDOWN stopped; EINVAL anything else.
   */
  async listen(address: NbdAddress): Promise<void> {
    if (this.#core.stopping) throw new BdevError('ESHUTDOWN', 'nbd: wanted to listen, but the server is stopped; make a new one')
    const server = await listenOn(address, NBD_PORT, socket => this.#accept(socket))
    const bound = server.address()
    const real = 'path' in address || bound === null || typeof bound === 'string' ? address : { host: bound.address, port: bound.port }
    this.#listeners.push({ server, address: real })
    server.on('error', error => this.#core.log.error(`nbd: accepting on ${nbdUri(real, '')}: ${error.message}`))
    if (this.#core.stopping) server.close()
  }

  /**
   * Serves one client on a pair of descriptors that this process was started with, pipes or sockets; settles when it is gone.
   * Nothing else may use them.
   */
  async serveStdio(inputFd = 0, outputFd = 1): Promise<void> {
    const conn = this.#connect(receiver => ({ reader: openReader(inputFd, receiver), writer: openWriter(outputFd) }))
    await conn.gone
  }

  /** The URI of an export at the first address that it listens on, `''` where it does not listen. */
  uri(exportName = ''): string {
    const first = this.#listeners[0]
    return first === undefined ? '' : nbdUri(first.address, exportName)
  }

  /** The URIs of an export, one for each address. */
  uris(exportName: string): string[] {
    return this.#listeners.map(({ address }) => nbdUri(address, exportName))
  }

  /**
   * Stops: accepts nobody, reads no further request, answers those in flight and ends each connection; after `deadlineMs`
   * (default 5000) it cuts what is left. Settles when every connection has given back its channel and the bdevs are closed,
   * which an I/O that hangs in a bdev can put off: the host's watchdog tells of those.
   */
  stop(options: { deadlineMs?: number } = {}): Promise<StopResult> {
    this.#stopped ??= this.#stop(options.deadlineMs ?? 5000)
    return this.#stopped
  }

  async #stop(deadlineMs: number): Promise<StopResult> {
    const core = this.#core
    core.stopping = true
    for (const { server } of this.#listeners) server.close()
    const cut: ConnectionInfo[] = []
    const connections = [...core.connections]
    for (const conn of connections) conn.drain('the server stops', deadlineMs * 2 + 1000)
    const timer = setTimeout(() => {
      for (const conn of [...core.connections]) {
        cut.push(conn.info())
        conn.destroy('the server stops, and it did not end in time')
      }
    }, deadlineMs)
    await Promise.all(connections.map(conn => conn.gone))
    clearTimeout(timer)
    for (const exp of core.exports.values()) exp.close()
    core.exports.clear()
    core.buffers.give(core.spare)
    core.release()
    return { drained: cut.length === 0, cut }
  }

  #accept(socket: Socket): void {
    const { connections, limits, stopping, log } = this.#core
    if (stopping || connections.size >= limits.connections) {
      log.info(`nbd: a client was turned away: ${stopping ? 'the server stops' : `there are ${connections.size} connections`}`)
      socket.destroy()
      return
    }
    this.#connect(receiver => {
      const adopted = adoptSocket(socket, receiver)
      return { reader: adopted, writer: adopted }
    })
  }

  #connect(adopt: (receiver: Receiver) => { reader: Socket; writer: Socket }): Connection {
    const conn = new Connection(this.#core, this.#nextId++, adopt)
    this.#core.connections.add(conn)
    this.#core.watch()
    conn.start()
    return conn
  }
}
