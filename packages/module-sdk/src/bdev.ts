// SPDX-License-Identifier: Apache-2.0
import type { BdevEventType, ClaimType, IoType } from './constants.js'
import type { BdevIo, IoCallback } from './bdev-io.js'
import type { DifFlag, DifPiFormat, DifType } from './dif.js'
import type { Iov } from './dma.js'
import type { RpcCall } from './rpc.js'
import type { IoChannel } from './thread.js'

/** A JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
/** A JSON object. */
export type JsonObject = { readonly [key: string]: Json }

/** Size, shape and limits of a bdev: what a vbdev usually takes over from its base. */
export interface BdevGeometry {
  /** Logical block size, > 0, with the metadata in it where that is interleaved (`blocklen`). */
  blockSizeBytes: number
  /** Size in blocks (`blockcnt`). `numBlocks * blockSizeBytes` must not exceed 2^53-1. */
  numBlocks: number
  /** Block size of the medium, default that of the data (`phys_blocklen`). */
  physBlockSizeBytes?: number
  /** Whether completed writes may be lost until a FLUSH (`write_cache`). Default false. */
  writeCache?: boolean
  /** Alignment that the module asks for its buffers, in bytes, a power of two (SPDK keeps its log2). Default 1. */
  requiredAlignmentBytes?: number
  /** Preferred I/O boundary, in blocks; a hint, but for `splitOnOptimalIoBoundary`. 0 = none. */
  optimalIoBoundaryBlocks?: number
  /** Smallest write, in blocks. Default 1. */
  writeUnitSizeBlocks?: number
  /** Blocks that one COMPARE_AND_WRITE may have at most (`acwu`). Default `writeUnitSizeBlocks`. */
  acwuBlocks?: number
  /** Alignment that writes should have, in blocks. 0 = none. */
  preferredWriteAlignmentBlocks?: number
  /** Granularity that writes should have, in blocks. 0 = none. */
  preferredWriteGranularityBlocks?: number
  /** Best write size, in blocks. 0 = none. */
  optimalWriteSizeBlocks?: number
  /** Alignment that unmaps should have, in blocks. 0 = none. */
  preferredUnmapAlignmentBlocks?: number
  /** Granularity that unmaps should have, in blocks. 0 = none. */
  preferredUnmapGranularityBlocks?: number
  /** Metadata per block, in bytes (`md_len`). 0, the default: none. */
  mdSizeBytes?: number
  /** Metadata follows the data of each block; else it has buffers of its own (`BdevIo.mdBuf`). Default false. */
  mdInterleave?: boolean
  /** Kind of protection information in the metadata. Default `Disable`. */
  difType?: DifType
  /** The protection information starts the metadata; else it ends it. Default false. */
  difIsHeadOfMd?: boolean
  /** Format of the protection information. Default `Guard16`. */
  difPiFormat?: DifPiFormat
  /** What the module checks of it. Default nothing. */
  difCheckFlags?: DifFlag
  /** NUMA node, -1 = any; left out of `bdev_get_bdevs` where undefined. */
  numaId?: number
}

/**
 * What a module takes in one I/O. The framework splits what is more, so that the module never sees it; a vbdev does not take
 * these over from its base, which splits for itself. 0, the default, is no limit.
 */
export interface BdevLimits {
  /** Split READ and WRITE so that none crosses a multiple of `optimalIoBoundaryBlocks`. Default false. */
  splitOnOptimalIoBoundary?: boolean
  /**
   * Split WRITE at multiples of `writeUnitSizeBlocks`, in place of the optimal boundary, and fail a WRITE of less than one
   * unit. Default false.
   */
  splitOnWriteUnit?: boolean
  /** Length of one element of `iovs`, in bytes. */
  maxSegmentSizeBytes?: number
  /** Elements of `iovs`. */
  maxNumSegments?: number
  /** Length of a READ or WRITE, in blocks. With `requiredAlignmentBytes` above 1 it is lowered to what a large buffer of `Iobuf` holds. */
  maxRwSizeBlocks?: number
  /**
   * Length of one segment of an UNMAP, in blocks. An UNMAP has one range of up to `maxUnmapBlocks * maxUnmapSegments` blocks;
   * none is split unless both are set.
   */
  maxUnmapBlocks?: number
  /** Segments of an UNMAP. */
  maxUnmapSegments?: number
  /** Length of a WRITE_ZEROES, in blocks. Set by the framework where the module lacks the type. */
  maxWriteZeroesBlocks?: number
  /** Length of a COPY, in blocks. Set by the framework where the module lacks the type. */
  maxCopyBlocks?: number
}

