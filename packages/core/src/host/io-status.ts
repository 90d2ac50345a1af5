// SPDX-License-Identifier: Apache-2.0
import type { BdevIo } from '@bdevkit/module-sdk'
import { ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevIo as CoreBdevIo } from '../io/bdev-io.js'

/** Status of a completed NVMe command: status code type and status code (NVMe base specification, status field). */
export interface NvmeStatus {
  /** Status code type. */
  readonly sct: number
  /** Status code. */
  readonly sc: number
}

/** SCSI status and sense of a completed command (SPC). */
export interface ScsiStatus {
  /** Status byte, 0 = GOOD. */
  readonly status: number
  /** Sense key. */
  readonly senseKey: number
  /** Additional sense code. */
  readonly asc: number
  /** Additional sense code qualifier. */
  readonly ascq: number
}

const NVME_SUCCESS: NvmeStatus = { sct: 0, sc: 0x00 }
const NVME_INTERNAL_ERROR: NvmeStatus = { sct: 0, sc: 0x06 }
const NVME_ABORTED: NvmeStatus = { sct: 0, sc: 0x07 }
const NVME_FAILED_FUSED: NvmeStatus = { sct: 0, sc: 0x09 }
const NVME_COMPARE_FAILURE: NvmeStatus = { sct: 2, sc: 0x85 }

/** How an NVMe target answers for an I/O (`spdk_bdev_io_get_nvme_status`). An ABORT always succeeds; `cdw0` says whether it aborted. */
export function nvmeStatusOf(io: BdevIo): NvmeStatus & { cdw0: number } {
  const { status, nvmeCdw0: cdw0 } = io
  if (io.type === IoType.Abort) return { ...NVME_SUCCESS, cdw0: status === IoStatus.Success ? 0 : 1 }
  return { ...plainNvmeStatus(io), cdw0 }
}

/** How it answers for the two commands that a COMPARE_AND_WRITE was (`spdk_bdev_io_get_nvme_fused_status`). */
export function nvmeFusedStatusOf(io: BdevIo): { first: NvmeStatus; second: NvmeStatus; cdw0: number } {
  const cdw0 = io.nvmeCdw0
  switch (io.status) {
    case IoStatus.Success:
      return { first: NVME_SUCCESS, second: NVME_SUCCESS, cdw0 }
    case IoStatus.Miscompare:
      return { first: NVME_COMPARE_FAILURE, second: NVME_FAILED_FUSED, cdw0 }
    case IoStatus.FirstFusedFailed:
      return { first: NVME_INTERNAL_ERROR, second: NVME_FAILED_FUSED, cdw0 }
    case IoStatus.NvmeError: {
      const own = plainNvmeStatus(io)
      const compared = own.sct === NVME_COMPARE_FAILURE.sct && own.sc === NVME_COMPARE_FAILURE.sc
      return compared ? { first: own, second: NVME_FAILED_FUSED, cdw0 } : { first: NVME_SUCCESS, second: own, cdw0 }
    }
    default: {
      const both = plainNvmeStatus(io)
      return { first: both, second: both, cdw0 }
    }
  }
}

/** How a SCSI target answers for an I/O (`spdk_bdev_io_get_scsi_status`). */
export function scsiStatusOf(io: BdevIo): ScsiStatus {
  switch (io.status) {
    case IoStatus.Success:
      return scsi(GOOD, NO_SENSE, 0x00)
    case IoStatus.NvmeError:
      return scsiOfNvme(io.nvmeSct, io.nvmeSc)
    case IoStatus.Miscompare:
      return scsi(CHECK, MISCOMPARE, 0x1d)
    case IoStatus.ScsiError: {
      const [status, senseKey, asc, ascq] = (io as CoreBdevIo).scsiSense ?? [CHECK, ABORTED_COMMAND, 0, 0]
      return { status: status!, senseKey: senseKey!, asc: asc!, ascq: ascq! }
    }
    default:
      return scsi(CHECK, ABORTED_COMMAND, 0x00)
  }
}

