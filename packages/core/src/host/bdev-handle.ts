// SPDX-License-Identifier: Apache-2.0
import type { BdevEvent, BdevIo as SdkBdevIo } from '@bdevkit/module-sdk'
import { BdevError, BdevEventType, ERRNO, IoType, type ErrnoName } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import type { Desc } from '../descriptor/desc.js'
import type { DescChannel } from '../descriptor/desc-channel.js'
import type { BdevIo } from '../io/bdev-io.js'
import type { Host } from './host.js'
import { ioErrno } from './io-errno.js'

/** How an application opens a bdev. */
export interface BdevOpenOptions {
  /** Ask for write permission. Default false. */
  write?: boolean
  /** Who opens it, for messages. */
  owner?: string
  /** Wait as long as this for the bdev to appear, in milliseconds. Default 0. */
  timeoutMs?: number
  /** Told of removal and resize. On removal the handle closes itself, after its I/O has ended. */
  onEvent?(event: BdevEvent): void
}

/** Options of one I/O. */
export interface IoOptions {
  /** Aborts the I/O (ABORT to the bdev). The promise settles when the I/O has ended, whichever way. */
  signal?: AbortSignal
}

/** Options of a write. */
export interface WriteOptions extends IoOptions {
  /** Make this write durable before it is answered. Default false. */
  fua?: boolean
}

type Submit = (channel: DescChannel, cb: (io: BdevIo, success: boolean, op: Operation) => void, op: Operation) => number

/** One call under way; its object is the argument of the I/O, so that ABORT finds it. */
class Operation {
  readonly what: string
  readonly submit: Submit
  readonly resolve: () => void
  readonly reject: (error: Error) => void
  /** Called when it has ended, whichever way. */
  ended: (() => void) | null = null

  constructor(what: string, submit: Submit, resolve: () => void, reject: (error: Error) => void) {
    this.what = what
    this.submit = submit
    this.resolve = resolve
    this.reject = reject
  }
}

/**
 * An open bdev for applications: offsets and lengths are bytes and multiples of the block size, every method returns a
 * promise that settles when the I/O has completed, and rejects with a `BdevError` of the errno that SPDK would give.
 */
export class BdevHandle {
  readonly #host: Host
  readonly #desc: Desc
  readonly #channel: DescChannel
  readonly #pending = new Set<Operation>()
  #closed: Promise<void> | null = null
  #idle: (() => void) | null = null

  private constructor(host: Host, desc: Desc, channel: DescChannel) {
    this.#host = host
    this.#desc = desc
    this.#channel = channel
  }

  /** Use `Host.open`. @internal */
  static async open(host: Host, name: string, options: BdevOpenOptions): Promise<BdevHandle> {
    let handle: BdevHandle | null = null
    let removed = false
    const owner = options.owner ?? 'application'
    const openOptions = {
      write: options.write ?? false,
      onEvent: (event: BdevEvent) => {
        try {
          return options.onEvent?.(event)
        } finally {
          if (event.type === BdevEventType.Remove) {
            removed = true
            void handle?.close()
          }
        }
      },
    }
    const { timeoutMs = 0 } = options
    const desc = timeoutMs === 0 ? host.openFor(name, openOptions, owner, null) : await host.asyncOpens.open(name, openOptions, timeoutMs, owner, null)
    const channel = await new Promise<DescChannel | null>(resolve => desc.thread.execMsg(() => resolve(desc.getIoChannel()), undefined))
    if (channel === null) {
      desc.thread.execMsg(() => desc.close(), undefined)
      throw new BdevError('ENOMEM', `open of bdev "${name}": no channel could be made; the log says why`)
    }
    handle = new BdevHandle(host, desc, channel)
    if (removed) void handle.close()
    return handle
  }

  /** The bdev. */
  get bdev(): Bdev {
    return this.#desc.bdev
  }

  /** The descriptor, for claims. */
  get desc(): Desc {
    return this.#desc
  }

