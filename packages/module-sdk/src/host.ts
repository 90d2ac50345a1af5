// SPDX-License-Identifier: Apache-2.0
import type { ClaimType, IoType } from './constants.js'
import type { Bdev, BdevDesc, BdevGeometry, BdevSpec, DescChannel, MediaEvent, OpenAsyncOptions, OpenOptions } from './bdev.js'
import type { Accel, Dma, Iobuf, Iov } from './dma.js'
import type { Offload } from './offload.js'
import type { PartBase, PartBaseSpec } from './part.js'
import type { RpcCall } from './rpc.js'
import type { IoDevice, IoDeviceSpec, Thread } from './thread.js'

/** Where a module's messages go; the host adds the module's name. Never pass secrets. */
export interface Logger {
  /** Something failed and somebody must look. */
  error(message: string): void
  /** Something is odd. */
  warn(message: string): void
  /** A change of state that operators want to see. */
  notice(message: string): void
  /** Detail. */
  info(message: string): void
  /** More detail. */
  debug(message: string): void
}

/** Parameters that {@link Vbdevs} itself understands. */
export interface VbdevParams {
  /** Name of the vbdev. */
  name: string
  /** Name, alias or UUID of the base bdev. */
  base_bdev_name: string
  /** Default: derived from the base's UUID and the module's namespace. */
  uuid?: string
}

/** The base of a vbdev: open, claimed, followed. */
export interface VbdevBase {
  /** The base bdev. */
  readonly bdev: Bdev
  /** The descriptor that holds it, with the claim. */
  readonly desc: BdevDesc
  /** Size, shape and limits of the base. */
  geometry(): BdevGeometry
  /** As `Bdev.ioTypeSupported`. */
  ioTypeSupported(type: IoType): boolean
  /** As `BdevDesc.getIoChannel`. */
  getIoChannel(): DescChannel | null
  /** Releases the claim and closes the descriptor, on its thread. Called by the vbdev's `destruct`. */
  close(): Promise<void>
}

/** How a module attaches its vbdevs to their bases. */
export interface VbdevsSpec<Params extends VbdevParams, Ctx> {
  /** Makes the spec of the vbdev on `base`. Runs on the app thread, inside create or examine; decides at once. */
  attach(base: VbdevBase, params: Params): BdevSpec<Ctx>
  /** Namespace of UUIDs derived from the base's (version 5), as SPDK's module of that name has it. Without it: random. */
  uuidNamespace?: string
  /** When the base's size changes: take it over, leave it, or remove the vbdev. Default `ignore`. */
  onResize?: 'follow' | 'ignore' | 'remove'
  /** Claim on the base, default `ExclWrite`. */
  claimType?: ClaimType
  /** Attach although another descriptor is open for writing. Default false: two writers would not see each other's data. */
  allowOtherWriters?: boolean
}

/**
 * The vbdevs of a module and the bases they want, present or not. A vbdev created before its base appears when the base
 * does, goes when the base goes, and comes back with it; only `delete` forgets it.
 */
export interface Vbdevs<Params extends VbdevParams> {
  /**
   * Remembers the vbdev, and makes it now where the base is there.
   * @returns its name.
   * @throws BdevError EEXIST the name is taken; EPERM the base is claimed or open for writing; EINVAL another thread than the app
   * thread is current; what `attach` or registration throws.
   * Where it throws, nothing is remembered.
   */
  create(params: Params): string
  /**
   * Unregisters and forgets it; settles when it is gone.
   * @throws BdevError ENODEV no such vbdev; EINVAL another thread than the app thread is current.
   */
  delete(name: string): Promise<void>
  /**
   * One call of `method` per vbdev, attached or waiting, in the order of creation: for `configJson`. Parameters come as
   * `order` has them, the others behind.
   */
  createCalls(method: string, order?: readonly (keyof Params & string)[]): readonly RpcCall[]
  /** The parameters of a vbdev, `undefined` for an unknown name. */
  params(name: string): Params | undefined
}

/**
 * What the framework gives to a module, as the argument of `setup`. Control plane: call it on the app thread, or with no
 * thread current (it is then the app thread's). What makes bdevs or takes them away (`registerBdev`, `unregisterBdev`,
 * `openPartBase` and its `close`, `create` and `delete` of `vbdevs`) is refused with EINVAL on any other thread; descriptors,
 * devices, quiesces, sizes and events belong to whatever thread calls.
 */
