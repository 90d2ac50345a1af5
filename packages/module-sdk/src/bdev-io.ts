// SPDX-License-Identifier: Apache-2.0
import type { IoStatus, IoType } from './constants.js'
import type { Bdev, DescChannel } from './bdev.js'
import type { DmaBuffer, Iov } from './dma.js'
import type { Thread } from './thread.js'

/**
 * Called once when an I/O has completed, on the thread that submitted it, never before the submit call has returned.
 * The receiver calls `io.free()` once. `success` is `io.status === IoStatus.Success`.
 */
export type IoCallback<Arg = unknown> = (io: BdevIo, success: boolean, arg: Arg) => void

/**
 * Called when a child made by `BdevIo.forwardThen` has completed; the framework frees the child when it returns.
 * It completes `parent` (or lets a later child do it): nobody else does.
 */
export type ForwardCallback = (child: BdevIo, parent: BdevIo) => void

/**
 * Called once with the buffers of an I/O in place (`spdk_bdev_io_get_buf_cb`), on its thread, with the channel context that
 * `submitRequest` got. `success` is false where the I/O is being aborted or no pool has a buffer that long: complete it with
 * `Aborted` or `Failed` then.
 */
export type GetBufCallback<Ch = any, IoCtx = any> = (channelCtx: Ch, io: BdevIo<IoCtx>, success: boolean) => void

/** As `GetBufCallback`, with the buffer, or `null` where the I/O is being aborted or no pool has a buffer that long. */
export type AuxBufCallback<Ch = any, IoCtx = any> = (channelCtx: Ch, io: BdevIo<IoCtx>, buffer: DmaBuffer | null) => void

/**
 * One I/O, `struct spdk_bdev_io`. Pooled: after `complete` it belongs to the submitter again, and the same object comes
 * back as another I/O. A module reads its fields, keeps its own per-I/O data in `ctx`, and calls exactly one `complete*`
 * or `forward`. Everything here is called on the I/O's thread or from a plain event-loop callback of the same process.
 */
export interface BdevIo<Ctx = any> {
  /** The bdev that it was submitted to. */
  readonly bdev: Bdev
  /** What to do. */
  readonly type: IoType
  /** First block, checked against the bdev's size. 0 for RESET and ABORT. */
  readonly offsetBlocks: number
  /** Number of blocks; may be 0 for FLUSH of nothing. 0 for RESET and ABORT. */
  readonly numBlocks: number
  /** Data, `iovCnt` elements whose lengths add up to `numBlocks` blocks. They belong to the I/O until it is freed. */
  readonly iovs: readonly Iov[]
  /** Elements of `iovs` in use. 0 for types without data, and for a READ whose submitter wants to borrow (see `lend`). */
  readonly iovCnt: number
  /** For COPY: first block to copy from, checked against the bdev's size; the target begins at `offsetBlocks`. */
  readonly srcOffsetBlocks: number
  /** For COMPARE_AND_WRITE: what to write where the blocks equal `iovs`; `fusedIovCnt` elements. */
  readonly fusedIovs: readonly Iov[]
  /** Elements of `fusedIovs` in use. */
  readonly fusedIovCnt: number
  /** For ZCOPY: true to hand out a buffer by `lend`, false when it comes back. */
  readonly zcopyStart: boolean
  /** For ZCOPY: whether the buffer must show what the blocks hold. */
  readonly zcopyPopulate: boolean
  /** For the end of a ZCOPY: whether what is in the buffer becomes the content of the blocks. */
  readonly zcopyCommit: boolean
  /** What a SEEK_DATA or SEEK_HOLE has found, `Infinity` where there is none. */
  readonly seekOffsetBlocks: number
  /** Separate metadata of the blocks; `null` where the submitter brought none, or the bdev has none. */
  readonly mdBuf: Uint8Array | null
  /** Where in `mdBuf` it starts, in bytes. */
  readonly mdOff: number
  /** What is to be checked of protection information: the bdev's `difCheckFlags` without what the submitter took out. */
  readonly difCheckFlags: number
  /** `Pending` until completed. */
  readonly status: IoStatus
  /** How often the framework sent it again after `Nomem`. */
  readonly numRetries: number
  /** For ABORT: the I/O to abort, `null` once that one has completed. */
  readonly abortTarget: BdevIo | null
  /** The channel that it was submitted on; a parent of several children tells them apart by it. */
  readonly channel: DescChannel
  /** The thread that submitted it. */
  readonly thread: Thread
  /** NVMe status code type of a completion with `NvmeError`, else 0. */
  readonly nvmeSct: number
  /** NVMe status code of a completion with `NvmeError`, else 0. */
  readonly nvmeSc: number
  /** Command specific result of a completion with `completeNvme`. */
  readonly nvmeCdw0: number
  /** Negative errno of a completion with `AioError`, else 0. */
  readonly aioErrno: number
  /** The module's own scratch, made once per pooled object by `createIoContext` and never reset; `null` without that hook. */
  readonly ctx: Ctx

