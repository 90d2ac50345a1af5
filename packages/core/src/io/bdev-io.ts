// SPDX-License-Identifier: Apache-2.0
// data plane
import type { AuxBufCallback, BdevIo as SdkBdevIo, DmaBuffer, ForwardCallback, GetBufCallback, Iov as SdkIov } from '@bdevkit/module-sdk'
import { IoStatus } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import type { BdevChannel } from '../channel/bdev-channel.js'
import type { DescChannel } from '../descriptor/desc-channel.js'
import type { SpdkThread } from '../thread/thread.js'
import { getAuxBuf, getBuf, putAuxBuf, type Bounce } from './io-buffer.js'
import type { PoolBuffer } from './iobuf-pool.js'
import { completeUncommon, finishGuarded, finishIo, misuse } from './io-complete.js'
import { freeUncommon } from './io-free.js'
import { extOf, NO_EXT, type IoExt } from './io-ext.js'
import { forwardIo } from './io-forward.js'
import type { IoPool } from './io-pool.js'

/** One element of a scatter list; the framework's own shape. */
export class Iov implements SdkIov {
  buf: Uint8Array
  off: number
  len: number

  constructor(buf: Uint8Array, off: number, len: number) {
    this.buf = buf
    this.off = off
    this.len = len
  }
}

const NO_BYTES = new Uint8Array(0)

/** A completion callback, as the framework keeps it. */
export type IoDone = (io: BdevIo, success: boolean, arg: any) => void

/** Who has an I/O: values of {@link BdevIo.phase}. */
export const IoPhase = {
  /** In the pool. */
  Free: 0,
  /** With the module, whose submitRequest has not returned. */
  Submitting: 1,
  /** With the module. */
  Outstanding: 2,
  /** With the framework: queued, or made of children. */
  Framework: 3,
  /** Completed: with the submitter, or on the way to it. */
  Completed: 4,
  /** Never used again. */
  Retired: 5,
  /** Sent down by `forward`: its child ends it, the module does not have it. */
  Forwarded: 6,
  /** As Forwarded, but its module threw meanwhile: it fails when its child has ended. */
  Failing: 7,
} as const

/** Bits of {@link BdevIo.flags}: what a free has to undo. */
export const IoFlag = {
  /** The module's memory is lent to the submitter. */
  Lent: 1,
  /** A child that holds the lent memory is freed with this I/O. */
  HasLender: 2,
  /** The I/O has shadow buffers (strict mode). */
  Shadow: 4,
  /** Not to be used again: the module misbehaved with it. */
  Retire: 8,
  /** A buffer of the pool is given back with it. */
  HasBuffer: 16,
  /** Details of a failure, or a count of retries, are set. */
  Details: 32,
  /** The module works on a copy of the buffers until the I/O completes. */
  Bounced: 64,
  /** The module waits for a buffer. */
  BufWait: 128,
  /** A metadata buffer, or checks to go without, are set. */
  Md: 4096,
  /** The metadata of its blocks is hidden from the submitter: the module works on whole blocks until the I/O completes. */
  HiddenMd: 8192,
  /** Lent, HasLender or HasBuffer: a READ that came without buffers holds the memory that it was answered with. */
  HoldsData: 19,
  /** A ZCOPY whose end is still to come. */
  ZcopyOpen: 256,
} as const

/**
 * One I/O (`struct spdk_bdev_io`). One final class with every field set from the start: modules of every kind see the same
 * shape. Fields up to `ctx` are the module's to read; the others are the framework's.
 */
export class BdevIo implements SdkBdevIo {
  readonly bdev: Bdev
  type = 0
  offsetBlocks = 0
  numBlocks = 0
  iovs: readonly Iov[]
  iovCnt = 0
  status: number = IoStatus.Pending
  ctx: any = null
  channel: DescChannel = null as unknown as DescChannel

