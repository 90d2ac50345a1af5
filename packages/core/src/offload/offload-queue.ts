// SPDX-License-Identifier: Apache-2.0
// data plane
import type { Accel, DmaHeap } from '@bdevkit/accel'
import type { Iov, OffloadCallback, OffloadQueue as SdkOffloadQueue } from '@bdevkit/module-sdk'
import { ERRNO } from '@bdevkit/module-sdk'
import type { Waits } from '../host/waits.js'
import type { SpdkThread } from '../thread/thread.js'
import type { IoWorkers } from './io-workers.js'
import { IOVS_MAX, LAYOUT, Op, SLOTS } from './layout.js'
import type { SyncFiles } from './platform.js'

/** Transfers up to this long to and from files in memory are done by the calling thread; a longer one would hold it up. */
const INLINE_MAX_BYTES = 64 * 1024
/** The event loop looks for completions of a fast queue this long after the last one before it sleeps, in milliseconds. */
const SPIN_MS = 0.05
const MASK = SLOTS - 1

/** What a queue needs of its host. */
export interface OffloadOwner {
  readonly accel: Accel
  readonly waits: Waits
  currentThread(): SpdkThread
  reportThrow(where: string, thrown: unknown): void
  nowMs(): number
  setImmediate(fn: () => void): void
  queueClosed(queue: OffloadQueue): void
}

/** One call under way: reused, one a slot. */
class Request {
  readonly slot: number
  next: Request | null = null
  /** Whether the call is under way. */
  busy = false
  thread: SpdkThread
  cb: OffloadCallback = noCallback
  arg: any = null
  op: number = Op.Read
  result = 0
  lengthBytes = 0
  /** Where the data was copied to for the worker, 0 where it lies well: 0 is no offset of a heap buffer. */
  bounceOff = 0
  /** For a bounced read: where the data goes. */
  iovs: readonly Iov[] = NO_IOVS
  iovCnt = 0

  constructor(slot: number, thread: SpdkThread) {
    this.slot = slot
    this.thread = thread
  }
}

const NO_IOVS: readonly Iov[] = []
const Watch = { Idle: 0, Spinning: 1, Sleeping: 2 } as const

/** Calls of one device, on workers of its own. */
export class OffloadQueue implements SdkOffloadQueue {
  readonly name: string
  pending = 0
  readonly #owner: OffloadOwner
  readonly #heap: DmaHeap
  /** Set where the files lie in memory. */
  readonly #inline: SyncFiles | null
  readonly #alignMask: number
  readonly #words: Int32Array
  readonly #numbers: Float64Array
  readonly #workers: IoWorkers
  readonly #requests: Request[] = []
  #free: Request | null = null
  #submitTail = 0
  /** `sync` calls and tasks under way: each has a worker to itself for long. */
  #longCalls = 0
  #watch: number = Watch.Idle
  #immediate = false
  /** The thread that asked last: completions are reaped on it. */
  #thread: SpdkThread
  #lastDoneMs = 0
  /** What calls are answered where nothing carries them out any more. */
  #refusal = 0
  #closed: Promise<void> | null = null
  /** Set while `close` waits for the last call. */
  #drained: (() => void) | null = null