  /** Size in bytes. */
  get sizeBytes(): number {
    return this.bdev.numBlocks * this.bdev.blockSizeBytes
  }

  /** Reads `lengthBytes` from `offsetBytes` into memory of its own. */
  async read(offsetBytes: number, lengthBytes: number, options: IoOptions = {}): Promise<Uint8Array> {
    const [, blocks] = this.#blocks('read', offsetBytes, lengthBytes)
    const buf = new Uint8Array(blocks * this.bdev.blockSizeBytes)
    await this.readInto(buf, offsetBytes, options)
    return buf
  }

  /** Fills `buf` from `offsetBytes` on. */
  async readInto(buf: Uint8Array, offsetBytes: number, options: IoOptions = {}): Promise<void> {
    const [at, blocks] = this.#blocks('read', offsetBytes, buf.length)
    await this.#run('read', (channel, cb, op) => channel.readBlocks(buf, 0, at, blocks, cb as never, op), options)
  }

  /** Writes `data` at `offsetBytes`. The buffer must stay unchanged until the promise settles. */
  async write(data: Uint8Array, offsetBytes: number, options: WriteOptions = {}): Promise<void> {
    const [at, blocks] = this.#blocks('write', offsetBytes, data.length)
    await this.#run('write', (channel, cb, op) => channel.writeBlocks(data, 0, at, blocks, cb as never, op), options)
    if (options.fua !== true || !this.bdev.ioTypeSupported(IoType.Flush)) return
    await this.#run('flush', (channel, cb, op) => channel.flushBlocks(at, blocks, cb as never, op), {})
  }

  /** Compares; rejects with EILSEQ where the data differs. */
  async compare(data: Uint8Array, offsetBytes: number, options: IoOptions = {}): Promise<void> {
    const [at, blocks] = this.#blocks('compare', offsetBytes, data.length)
    const iovs = [{ buf: data, off: 0, len: data.length }]
    await this.#run('compare', (channel, cb, op) => channel.comparevBlocks(iovs, data.length === 0 ? 0 : 1, at, blocks, cb as never, op), options)
  }

  /** Deallocates a range. */
  async unmap(offsetBytes: number, lengthBytes: number, options: IoOptions = {}): Promise<void> {
    const [at, blocks] = this.#blocks('unmap', offsetBytes, lengthBytes)
    await this.#run('unmap', (channel, cb, op) => channel.unmapBlocks(at, blocks, cb as never, op), options)
  }

  /** Zeroes a range. */
  async writeZeroes(offsetBytes: number, lengthBytes: number, options: IoOptions = {}): Promise<void> {
    const [at, blocks] = this.#blocks('write_zeroes', offsetBytes, lengthBytes)
    await this.#run('write_zeroes', (channel, cb, op) => channel.writeZeroesBlocks(at, blocks, cb as never, op), options)
  }

  /** Makes every write that has completed durable. */
  async flush(options: IoOptions = {}): Promise<void> {
    await this.#run('flush', (channel, cb, op) => channel.flushBlocks(0, this.bdev.numBlocks, cb as never, op), options)
  }

  /** Resets the bdev. */
  async reset(): Promise<void> {
    await this.#run('reset', (channel, cb, op) => channel.reset(cb as never, op), {})
  }

  /**
   * Tells of this handle's I/O that lasts `timeoutS` seconds or longer: looked for once a second, and told again each second
   * while it lasts. 0 ends it. To end such an I/O abort its signal, or `reset`.
   * @throws BdevError EINVAL a negative time; EBADF the handle is closed.
   */
  setTimeout(timeoutS: number, onTimeout: ((io: SdkBdevIo) => void) | null): Promise<void> {
    return this.#onThread(() => this.#desc.setTimeout(timeoutS, onTimeout))
  }

