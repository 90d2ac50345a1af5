// SPDX-License-Identifier: Apache-2.0
import type { IoChannel as SdkIoChannel, IoDevice as SdkIoDevice, IoDeviceSpec } from '@bdevkit/module-sdk'
import { BdevError } from '@bdevkit/module-sdk'
import type { Waits } from '../host/waits.js'
import type { SpdkThread } from './thread.js'

/** What {@link IoDevice} needs of its host. */
export interface IoDeviceOwner {
  currentThread(): SpdkThread
  /** Told that making a channel threw. */
  channelFailed(device: string, thread: SpdkThread, thrown: unknown): void
  /** Told of every misuse. */
  misuse(message: string): void
  /** Names what waits for too long. */
  readonly waits: Waits
}

/** One thread's reference-counted share of a device (`struct spdk_io_channel`). */
export class IoChannel<Ctx> implements SdkIoChannel<Ctx> {
  readonly device: IoDevice<Ctx>
  readonly thread: SpdkThread
  readonly ctx: Ctx
  refs = 1

  constructor(device: IoDevice<Ctx>, thread: SpdkThread, ctx: Ctx) {
    this.device = device
    this.thread = thread
    this.ctx = ctx
  }

  put(): void {
    if (this.refs === 0) {
      this.device.owner.misuse(`channel of "${this.device.name}" on thread "${this.thread.name}" was put once too often`)
      return
    }
    const current = this.thread.reactor.executing()
    if (current !== this.thread) {
      this.device.owner.misuse(`channel of "${this.device.name}" on thread "${this.thread.name}" was put on thread "${current.name}"; put it where it was got`)
    }
    forget(this.thread, this)
    if (--this.refs === 0) this.thread.sendMsg(destroyIfUnused, this)
  }
}

/** What is being made on a thread has given a channel back by itself. */
export function forget(thread: SpdkThread, channel: { put(): void }): void {
  const { acquired } = thread
  if (acquired === null) return
  const at = acquired.lastIndexOf(channel)
  if (at >= 0) acquired.splice(at, 1)
}

/** A get between the last put and this message has revived the channel. */
function destroyIfUnused(channel: IoChannel<any>): void {
  if (channel.refs === 0) channel.device.channelUnused(channel)
}

/** Something that threads hold channels of (`spdk_io_device_register`). */
export class IoDevice<Ctx> implements SdkIoDevice<Ctx> {
  readonly name: string
  readonly owner: IoDeviceOwner
  readonly channels = new Map<SpdkThread, IoChannel<Ctx>>()
  readonly #spec: IoDeviceSpec<Ctx>
  #walks = 0
  #unregistered: { promise: Promise<void>; settle: () => void } | null = null

  constructor(owner: IoDeviceOwner, spec: IoDeviceSpec<Ctx>) {
    this.owner = owner
    this.name = spec.name
    this.#spec = spec
  }

  getIoChannel(): IoChannel<Ctx> | null {
    const thread = this.owner.currentThread()
    if (this.#unregistered !== null) {
      this.owner.misuse(`channel of "${this.name}" on thread "${thread.name}": the device is unregistered; get channels before`)
      return null
    }
    const found = this.channels.get(thread)
    if (found !== undefined) {
      found.refs++
      thread.acquired?.push(found)
      return found
    }
    const outer = thread.acquired
    const acquired: { put(): void }[] = []
    thread.acquired = acquired
    const pollers = new Set(thread.pollers)
    let ctx: Ctx
    try {
      ctx = this.#spec.createChannel(thread)
    } catch (thrown) {
      this.owner.channelFailed(this.name, thread, thrown)
      // What it had got before it failed would stay for ever: nobody is told of it.
      for (const poller of [...thread.pollers]) if (!pollers.has(poller)) poller.unregister()
      while (acquired.length > 0) acquired.at(-1)!.put()
      return null
    } finally {
      thread.acquired = outer
    }
    const channel = new IoChannel(this, thread, ctx)
    this.channels.set(thread, channel)
    thread.ioChannels.add(channel)
    thread.acquired?.push(channel)
    return channel
  }

  async forEachChannel(fn: (ctx: Ctx, thread: SpdkThread) => void | Promise<void>): Promise<void> {
    if (this.#unregistered !== null) {
      throw new BdevError('ENODEV', `walk over the channels of "${this.name}": the device is unregistered`)
    }
    this.#walks++
    let at: SpdkThread | null = null
    const ended = this.owner.waits.begin(`walk over the channels of "${this.name}"`, () => `its visitor on thread "${at?.name}"`)
    try {
      const threads = [...this.channels.keys()].sort((a, b) => a.id - b.id)
      for (const thread of threads) {
        at = thread
        await this.#visit(thread, fn)
      }
    } finally {
      ended()
      this.#walks--
      this.#settleIfGone()
    }
  }

  /** Visits one channel, on its thread; one that has gone meanwhile is passed over. */
  #visit(thread: SpdkThread, fn: (ctx: Ctx, thread: SpdkThread) => void | Promise<void>): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      thread.sendMsg(() => {
        const channel = this.channels.get(thread)
        if (channel === undefined) return resolve()
        try {
          Promise.resolve(fn(channel.ctx, thread)).then(resolve, reject)
        } catch (thrown) {
          // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- what the visitor threw, as it is
          reject(thrown)
        }
      }, null)
    })
  }

  unregister(): Promise<void> {
    if (this.#unregistered !== null) {
      this.owner.misuse(`device "${this.name}" was unregistered twice; once is enough, and waits for its channels`)
      return this.#unregistered.promise
    }
    const gone = this.remove()
    if (!this.#isGone) {
      const ended = this.owner.waits.begin(`unregister of device "${this.name}"`, () => this.#holders())
      void gone.then(ended)
    }
    return gone
  }

  /** As `unregister`, for an owner that names the wait itself. */
  remove(): Promise<void> {
    if (this.#unregistered === null) {
      let settle!: () => void
      const promise = new Promise<void>(resolve => (settle = resolve))
      this.#unregistered = { promise, settle }
      this.#settleIfGone()
    }
    return this.#unregistered.promise
  }

  /** Destroys a channel that nobody holds: once, however often it was revived and put meanwhile. */
  channelUnused(channel: IoChannel<Ctx>): void {
    if (this.channels.get(channel.thread) !== channel) return
    this.channels.delete(channel.thread)
    channel.thread.ioChannels.delete(channel)
    try {
      this.#spec.destroyChannel?.(channel.ctx)
    } catch (thrown) {
      this.owner.channelFailed(`${this.name} (destroy)`, channel.thread, thrown)
    }
    this.#settleIfGone()
  }

  get #isGone(): boolean {
    return this.channels.size === 0 && this.#walks === 0
  }

  #settleIfGone(): void {
    if (this.#unregistered !== null && this.#isGone) this.#unregistered.settle()
  }

  #holders(): string {
    const held = [...this.channels.values()].map(({ thread, refs }) => `its channel on thread "${thread.name}", held ${refs} time(s)`)
    return [...held, ...(this.#walks > 0 ? [`${this.#walks} walk(s) over its channels`] : [])].join(', ')
  }
}
