// SPDX-License-Identifier: Apache-2.0
import { BdevEventType, IoStatus } from '@bdevkit/module-sdk'
import type { BdevDesc, BdevHost, BdevIo, DescChannel, Iov } from '@bdevkit/module-sdk'
import { check, within } from './failure.js'

/** How an I/O ended. */
export interface Outcome {
  /** 0, or the negative errno with which the submit call refused it. */
  readonly rc: number
  /** Its status; `undefined` where it was refused. */
  readonly status: IoStatus | undefined
}

/** One I/O under way; it is its own callback argument, so that `abort` finds it. */
export class Op {
  readonly what: string
  readonly done: Promise<Outcome>
  callbacks = 0
  /** Keeps the I/O where it succeeds, instead of freeing it. */
  keeps = false
  kept: BdevIo | null = null
  /** Looks at the completed I/O before it is freed. */
  readonly peek: ((io: BdevIo) => void) | undefined
  settle!: (outcome: Outcome) => void

  constructor(what: string, peek?: (io: BdevIo) => void) {
    this.what = what
    this.peek = peek
    this.done = new Promise(resolve => (this.settle = resolve))
  }
}

/** A submit call, to be made with the given callback and argument. */
export type Submit = (channel: DescChannel, callback: (io: BdevIo, success: boolean, op: Op) => void, op: Op) => number

function onDone(io: BdevIo, success: boolean, op: Op): void {
  op.callbacks++
  const status = io.status
  if (op.callbacks === 1 && success === (status === IoStatus.Success)) op.peek?.(io)
  if (op.keeps && success) op.kept = io
  else io.free()
  op.settle({ rc: 0, status })
}

/** Submits I/O on the data-plane contract and accounts for every callback. */
export class Driver {
  readonly desc: BdevDesc
  readonly channel: DescChannel
  /** Settles when the bdev is being removed. */
  readonly removed: Promise<void>
  /** The bdev is being removed. */
  isRemoved = false
  /** New sizes that it was told of. */
  resizes = 0
  /** How long an I/O may take, in milliseconds. */
  readonly limitMs: number
  readonly #ops: Op[] = []
  #closed = false

  /** @throws BdevError as `openBdev`; ConformanceFailure where the bdev has no channel. */
  constructor(host: BdevHost, name: string, limitMs: number, hideMetadata = false) {
    this.limitMs = limitMs
    let onRemove!: () => void
    this.removed = new Promise(resolve => (onRemove = resolve))
    this.desc = host.openBdev(name, {
      write: true,
      hideMetadata,
      onEvent: event => {
        if (event.type === BdevEventType.Resize) this.resizes++
        if (event.type !== BdevEventType.Remove) return
        this.isRemoved = true
        onRemove()
      },
    })
    const channel = this.desc.getIoChannel()
    if (channel === null) this.desc.close()
    check(channel !== null, `bdev "${name}" gives no channel`, 'getIoChannel answered null, or createChannel threw')
    this.channel = channel
  }

  /** Starts an I/O; `submit` gets the callback and its argument and answers the submit call's return value. */
  start(what: string, submit: Submit, peek?: (io: BdevIo) => void): Op {
    const op = new Op(what, peek)
    this.#ops.push(op)
    const rc = submit(this.channel, onDone, op)
    check(op.callbacks === 0, `${what}: the callback ran before the submit call returned`, 'this is a bug of the framework')
    if (rc !== 0) op.settle({ rc, status: undefined })
    return op
  }

  /** Waits for an I/O. */
  end(op: Op): Promise<Outcome> {
    return within(this.limitMs, op.done, `${op.what} never completed`,
      'submitRequest must end every I/O in exactly one complete or forward, now or later')
  }

  startRead(iovs: readonly Iov[], offsetBlocks: number, numBlocks: number): Op {
    return this.start(`READ of ${numBlocks} blocks at ${offsetBlocks}`,
      (ch, cb, op) => ch.readvBlocks(iovs, iovs.length, offsetBlocks, numBlocks, cb, op))
  }

  read(iovs: readonly Iov[], offsetBlocks: number, numBlocks: number): Promise<Outcome> {
    return this.end(this.startRead(iovs, offsetBlocks, numBlocks))
  }

  write(iovs: readonly Iov[], offsetBlocks: number, numBlocks: number): Promise<Outcome> {
    return this.end(this.startWrite(iovs, offsetBlocks, numBlocks))
  }