  /** The bdev's channel that it runs on. @internal */
  readonly ch: BdevChannel
  /** The submitter's callback. @internal */
  cb: IoDone = noCallback
  /** What `cb` is called with. @internal */
  cbArg: any = null
  /** Who has it, see `IoPhase`. @internal */
  phase: number = IoPhase.Free
  /** Bits of `IoFlag`. @internal */
  flags = 0
  /** The thread's clock at its submission, in ms; a fraction from the start, so that engines keep the field a double. @internal */
  submitTickMs = 0.5
  /** Neighbours among the submitted I/Os of the channel. @internal */
  prev: BdevIo | null = null
  /** The other neighbour. @internal */
  next: BdevIo | null = null
  /** The scatter list for I/O on one buffer: one element, kept with the object. @internal */
  readonly own: Iov[]
  /** The pool that it goes back to. @internal */
  readonly pool: IoPool
  /** The next free one in the pool. @internal */
  poolNext: BdevIo | null = null
  /** Counts how often the object was reused; an ABORT keeps its target's. @internal */
  generation = 0
  numRetries = 0
  nvmeCdw0 = 0
  nvmeSct = 0
  nvmeSc = 0
  aioErrno = 0
  /** SCSI status, sense key, ASC and ASCQ that the module gave; `null` where it gave none. @internal */
  scsiSense: readonly number[] | null = null
  /** For ABORT. @internal */
  target: BdevIo | null = null
  /** `generation` of `target` when the ABORT was submitted. @internal */
  targetGeneration = 0
  /** What a multi-part I/O (emulation, abort of several) keeps; see its file. @internal */
  parts: unknown = null
  /** What `forwardThen` was given, for a child made by it. @internal */
  forwardFn: ForwardCallback | null = null
  /** The child whose lent memory this I/O passes on. @internal */
  lender: BdevIo | null = null
  /** The pool's buffer that is given back with this I/O. @internal */
  buffer: PoolBuffer | null = null
  /** What is kept of a bounced I/O; made at the first. @internal */
  bounce: Bounce | null = null
  /** Separate metadata. */
  mdBuf: Uint8Array | null = null
  mdOff = 0
  /** Checks of protection information to go without. @internal */
  difExclude = 0
  /** What is kept of an I/O whose metadata is hidden; made at the first. @internal */
  hiddenMd: Bounce | null = null
  /** Whom to call when the buffer that it waits for is there. @internal */
  bufCb: GetBufCallback | AuxBufCallback | null = null
  /** Auxiliary buffers that its module has. @internal */
  auxBuffers = 0
  /** Fields of rare types; made at the first I/O of such a type. @internal */
  ext: IoExt | null = null

  /** One of a pool; made by the pool alone. @internal */
  constructor(pool: IoPool) {
    this.pool = pool
    this.ch = pool.ch
    this.bdev = pool.ch.bdev
    this.own = [new Iov(NO_BYTES, 0, 0)]
    this.iovs = this.own
  }

  get srcOffsetBlocks(): number {
    return (this.ext ?? NO_EXT).srcOffsetBlocks
  }

  get fusedIovs(): readonly SdkIov[] {
    return (this.ext ?? NO_EXT).fusedIovs
  }

  get fusedIovCnt(): number {
    return (this.ext ?? NO_EXT).fusedIovCnt
  }

  get zcopyStart(): boolean {
    return (this.ext ?? NO_EXT).zcopyStart
  }

  get zcopyPopulate(): boolean {
    return (this.ext ?? NO_EXT).zcopyPopulate
  }

  get zcopyCommit(): boolean {
    return (this.ext ?? NO_EXT).zcopyCommit
  }

  get seekOffsetBlocks(): number {
    return (this.ext ?? NO_EXT).seekOffsetBlocks
  }

  /** Submission queue entry of a raw NVMe command, 64 bytes, opcode first; without meaning for other types. */
  get nvmeCmd(): Uint8Array {
    return (this.ext ?? NO_EXT).nvmeCmd
  }

  /** Bytes of data of a raw NVMe command; without meaning for other types. */
  get nvmeLengthBytes(): number {
    return (this.ext ?? NO_EXT).nvmeLengthBytes
  }

  /** Metadata of a raw NVMe command, `null` where it has none; without meaning for other types. */
  get nvmeMd(): Iov | null {
    return (this.ext ?? NO_EXT).nvmeMd
  }

  setSeekOffset(offsetBlocks: number): void {
    if (withModule(this)) extOf(this).seekOffsetBlocks = offsetBlocks
  }

  get thread(): SpdkThread {
    return this.pool.thread
  }

  get difCheckFlags(): number {
    return this.bdev.difCheckFlags & ~this.difExclude
  }

  get abortTarget(): BdevIo | null {
    const target = this.target
    if (target === null || target.generation !== this.targetGeneration) return null
    return target.phase === IoPhase.Completed ? null : target
  }

  complete(status: number): void {
    const phase = this.phase
    if (phase !== IoPhase.Submitting && phase !== IoPhase.Outstanding) {
      misuse(this, 'completed')
      return
    }
    const ch = this.ch
    this.status = status
    this.phase = IoPhase.Completed
    ch.outstanding--
    if (ch.flags !== 0 || status === IoStatus.Nomem || status === IoStatus.Pending) {
      completeUncommon(this, phase)
      return
    }
    const thread = ch.thread
    if (phase === IoPhase.Submitting) thread.sendMsg(finishIo, this)
    else if (thread.reactor.current === thread) finishGuarded(this)
    else thread.execMsg(finishGuarded, this)
  }

  /** Completes a forwarded I/O, from the framework's own callback of its child: nothing of a module is on the stack. @internal */
  completeForwarded(): void {
    const ch = this.ch
    if (this.phase !== IoPhase.Forwarded || ch.flags !== 0) {
      const status = this.phase === IoPhase.Failing ? IoStatus.Failed : IoStatus.Success
      this.phase = IoPhase.Outstanding
      this.complete(status)
      return
    }
    this.status = IoStatus.Success
    this.phase = IoPhase.Completed
    ch.outstanding--
    finishIo(this)
  }

