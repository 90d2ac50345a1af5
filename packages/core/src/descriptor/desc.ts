// SPDX-License-Identifier: Apache-2.0
import type { BdevDesc, BdevEvent, BdevIo, ClaimOptions, MediaEvent, OpenOptions } from '@bdevkit/module-sdk'
import { BdevError, DifPiFormat, DifType } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { IoTimeout } from '../io/io-timeout.js'
import type { ModuleRecord } from '../module/module-record.js'
import { forget } from '../thread/io-device.js'
import type { SpdkThread } from '../thread/thread.js'
import { Access } from '../io/access.js'
import { DescChannel } from './desc-channel.js'

/** An open bdev (`struct spdk_bdev_desc`). */
export class Desc implements BdevDesc {
  readonly bdev: Bdev
  /** Who opened it, for messages. */
  readonly owner: string
  /** The module that opened it; `null` for the application. @internal */
  readonly module: ModuleRecord | null
  /** The thread that opened it: it is told of events there, and closed there. */
  readonly thread: SpdkThread
  readonly hideMetadata: boolean
  /** What submission may do, see `Access`. @internal */
  access: number
  /** Its channel on each thread that has one. @internal */
  readonly channels = new Map<SpdkThread, DescChannel>()
  readonly #onEvent: (event: BdevEvent) => void
  /** Media events that wait to be read, oldest first. @internal */
  readonly mediaEvents: MediaEvent[] = []
  #timeout: IoTimeout | null = null

  /** Opens `bdev`, which the caller has found ready; see `Host.openBdev`. @internal */
  constructor(bdev: Bdev, owner: string, module: ModuleRecord | null, thread: SpdkThread, options: OpenOptions) {
    this.bdev = bdev
    this.owner = owner
    this.module = module
    this.thread = thread
    this.access = options.write === true ? Access.Read | Access.Write : Access.Read
    this.hideMetadata = options.hideMetadata ?? false
    this.#onEvent = options.onEvent
    if (this.hideMetadata && bdev.mdSizeBytes > 0 && !bdev.mdInterleave) {
      throw new BdevError('EINVAL', `${owner}: open of bdev "${bdev.name}" with its metadata hidden: its metadata is separate; give it a buffer, or none`)
    }
    bdev.descs.push(this)
    if (module !== null) module.hasBases = true
    bdev.qos?.restart()
  }

  get write(): boolean {
    return (this.access & Access.Write) !== 0
  }

  get blockSizeBytes(): number {
    return this.hideMetadata ? this.bdev.dataBlockSizeBytes : this.bdev.blockSizeBytes
  }

  get mdSizeBytes(): number {
    return this.hideMetadata ? 0 : this.bdev.mdSizeBytes
  }

  get mdInterleave(): boolean {
    return !this.hideMetadata && this.bdev.mdInterleave
  }

  get difType(): number {
    return this.hideMetadata ? DifType.Disable : this.bdev.difType
  }

  get difPiFormat(): number {
    return this.hideMetadata ? DifPiFormat.Guard16 : this.bdev.difPiFormat
  }

  get difIsHeadOfMd(): boolean {
    return !this.hideMetadata && this.bdev.difIsHeadOfMd
  }

  get difCheckFlags(): number {
    return this.hideMetadata ? 0 : this.bdev.difCheckFlags
  }

  /** Whether it has been closed. */
  get closed(): boolean {
    return this.access === 0
  }

  getIoChannel(): DescChannel | null {
    if (this.closed) return null
    const thread = this.bdev.host.currentThread()
    const found = this.channels.get(thread)
    if (found !== undefined) {
      found.refs++
      thread.acquired?.push(found)
      return found
    }
    const ioChannel = this.bdev.device.getIoChannel()
    if (ioChannel === null) return null
    forget(thread, ioChannel)
    const channel = new DescChannel(this, ioChannel)
    this.channels.set(thread, channel)
    thread.acquired?.push(channel)
    return channel
  }

  claim(type: number, options: ClaimOptions = {}): void {
    if (this.closed) throw new BdevError('EBADF', `${this.owner}: claim of bdev "${this.bdev.name}": wanted an open descriptor, found it closed; claim before close`)
    this.bdev.claims.take(this, type, options)
  }

  releaseClaim(): void {
    this.bdev.claims.releaseExclWrite(this)
  }

  getModuleCtx(): unknown {
    return this.bdev.callPlain('getModuleCtx', this.bdev.ctx)
  }

  setTimeout(timeoutS: number, onTimeout: ((io: BdevIo) => void) | null): void {
    const timeout = IoTimeout.create(this, timeoutS, onTimeout)
    this.#timeout?.stop()
    this.#timeout = timeout
  }

  getMediaEvents(max = Infinity): MediaEvent[] {
    return this.mediaEvents.splice(0, max)
  }

  close(): void {
    if (this.closed) return
    const current = this.bdev.host.currentThread()
    if (current !== this.thread) {
      this.bdev.host.misuse(`${this.owner}: bdev "${this.bdev.name}" was opened on thread "${this.thread.name}" and closed on "${current.name}"; close it where it was opened`)
    }
    this.access = 0
    this.bdev.claims.descClosed(this)
    this.#timeout?.stop()
    this.bdev.descs.splice(this.bdev.descs.indexOf(this), 1)
    if (this.bdev.descs.length === 0) this.bdev.qos?.stop()
    this.bdev.changed?.()
  }

  /** Tells the holder, by message on the opening thread; not after it closed. @internal */
  send(type: number): void {
    this.thread.sendMsg(deliver, { desc: this, type })
  }

  /** Body of the message. What the holder throws, or its promise rejects with, ends here. @internal */
  deliver(type: number): void {
    if (this.closed) return
    const failed = (thrown: unknown): void => this.bdev.host.reportThrow(`onEvent of ${this.owner} for bdev "${this.bdev.name}"`, thrown)
    try {
      const answer: unknown = this.#onEvent({ type, bdev: this.bdev })
      if (typeof (answer as PromiseLike<unknown> | undefined)?.then === 'function') (answer as PromiseLike<unknown>).then(undefined, failed)
    } catch (thrown) {
      failed(thrown)
    }
  }
}

function deliver(message: { desc: Desc; type: number }): void {
  message.desc.deliver(message.type)
}