  startWrite(iovs: readonly Iov[], offsetBlocks: number, numBlocks: number): Op {
    return this.start(`WRITE of ${numBlocks} blocks at ${offsetBlocks}`,
      (ch, cb, op) => ch.writevBlocks(iovs, iovs.length, offsetBlocks, numBlocks, cb, op))
  }

  compare(iovs: readonly Iov[], offsetBlocks: number, numBlocks: number): Promise<Outcome> {
    return this.end(this.start(`COMPARE of ${numBlocks} blocks at ${offsetBlocks}`,
      (ch, cb, op) => ch.comparevBlocks(iovs, iovs.length, offsetBlocks, numBlocks, cb, op)))
  }

  compareAndWrite(compare: readonly Iov[], data: readonly Iov[], offsetBlocks: number, numBlocks: number): Promise<Outcome> {
    return this.end(this.start(`COMPARE_AND_WRITE of ${numBlocks} blocks at ${offsetBlocks}`,
      (ch, cb, op) => ch.comparevAndWritevBlocks(compare, compare.length, data, data.length, offsetBlocks, numBlocks, cb, op)))
  }

  copy(dstBlocks: number, srcBlocks: number, numBlocks: number): Promise<Outcome> {
    return this.end(this.start(`COPY of ${numBlocks} blocks from ${srcBlocks} to ${dstBlocks}`,
      (ch, cb, op) => ch.copyBlocks(dstBlocks, srcBlocks, numBlocks, cb, op)))
  }

  /** Starts a ZCOPY, lets `use` work with the buffers that it gets, and ends it. The outcome is the first failure, or the end's. */
  async zcopy(offsetBlocks: number, numBlocks: number, populate: boolean, commit: boolean, use: (iovs: readonly Iov[]) => void): Promise<Outcome> {
    const what = `ZCOPY of ${numBlocks} blocks at ${offsetBlocks}`
    const started = this.start(`start of ${what}`, (ch, cb, op) => ch.zcopyStart(offsetBlocks, numBlocks, populate, cb, op))
    started.keeps = true
    const outcome = await this.end(started)
    const { kept } = started
    if (kept === null) return outcome
    use(kept.iovs.slice(0, kept.iovCnt))
    return this.end(this.start(`end of ${what}`, (ch, cb, op) => ch.zcopyEnd(kept, commit, cb, op)))
  }

  /** The answer of a SEEK, and how it ended. */
  async seek(what: 'seekData' | 'seekHole', offsetBlocks: number): Promise<Outcome & { at: number }> {
    let at = NaN
    const outcome = await this.end(this.start(`${what} from ${offsetBlocks}`, (ch, cb, op) => ch[what](offsetBlocks, cb, op), io => {
      at = io.seekOffsetBlocks
    }))
    return { ...outcome, at }
  }

  unmap(offsetBlocks: number, numBlocks: number): Promise<Outcome> {
    return this.end(this.start(`UNMAP of ${numBlocks} blocks at ${offsetBlocks}`,
      (ch, cb, op) => ch.unmapBlocks(offsetBlocks, numBlocks, cb, op)))
  }

  writeZeroes(offsetBlocks: number, numBlocks: number): Promise<Outcome> {
    return this.end(this.start(`WRITE_ZEROES of ${numBlocks} blocks at ${offsetBlocks}`,
      (ch, cb, op) => ch.writeZeroesBlocks(offsetBlocks, numBlocks, cb, op)))
  }

  flush(offsetBlocks: number, numBlocks: number): Promise<Outcome> {
    return this.end(this.start('FLUSH', (ch, cb, op) => ch.flushBlocks(offsetBlocks, numBlocks, cb, op)))
  }

  /** `onCallback` runs in the callback. */
  reset(onCallback?: () => void): Promise<Outcome> {
    return this.end(this.start('RESET', (ch, cb, op) => ch.reset(cb, op), onCallback))
  }

  abort(target: unknown, onCallback?: () => void): Promise<Outcome> {
    return this.end(this.start('ABORT', (ch, cb, op) => ch.abort(target, cb, op), onCallback))
  }

  /** Waits for everything that was started. Each I/O must have had its one callback, or none where it was refused. */
  async drain(): Promise<void> {
    for (const op of this.#ops) {
      const { rc } = await this.end(op)
      const wanted = rc === 0 ? 1 : 0
      check(op.callbacks === wanted, `${op.what}: ${op.callbacks} callbacks instead of ${wanted}`,
        'each accepted I/O completes exactly once, a refused one never')
    }
  }

  /** Puts the channel and closes the descriptor; what was started must have ended. Twice does nothing. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.channel.put()
    this.desc.close()
  }
}
