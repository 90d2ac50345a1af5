// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createHost, type Host, type HostOptions } from '@bdevkit/core'
import {
  IoStatus,
  IoType,
  defineBdevModule,
  type BdevFnTable,
  type BdevGeometry,
  type BdevHost,
  type BdevIo,
  type IoDevice,
} from '@bdevkit/module-sdk'
import { NbdServer, type NbdServerOptions } from '../src/index.js'

/** A RAM disk under the test's control: it can hold I/O back, fail it, lend its memory, and it writes down what it was asked. */
export interface RamDisk {
  readonly name: string
  readonly bytes: Uint8Array
  /** Keep I/O instead of completing it. */
  hold: boolean
  readonly held: BdevIo[]
  /** I/O types served. */
  readonly types: ReadonlySet<number>
  /** Complete the next I/O with this instead. */
  fail: ((io: BdevIo) => void) | null
  /** One line per I/O: type, offset, blocks. */
  readonly log: string[]
  /** Called with each I/O that comes in. */
  onIo: ((io: BdevIo) => void) | null
  readonly device: IoDevice<null>
}

const names = new Map<number, string>([
  [IoType.Read, 'read'],
  [IoType.Write, 'write'],
  [IoType.Unmap, 'unmap'],
  [IoType.Flush, 'flush'],
  [IoType.WriteZeroes, 'write_zeroes'],
])

export const allTypes: readonly number[] = [...names.keys()]

function finish(disk: RamDisk, io: BdevIo): void {
  const { blockSizeBytes } = io.bdev
  let at = io.offsetBlocks * blockSizeBytes
  switch (io.type) {
    case IoType.Read:
      if (io.iovCnt === 0) {
        io.lend(disk.bytes, at, io.numBlocks * blockSizeBytes)
        break
      }
      for (let i = 0; i < io.iovCnt; i++) {
        const iov = io.iovs[i]!
        iov.buf.set(disk.bytes.subarray(at, at + iov.len), iov.off)
        at += iov.len
      }
      break
    case IoType.Write:
      for (let i = 0; i < io.iovCnt; i++) {
        const iov = io.iovs[i]!
        disk.bytes.set(iov.buf.subarray(iov.off, iov.off + iov.len), at)
        at += iov.len
      }
      break
    case IoType.Unmap:
    case IoType.WriteZeroes:
      disk.bytes.fill(0, at, at + io.numBlocks * blockSizeBytes)
      break
    default:
      break
  }
  io.complete(IoStatus.Success)
}

const ramFn: BdevFnTable<RamDisk, null> = {
  destruct() {},
  ioTypeSupported(disk, type) {
    return disk.types.has(type)
  },
  getIoChannel(disk) {
    return disk.device.getIoChannel()
  },
  submitRequest(_channel, io) {
    const disk = io.bdev.ctx as RamDisk
    disk.log.push(`${names.get(io.type)} ${io.offsetBlocks} ${io.numBlocks}`)
    const fail = disk.fail
    disk.fail = null
    if (fail !== null) fail(io)
    else if (disk.hold) disk.held.push(io)
    else finish(disk, io)
    disk.onIo?.(io)
  },
}

export interface DiskOptions extends Partial<BdevGeometry> {
  lendsReadBuffers?: boolean
  types?: readonly number[]
}

export interface Bench {
  readonly host: Host
  readonly dir: string
  /** Messages of the host, `level text`. */
  readonly messages: string[]
  addDisk(name: string, options?: DiskOptions): RamDisk
  removeDisk(name: string): Promise<void>
  resizeDisk(name: string, numBlocks: number): void
  /** A server of these exports on `sock` in the folder. */
  serve(options: NbdServerOptions, sock?: string): Promise<{ server: NbdServer; path: string }>
  /** Completes what a disk holds, and from now on all. */
  release(disk: RamDisk): void
  /** Stops the servers, removes the disks, ends the host. */
  close(): Promise<void>
}

/** A host with RAM disks, and servers on it. */
export async function createBench(hostOptions: HostOptions = {}): Promise<Bench> {
  const dir = mkdtempSync(join(tmpdir(), 'nbd-'))
  const messages: string[] = []
  const host = createHost({ log: (level, source, message) => messages.push(`${level} ${source}: ${message}`), ...hostOptions })
  let sdk!: BdevHost
  host.use(
    defineBdevModule({
      name: 'ram',
      sdk: '0.1',
      setup(given) {
        sdk = given
        return {}
      },
    }),
  )
  await host.init()
  const servers: NbdServer[] = []
  const disks = new Map<string, RamDisk>()
  const bench: Bench = {
    host,
    dir,
    messages,
    addDisk(name, options = {}) {
      const { types = allTypes, ...geometry } = options
      const disk: RamDisk = {
        name,
        bytes: new Uint8Array((geometry.numBlocks ?? 2048) * (geometry.blockSizeBytes ?? 512)),
        hold: false,
        held: [],
        types: new Set(types),
        fail: null,
        log: [],
        onIo: null,
        device: sdk.registerIoDevice<null>({ name, createChannel: () => null }),
      }
      sdk.registerBdev({ blockSizeBytes: 512, numBlocks: 2048, ...geometry, name, ctx: disk, fn: ramFn, productName: 'test' })
      disks.set(name, disk)
      return disk
    },
    removeDisk(name) {
      disks.delete(name)
      return sdk.unregisterBdev(name)
    },
    resizeDisk(name, numBlocks) {
      sdk.notifyBlockcntChange(sdk.bdevByName(name)!, numBlocks)
    },
    async serve(options, sock = 'nbd.sock') {
      const server = new NbdServer(host, options)
      servers.push(server)
      const path = join(dir, sock)
      await server.listen({ path })
      return { server, path }
    },
    release(disk) {
      disk.hold = false
      for (const io of disk.held.splice(0)) finish(disk, io)
    },
    async close() {
      for (const disk of disks.values()) bench.release(disk)
      for (const server of servers) await server.stop()
      await host.finish()
      rmSync(dir, { recursive: true })
    },
  }
  return bench
}
