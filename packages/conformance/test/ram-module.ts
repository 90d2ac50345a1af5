// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule, IoStatus, IoType, method } from '@bdevkit/module-sdk'
import type { Bdev, BdevFnTable, BdevHost, BdevIo, DmaBuffer, IoDevice } from '@bdevkit/module-sdk'

export interface Ram {
  readonly host: BdevHost
  readonly device: IoDevice<null>
  readonly memory: DmaBuffer
}

type Create = { name: string; num_blocks: number; block_size: number; uuid?: string }

/** Where a test puts its fault: each member replaces the right behaviour. */
export interface Faults {
  /** Runs instead of submitRequest; `right` is what a good module does. */
  submit?(ram: Ram, io: BdevIo, right: (ram: Ram, io: BdevIo) => void): void | Promise<void>
  ioTypeSupported?(type: IoType): boolean
  destruct?(ram: Ram): void | Promise<void>
  configParams?(params: Create): Create
  dumpInfoJson?(): never
  create?(host: BdevHost, register: () => string): string
  writeCache?: boolean
  createIoContext?(): object
}

export const served: readonly IoType[] = [
  IoType.Read, IoType.Write, IoType.Unmap, IoType.Flush, IoType.Reset, IoType.WriteZeroes, IoType.Compare, IoType.Abort,
]

function right({ host, memory }: Ram, io: BdevIo): void {
  const at = memory.off + io.offsetBlocks * io.bdev.blockSizeBytes
  const lengthBytes = io.numBlocks * io.bdev.blockSizeBytes
  switch (io.type) {
    case IoType.Read:
      if (io.iovCnt === 0) io.lend(memory.buf, at, lengthBytes)
      else host.accel.copyToIovs(io.iovs, io.iovCnt, memory.buf, at, lengthBytes)
      return io.complete(IoStatus.Success)
    case IoType.Write:
      host.accel.copyFromIovs(memory.buf, at, io.iovs, io.iovCnt, lengthBytes)
      return io.complete(IoStatus.Success)
    case IoType.Compare:
      return io.complete(
        host.accel.compareIovs(io.iovs, io.iovCnt, memory.buf, at, lengthBytes) === -1 ? IoStatus.Success : IoStatus.Miscompare,
      )
    case IoType.Unmap:
    case IoType.WriteZeroes:
      host.accel.fill(memory.buf, at, 0, lengthBytes)
      return io.complete(IoStatus.Success)
    case IoType.Flush:
    case IoType.Reset:
      return io.complete(IoStatus.Success)
    default:
      return io.complete(IoStatus.Failed)
  }
}

const params = {
  type: 'object',
  additionalProperties: false,
  required: ['name'],
  properties: {
    name: { type: 'string' },
    num_blocks: { type: 'integer' },
    block_size: { type: 'integer' },
    uuid: { type: 'string' },
  },
}

/** A RAM disk that does everything right, but for its faults. */
export function ramModule(faults: Faults = {}) {
  const fn: BdevFnTable<Ram, null> = {
    destruct: ram => faults.destruct === undefined ? ram.host.dma.free(ram.memory) : faults.destruct(ram),
    ioTypeSupported: (_ram, type) => faults.ioTypeSupported?.(type) ?? served.includes(type),
    getIoChannel: ram => ram.device.getIoChannel(),
    submitRequest: (_channel, io) => {
      const ram = io.bdev.ctx as Ram
      return (faults.submit === undefined ? right(ram, io) : faults.submit(ram, io, right)) as void
    },
    ...(faults.dumpInfoJson === undefined ? {} : { dumpInfoJson: faults.dumpInfoJson }),
  }
  return defineBdevModule({
    name: 'ram',
    sdk: '0.1',
    rpc: { bdev_ram_create: method<Create, string>({ params }), bdev_ram_delete: method<{ name: string }, boolean>({ params }) },
    setup(host) {
      const device = host.registerIoDevice({ name: 'ram', createChannel: () => null })
      return {
        handlers: {
          bdev_ram_create: ({ name, num_blocks: numBlocks, block_size: blockSizeBytes, uuid }) => {
            const register = (): string => {
              const memory = host.dma.alloc(numBlocks * blockSizeBytes)!
              const ctx: Ram = { host, device, memory }
              try {
                return host.registerBdev({
                  name, ctx, fn, productName: 'RAM', numBlocks, blockSizeBytes, lendsReadBuffers: true,
                  writeCache: faults.writeCache ?? true,
                  ...(uuid === undefined ? {} : { uuid }),
                }).name
              } catch (error) {
                host.dma.free(memory)
                throw error
              }
            }
            return faults.create === undefined ? register() : faults.create(host, register)
          },
          bdev_ram_delete: ({ name }) => host.unregisterBdev(name).then(() => true),
        },
        configJson: () => host.ownBdevs().map((bdev: Bdev) => {
          const all = { name: bdev.name, num_blocks: bdev.numBlocks, block_size: bdev.blockSizeBytes, uuid: bdev.uuid }
          return { method: 'bdev_ram_create', params: faults.configParams?.(all) ?? all }
        }),
        moduleFini: () => device.unregister(),
        ...(faults.createIoContext === undefined ? {} : { createIoContext: faults.createIoContext }),
      }
    },
  })
}
