// SPDX-License-Identifier: Apache-2.0
import { BdevError, ERRNO, type ErrnoName } from '@bdevkit/module-sdk'
import type { Desc } from '../descriptor/desc.js'
import type { DescChannel } from '../descriptor/desc-channel.js'
import type { BdevIo } from '../io/bdev-io.js'
import { ioErrno } from './io-errno.js'

/** Submits on the channel, with the callback and its argument. */
export type Submit = (channel: DescChannel, cb: (io: BdevIo, success: boolean, op: Operation) => void, op: Operation) => number

/** Looks at an I/O that has succeeded; answers whether it keeps it, instead of letting it be freed. */
export type Take = (io: BdevIo) => boolean | void

/** How {@link HandleOperations.run} runs an I/O. */
export interface RunOptions {
  signal?: AbortSignal
  take?: Take | null
  /** A close sends it itself. */
  whileClosing?: boolean
}

/** One call under way; its object is the argument of the I/O, so that ABORT finds it. */
export class Operation {
  readonly what: string
  readonly submit: Submit
  readonly take: Take | null
  readonly resolve: () => void
  readonly reject: (error: Error) => void
  /** Called when it has ended, whichever way. */
  ended: (() => void) | null = null
  /** It waits for an I/O of the pool. */
  waiting = false

  constructor(what: string, submit: Submit, take: Take | null, resolve: () => void, reject: (error: Error) => void) {
    this.what = what
    this.submit = submit
    this.take = take
    this.resolve = resolve
    this.reject = reject
  }
}

/** The I/O of one handle: turns submission with callbacks into promises, and an `AbortSignal` into ABORT. */
export class HandleOperations {
  readonly #desc: Desc
  readonly #channel: DescChannel
  readonly #pending = new Set<Operation>()
  #closed = false
  #idle: (() => void) | null = null

  constructor(desc: Desc, channel: DescChannel) {
    this.#desc = desc
    this.#channel = channel
  }

  /** Runs one I/O on the descriptor's thread; settles when it has completed. */
  run(what: string, submit: Submit, options: RunOptions = {}): Promise<void> {
    const { signal, take = null, whileClosing = false } = options
    return new Promise<void>((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason as Error)
      if (this.#closed && !whileClosing) return reject(new BdevError('ENODEV', `${what} on bdev "${this.#desc.bdev.name}": the handle is closed`))
      const op = new Operation(what, submit, take, resolve, reject)
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

  /** Refuses new I/O and waits for what is under way. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#pending.size === 0) return
    const { bdev, owner } = this.#desc
    const whom = (): string => `${this.#pending.size} I/O(s): ${[...new Set([...this.#pending].map(op => op.what))].join(', ')}`
    const ended = bdev.host.waits.begin(`close of ${owner}'s handle of bdev "${bdev.name}"`, whom)
    await new Promise<void>(resolve => (this.#idle = resolve))
    ended()
  }

  readonly #start = (op: Operation): void => {
    op.waiting = false
    if (!this.#pending.has(op)) return
    let rc: number
    try {
      rc = op.submit(this.#channel, this.#done, op)
    } catch (thrown) {
      this.#end(op, thrown as Error)
      return
    }
    if (rc === 0) return
    if (rc === -ERRNO.ENOMEM && this.#channel.queueIoWait({ fn: this.#start, arg: op }) === 0) op.waiting = true
    else this.#end(op, ioError(op.what, this.#desc.bdev.name, rc))
  }

  readonly #done = (io: BdevIo, success: boolean, op: Operation): void => {
    const errno = success ? 0 : ioErrno(io)
    let error: Error | null = success ? null : ioError(op.what, this.#desc.bdev.name, errno)
    let kept = false
    try {
      if (success && op.take !== null) kept = op.take(io) === true
    } catch (thrown) {
      error = thrown as Error
    }
    if (!kept) io.free()
    this.#end(op, error)
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
    if (op.waiting) this.#end(op, ioError(op.what, this.#desc.bdev.name, -ERRNO.ECANCELED))
    else this.#desc.thread.execMsg(() => void this.#channel.abort(op, freeIo, null), undefined)
  }
}

function freeIo(io: { free(): void }): void {
  io.free()
}

/** The error of an I/O that failed with a negative errno. */
export function ioError(what: string, bdev: string, errno: number): BdevError {
  const name = (Object.keys(ERRNO) as ErrnoName[]).find(key => ERRNO[key] === -errno) ?? 'EIO'
  return new BdevError(name, `${what} on bdev "${bdev}" failed: ${name}${name === 'ECANCELED' ? ' (aborted)' : ''}`)
}
