// SPDX-License-Identifier: Apache-2.0
// A host with RAM bases that do what the test says: fail, forget what was not flushed, answer late, grow, go away.
import { bdevInfoJson, createHost, systemClock, type Clock, type Host, type TimerHandle } from '@bdevkit/core'
import { defineBdevModule, ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevError, BdevHost, BdevIo, IoDevice, JsonObject } from '@bdevkit/module-sdk'
import raid from '../src/index.js'

/** Bytes that outlive the host: a disk. */
export class Disk {
  readonly name: string
  readonly uuid: string
  readonly blockSizeBytes: number
  bytes: Uint8Array
  /** What was written and not flushed, oldest first. */
  readonly unflushed: { at: number; before: Uint8Array; after: Uint8Array }[] = []
  /** Whether writes are kept in `unflushed`. */
  caches = false
  /** How an I/O ends, before it is carried out; `undefined`: well. */
  fails: ((io: BdevIo) => number | undefined) | null = null
  /** Takes an I/O instead of carrying it out: `carryOut` it later. */
  holds: ((io: BdevIo) => boolean) | null = null
  /** I/O that came, by type. */
  readonly seen: number[] = []
  optimalIoBoundaryBlocks = 0
  /** I/O types that it serves; `null`: those of the rig. */
  served: readonly number[] | null = null

  constructor(name: string, numBlocks: number, blockSizeBytes = 512, uuid?: string) {
    this.name = name
    this.blockSizeBytes = blockSizeBytes
    this.bytes = new Uint8Array(numBlocks * blockSizeBytes)
    this.uuid = uuid ?? crypto.randomUUID()
  }

  get numBlocks(): number {
    return this.bytes.length / this.blockSizeBytes
  }

  write(at: number, data: Uint8Array): void {
    if (this.caches) this.unflushed.push({ at, before: this.bytes.slice(at, at + data.length), after: data.slice() })
    this.bytes.set(data, at)
  }

  /** Power goes: of what was not flushed, each block of each write is kept or not, as `keep` says. */
  crash(keep: () => boolean): void {
    for (const { at, before } of this.unflushed.toReversed()) this.bytes.set(before, at)
    for (const { at, after } of this.unflushed) {
      for (let from = 0; from < after.length; from += this.blockSizeBytes) {
        if (keep()) this.bytes.set(after.subarray(from, from + this.blockSizeBytes), at + from)
      }
    }
    this.unflushed.length = 0
  }
}

/** What `bdev_raid_get_bdevs` answers, as far as tests look at it. */
export interface RaidInfo {
  readonly name: string
  readonly state: string
  readonly num_base_bdevs_discovered: number
  readonly num_base_bdevs_operational: number
  readonly process?: {
    readonly type: string
    readonly target?: string
    readonly paused?: boolean
    readonly progress: { readonly blocks: number; readonly percent: number }
  }
  readonly base_bdevs_list: readonly { readonly name: string | null; readonly uuid: string; readonly is_configured: boolean; readonly data_offset: number }[]
}

const SERVED: readonly number[] = [IoType.Read, IoType.Write, IoType.Unmap, IoType.Flush, IoType.Reset, IoType.WriteZeroes]

/** The system's clock, which a test can move on. */
class MovableClock implements Clock {
  #aheadMs = 0
  readonly #timers = new Map<object, { fn: () => void; dueMs: number; handle: TimerHandle }>()

  nowMs(): number {
    return systemClock.nowMs() + this.#aheadMs
  }

