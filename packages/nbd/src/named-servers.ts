// SPDX-License-Identifier: Apache-2.0
import { BdevError, type JsonObject, type RpcCall } from '@bdevkit/module-sdk'
import { nbdAddressText, parseNbdAddress, refuseRemote } from './address.js'
import type { NbdHost } from './host.js'
import { NbdServer, type StopResult } from './server.js'
import type { NbdAddress } from './sockets.js'

/** The kernel's nbd-client never asks for block sizes, and the kernel keeps to sectors. */
const BLOCK_SIZE_REQUIRED_ABOVE_BYTES = 512

/** Name of the server that is meant where none is named. */
export const DEFAULT_SERVER = 'nbd0'

interface Named {
  readonly server: NbdServer
  /** Made by a call, and so part of the saved configuration. */
  readonly saved: boolean
}

/** One more export of a server. */
export interface AddExportParams {
  server?: string
  bdev_name: string
  /** Name that clients ask for; default the bdev's. */
  name?: string
  read_only?: boolean
  description?: string
  multi_conn?: boolean
}

/** NBD servers by name: what the `nbd_server_*` methods work on. */
export class NamedServers {
  readonly #host: NbdHost
  readonly #allowRemote: boolean
  readonly #servers = new Map<string, Named>()
  /** Names of servers that are being made. */
  readonly #starting = new Set<string>()

  constructor(host: NbdHost, allowRemote: boolean) {
    this.#host = host
    this.#allowRemote = allowRemote
  }

  /** Takes a server in that the application has made: it can be shown and given exports, and is not saved. */
  adopt(name: string, server: NbdServer): void {
    this.#servers.set(name, { server, saved: false })
  }

  /**
   * Starts a server without exports.
   * @throws BdevError EEXIST the name is taken; EINVAL no address; EPERM other machines could reach it; what `NbdServer.listen` throws.
   */
  async start(name: string, listen: readonly string[]): Promise<JsonObject> {
    if (this.#servers.has(name) || this.#starting.has(name))
      throw new BdevError('EEXIST', `NBD server "${name}": there is one of that name; stop it or choose another name`)
    const addresses = listen.map(text => this.#address(name, text))
    const server = new NbdServer(this.#host, { blockSizeRequiredAboveBytes: BLOCK_SIZE_REQUIRED_ABOVE_BYTES })
    this.#starting.add(name)
    try {
      for (const address of addresses) await server.listen(address)
    } catch (thrown) {
      await server.stop({ deadlineMs: 0 })
      throw thrown
    } finally {
      this.#starting.delete(name)
    }
    this.#servers.set(name, { server, saved: true })
    return describe(name, server)
  }

  /** Stops a server; its clients have `deadlineMs` to end. @throws BdevError ENODEV no such server. */
  async stop(name: string, deadlineMs: number): Promise<StopResult> {
    const { server } = this.#find(name)
    this.#servers.delete(name)
    return server.stop({ deadlineMs })
  }

  /** Serves one more bdev; answers its URIs. @throws BdevError ENODEV no such server; what `NbdServer.addExport` throws. */
  addExport({
    server = DEFAULT_SERVER,
    bdev_name,
    name = bdev_name,
    read_only,
    description,
    multi_conn,
  }: AddExportParams): string[] {
    const found = this.#find(server).server
    found.addExport({
      name,
      bdevName: bdev_name,
      ...(read_only === undefined ? {} : { readOnly: read_only }),
      ...(description === undefined ? {} : { description }),
      ...(multi_conn === undefined ? {} : { multiConn: multi_conn }),
    })
    return found.uris(name)
  }

  /** Serves a bdev no longer. @throws BdevError ENODEV no such server or export. */
  removeExport(server: string, name: string): Promise<void> {
    return this.#find(server).server.removeExport(name)
  }

  /** Every server with its addresses, exports and connections. */
  list(): JsonObject[] {
    return [...this.#servers].map(([name, { server }]) => describe(name, server))
  }

  /** Calls that bring the servers back that calls have made. */
  configJson(): RpcCall[] {
    const calls: RpcCall[] = []
    for (const [name, { server, saved }] of this.#servers) {
      if (!saved) continue
      calls.push({ method: 'nbd_server_start', params: { name, listen: server.addresses.map(nbdAddressText) } })
      for (const { name: exportName, bdevName, readOnly, description, multiConn } of server.exports) {
        const params = {
          server: name,
          bdev_name: bdevName,
          name: exportName,
          ...(readOnly === undefined ? {} : { read_only: readOnly }),
          ...(description === undefined ? {} : { description }),
          ...(multiConn === undefined ? {} : { multi_conn: multiConn }),
        }
        calls.push({ method: 'nbd_server_add_export', params })
      }
    }
    return calls
  }

  /** Stops every server that a call has made. */
  async stopAll(deadlineMs: number): Promise<StopResult[]> {
    const own = [...this.#servers].filter(([, { saved }]) => saved)
    return Promise.all(own.map(([name]) => this.stop(name, deadlineMs)))
  }

  #address(name: string, text: string): NbdAddress {
    const address = parseNbdAddress(text)
    if (!this.#allowRemote) refuseRemote(`NBD server "${name}"`, address)
    return address
  }

  #find(name: string): Named {
    const found = this.#servers.get(name)
    if (found !== undefined) return found
    const names = [...this.#servers.keys()].join(', ')
    throw new BdevError(
      'ENODEV',
      `NBD server "${name}": there is none of that name${names === '' ? '; start one with nbd_server_start' : `, only ${names}`}`,
    )
  }
}

function describe(name: string, server: NbdServer): JsonObject {
  return {
    name,
    listen: server.addresses.map(nbdAddressText),
    exports: server.exports.map(({ name: exportName, bdevName, readOnly = false }) => ({
      name: exportName,
      bdev_name: bdevName,
      read_only: readOnly,
      uris: server.uris(exportName),
    })),
    connections: server.connections.map(({ id, exportName, state, inFlight, requests, unsentBytes }) => ({
      id,
      export: exportName,
      state,
      in_flight: inFlight,
      requests,
      unsent_bytes: unsentBytes,
    })),
  }
}
