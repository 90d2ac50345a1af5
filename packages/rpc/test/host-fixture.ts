// SPDX-License-Identifier: Apache-2.0
import { createHost, type Host } from '@bdevkit/core'
import { defineBdevModule, IoStatus, IoType, method, type BdevFnTable, type BdevHost, type IoDevice } from '@bdevkit/module-sdk'
import { registerHostMethods, type HostMethodsOptions } from '../src/methods/host-methods.js'
import { RpcRegistry } from '../src/registry.js'
import { cleanup, testLog, type TestLog } from './support.js'

interface CreateParams {
  name: string
  num_blocks: number
  uuid?: string
}

interface Disk {
  readonly device: IoDevice
}

const fn: BdevFnTable<Disk> = {
  destruct: () => undefined,
  submitRequest: (_channel, io) => io.complete(IoStatus.Success),
  ioTypeSupported: (_disk, type) => type === IoType.Read || type === IoType.Write,
  getIoChannel: disk => disk.device.getIoChannel(),
  dumpInfoJson: () => ({ ram: true }),
  dumpDeviceStatJson: () => ({ spins: 7 }),
}

/** A module that keeps nothing, to have bdevs and methods of a module. */
export const ramModule = defineBdevModule({
  name: 'ram',
  sdk: '0.1',
  rpc: {
    bdev_ram_create: method<CreateParams, string>({
      params: {
        type: 'object',
        additionalProperties: false,
        required: ['name', 'num_blocks'],
        properties: {
          name: { type: 'string' },
          num_blocks: { type: 'integer', minimum: 0 },
          uuid: { type: 'string', format: 'uuid' },
        },
      },
    }),
    bdev_ram_delete: method<{ name: string }, boolean>({
      params: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
    }),
  },
  setup(host: BdevHost) {
    const device = host.registerIoDevice<object>({ name: 'ram', createChannel: () => ({}) })
    return {
      handlers: {
        bdev_ram_create: ({ name, num_blocks, uuid }) =>
          host.registerBdev({
            name,
            numBlocks: num_blocks,
            blockSizeBytes: 512,
            productName: 'Ram disk',
            ctx: { device },
            fn,
            ...(uuid === undefined ? {} : { uuid }),
          }).name,
        bdev_ram_delete: ({ name }) => host.unregisterBdev(name).then(() => true),
      },
      configJson: () =>
        host
          .ownBdevs()
          .map(({ name, numBlocks, uuid }) => ({ method: 'bdev_ram_create', params: { name, num_blocks: numBlocks, uuid } })),
      moduleFini: () => device.unregister(),
    }
  },
})

export interface HostFixture {
  readonly host: Host
  readonly registry: RpcRegistry
  readonly log: TestLog
}

/** A host that uses the module above, and a registry with everything it answers to, still in STARTUP. */
export function hostFixture(options: HostMethodsOptions = {}): HostFixture {
  const log = testLog()
  const host = createHost({ log: () => undefined })
  host.use(ramModule)
  const registry = new RpcRegistry({ log, waits: host.waits })
  registerHostMethods(registry, host, options)
  cleanup(() => host.finish())
  return { host, registry, log }
}

/** As {@link hostFixture}, initialised. */
export async function runningHost(options: HostMethodsOptions = {}): Promise<HostFixture> {
  const fixture = hostFixture(options)
  await fixture.host.init()
  fixture.registry.enterRuntime()
  return fixture
}