/** What `BdevHost.registerBdev` takes: `struct spdk_bdev` as its module fills it in. */
export interface BdevSpec<Ctx = any, Ch = any, IoCtx = any> extends BdevGeometry, BdevLimits {
  /** Unique among all names and aliases. */
  name: string
  /** The module's own object; handed to each function of the table. */
  ctx: Ctx
  /** The module's function table: one constant object for all its bdevs. */
  fn: BdevFnTable<Ctx, Ch, IoCtx>
  /** Kind of device as shown to users, e.g. `Malloc disk`. */
  productName: string
  /** Further names. */
  aliases?: readonly string[]
  /** Default: a random one. Always an alias of the bdev. */
  uuid?: string
  /**
   * How long a reset waits for outstanding I/O before it reaches the module, in seconds. 0 sends it at once. Where nothing
   * is outstanding in time, the reset succeeds without the module. Give 5 for bdevs that share a base.
   */
  resetIoDrainTimeoutS?: number
  /**
   * Whether a READ without buffers is answered: with the module's own memory (`BdevIo.lend`), or in a buffer that the module
   * asks for (`BdevIo.getBuf`). Default false. A vbdev that forwards reads untouched takes its base's value over; one that changes data must not.
   */
  lendsReadBuffers?: boolean
  /** Whether the device reports media management events (`BdevHost.pushMediaEvents`). Default false. */
  mediaEvents?: boolean
}

/** A registered bdev as modules see it. */
export interface Bdev<Ctx = any> extends Readonly<Required<Omit<BdevGeometry, 'numaId'>>> {
  /** Its name. */
  readonly name: string
  /** Lower-case text of its UUID. */
  readonly uuid: string
  /** Kind of device. */
  readonly productName: string
  /** Name of the module that registered it. */
  readonly moduleName: string
  /** What it takes at once, with what the framework has set: see {@link BdevLimits}. */
  readonly limits: Readonly<Required<BdevLimits>>
  /** Whether it lends its memory to READs without buffers. */
  readonly lendsReadBuffers: boolean
  /** Size of a block's data: `blockSizeBytes` without interleaved metadata. */
  readonly dataBlockSizeBytes: number
  /** That module's own object; other modules leave it alone. */
  readonly ctx: Ctx
  /** The claim that it is under. */
  readonly claimType: ClaimType
  /** Whether the bdev serves `type`, by its module or by emulation of WRITE_ZEROES (`spdk_bdev_io_type_supported`). */
  ioTypeSupported(type: IoType): boolean
  /** Size, shape and limits, to spread into the spec of a vbdev on top. */
  geometry(): BdevGeometry
}

/**
 * What a module does for its bdevs, `struct spdk_bdev_fn_table`. One constant object a module. A throw from any function is
 * attributed to the module; a thenable from one that may not return a promise is refused by name.
 */
