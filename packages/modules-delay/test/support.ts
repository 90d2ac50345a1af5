// SPDX-License-Identifier: Apache-2.0
import { createHost, type Clock, type Host, type TimerHandle } from '@bdevkit/core'
import { defineBdevModule, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevHost, BdevIo, DescChannel } from '@bdevkit/module-sdk'
import delay from '../src/index.js'

/** Time and an event loop that move only when the test says so. */
export class TestClock implements Clock {
  #nowMs = 1000
  #immediates: (() => void)[] = []
  readonly #timers = new Set<{ fn: () => void; dueMs: number }>()

  nowMs = (): number => this.#nowMs
  queueMicrotask = (fn: () => void): void => void this.#immediates.push(fn)

  setTimer(fn: () => void, delayMs: number): TimerHandle {
    const timer = { fn, dueMs: this.#nowMs + Math.max(0, delayMs) }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  setImmediate(fn: () => void): void {
    this.#immediates.push(fn)
  }

  /** Whether only timers would wake it. */
  get asleep(): boolean {
    return this.#immediates.length === 0
  }

  /** Whether nothing at all would wake it. */
  get dead(): boolean {
    return this.asleep && this.#timers.size === 0
  }

  /** Lets what is queued happen, and promises settle, without time passing. */
  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) {
      for (const fn of this.#immediates.splice(0)) fn()
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  /** Moves on by `us` microseconds in steps of 10 while something turns, from timer to timer else. */
  async advance(us: number): Promise<void> {
    const endMs = this.#nowMs + us / 1000
    await this.settle()
    while (this.#nowMs < endMs - 1e-9) {
      const nextTimer = Math.min(...[...this.#timers].map(({ dueMs }) => dueMs))
      this.#nowMs = Math.min(endMs, this.asleep ? nextTimer : this.#nowMs + 0.01)
      for (const timer of [...this.#timers]) {
        if (timer.dueMs <= this.#nowMs && this.#timers.delete(timer)) timer.fn()
      }
      for (const fn of this.#immediates.splice(0)) fn()
    }
    await this.settle()
  }
}

/** How an I/O ended, and when. */
export interface Ended {
  status: number
  nvme: [sct: number, sc: number]
  errno: number
  /** Microseconds after its submission. */
  us: number
  /** The I/O's argument, for ABORT. */
  readonly arg: object
}

/** A host under a clock of the test, with a base bdev whose answers the test gives. */
export class Rig {
  readonly clock = new TestClock()
  readonly host: Host
  /** I/O that the base has not answered, while `hold` is set. */
  readonly held: BdevIo[] = []
  /** What the base was asked to do. */
  readonly seen: number[] = []
  hold = false
  /** Ends of I/O, in order. */
  readonly order: Ended[] = []
  own!: BdevHost
  #channel: DescChannel | undefined
  #close: (() => void) | undefined

  constructor() {
    this.host = createHost({ clock: this.clock, log: () => {} })
    this.host.use(delay)
    this.host.use(defineBdevModule({ name: 'bases', sdk: '0.1', setup: own => ((this.own = own), {}) }))
  }

  async start(): Promise<this> {
    const started = this.host.init()
    await this.clock.settle()
    await started
    return this
  }

  addBase(name = 'Base0', uuid?: string): void {
    const device = this.own.registerIoDevice({ name, createChannel: () => null })
    const { held, seen } = this
    const memory = new Uint8Array(512).fill(7)
    const holds = (): boolean => this.hold
    this.own.registerBdev<null, null, null>({
      name, ctx: null, productName: 'Base', blockSizeBytes: 512, numBlocks: 1024, ...(uuid !== undefined && { uuid }),
      fn: {
        destruct: () => device.unregister(),
        ioTypeSupported: (_ctx, type) => {
          const { Read, Write, Unmap, Flush, Reset, Abort, Zcopy } = IoType
          return [Read, Write, Unmap, Flush, Reset, Abort, Zcopy].includes(type as 1)
        },
        getIoChannel: () => device.getIoChannel(),
        submitRequest(_channel, io) {
          seen.push(io.type)
          if (io.type === IoType.Reset) {
            for (const below of held.splice(0)) below.complete(IoStatus.Aborted)
            io.complete(IoStatus.Success)
          } else if (io.type === IoType.Abort) {
            const at = held.indexOf(io.abortTarget as BdevIo)
            if (at < 0) return io.complete(IoStatus.Failed)
            held.splice(at, 1)[0]!.complete(IoStatus.Aborted)
            io.complete(IoStatus.Success)
          } else if (holds()) held.push(io)
          else if (io.type === IoType.Zcopy && io.zcopyStart) {
            io.lend(memory, 0, 512)
            io.complete(IoStatus.Success)
          } else io.complete(IoStatus.Success)
        },
      },
    })
  }

  /** Calls an RPC handler of the module. */
  async call(method: string, params: object): Promise<unknown> {
    const handlers = this.host.modules.find(({ name }) => name === 'delay')!.instance.handlers as Record<string, (p: object) => unknown>
    let settled = false
    const answer = (async () => handlers[method]!(params))().finally(() => (settled = true))
    answer.catch(() => undefined)
    while (!settled) await this.clock.settle()
    return answer
  }

  get channel(): DescChannel {
    if (this.#channel === undefined) {
      const desc = this.host.openBdev('Delay0', { write: true, onEvent: () => this.close() })
      this.#channel = desc.getIoChannel()!
      this.#close = () => {
        this.#channel!.put()
        desc.close()
        this.#channel = undefined
      }
    }
    return this.#channel
  }

  close(): void {
    this.#close?.()
    this.#close = undefined
  }

  /** Submits by `start`; the answer is filled in when the I/O ends. */
  submit(start: (channel: DescChannel, cb: (io: BdevIo, ok: boolean, ended: Ended) => void, ended: Ended) => number): Ended {
    const startMs = this.clock.nowMs()
    const ended = { status: 0, nvme: [0, 0], errno: 0, us: -1 } as unknown as Ended & { arg: object }
    ended.arg = ended
    const rc = start(this.channel, (io, _ok, own) => {
      own.status = io.status
      own.nvme = [io.nvmeSct, io.nvmeSc]
      own.errno = io.aioErrno
      own.us = Math.round((this.clock.nowMs() - startMs) * 1000)
      this.order.push(own)
      io.free()
    }, ended)
    if (rc !== 0) throw new Error(`refused with ${rc}`)
    return ended
  }

  read(lba = 0): Ended {
    return this.submit((channel, cb, ended) => channel.readBlocks(new Uint8Array(512), 0, lba, 1, cb, ended))
  }

  write(lba = 0): Ended {
    return this.submit((channel, cb, ended) => channel.writeBlocks(new Uint8Array(512), 0, lba, 1, cb, ended))
  }

  async stop(): Promise<void> {
    this.hold = false
    for (const io of this.held.splice(0)) io.complete(IoStatus.Success)
    this.close()
    let ended = false
    const finished = this.host.finish().finally(() => (ended = true))
    while (!ended) await this.clock.settle()
    await finished
  }
}