export interface BdevHost {
  /** SDK release that the host offers, `major.minor.patch`. */
  readonly sdk: string
  /** The module's log. */
  readonly log: Logger
  /** Kernels for data. */
  readonly accel: Accel
  /** The DMA heap. */
  readonly dma: Dma
  /** Pooled buffers that can be waited for. */
  readonly iobuf: Iobuf
  /** Work that blocks, on I/O workers. */
  readonly offload: Offload
  /** The thread that the control plane runs on. */
  readonly appThread: Thread
  /** The current thread; the app thread where none is. */
  currentThread(): Thread
  /** Monotonic time in milliseconds, read now. Under a virtual clock: its time. */
  nowMs(): number
  /** `count` scatter elements of the framework's own shape. */
  allocIovs(count: number): Iov[]
  /** Version-5 UUID of `namespace` over the given bytes (`spdk_uuid_generate_sha1`). */
  uuidV5(namespace: string, bytes: Uint8Array): string
  /**
   * Registers a bdev: it is visible at once, then examined.
   * @throws BdevError EINVAL name, block size or size out of range, the function table lacks an entry, or another thread than the
   * app thread is current; EEXIST name, alias or UUID taken.
   */
  registerBdev<Ctx, Ch, IoCtx>(spec: BdevSpec<Ctx, Ch, IoCtx>): Bdev<Ctx>
  /**
   * Unregisters a bdev of this module by name; settles after `destruct`.
   * @throws BdevError ENODEV no such bdev, or another module's; EBUSY it is being unregistered; EINVAL another thread than the app
   * thread is current.
   */
  unregisterBdev(name: string): Promise<void>
  /** This module's bdevs in the order of registration. */
  ownBdevs(): readonly Bdev[]
  /** A bdev by name, alias or UUID. */
  bdevByName(name: string): Bdev | undefined
  /**
   * Opens a bdev.
   * @throws BdevError ENODEV unknown or being removed; EPERM write asked while claimed; EINVAL `hideMetadata` with separate metadata.
   */
  openBdev(name: string, options: OpenOptions): BdevDesc
  /**
   * Reads blocks through a descriptor, for tables and superblocks: control plane, one promise and one buffer each.
   * @throws BdevError of the errno that the read failed with.
   */
  readBlocks(desc: BdevDesc, offsetBlocks: number, numBlocks: number): Promise<Uint8Array>
  /**
   * Opens a bdev that may not be there yet: tries at once, then every 100 ms on the calling thread.
   * @throws BdevError ETIMEDOUT no try succeeded in time; ESHUTDOWN the host is finishing; without a timeout as `openBdev`.
   */
  openBdevAsync(name: string, options: OpenAsyncOptions): Promise<BdevDesc>
  /**
   * Tells the size of one of this module's bdevs anew; open descriptors get RESIZE.
   * @throws BdevError EBUSY smaller while a descriptor is open; EINVAL out of range.
   */
  notifyBlockcntChange(bdev: Bdev, numBlocks: number): void
  /**
   * Keeps media events of one of this module's bdevs for the oldest descriptor that may write. Returns how many there was
   * room for: a descriptor holds 64 that it has not read.
   * @throws BdevError ENODEV nobody has it open for writing, or it was registered without `mediaEvents`.
   */
  pushMediaEvents(bdev: Bdev, events: readonly MediaEvent[]): number
  /** Sends `MediaManagement` to the descriptors of a bdev that have media events to read. */
  notifyMediaManagement(bdev: Bdev): void
  /**
   * Holds back new READ, WRITE and other I/O that reads or changes blocks of one of this module's bdevs, on every channel,
   * and settles when what was submitted before has ended. Held I/O goes on at the `unquiesce`; a removal of the bdev waits
   * for it. Blocks that overlap a range which is quiesced already wait for that one's end. RESET and FLUSH pass.
   * @throws BdevError EINVAL the bdev belongs to another module; ENODEV it is being removed and nobody has it open.
   */
  quiesce(bdev: Bdev): Promise<void>
  /**
   * Ends a quiesce of the whole bdev.
   * @throws BdevError EINVAL it is not quiesced as a whole, or belongs to another module; ENODEV as for `quiesce`.
   */
  unquiesce(bdev: Bdev): Promise<void>
  /**
   * As `quiesce`, for `numBlocks` blocks from `offsetBlocks` on.
   * @throws BdevError also EINVAL the range is not within the bdev.
   */
  quiesceRange(bdev: Bdev, offsetBlocks: number, numBlocks: number): Promise<void>
  /**
   * Ends a quiesce of exactly this range; settles when the I/O that it held goes on.
   * @throws BdevError EINVAL that range is not quiesced, or the bdev belongs to another module; ENODEV as for `quiesce`.
   */
  unquiesceRange(bdev: Bdev, offsetBlocks: number, numBlocks: number): Promise<void>
  /** Registers an I/O device, whose channels carry a module's per-thread state. */
  registerIoDevice<Ctx>(spec: IoDeviceSpec<Ctx>): IoDevice<Ctx>
  /**
   * Opens a bdev to make parts of it.
   * @throws BdevError ENODEV unknown or being removed; EINVAL another thread than the app thread is current.
   */
  openPartBase<Ctx>(name: string, spec?: PartBaseSpec<Ctx>): PartBase
  /** The association of vbdevs with their bases, as nearly every vbdev module needs it. At most once, in `setup`. */
  vbdevs<Params extends VbdevParams, Ctx>(spec: VbdevsSpec<Params, Ctx>): Vbdevs<Params>
}