export interface BdevFnTable<Ctx = any, Ch = any, IoCtx = any> {
  /** Releases what belongs to the bdev, on the app thread, after the last channel and descriptor are gone. Unregistration waits for it. */
  destruct(ctx: Ctx): void | Promise<void>
  /**
   * Carries out one I/O, on its thread. Range, alignment to blocks, write permission and lengths are checked before.
   * Ends in exactly one `io.complete*` or `io.forward*`, now or later. Returns nothing; never throws on purpose.
   */
  submitRequest(channelCtx: Ch, io: BdevIo<IoCtx>): void
  /** Whether the bdev serves `type`. Asked once per type, at registration, on the app thread. */
  ioTypeSupported(ctx: Ctx, type: IoType): boolean
  /** The current thread's channel, of the module's own device or of a base bdev; `null` fails the caller. */
  getIoChannel(ctx: Ctx): IoChannel<Ch> | null
  /**
   * Unregistration has begun, on the app thread, before descriptors are told: I/O that the module holds back with no end in
   * sight (parked, delayed) must end now, or the removal waits for it.
   */
  removeStarted?(ctx: Ctx): void
  /** Members of `driver_specific` in `bdev_get_bdevs`. */
  dumpInfoJson?(ctx: Ctx): JsonObject
  /** RPC calls that make this bdev again; either here or in the module's `configJson`, not both. */
  writeConfigJson?(bdev: Bdev<Ctx>): readonly RpcCall[]
  /** Microseconds the channel spent spinning; for profilers. */
  getSpinTime?(channelCtx: Ch): number
  /** What `BdevDesc.getModuleCtx` returns. */
  getModuleCtx?(ctx: Ctx): unknown
  /** Clears the device's own statistics. */
  resetDeviceStat?(ctx: Ctx): void
  /** `driver_specific` of `bdev_get_iostat`. */
  dumpDeviceStatJson?(ctx: Ctx): JsonObject
}

/** An event of an open descriptor. */
export interface BdevEvent {
  /** What happened. */
  readonly type: BdevEventType
  /** To which bdev. */
  readonly bdev: Bdev
}

/** How `BdevHost.openBdev` opens. */
export interface OpenOptions {
  /** Ask for write permission. Default false. */
  write?: boolean
  /**
   * Show blocks without their interleaved metadata: the framework inserts it into what is written and checks and strips what is
   * read. Default false.
   */
  hideMetadata?: boolean
  /** Told of removal and resize, by message on the opening thread, until the descriptor is closed. */
  onEvent(event: BdevEvent): void
}

/** How `BdevHost.openBdevAsync` opens. */
export interface OpenAsyncOptions extends OpenOptions {
  /** How long to try, in milliseconds. 0, the default: once. */
  timeoutMs?: number
}

/** A range that the device will move or lose, `struct spdk_bdev_media_event`. */
export interface MediaEvent {
  /** First block. */
  readonly offsetBlocks: number
  /** Number of blocks. */
  readonly numBlocks: number
}

/** Options of a v2 claim, `struct spdk_bdev_claim_opts`. */
export interface ClaimOptions {
  /** Shown in diagnostics, at most 31 characters. */
  name?: string
  /** Required, non-zero, for `ReadManyWriteShared`; forbidden otherwise. */
  sharedClaimKey?: number | bigint
}

/** Options of `DescChannel.readvBlocksExt` and `writevBlocksExt`, `struct spdk_bdev_ext_io_opts`. */
export interface ExtIoOptions {
  /** Separate metadata, `numBlocks * mdSizeBytes` bytes from `mdOff` on. Default none. */
  mdBuf?: Uint8Array | null
  /** Where in `mdBuf` it starts. Default 0. */
  mdOff?: number
  /** Checks of protection information that this I/O goes without. Default none. */
  difCheckFlagsExcludeMask?: DifFlag
}