  /**
   * Completes the I/O. Inside `submitRequest` the submitter's callback is deferred to the thread's queue; later it runs
   * before this returns. A second completion is logged with the module's name and changes nothing.
   */
  complete(status: IoStatus): void
  /** Completes with an NVMe status: 0/0 is success, generic/07h is `Aborted`, anything else `NvmeError`. */
  completeNvme(cdw0: number, sct: number, sc: number): void
  /** Completes with SCSI sense; status 0 is success. */
  completeScsi(scsiStatus: number, senseKey: number, asc: number, ascq: number): void
  /** Completes with a negative errno; 0 is success. */
  completeAio(errno: number): void
  /** Completes as `child` did, with its NVMe, SCSI or errno detail (`spdk_bdev_io_complete_base_io_status`). */
  completeFrom(child: BdevIo): void
  /**
   * Sends this I/O down to `base` as it is, `offsetBlocks` further on (default 0), and completes it as the child does.
   * Waits by itself where the pool is empty; cannot be lost. An I/O type that the base lacks fails.
   */
  forward(base: DescChannel, offsetBlocks?: number): void
  /** As `forward`, but `done(child, this)` runs instead of the completion. `done` is a static function: no closure per I/O. */
  forwardThen(base: DescChannel, done: ForwardCallback, offsetBlocks?: number): void
  /**
   * Sees to the buffers of a READ or WRITE (`spdk_bdev_io_get_buf`), then calls `cb`: before this returns where nothing is to
   * do or a buffer is there, else later, because it waits and never fails for lack of one. A READ that came without buffers
   * gets one, which stays until the I/O is freed. Where an element is not aligned as `requiredAlignmentBytes` says, `iovs`
   * becomes one aligned copy, and the submitter gets its own buffers back when the I/O completes. What a fresh buffer holds
   * is undefined. `lengthBytes` is the length of the data. `cb` is a static function: no closure per I/O. Waiting, the I/O
   * counts as outstanding with the module; ABORT and RESET end the wait.
   */
  getBuf(lengthBytes: number, cb: GetBufCallback): void
  /**
   * Asks for one more buffer of the length of this I/O's data, for the module's own use (`spdk_bdev_io_get_aux_buf`): to
   * encrypt into, say. Waits as `getBuf` does. The module gives it back with `putAuxBuf`, before it completes the I/O.
   */
  getAuxBuf(cb: AuxBufCallback): void
  /** Gives back what `getAuxBuf` gave. */
  putAuxBuf(buffer: DmaBuffer): void
  /**
   * Answers a READ that came without buffers with memory of the module, which must stay unchanged-in-place until the I/O
   * is freed. Only for bdevs registered with `lendsReadBuffers`. Answers the start of a ZCOPY, too: there the submitter may
   * write to the memory until the end of the ZCOPY. Call `complete` afterwards. Separate metadata comes with it.
   */
  lend(buf: Uint8Array, off: number, lengthBytes: number, mdBuf?: Uint8Array, mdOff?: number): void
  /** Sets the answer of a SEEK_DATA or SEEK_HOLE, `Infinity` for none; call `complete` afterwards. */
  setSeekOffset(offsetBlocks: number): void
  /** Gives the I/O back to the pool: once, by the receiver of the callback. */
  free(): void
}
