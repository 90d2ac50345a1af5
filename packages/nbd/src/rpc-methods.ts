// SPDX-License-Identifier: Apache-2.0
import type { Host } from '@bdevkit/core'
import type { JsonSchema } from '@bdevkit/module-sdk'
import type { RpcRegistry, RpcSubsystem } from '@bdevkit/rpc'
import { NbdDisks } from './disks.js'
import { DEFAULT_SERVER, NamedServers, type AddExportParams } from './named-servers.js'
import type { NbdServer, StopResult } from './server.js'

/** Options of {@link registerNbdMethods}. */
export interface NbdMethodsOptions {
  /** Let calls listen where other machines reach it, with neither encryption nor passwords. Default false. */
  readonly allowRemote?: boolean
}

/** What {@link registerNbdMethods} answers. */
export interface NbdMethods {
  /** For the list of subsystems, after bdev. */
  readonly subsystem: RpcSubsystem
  /** Shows a server that the application has made among those of the calls. */
  adopt(name: string, server: NbdServer): void
  /** Stops the servers and disks that calls have made. */
  stop(deadlineMs: number): Promise<StopResult[]>
}

const text = { type: 'string' }
const boolean = { type: 'boolean' }
const serverName = { type: 'string', minLength: 1, description: `Name of the server, default ${DEFAULT_SERVER}` }
const object = (required: string[], properties: JsonSchema): JsonSchema => ({
  type: 'object',
  additionalProperties: false,
  required,
  properties,
})

/**
 * Adds SPDK's `nbd_start_disk`, `nbd_stop_disk` and `nbd_get_disks`, and methods of our own for servers with many exports:
 * `nbd_server_start`, `_stop`, `_add_export`, `_remove_export`, `nbd_get_servers`.
 */
export function registerNbdMethods(registry: RpcRegistry, host: Host, options: NbdMethodsOptions = {}): NbdMethods {
  const disks = new NbdDisks(host, options.allowRemote ?? false)
  const servers = new NamedServers(host, options.allowRemote ?? false)
  host.notifications.listen(({ type, ctx }) => void (type === 'bdev_unregister' && disks.bdevGone(ctx)))
  registerDiskMethods(registry, disks)
  registerServerMethods(registry, servers)
  return {
    subsystem: { name: 'nbd', dependsOn: ['bdev'], configJson: () => [...servers.configJson(), ...disks.configJson()] },
    adopt: (name, server) => servers.adopt(name, server),
    async stop(deadlineMs) {
      const [results] = await Promise.all([servers.stopAll(deadlineMs), disks.stopAll(deadlineMs)])
      return results
    },
  }
}

function registerDiskMethods(registry: RpcRegistry, disks: NbdDisks): void {
  const device = { type: 'string', description: 'unix:PATH, tcp:HOST:PORT, or a device of the kernel, /dev/nbdN' }
  registry.register(
    'nbd_start_disk',
    {
      description: 'Serves a bdev on a device: an address for NBD clients, or /dev/nbdN by way of nbd-client.',
      params: object(['bdev_name'], {
        bdev_name: text,
        nbd_device: { ...device, description: `${device.description}; default the first free one` },
      }),
      result: device,
      cli: { positional: ['bdev_name', 'nbd_device'] },
    },
    ({ bdev_name, nbd_device }: { bdev_name: string; nbd_device?: string }) => disks.start(bdev_name, nbd_device),
  )
  registry.register(
    'nbd_stop_disk',
    {
      description: 'Ends a disk.',
      params: object(['nbd_device'], { nbd_device: device }),
      result: boolean,
      cli: { positional: ['nbd_device'] },
    },
    ({ nbd_device }: { nbd_device: string }) => disks.stop(nbd_device),
  )
  registry.register(
    'nbd_get_disks',
    {
      description: 'Disks, or one.',
      params: object([], { nbd_device: device }),
      result: { type: 'array', items: object(['nbd_device', 'bdev_name'], { nbd_device: text, bdev_name: text }) },
      cli: { flags: { nbd_device: '-n' } },
    },
    ({ nbd_device }: { nbd_device?: string }) => disks.list(nbd_device),
  )
}

function registerServerMethods(registry: RpcRegistry, servers: NamedServers): void {
  registry.register(
    'nbd_server_start',
    {
      description: 'Starts an NBD server without exports.',
      params: object(['listen'], {
        name: serverName,
        listen: {
          type: 'array',
          minItems: 1,
          maxItems: 64,
          items: text,
          description: 'Addresses: unix:PATH, tcp:HOST:PORT, tcp:[IPV6]:PORT',
        },
      }),
      cli: { positional: ['listen'] },
    },
    ({ name = DEFAULT_SERVER, listen }: { name?: string; listen: string[] }) => servers.start(name, listen),
  )
  registry.register(
    'nbd_server_stop',
    {
      description: 'Stops an NBD server; clients may end by themselves until the deadline. Answers how many had to be cut.',
      params: object([], {
        name: serverName,
        deadline_ms: { type: 'integer', minimum: 0, maximum: 600_000, description: 'Milliseconds, default 5000' },
      }),
      result: object(['cut'], { cut: { type: 'integer' } }),
    },
    async ({ name = DEFAULT_SERVER, deadline_ms = 5000 }: { name?: string; deadline_ms?: number }) => ({
      cut: (await servers.stop(name, deadline_ms)).cut.length,
    }),
    { mayWait: true },
  )
  registry.register(
    'nbd_server_add_export',
    {
      description: 'Serves one more bdev on a server. Answers its URIs.',
      params: object(['bdev_name'], {
        server: serverName,
        bdev_name: text,
        name: { ...text, description: "Name that clients ask for, default the bdev's" },
        read_only: boolean,
        description: text,
        multi_conn: { ...boolean, description: 'Let a client use several connections, default true' },
      }),
      result: { type: 'array', items: text },
      cli: { positional: ['bdev_name'], flags: { name: '-n' } },
    },
    (params: AddExportParams) => servers.addExport(params),
  )
  registry.register(
    'nbd_server_remove_export',
    {
      description: 'Serves a bdev no longer; its connections end first.',
      params: object(['name'], { server: serverName, name: text }),
      result: boolean,
      cli: { positional: ['name'] },
    },
    ({ server = DEFAULT_SERVER, name }: { server?: string; name: string }) => servers.removeExport(server, name),
    { mayWait: true },
  )
  registry.register('nbd_get_servers', { description: 'NBD servers with their addresses, exports and connections.' }, () =>
    servers.list(),
  )
}