/** An open bdev, `struct spdk_bdev_desc`. Usable from any thread with that thread's channel; closed on the thread that opened it. */
export interface BdevDesc {
  /** The bdev. */
  readonly bdev: Bdev
  /** Whether writes are allowed: opened so, or promoted by a claim. */
  readonly write: boolean
  /** Whether blocks are shown without their metadata. */
  readonly hideMetadata: boolean
  /** Block size of I/O through this descriptor: without the metadata where that is hidden. */
  readonly blockSizeBytes: number
  /** Metadata per block that this descriptor shows; 0 where it is hidden. */
  readonly mdSizeBytes: number
  /** Whether this descriptor shows metadata in the blocks. */
  readonly mdInterleave: boolean
  /** Kind of protection information that this descriptor shows. */
  readonly difType: DifType
  /** Format of protection information that this descriptor shows. */
  readonly difPiFormat: DifPiFormat
  /** Where in the metadata this descriptor shows protection information. */
  readonly difIsHeadOfMd: boolean
  /** Checks that this descriptor shows. */
  readonly difCheckFlags: DifFlag
  /** The current thread's channel; `null` where the module's channel could not be made (the log says why). */
  getIoChannel(): DescChannel | null
  /**
   * Takes a claim for the calling module.
   * @throws BdevError EPERM another claim or writer is in the way; EINVAL options do not fit the type; ENOTSUP unknown type.
   */
  claim(type: ClaimType, options?: ClaimOptions): void
  /** Releases an `ExclWrite` claim taken with this descriptor. Other claims end when it closes. */
  releaseClaim(): void
  /** What the bdev's module gives to those that know it (`getModuleCtx`), `undefined` without that function. */
  getModuleCtx(): unknown
  /**
   * Tells of this descriptor's I/O that lasts `timeoutS` seconds or longer: looked for once a second, and told again each
   * second while it lasts, on the thread that submitted it. `onTimeout` decides what to do (abort, reset, nothing). A call
   * replaces the one before; 0 ends it. To be called on the opening thread.
   * @throws BdevError EINVAL another thread, a negative time, or no function; EBADF the descriptor is closed.
   */
  setTimeout(timeoutS: number, onTimeout: ((io: BdevIo) => void) | null): void
  /** Takes at most `max` media events, oldest first; to be called from `onEvent` with `MediaManagement`. */
  getMediaEvents(max?: number): MediaEvent[]
  /** Closes it, on the opening thread; its v2 claim ends. Closing twice does nothing. Channels must have been put. */
  close(): void
}

/** Entry of `DescChannel.queueIoWait`; the caller owns it and may reuse it after the call-back. */
export interface IoWaitEntry<Arg = any> {
  /** Called on the same thread when an I/O is available again. */
  fn: (arg: Arg) => void
  /** Its argument. */
  arg: Arg
}

/**
 * A descriptor's channel on one thread, and the way to submit. Each call returns 0, then `cb` follows once; or a negative
 * errno, then it does not: -EBADF not writable or closed, -EINVAL range or buffer lengths, -ENOTSUP the bdev lacks the type,
 * -ENOMEM no I/O left (see `queueIoWait`). Offsets and lengths count blocks. To be called on the channel's thread, or with
 * none current.
 */
