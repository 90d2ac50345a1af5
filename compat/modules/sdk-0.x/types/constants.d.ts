/**
 * I/O types, numbered as `enum spdk_bdev_io_type` (spdk/bdev.h). The values never change.
 * A module must expect numbers that it does not know and fail such an I/O (its `default:` branch).
 * @since 0.1
 */
export declare const IoType: {
    /** Never submitted. */
    readonly Invalid: 0;
    /** Data in. A bdev without it is not examined. */
    readonly Read: 1;
    /** Data out. Needs a writable descriptor. */
    readonly Write: 2;
    /** Deallocate; what a later read returns is up to the device. */
    readonly Unmap: 3;
    /** Make every write that completed before this was submitted durable. */
    readonly Flush: 4;
    /** Complete everything outstanding, then answer. */
    readonly Reset: 5;
    /** Raw NVMe admin command. */
    readonly NvmeAdmin: 6;
    /** Raw NVMe I/O command, one contiguous buffer. */
    readonly NvmeIo: 7;
    /** Raw NVMe I/O command with a metadata buffer. */
    readonly NvmeIoMd: 8;
    /** Later reads of the range return zeros. Emulated with writes where a module lacks it. */
    readonly WriteZeroes: 9;
    /** Borrow the module's own buffer (start) and give it back (end). */
    readonly Zcopy: 10;
    /** Zone report. */
    readonly GetZoneInfo: 11;
    /** Open, close, finish, reset or offline a zone. */
    readonly ZoneManagement: 12;
    /** Write at a zone's write pointer. */
    readonly ZoneAppend: 13;
    /** Compare the range with the given buffers. Emulated with a read where a module lacks it. */
    readonly Compare: 14;
    /** Fused compare and write. */
    readonly CompareAndWrite: 15;
    /** Abort one outstanding I/O, `BdevIo.abortTarget`. */
    readonly Abort: 16;
    /** Next unallocated block. */
    readonly SeekHole: 17;
    /** Next allocated block. */
    readonly SeekData: 18;
    /** Copy inside the device. */
    readonly Copy: 19;
    /** Raw NVMe I/O command with a scatter list and metadata. */
    readonly NvmeIovMd: 20;
    /** NVM subsystem reset. */
    readonly NvmeNssr: 21;
    /** Mark blocks as unreadable. */
    readonly WriteUncorrectable: 22;
};
/** A number of {@link (IoType:variable)}, or one that a later release adds. */
export type IoType = number;
/**
 * I/O types by the names of `bdev_get_bdevs`, in the order of its `supported_io_types`.
 * Index = IoType; entry 0 is empty because `Invalid` has no name.
 */
export declare const IO_TYPE_NAMES: readonly string[];
/**
 * The SDK release that introduced each I/O type, `[major, minor]`; index = IoType. The framework neither asks a module
 * about nor sends it a type that is younger than the module's `sdk`: an old encrypting module that mirrors what its base
 * supports must not pass a new kind of write through in plain text.
 */
export declare const IO_TYPE_SINCE: readonly (readonly [major: number, minor: number])[];
/**
 * Completion status, numbered as `enum spdk_bdev_io_status` (spdk/bdev_module.h).
 * @since 0.1
 */
export declare const IoStatus: {
    /** errno of the platform, kept with the I/O (`completeAio`). */
    readonly AioError: -8;
    /** Aborted by a reset, an abort or the removal of the bdev. */
    readonly Aborted: -7;
    /** The first of two fused commands failed. */
    readonly FirstFusedFailed: -6;
    /** A compare found a difference. */
    readonly Miscompare: -5;
    /** The module is out of a resource: the framework queues the I/O and sends it again. Not allowed for RESET. */
    readonly Nomem: -4;
    /** SCSI sense data, kept with the I/O (`completeScsi`). */
    readonly ScsiError: -3;
    /** NVMe status code type and code, kept with the I/O (`completeNvme`). */
    readonly NvmeError: -2;
    /** Failed, no detail. */
    readonly Failed: -1;
    /** Not completed yet. */
    readonly Pending: 0;
    /** Done. */
    readonly Success: 1;
};
/** A number of {@link (IoStatus:variable)}, or one that a later release adds. */
export type IoStatus = number;
/**
 * Claims, numbered as `enum spdk_bdev_claim_type` (spdk/bdev_module.h).
 * @since 0.1
 */
export declare const ClaimType: {
    /** Not claimed. */
    readonly None: 0;
    /** One module writes, nobody else does (SPDK's v1 claim). It stays when the descriptor closes; released by `releaseClaim`. */
    readonly ExclWrite: 1;
    /** Any number of readers, one writer: this descriptor. */
    readonly ReadManyWriteOne: 2;
    /** Any number of readers, no writer. */
    readonly ReadManyWriteNone: 3;
    /** Any number of readers, and writers that share a key. */
    readonly ReadManyWriteShared: 4;
};
/** A number of {@link (ClaimType:variable)}, or one that a later release adds. */
export type ClaimType = number;
/**
 * Events of a descriptor, numbered as `enum spdk_bdev_event_type` (spdk/bdev.h).
 * @since 0.1
 */
export declare const BdevEventType: {
    /** The bdev is being unregistered: put every channel and close the descriptor; unregistration waits for it. */
    readonly Remove: 0;
    /** `numBlocks` changed. */
    readonly Resize: 1;
    /** The device has media management events. */
    readonly MediaManagement: 2;
};
/** A number of {@link (BdevEventType:variable)}, or one that a later release adds. */
export type BdevEventType = number;
/**
 * What a poller reports, as `enum spdk_thread_poller_rc` (spdk/thread.h). Busy keeps the reactor awake.
 * @since 0.1
 */
export declare const PollerRc: {
    /** Nothing was done. */
    readonly Idle: 0;
    /** Something was done: call again soon. */
    readonly Busy: 1;
};
/** A number of {@link (PollerRc:variable)}. */
export type PollerRc = number;