  /** Waits for its I/O, then closes. Calling it again gives the same promise. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    if (this.#pending.size > 0) {
      const ended = this.#host.waits.begin(`close of ${this.#desc.owner}'s handle of bdev "${this.bdev.name}"`, () => `${this.#pending.size} I/O(s): ${[...new Set([...this.#pending].map(op => op.what))].join(', ')}`)
      await new Promise<void>(resolve => (this.#idle = resolve))
      ended()
    }
    await this.#onThread(() => {
      this.#channel.put()
      this.#desc.close()
    })
  }

  /** After an await no thread is current; a descriptor wants its own. */
  #onThread(work: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#desc.thread.execMsg(() => {
        try {
          work()
          resolve()
        } catch (thrown) {
          reject(thrown as Error)
        }
      }, undefined)
    })
  }

  #blocks(what: string, offsetBytes: number, lengthBytes: number): [number, number] {
    const size = this.bdev.blockSizeBytes
    const fits = (bytes: number): boolean => Number.isSafeInteger(bytes) && bytes >= 0 && bytes % size === 0
    if (!fits(offsetBytes) || !fits(lengthBytes)) {
      throw new BdevError('EINVAL', `${what} on bdev "${this.bdev.name}": wanted offset and length to be multiples of its block size ${size}, found ${offsetBytes} and ${lengthBytes}`)
    }
    if (offsetBytes + lengthBytes > this.sizeBytes) {
      throw new BdevError('EINVAL', `${what} on bdev "${this.bdev.name}": wanted a range within its ${this.sizeBytes} bytes, found ${lengthBytes} bytes at ${offsetBytes}`)
    }
    return [offsetBytes / size, lengthBytes / size]
  }

  #run(what: string, submit: Submit, options: IoOptions): Promise<void> {
    const signal = options.signal
    return new Promise<void>((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason as Error)
      if (this.#closed !== null) return reject(new BdevError('ENODEV', `${what} on bdev "${this.bdev.name}": the handle is closed`))
      const op = new Operation(what, submit, resolve, reject)
      if (signal !== undefined) {
        const onAbort = (): void => this.#abort(op)
        op.ended = () => signal.removeEventListener('abort', onAbort)
        signal.addEventListener('abort', onAbort, { once: true })
      }
      this.#pending.add(op)
      this.#desc.thread.execMsg(this.#start, op)
    }).finally(() => {
      if (this.#pending.size === 0) this.#idle?.()
    })
  }

  readonly #start = (op: Operation): void => {
    let rc: number
    try {
      rc = op.submit(this.#channel, this.#done, op)
    } catch (thrown) {
      this.#end(op, thrown as Error)
      return
    }
    if (rc === 0) return
    if (rc === -ERRNO.ENOMEM && this.#channel.queueIoWait({ fn: this.#start, arg: op }) === 0) return
    this.#end(op, ioError(op.what, this.bdev.name, rc))
  }

  readonly #done = (io: BdevIo, success: boolean, op: Operation): void => {
    const errno = success ? 0 : ioErrno(io)
    io.free()
    this.#end(op, success ? null : ioError(op.what, this.bdev.name, errno))
  }

  #end(op: Operation, error: Error | null): void {
    this.#pending.delete(op)
    op.ended?.()
    if (error === null) op.resolve()
    else op.reject(error)
  }

  /** Asks the bdev; where it cannot abort, the I/O ends by itself. */
  #abort(op: Operation): void {
    if (!this.#pending.has(op)) return
    this.#desc.thread.execMsg(() => void this.#channel.abort(op, abortDone, null), undefined)
  }
}

function abortDone(io: { free(): void }): void {
  io.free()
}

/** The error of an I/O that failed with a negative errno. */
export function ioError(what: string, bdev: string, errno: number): BdevError {
  const name = (Object.keys(ERRNO) as ErrnoName[]).find(key => ERRNO[key] === -errno) ?? 'EIO'
  return new BdevError(name, `${what} on bdev "${bdev}" failed: ${name}${name === 'ECANCELED' ? ' (aborted)' : ''}`)
}