export interface DescChannel extends IoChannel<DescChannel> {
  /** The descriptor. */
  readonly desc: BdevDesc
  /** The bdev. */
  readonly bdev: Bdev
  /** Reads into `buf` from `bufOff` on. */
  readBlocks<Arg>(buf: Uint8Array, bufOff: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number
  /** Reads into the first `iovCnt` elements. With 0 elements it borrows the module's memory (`lendsReadBuffers`), else -EINVAL. */
  readvBlocks<Arg>(iovs: readonly Iov[], iovCnt: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number
  /** Writes from `buf`. */
  writeBlocks<Arg>(buf: Uint8Array, bufOff: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number
  /** Writes from the first `iovCnt` elements. */
  writevBlocks<Arg>(iovs: readonly Iov[], iovCnt: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number
  /** Compares with the elements; a difference completes with `Miscompare`. */
  comparevBlocks<Arg>(iovs: readonly Iov[], iovCnt: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number
  /**
   * As `readBlocks`, with separate metadata into `mdBuf` from `mdOff` on; `null`: without it. -EINVAL also where the bdev has no
   * separate metadata, or `mdBuf` does not hold `numBlocks * mdSizeBytes` bytes. So do the calls below.
   */
  readBlocksWithMd<Arg>(
    buf: Uint8Array, bufOff: number, mdBuf: Uint8Array | null, mdOff: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg,
  ): number
  /** As `readvBlocks`, with separate metadata. */
  readvBlocksWithMd<Arg>(
    iovs: readonly Iov[], iovCnt: number, mdBuf: Uint8Array | null, mdOff: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg,
  ): number
  /** As `writeBlocks`, with separate metadata. Without it, the metadata of the blocks stays as it is. */
  writeBlocksWithMd<Arg>(
    buf: Uint8Array, bufOff: number, mdBuf: Uint8Array | null, mdOff: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg,
  ): number
  /** As `writevBlocks`, with separate metadata. */
  writevBlocksWithMd<Arg>(
    iovs: readonly Iov[], iovCnt: number, mdBuf: Uint8Array | null, mdOff: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg,
  ): number
  /** As `comparevBlocks`, with separate metadata. */
  comparevBlocksWithMd<Arg>(
    iovs: readonly Iov[], iovCnt: number, mdBuf: Uint8Array | null, mdOff: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg,
  ): number
  /** As `readvBlocks`, with options, which are read before it returns. */
  readvBlocksExt<Arg>(
    iovs: readonly Iov[], iovCnt: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg, options: ExtIoOptions,
  ): number
  /** As `writevBlocks`, with options, which are read before it returns. */
  writevBlocksExt<Arg>(
    iovs: readonly Iov[], iovCnt: number, offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg, options: ExtIoOptions,
  ): number
  /** Deallocates. 0 blocks succeed without reaching the module. */
  unmapBlocks<Arg>(offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number
  /** Zeroes; emulated with writes where the module lacks it. */
  writeZeroesBlocks<Arg>(offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number
  /** Makes completed writes durable. */
  flushBlocks<Arg>(offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number
  /**
   * Compares with the first elements and, where they are equal, writes the second ones, with no other write in between. At
   * most `acwuBlocks` blocks, else -EINVAL. Emulated under a lock of the blocks where the module lacks it. A difference
   * completes with `Miscompare` and writes nothing.
   */
  comparevAndWritevBlocks<Arg>(
    compareIovs: readonly Iov[], compareIovCnt: number, writeIovs: readonly Iov[], writeIovCnt: number,
    offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg,
  ): number
  /**
   * Copies inside the bdev; source and target may overlap. Emulated with reads and writes where the module lacks it. No
   * blocks, or a copy onto itself, succeed without reaching the module.
   */
  copyBlocks<Arg>(dstOffsetBlocks: number, srcOffsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number
  /**
   * Borrows the module's own buffer for the blocks: `io.iovs` in the callback, filled with what is there if `populate`. The
   * I/O is kept, and given back with `zcopyEnd`. Never emulated; needs write permission even to read, as in SPDK.
   */
  zcopyStart<Arg>(offsetBlocks: number, numBlocks: number, populate: boolean, cb: IoCallback<Arg>, arg: Arg): number
  /**
   * Gives back what `zcopyStart` borrowed, and makes its content the bdev's if `commit`; then free the I/O. -EINVAL where
   * `io` is no ZCOPY of this channel that was started and not ended. An I/O that is freed without it is ended without commit.
   */
  zcopyEnd<Arg>(io: BdevIo, commit: boolean, cb: IoCallback<Arg>, arg: Arg): number
  /** Finds the next block at or after `offsetBlocks` that holds data: `io.seekOffsetBlocks`. Where the module does not know: the block itself. */
  seekData<Arg>(offsetBlocks: number, cb: IoCallback<Arg>, arg: Arg): number
  /** Finds the next unallocated block at or after `offsetBlocks`: `io.seekOffsetBlocks`. Where the module does not know: none. */
  seekHole<Arg>(offsetBlocks: number, cb: IoCallback<Arg>, arg: Arg): number
  /** Marks blocks as unreadable until they are written again. */
  writeUncorrectableBlocks<Arg>(offsetBlocks: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number
  /** Resets the bdev; I/O outstanding on any thread completes first, new I/O meanwhile is aborted. */
  reset<Arg>(cb: IoCallback<Arg>, arg: Arg): number
  /** Aborts what was submitted on this channel with `ioArg` as its argument. Fails where there is none. */
  abort<Arg>(ioArg: unknown, cb: IoCallback<Arg>, arg: Arg): number
  /**
   * Calls `entry.fn(entry.arg)` when an I/O is available, oldest first. -EINVAL where one is available now.
   */
  queueIoWait(entry: IoWaitEntry): number
}