/** The negative errno of an I/O, 0 where it succeeded (`spdk_bdev_io_get_aio_status`). */
export function aioStatusOf(io: BdevIo): number {
  if (io.status === IoStatus.Success) return 0
  return io.status === IoStatus.AioError ? io.aioErrno : -ERRNO.EIO
}

function plainNvmeStatus(io: BdevIo): NvmeStatus {
  switch (io.status) {
    case IoStatus.Success:
      return NVME_SUCCESS
    case IoStatus.NvmeError:
      return { sct: io.nvmeSct, sc: io.nvmeSc }
    case IoStatus.Aborted:
      return NVME_ABORTED
    case IoStatus.Miscompare:
      return NVME_COMPARE_FAILURE
    default:
      return NVME_INTERNAL_ERROR
  }
}

const [GOOD, CHECK, RESERVATION_CONFLICT, TASK_ABORTED] = [0x00, 0x02, 0x18, 0x40]
const [NO_SENSE, NOT_READY, MEDIUM_ERROR, HARDWARE_ERROR, ILLEGAL_REQUEST, DATA_PROTECT, ABORTED_COMMAND, MISCOMPARE] = [
  0x0, 0x2, 0x3, 0x4, 0x5, 0x7, 0xb, 0xe,
]

function scsi(status: number, senseKey: number, asc: number, ascq = 0): ScsiStatus {
  return { status, senseKey, asc, ascq }
}

/** NVMe status codes with a SCSI counterpart, by status code type (NVM Express: SCSI Translation Reference). */
const SCSI_OF_NVME: readonly Readonly<Record<number, ScsiStatus>>[] = [
  {
    0x00: scsi(GOOD, NO_SENSE, 0x00),
    0x01: scsi(CHECK, ILLEGAL_REQUEST, 0x20),
    0x02: scsi(CHECK, ILLEGAL_REQUEST, 0x24),
    0x04: scsi(CHECK, MEDIUM_ERROR, 0x00),
    0x05: scsi(TASK_ABORTED, ABORTED_COMMAND, 0x0b, 0x08),
    0x06: scsi(CHECK, HARDWARE_ERROR, 0x44),
    0x07: scsi(TASK_ABORTED, ABORTED_COMMAND, 0x00),
    0x08: scsi(TASK_ABORTED, ABORTED_COMMAND, 0x00),
    0x09: scsi(TASK_ABORTED, ABORTED_COMMAND, 0x00),
    0x0a: scsi(TASK_ABORTED, ABORTED_COMMAND, 0x00),
    0x0b: scsi(CHECK, ILLEGAL_REQUEST, 0x20, 0x09),
    0x80: scsi(CHECK, ILLEGAL_REQUEST, 0x21),
    0x81: scsi(CHECK, MEDIUM_ERROR, 0x00),
    0x82: scsi(CHECK, NOT_READY, 0x04),
    0x83: scsi(RESERVATION_CONFLICT, NO_SENSE, 0x00),
  },
  {
    0x0a: scsi(CHECK, ILLEGAL_REQUEST, 0x31, 0x01),
    0x80: scsi(CHECK, ILLEGAL_REQUEST, 0x24),
    0x82: scsi(CHECK, DATA_PROTECT, 0x27),
  },
  {
    0x80: scsi(CHECK, MEDIUM_ERROR, 0x03),
    0x81: scsi(CHECK, MEDIUM_ERROR, 0x11),
    0x82: scsi(CHECK, MEDIUM_ERROR, 0x10, 0x01),
    0x83: scsi(CHECK, MEDIUM_ERROR, 0x10, 0x02),
    0x84: scsi(CHECK, MEDIUM_ERROR, 0x10, 0x03),
    0x85: scsi(CHECK, MISCOMPARE, 0x1d),
    0x86: scsi(CHECK, DATA_PROTECT, 0x20, 0x02),
  },
]

function scsiOfNvme(sct: number, sc: number): ScsiStatus {
  return SCSI_OF_NVME[sct]?.[sc] ?? scsi(CHECK, ILLEGAL_REQUEST, 0x00)
}