  constructor(owner: OffloadOwner, workers: IoWorkers, heap: DmaHeap, inline: SyncFiles | null, alignBytes: number) {
    this.name = workers.name
    this.#owner = owner
    this.#thread = owner.currentThread()
    this.#heap = heap
    this.#inline = inline
    this.#alignMask = alignBytes - 1
    this.#workers = workers
    this.#words = workers.words
    this.#numbers = workers.numbers
    for (let slot = SLOTS - 1; slot >= 0; slot--) {
      const request = new Request(slot, this.#thread)
      request.next = this.#free
      this.#free = request
      this.#requests[slot] = request
    }
    workers.onWake = this.#onWake
    workers.onStart = this.#onStart
    workers.onDeath = this.#onDeath
  }

  read<Arg>(
    fd: number, positionBytes: number, iovs: readonly Iov[], iovCnt: number, lengthBytes: number, cb: OffloadCallback<Arg>, arg: Arg,
  ): number {
    return this.#transfer(Op.Read, fd, positionBytes, iovs, iovCnt, lengthBytes, cb, arg)
  }

  write<Arg>(
    fd: number, positionBytes: number, iovs: readonly Iov[], iovCnt: number, lengthBytes: number, cb: OffloadCallback<Arg>, arg: Arg,
  ): number {
    return this.#transfer(Op.Write, fd, positionBytes, iovs, iovCnt, lengthBytes, cb, arg)
  }

  sync<Arg>(fd: number, cb: OffloadCallback<Arg>, arg: Arg): number {
    if (this.#refusal !== 0) return this.#refusal
    if (this.#inline !== null) {
      cb(arg, syncNow(this.#inline, fd))
      return 0
    }
    const request = this.#take(Op.Sync, cb, arg)
    return request === null ? -ERRNO.EAGAIN : this.#submit(request, fd, 0)
  }

  run<Arg>(task: number, a: number, b: number, c: number, d: number, cb: OffloadCallback<Arg>, arg: Arg): number {
    if (this.#refusal !== 0) return this.#refusal
    if (!(task >= 0 && task < this.#workers.tasks.length)) return -ERRNO.EINVAL
    const request = this.#take(Op.Task, cb, arg)
    if (request === null) return -ERRNO.EAGAIN
    const first = request.slot * LAYOUT.numbersPerSlot
    this.#numbers[first] = a
    this.#numbers[first + 1] = b
    this.#numbers[first + 2] = c
    this.#numbers[first + 3] = d
    return this.#submit(request, task, 0)
  }

  close(): Promise<void> {
    this.#refusal = -ERRNO.ESHUTDOWN
    this.#closed ??= this.#close()
    return this.#closed
  }

  // cold: once a queue
  async #close(): Promise<void> {
    if (this.pending > 0) {
      const ended = this.#owner.waits.begin(`close of offload queue "${this.name}"`, () => `${this.pending} call(s) of its workers`) // cold: once a queue
      await new Promise<void>(resolve => (this.#drained = resolve)) // cold: once a queue
      ended()
    }
    await this.#workers.stop() // cold: once a queue
    this.#owner.queueClosed(this)
  }

  #transfer(
    op: number, fd: number, positionBytes: number, iovs: readonly Iov[], iovCnt: number, lengthBytes: number, cb: OffloadCallback, arg: unknown,
  ): number {
    if (this.#refusal !== 0) return this.#refusal
    if (this.#inline !== null && lengthBytes <= INLINE_MAX_BYTES) {
      cb(arg, transferNow(this.#inline, op, fd, positionBytes, iovs, iovCnt, lengthBytes))
      return 0
    }
    const request = this.#take(op, cb, arg)
    if (request === null) return -ERRNO.EAGAIN
    request.lengthBytes = lengthBytes
    const first = request.slot * LAYOUT.numbersPerSlot
    const numbers = this.#numbers
    numbers[first] = positionBytes
    let elements = this.#describe(first, iovs, iovCnt, lengthBytes)
    if (elements < 0) {
      const errno = elements === -ERRNO.EINVAL ? elements : this.#bounce(request, op, iovs, iovCnt)
      if (errno !== 0) {
        this.#give(request)
        return errno
      }
      numbers[first + 1] = request.bounceOff
      numbers[first + 2] = lengthBytes
      elements = 1
    }
    return this.#submit(request, fd, elements)
  }

  /** Writes the elements down for the worker. Returns how many, -EINVAL where they are too short, -EFAULT where it must bounce. */
  #describe(first: number, iovs: readonly Iov[], iovCnt: number, lengthBytes: number): number {
    const numbers = this.#numbers
    const heap = this.#heap.u8
    let left = lengthBytes
    let odd = iovCnt > IOVS_MAX ? 1 : 0
    let count = 0
    for (let i = 0; i < iovCnt && left > 0; i++) {
      const iov = iovs[i]!
      const pieceBytes = iov.len < left ? iov.len : left
      left -= pieceBytes
      if (pieceBytes === 0 || odd !== 0) continue
      if (iov.buf !== heap) odd = 1
      odd |= (iov.off | pieceBytes) & this.#alignMask
      const at = first + 1 + 2 * count
      numbers[at] = iov.off
      numbers[at + 1] = pieceBytes
      count++
    }
    if (left > 0 || lengthBytes === 0) return -ERRNO.EINVAL
    return odd === 0 ? count : -ERRNO.EFAULT
  }

  /** Gives the call memory that workers see, aligned; for a write with its data. */
  #bounce(request: Request, op: number, iovs: readonly Iov[], iovCnt: number): number {
    const off = this.#heap.alloc(request.lengthBytes, this.#alignMask + 1)
    if (off < 0) return -ERRNO.ENOMEM
    request.bounceOff = off
    if (op === Op.Write) {
      this.#owner.accel.copyFromIovs(this.#heap.u8, off, iovs, iovCnt, request.lengthBytes)
    } else {
      request.iovs = iovs
      request.iovCnt = iovCnt
    }
    return 0
  }

  #take(op: number, cb: OffloadCallback, arg: unknown): Request | null {
    const request = this.#free
    if (request === null) return null
    this.#free = request.next
    request.op = op
    request.cb = cb
    request.arg = arg
    this.#thread = this.#owner.currentThread()
    request.thread = this.#thread
    return request
  }

  #give(request: Request): void {
    if (request.bounceOff !== 0) {
      this.#heap.free(request.bounceOff)
      request.bounceOff = 0
      request.iovs = NO_IOVS
    }
    request.cb = noCallback
    request.arg = null
    request.next = this.#free
    this.#free = request
  }

  #submit(request: Request, fd: number, elements: number): number {
    const words = this.#words
    const at = LAYOUT.slotWords + request.slot * LAYOUT.wordsPerSlot
    words[at] = request.op
    words[at + 1] = fd
    words[at + 2] = elements
    words[LAYOUT.submitRing + (this.#submitTail & MASK)] = request.slot
    this.#submitTail = (this.#submitTail + 1) | 0
    Atomics.store(words, LAYOUT.submitTail, this.#submitTail)
    request.busy = true
    this.pending++
    const slow = Atomics.load(words, LAYOUT.slow) > 0
    const sleepers = Atomics.load(words, LAYOUT.sleepers)
    // One awake worker keeps up with a fast file; a slow one gets a worker a call.
    if (slow ? sleepers > 0 : sleepers >= this.#workers.started - this.#longCalls) Atomics.notify(words, LAYOUT.submitTail, 1)
    if (request.op >= Op.Sync) this.#longCalls++
    if (sleepers === 0) this.#growIfNeeded(slow)
    if (this.#watch === Watch.Idle) {
      this.#lastDoneMs = this.#owner.nowMs()
      if (slow) this.#sleep()
      else this.#spin()
    }
    return 0
  }

  #spin(): void {
    this.#watch = Watch.Spinning
    if (this.#immediate) return
    this.#immediate = true
    this.#owner.setImmediate(this.#look)
  }

  readonly #look = (): void => {
    this.#immediate = false
    if (this.#watch === Watch.Spinning) this.#watchOn()
  }

  readonly #onWake = (): void => {
    if (this.#watch === Watch.Sleeping) this.#watchOn()
  }

  /** Takes what has completed, then looks again soon, sleeps, or rests. */
  #watchOn(): void {
    if (this.#workers.anyDone()) {
      this.#lastDoneMs = this.#owner.nowMs()
      this.#thread.execMsg(this.#reapAll, null)
    }
    if (this.pending === 0) this.#rest()
    else if (Atomics.load(this.#words, LAYOUT.slow) > 0) this.#sleep()
    else if (this.#owner.nowMs() - this.#lastDoneMs < SPIN_MS) this.#spin()
    else {
      this.#helpStuck()
      this.#sleep()
    }
  }

  /** A fast queue has one worker awake, and nothing has completed for long: calls that wait get another one. */
  #helpStuck(): void {
    if (Atomics.load(this.#words, LAYOUT.submitHead) === this.#submitTail) return
    if (Atomics.load(this.#words, LAYOUT.sleepers) > 0) Atomics.notify(this.#words, LAYOUT.submitTail, 1)
    else this.#growIfNeeded(true)
  }

  /** One worker more where calls wait and those that there are have their hands full. */
  #growIfNeeded(slow: boolean): void {
    const { started } = this.#workers
    if (this.pending > started && (slow || this.#longCalls >= started)) this.#workers.grow()
  }

  /** A worker has started: by now there may be work for another. */
  readonly #onStart = (): void => this.#growIfNeeded(Atomics.load(this.#words, LAYOUT.slow) > 0)

  /** The next completion sends a message; the process stays alive for it. */
  #sleep(): void {
    this.#watch = Watch.Sleeping
    this.#workers.hold(true)
    Atomics.store(this.#words, LAYOUT.hostSleeps, 1)
    // Something may have completed before a worker could see that.
    if (this.#workers.anyDone() && Atomics.compareExchange(this.#words, LAYOUT.hostSleeps, 1, 0) === 1) this.#spin()
  }

  #rest(): void {
    this.#watch = Watch.Idle
    this.#workers.hold(false)
    this.#drained?.()
  }

  /** Calls back what has completed, on the threads that asked. */
  readonly #reapAll = (): void => {
    for (let slot = this.#workers.nextDone(); slot >= 0; slot = this.#workers.nextDone()) {
      this.#finish(this.#requests[slot]!, this.#words[LAYOUT.slotWords + slot * LAYOUT.wordsPerSlot + 3]!)
    }
  }

  #finish(request: Request, result: number): void {
    if (!request.busy) return
    request.busy = false
    request.result = result
    if (request.op >= Op.Sync) this.#longCalls--
    if (this.#owner.currentThread() === request.thread) this.#callBack(request)
    else request.thread.sendMsg(this.#callBackLater, request)
  }

  readonly #callBackLater = (request: Request): void => {
    this.#callBack(request)
    if (this.pending === 0 && this.#watch !== Watch.Spinning) this.#rest()
  }

  #callBack(request: Request): void {
    const { cb, arg, result } = request
    if (request.bounceOff !== 0 && request.op === Op.Read && result > 0) {
      this.#owner.accel.copyToIovs(request.iovs, request.iovCnt, this.#heap.u8, request.bounceOff, Math.min(result, request.lengthBytes))
    }
    this.pending--
    this.#give(request)
    try {
      cb(arg, result)
    } catch (thrown) {
      this.#owner.reportThrow(`a callback of offload queue "${this.name}"`, thrown)
    }
  }

  /** A worker is gone: the calls that nobody will carry out end now, and another one takes over the rest. */
  readonly #onDeath = (safe: ReadonlySet<number>): number => {
    if (this.#workers.broken && this.#refusal === 0) this.#refusal = -ERRNO.EIO
    let failed = 0
    const failRest = (): void => { // cold: once a death
      this.#reapAll()
      for (const request of this.#requests) {
        if (!request.busy || safe.has(request.slot)) continue
        failed++
        this.#finish(request, -ERRNO.EIO)
      }
    }
    this.#thread.execMsg(failRest, null)
    if (this.pending === 0) this.#rest()
    else if (this.#workers.started === 0) this.#workers.grow()
    return failed
  }
}

/** Moves the data now. A short transfer ends it, as it would end a vectored call. */
function transferNow(
  files: SyncFiles, op: number, fd: number, positionBytes: number, iovs: readonly Iov[], iovCnt: number, lengthBytes: number,
): number {
  let done = 0
  try {
    for (let i = 0; i < iovCnt && done < lengthBytes; i++) {
      const { buf, off, len } = iovs[i]!
      const pieceBytes = Math.min(len, lengthBytes - done)
      if (pieceBytes === 0) continue
      const at = positionBytes + done
      const moved = op === Op.Read ? files.readSync(fd, buf, off, pieceBytes, at) : files.writeSync(fd, buf, off, pieceBytes, at)
      done += moved
      if (moved < pieceBytes) return done
    }
  } catch (thrown) {
    return done > 0 ? done : errnoOf(thrown)
  }
  return done
}

function syncNow(files: SyncFiles, fd: number): number {
  try {
    files.fdatasyncSync(fd)
    return 0
  } catch (thrown) {
    return errnoOf(thrown)
  }
}

function errnoOf(thrown: unknown): number {
  const errno = (thrown as { errno?: unknown } | null)?.errno
  return typeof errno === 'number' && errno < 0 ? errno : -ERRNO.EIO
}

function noCallback(): void {}
