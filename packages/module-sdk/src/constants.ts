// SPDX-License-Identifier: Apache-2.0

/**
 * I/O types, numbered as `enum spdk_bdev_io_type` (spdk/bdev.h). The values never change.
 * A module must expect numbers that it does not know and fail such an I/O (its `default:` branch).
 * @since 0.1
 */
export const IoType = {
  /** Never submitted. */
  Invalid: 0,
  /** Data in. A bdev without it is not examined. */
  Read: 1,
  /** Data out. Needs a writable descriptor. */
  Write: 2,
  /** Deallocate; what a later read returns is up to the device. */
  Unmap: 3,
  /** Make every write that completed before this was submitted durable. */
  Flush: 4,
  /** Complete everything outstanding, then answer. */
  Reset: 5,
  /** Raw NVMe admin command. */
  NvmeAdmin: 6,
  /** Raw NVMe I/O command, one contiguous buffer. */
  NvmeIo: 7,
  /** Raw NVMe I/O command with a metadata buffer. */
  NvmeIoMd: 8,
  /** Later reads of the range return zeros. Emulated with writes where a module lacks it. */
  WriteZeroes: 9,
  /** Borrow the module's own buffer (start) and give it back (end). */
  Zcopy: 10,
  /** Zone report. */
  GetZoneInfo: 11,
  /** Open, close, finish, reset or offline a zone. */
  ZoneManagement: 12,
  /** Write at a zone's write pointer. */
  ZoneAppend: 13,
  /** Compare the range with the given buffers. Emulated with a read where a module lacks it. */
  Compare: 14,
  /** Fused compare and write. */
  CompareAndWrite: 15,
  /** Abort one outstanding I/O, `BdevIo.abortTarget`. */
  Abort: 16,
  /** Next unallocated block. */
  SeekHole: 17,
  /** Next allocated block. */
  SeekData: 18,
  /** Copy inside the device. */
  Copy: 19,
  /** Raw NVMe I/O command with a scatter list and metadata. */
  NvmeIovMd: 20,
  /** NVM subsystem reset. */
  NvmeNssr: 21,
  /** Mark blocks as unreadable. */
  WriteUncorrectable: 22,
} as const
/** A number of {@link (IoType:variable)}, or one that a later release adds. */
export type IoType = number

/**
 * I/O types by the names of `bdev_get_bdevs`, in the order of its `supported_io_types`.
 * Index = IoType; entry 0 is empty because `Invalid` has no name.
 */
export const IO_TYPE_NAMES: readonly string[] = [
  '', 'read', 'write', 'unmap', 'flush', 'reset', 'nvme_admin', 'nvme_io', 'nvme_io_md', 'write_zeroes', 'zcopy',
  'get_zone_info', 'zone_management', 'zone_append', 'compare', 'compare_and_write', 'abort', 'seek_hole', 'seek_data',
  'copy', 'nvme_iov_md', 'nvme_nssr', 'write_uncorrectable',
]

/**
 * The SDK release that introduced each I/O type, `[major, minor]`; index = IoType. The framework neither asks a module
 * about nor sends it a type that is younger than the module's `sdk`: an old encrypting module that mirrors what its base
 * supports must not pass a new kind of write through in plain text.
 */
export const IO_TYPE_SINCE: readonly (readonly [major: number, minor: number])[] = IO_TYPE_NAMES.map(() => [0, 1] as const)

/**
 * Completion status, numbered as `enum spdk_bdev_io_status` (spdk/bdev_module.h).
 * @since 0.1
 */
export const IoStatus = {
  /** errno of the platform, kept with the I/O (`completeAio`). */
  AioError: -8,
  /** Aborted by a reset, an abort or the removal of the bdev. */
  Aborted: -7,
  /** The first of two fused commands failed. */
  FirstFusedFailed: -6,
  /** A compare found a difference. */
  Miscompare: -5,
  /** The module is out of a resource: the framework queues the I/O and sends it again. Not allowed for RESET. */
  Nomem: -4,
  /** SCSI sense data, kept with the I/O (`completeScsi`). */
  ScsiError: -3,
  /** NVMe status code type and code, kept with the I/O (`completeNvme`). */
  NvmeError: -2,
  /** Failed, no detail. */
  Failed: -1,
  /** Not completed yet. */
  Pending: 0,
  /** Done. */
  Success: 1,
} as const
/** A number of {@link (IoStatus:variable)}, or one that a later release adds. */
export type IoStatus = number

const STATUS_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(IoStatus).map(([name, status]) => [status, name]))

/**
 * The name that a status has in {@link (IoStatus:variable)}, for messages; of a status without a name its number.
 * @since 0.1
 */
export function ioStatusName(status: IoStatus): string {
  return STATUS_NAMES.get(status) ?? String(status)
}

/**
 * Claims, numbered as `enum spdk_bdev_claim_type` (spdk/bdev_module.h).
 * @since 0.1
 */
export const ClaimType = {
  /** Not claimed. */
  None: 0,
  /** One module writes, nobody else does (SPDK's v1 claim). It stays when the descriptor closes; released by `releaseClaim`. */
  ExclWrite: 1,
  /** Any number of readers, one writer: this descriptor. */
  ReadManyWriteOne: 2,
  /** Any number of readers, no writer. */
  ReadManyWriteNone: 3,
  /** Any number of readers, and writers that share a key. */
  ReadManyWriteShared: 4,
} as const
/** A number of {@link (ClaimType:variable)}, or one that a later release adds. */
export type ClaimType = number

/**
 * Events of a descriptor, numbered as `enum spdk_bdev_event_type` (spdk/bdev.h).
 * @since 0.1
 */
export const BdevEventType = {
  /** The bdev is being unregistered: put every channel and close the descriptor; unregistration waits for it. */
  Remove: 0,
  /** `numBlocks` changed. */
  Resize: 1,
  /** The device has media management events. */
  MediaManagement: 2,
} as const
/** A number of {@link (BdevEventType:variable)}, or one that a later release adds. */
export type BdevEventType = number

/**
 * What a poller reports, as `enum spdk_thread_poller_rc` (spdk/thread.h). Busy keeps the reactor awake.
 * @since 0.1
 */
export const PollerRc = {
  /** Nothing was done. */
  Idle: 0,
  /** Something was done: call again soon. */
  Busy: 1,
} as const
/** A number of {@link (PollerRc:variable)}. */
export type PollerRc = number