  setTimer(fn: () => void, delayMs: number): TimerHandle {
    const key = {}
    const run = (): void => {
      this.#timers.get(key)?.handle.cancel()
      if (this.#timers.delete(key)) fn()
    }
    this.#timers.set(key, { fn: run, dueMs: this.nowMs() + delayMs, handle: systemClock.setTimer(run, delayMs) })
    return { cancel: () => (this.#timers.get(key)?.handle.cancel(), this.#timers.delete(key)) }
  }

  setImmediate(fn: () => void): void {
    systemClock.setImmediate(fn)
  }

  queueMicrotask(fn: () => void): void {
    systemClock.queueMicrotask(fn)
  }

  /** Moves on: what is due by then happens now. */
  move(ms: number): void {
    this.#aheadMs += ms
    for (const { fn, dueMs } of [...this.#timers.values()]) if (dueMs <= this.nowMs()) fn()
  }
}

export class Rig {
  readonly host: Host
  readonly clock = new MovableClock()
  readonly log: string[] = []
  own!: BdevHost
  #device!: IoDevice<null>
  served = SERVED

  constructor() {
    this.host = createHost({ clock: this.clock, log: (level, source, message) => void this.log.push(`${level} ${source}: ${message}`) })
    this.host.use(raid)
    this.host.use(defineBdevModule({ name: 'disks', sdk: '0.1', setup: own => ((this.own = own), { moduleFini: () => this.#device.unregister() }) }))
  }

  static start(...disks: Disk[]): Promise<Rig> {
    return new Rig().begin(...disks)
  }

  /** Starts it, with disks that are there. */
  async begin(...disks: Disk[]): Promise<this> {
    await this.host.init()
    this.#device = this.own.registerIoDevice({ name: 'disks', createChannel: () => null })
    for (const disk of disks) await this.plug(disk)
    return this
  }

  /** A disk appears, and is examined. */
  async plug(disk: Disk): Promise<void> {
    this.own.registerBdev<Disk, null, null>({
      name: disk.name, uuid: disk.uuid, ctx: disk, productName: 'Disk', blockSizeBytes: disk.blockSizeBytes, numBlocks: disk.numBlocks,
      writeCache: true, optimalIoBoundaryBlocks: disk.optimalIoBoundaryBlocks,
      fn: {
        destruct: () => {},
        ioTypeSupported: (_ctx, type) => (disk.served ?? this.served).includes(type),
        getIoChannel: () => this.#device.getIoChannel(),
        submitRequest(_channel, io) {
          disk.seen.push(io.type)
          if (disk.holds?.(io) !== true) io.thread.sendMsg(carryOut, io)
        },
      },
    })
    await this.host.waitForExamine()
  }

  /** A disk goes away, as if pulled. */
  unplug(disk: Disk): Promise<void> {
    return this.own.unregisterBdev(disk.name)
  }

  resize(disk: Disk, numBlocks: number): void {
    const bytes = new Uint8Array(numBlocks * disk.blockSizeBytes)
    bytes.set(disk.bytes.subarray(0, bytes.length))
    disk.bytes = bytes
    this.own.notifyBlockcntChange(this.own.bdevByName(disk.name)!, numBlocks)
  }

  /** Calls a method of the module. */
  async rpc<Result = unknown>(method: string, params: object = {}): Promise<Result> {
    const handlers = this.host.modules.find(({ name }) => name === 'raid')!.instance.handlers as Record<string, (p: object) => unknown>
    return (await handlers[method]!(params)) as Result
  }

  async create(level: string, disks: readonly (Disk | string)[], params: object = {}): Promise<void> {
    const strip = level === 'raid1' ? {} : { strip_size_kb: 4 }
    await this.rpc('bdev_raid_create', {
      name: 'Raid0', raid_level: level, ...strip, base_bdevs: disks.map(disk => (typeof disk === 'string' ? disk : disk.name)), ...params,
    })
    await this.host.waitForExamine()
  }

  /** As `bdev_raid_get_bdevs` has an array. */
  raidInfo(name = 'Raid0'): RaidInfo | undefined {
    const handlers = this.host.modules.find(module => module.name === 'raid')!.instance.handlers as { bdev_raid_get_bdevs(p: object): RaidInfo[] }
    return handlers.bdev_raid_get_bdevs({ category: 'all' }).find(one => one.name === name)
  }

  async info(name = 'Raid0'): Promise<JsonObject | undefined> {
    const all = await this.rpc<JsonObject[]>('bdev_raid_get_bdevs', { category: 'all' })
    return all.find(one => one['name'] === name)
  }

  bdevJson(name = 'Raid0'): JsonObject {
    return bdevInfoJson(this.host.bdevByName(name)!) as JsonObject
  }

  /** Waits until `condition` holds; the event loop turns, no time is waited for. */
  async until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    for (let turn = 0; turn < 1_000_000; turn++) {
      if (await condition()) return
      await new Promise(resolve => setImmediate(resolve))
    }
    throw new Error(`it never happened: ${what}\n${this.log.join('\n')}\n${JSON.stringify(await this.info())}`)
  }

  /** Waits for the rebuild that is under way to end. */
  async rebuilt(name = 'Raid0'): Promise<void> {
    await this.until('the rebuild ends', async () => (await this.info(name))?.['process'] === undefined)
    // The superblock is written in the same turn of changes: a later change waits for it.
    await this.settled()
  }

  async settled(): Promise<void> {
    for (let turn = 0; turn < 40; turn++) await new Promise(resolve => setImmediate(resolve))
  }

  stop(): Promise<void> {
    return this.host.finish()
  }
}

/** Carries out one I/O on its disk. */
export function carryOut(io: BdevIo): void {
  const disk = io.bdev.ctx as Disk
  const status = disk.fails?.(io)
  if (status !== undefined) return io.complete(status)
  const at = io.offsetBlocks * disk.blockSizeBytes
  const lengthBytes = io.numBlocks * disk.blockSizeBytes
  switch (io.type) {
    case IoType.Read: {
      let from = at
      for (const iov of io.iovs.slice(0, io.iovCnt)) {
        iov.buf.set(disk.bytes.subarray(from, from + iov.len), iov.off)
        from += iov.len
      }
      return io.complete(IoStatus.Success)
    }
    case IoType.Write: {
      const data = new Uint8Array(lengthBytes)
      let to = 0
      for (const iov of io.iovs.slice(0, io.iovCnt)) {
        data.set(iov.buf.subarray(iov.off, iov.off + iov.len), to)
        to += iov.len
      }
      disk.write(at, data)
      return io.complete(IoStatus.Success)
    }
    case IoType.Unmap:
    case IoType.WriteZeroes:
      disk.write(at, new Uint8Array(lengthBytes))
      return io.complete(IoStatus.Success)
    case IoType.Flush:
      disk.unflushed.length = 0
      return io.complete(IoStatus.Success)
    case IoType.Reset:
      return io.complete(IoStatus.Success)
    default:
      return io.complete(IoStatus.Failed)
  }
}

/** Bytes that tell where they belong. */
export function pattern(lengthBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  let state = Math.imul(seed + 1, 0x9e37_79b1)
  for (let i = 0; i < lengthBytes; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    bytes[i] = state >>> 24
  }
  return bytes
}

/** The error that `attempt` ends with. */
export async function failureOf(attempt: Promise<unknown>): Promise<{ rpcCode?: number; rpcMessage?: string; code?: string; message: string }> {
  try {
    await attempt
  } catch (thrown) {
    return thrown as BdevError
  }
  throw new Error('it succeeded')
}

export const errno = (name: keyof typeof ERRNO): number => -ERRNO[name]