  completeNvme(cdw0: number, sct: number, sc: number): void {
    if (!withModule(this)) return
    this.flags |= IoFlag.Details
    this.nvmeCdw0 = cdw0
    this.nvmeSct = sct
    this.nvmeSc = sc
    if (sct === 0 && sc === 0) this.complete(IoStatus.Success)
    else if (sct === 0 && sc === NVME_SC_ABORTED_BY_REQUEST) this.complete(IoStatus.Aborted)
    else this.complete(IoStatus.NvmeError)
  }

  completeScsi(scsiStatus: number, senseKey: number, asc: number, ascq: number): void {
    if (!withModule(this)) return
    this.flags |= IoFlag.Details
    this.scsiSense = [scsiStatus, senseKey, asc, ascq]
    this.complete(scsiStatus === 0 ? IoStatus.Success : IoStatus.ScsiError)
  }

  completeAio(errno: number): void {
    if (!withModule(this)) return
    this.setErrno(errno)
    this.complete(errno === 0 ? IoStatus.Success : IoStatus.AioError)
  }

  completeFrom(child: SdkBdevIo): void {
    const from = child as BdevIo
    if (from.status === IoStatus.Success) {
      this.complete(IoStatus.Success)
      return
    }
    if (!withModule(this)) return
    this.copyDetails(from)
    this.complete(from.status)
  }

  /** Takes over why `from` failed. @internal */
  copyDetails(from: BdevIo): void {
    this.flags |= IoFlag.Details
    this.nvmeCdw0 = from.nvmeCdw0
    this.nvmeSct = from.nvmeSct
    this.nvmeSc = from.nvmeSc
    this.aioErrno = from.aioErrno
    this.scsiSense = from.scsiSense
  }

  /** Keeps a negative errno for a completion with `AioError`. @internal */
  setErrno(errno: number): void {
    this.flags |= IoFlag.Details
    this.aioErrno = errno
  }

  /** Gives it metadata. @internal */
  setMd(mdBuf: Uint8Array | null, mdOff: number): void {
    this.flags |= IoFlag.Md
    this.mdBuf = mdBuf
    this.mdOff = mdOff
  }

  forward(base: DescChannel, offsetBlocks = 0): void {
    forwardIo(this, base, null, offsetBlocks)
  }

  forwardThen(base: DescChannel, done: ForwardCallback, offsetBlocks = 0): void {
    forwardIo(this, base, done, offsetBlocks)
  }

  getBuf(lengthBytes: number, cb: GetBufCallback): void {
    if (withModule(this)) getBuf(this, lengthBytes, cb)
  }

  getAuxBuf(cb: AuxBufCallback): void {
    if (withModule(this)) getAuxBuf(this, cb)
  }

  putAuxBuf(buffer: DmaBuffer): void {
    putAuxBuf(this, buffer)
  }

  lend(buf: Uint8Array, off: number, lengthBytes: number, mdBuf?: Uint8Array, mdOff = 0): void {
    if (!withModule(this)) return
    if (this.iovCnt !== 0 && (this.flags & (IoFlag.Lent | IoFlag.HasLender)) === 0) {
      // The submitter brought buffers: they are what it will look at. (What a child lent is replaced, never written to.)
      this.bdev.host.accel.copyToIovs(this.iovs, this.iovCnt, buf, off, lengthBytes)
      if (this.mdBuf !== null && mdBuf !== undefined) this.bdev.host.accel.copy(this.mdBuf, this.mdOff, mdBuf, mdOff, this.numBlocks * this.bdev.mdSizeBytes)
      return
    }
    const own = this.own[0]!
    own.buf = buf
    own.off = off
    own.len = lengthBytes
    this.iovs = this.own
    this.iovCnt = 1
    if (mdBuf !== undefined) this.setMd(mdBuf, mdOff)
    if ((this.flags & IoFlag.Lent) === 0) {
      this.flags |= IoFlag.Lent
      this.ch.lent++
    }
  }

  free(): void {
    if (this.phase !== IoPhase.Completed) {
      misuse(this, 'freed')
      return
    }
    this.phase = IoPhase.Free
    this.generation++
    if (this.flags !== 0) freeUncommon(this)
    else this.pool.give(this)
  }
}

/** Whether the framework made it of another I/O of the same channel, which the submitter knows instead. */
export function isPart(io: BdevIo): boolean {
  const parent: unknown = io.cbArg
  return parent instanceof BdevIo && parent.channel === io.channel
}

/** Generic command status "command abort requested" (NVMe base specification, status values). */
const NVME_SC_ABORTED_BY_REQUEST = 0x07

/** Whether the module has the I/O; where it has not, it is told so in the log. */
function withModule(io: BdevIo): boolean {
  if (io.phase === IoPhase.Submitting || io.phase === IoPhase.Outstanding) return true
  misuse(io, 'completed')
  return false
}

function noCallback(): void {}
