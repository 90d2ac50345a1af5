// SPDX-License-Identifier: Apache-2.0
import type { BdevIo, BdevSpec, IoChannel, IoDevice } from '@bdevkit/module-sdk'
import { defineBdevModule, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { Bdev } from '../../src/bdev/bdev.js'
import type { Desc } from '../../src/descriptor/desc.js'
import type { DescChannel } from '../../src/descriptor/desc-channel.js'
import { createHost, type Host } from '../../src/host/host.js'
import type { HostOptions } from '../../src/host/host-options.js'
import type { Clock, TimerHandle } from '../../src/thread/clock.js'
import type { SpdkThread } from '../../src/thread/thread.js'

export const BLOCK_BYTES = 4096
const SPIN_MS = 0.25

/** Time that stands still until a test moves it; the event loop turns only when asked. */
export class TestClock implements Clock {
  now = 1_000
  #soon: (() => void)[] = []
  readonly #timers = new Set<{ fn: () => void; dueMs: number }>()

  nowMs(): number {
    return this.now
  }

  setTimer(fn: () => void, delayMs: number): TimerHandle {
    const timer = { fn, dueMs: this.now + delayMs }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  setImmediate(fn: () => void): void {
    this.#soon.push(fn)
  }

  queueMicrotask(fn: () => void): void {
    this.#soon.push(fn)
  }

  /** Whether the event loop would sleep now. */
  get idle(): boolean {
    return this.#soon.length === 0
  }

  /** One turn of the event loop, and of what waits for promises. */
  async turn(): Promise<void> {
    const due = [...this.#timers].filter(({ dueMs }) => dueMs <= this.now)
    for (const timer of due) this.#timers.delete(timer)
    for (const { fn } of due) fn()
    for (const fn of this.#soon.splice(0)) fn()
    for (let i = 0; i < 10; i++) await Promise.resolve()
  }

  /** Moves to the next moment at which something happens, at most to `endMs`. */
  step(endMs: number): void {
    if (!this.idle) this.now = Math.min(endMs, this.now + SPIN_MS)
    else this.now = Math.min(endMs, ...[...this.#timers].map(({ dueMs }) => dueMs))
  }
}

/** What the module of {@link Rig} holds on one thread. */
interface StubChannel {
  readonly pending: BdevIo[]
}

/** A host with a module that keeps I/O until the test completes it (the stub of SPDK's unit tests). */
export class Rig {
  readonly clock = new TestClock()
  readonly host: Host
  readonly threads: SpdkThread[]
  readonly log: string[] = []
  readonly destructed: string[] = []
  deviceStatResets = 0
  readonly #channels = new Map<SpdkThread, StubChannel>()
  #register!: (spec: Partial<BdevSpec> & { name: string }) => void

  private constructor(threads: number, options: HostOptions) {
    this.host = createHost({ clock: this.clock, log: (level, _source, message) => this.log.push(`${level}: ${message}`), ...options })
    this.threads = [this.host.appThread]
    while (this.threads.length < threads) this.threads.push(this.host.createThread(`thread${this.threads.length}`))
    this.host.use(this.#module())
  }

  static async create(threads = 2, options: HostOptions = {}): Promise<Rig> {
    const rig = new Rig(threads, options)
    await rig.settle(rig.host.init())
    return rig
  }

  /** Registers a bdev of 1024 blocks. */
  async bdev(name = 'ut', spec: Partial<BdevSpec> = {}): Promise<Bdev> {
    this.#register({ name, ...spec })
    await this.poll()
    return this.host.bdevByName(name)!
  }

  open(name = 'ut', options: { write?: boolean; onEvent?: (type: number) => void; thread?: number } = {}): Desc {
    return this.on(options.thread ?? 0, () =>
      this.host.openBdev(name, { write: options.write ?? true, onEvent: event => options.onEvent?.(event.type) }),
    )
  }

  /** Runs `fn` on a thread; what it sends has arrived when this returns. */
  on<Result>(thread: number, fn: () => Result): Result {
    let outcome: { result: Result } | { thrown: unknown } | undefined
    this.threads[thread]!.execMsg(() => {
      try {
        outcome = { result: fn() }
      } catch (thrown) {
        outcome = { thrown }
      }
    }, undefined)
    if (outcome === undefined) throw new Error('a thread was current already')
    if ('thrown' in outcome) throw outcome.thrown
    return outcome.result
  }

  channel(thread: number, desc: Desc): DescChannel {
    return this.on(thread, () => desc.getIoChannel()!)
  }

  /** Reads or writes one block; the object tells how it went. */
  submit(thread: number, channel: DescChannel, type: 'read' | 'write' = 'read', numBlocks = 1, offsetBlocks = 0): Sent {
    const sent = new Sent()
    const buf = new Uint8Array(numBlocks * BLOCK_BYTES)
    const rc = this.on(thread, () =>
      type === 'read' ? channel.readBlocks(buf, 0, offsetBlocks, numBlocks, onDone, sent) : channel.writeBlocks(buf, 0, offsetBlocks, numBlocks, onDone, sent),
    )
    if (rc !== 0) throw new Error(`submit: ${rc}`)
    return sent
  }

  reset(thread: number, channel: DescChannel): Sent {
    const sent = new Sent()
    this.on(thread, () => channel.reset(onDone, sent))
    return sent
  }

  abort(thread: number, channel: DescChannel, target: Sent): Sent {
    const sent = new Sent()
    const rc = this.on(thread, () => channel.abort(target, onDone, sent))
    if (rc !== 0) throw new Error(`abort: ${rc}`)
    return sent
  }

  /** I/Os that have arrived at the device on a thread. */
  pending(thread: number): readonly BdevIo[] {
    return this.#channels.get(this.threads[thread]!)?.pending ?? []
  }

  /** The device completes the oldest `count` of a thread, default all. */
  complete(thread: number, count = Infinity, status: number = IoStatus.Success): void {
    const pending = this.#channels.get(this.threads[thread]!)!.pending
    this.on(thread, () => {
      for (const io of pending.splice(0, count)) io.complete(status)
    })
  }

  /** Lets everything happen that needs no time. */
  async poll(): Promise<void> {
    do {
      await this.clock.turn()
      await this.clock.turn()
    } while (this.host.reactor.threads.some(thread => thread.hasMessages))
  }

  /** Moves time, and lets everything happen meanwhile. */
  async advance(ms: number): Promise<void> {
    const endMs = this.clock.now + ms
    await this.poll()
    while (this.clock.now < endMs) {
      this.clock.step(endMs)
      await this.clock.turn()
    }
    await this.poll()
  }

  /** Turns the event loop until a promise has settled, without moving time. */
  async settle<Result>(promise: Promise<Result>): Promise<Result> {
    let settled = false
    promise.then(
      () => (settled = true),
      () => (settled = true),
    )
    for (let i = 0; i < 100 && !settled; i++) await this.clock.turn()
    if (!settled) throw new Error(`it waits: ${JSON.stringify(this.host.waits.list())}`)
    return promise
  }

  /** Ends the host; everything must be gone then. */
  async finish(): Promise<void> {
    await this.settle(this.host.finish())
    const left = Object.entries(this.host.usage()).filter(([, count]) => count !== 0)
    if (left.length > 0) throw new Error(`still in use: ${left.join('; ')}`)
  }

  #module() {
    return defineBdevModule({
      name: 'ut',
      sdk: '0.1',
      setup: host => {
        const device: IoDevice<StubChannel> = host.registerIoDevice({
          name: 'ut',
          createChannel: thread => {
            const channel = { pending: [] }
            this.#channels.set(thread as SpdkThread, channel)
            return channel
          },
        })
        const fn = {
          destruct: (name: string) => void this.destructed.push(name),
          submitRequest: (channel: StubChannel, io: BdevIo) => submitRequest(channel, io),
          ioTypeSupported: (_name: string, type: number) => type === IoType.Read || type === IoType.Write || type === IoType.Reset || type === IoType.Abort,
          getIoChannel: (): IoChannel<StubChannel> | null => device.getIoChannel(),
          resetDeviceStat: () => void this.deviceStatResets++,
          dumpDeviceStatJson: () => ({ spins: 7 }),
        }
        this.#register = spec => {
          const defaults = { productName: 'stub', blockSizeBytes: BLOCK_BYTES, numBlocks: 1024, ctx: spec.name, fn }
          this.on(0, () => host.registerBdev({ ...defaults, ...spec }))
        }
        this.pushMediaEvents = (bdev, events) => host.pushMediaEvents(bdev, events)
        this.notifyMediaManagement = bdev => host.notifyMediaManagement(bdev)
        this.resize = (bdev, numBlocks) => this.on(0, () => host.notifyBlockcntChange(bdev, numBlocks))
        this.openAsync = (name, options) => host.openBdevAsync(name, options) as Promise<Desc>
        return { moduleFini: () => device.unregister() }
      },
    })
  }

  pushMediaEvents!: (bdev: Bdev, events: { offsetBlocks: number; numBlocks: number }[]) => number
  notifyMediaManagement!: (bdev: Bdev) => void
  resize!: (bdev: Bdev, numBlocks: number) => void
  openAsync!: (name: string, options: { timeoutMs?: number; onEvent(): void }) => Promise<Desc>
}

/** An I/O of a test: `status` is 0 until its callback has run. */
export class Sent {
  status = 0
}

function onDone(io: BdevIo, _success: boolean, sent: Sent): void {
  sent.status = io.status
  io.free()
}

function submitRequest(channel: StubChannel, io: BdevIo): void {
  if (io.type !== IoType.Abort) {
    channel.pending.push(io)
    return
  }
  const at = io.abortTarget === null ? -1 : channel.pending.indexOf(io.abortTarget)
  if (at < 0) io.complete(IoStatus.Failed)
  else {
    channel.pending.splice(at, 1)[0]!.complete(IoStatus.Aborted)
    io.complete(IoStatus.Success)
  }
}
