// SPDX-License-Identifier: Apache-2.0
import { ERRNO, IoStatus, ioStatusName, type BdevIo } from '@bdevkit/module-sdk'
import { Cmd, CmdFlag, NbdError } from './protocol.js'

// Which status becomes which error on the wire: this file is the whole table.

const EDQUOT = 122
// NVMe base specification, "Status Code": generic command status (type 0) and command specific status (type 1).
const NVME_GENERIC = 0
const NVME_COMMAND_SPECIFIC = 1
const NVME_ABORTED = 0x07
const NVME_NAMESPACE_WRITE_PROTECTED = 0x20
const NVME_LBA_OUT_OF_RANGE = 0x80
const NVME_CAPACITY_EXCEEDED = 0x81
const NVME_WRITE_TO_READ_ONLY_RANGE = 0x82

/**
 * The wire's error for a positive errno. proto.md "Error values": EDQUOT and EFBIG are ENOSPC; ENOTSUP only answers a FAST_ZERO;
 * what is not in the list is EIO.
 */
export function nbdErrorOfErrno(errno: number, flags: number): number {
  switch (errno) {
    case ERRNO.EPERM:
    case ERRNO.EACCES:
    case ERRNO.EROFS:
    case ERRNO.EBADF: // the framework's answer to a write on a descriptor that was opened for reading
      return NbdError.Perm
    case ERRNO.ENOMEM:
    case ERRNO.EAGAIN:
      return NbdError.NoMem
    case ERRNO.EINVAL:
    case ERRNO.ERANGE:
    case ERRNO.EOVERFLOW:
      return NbdError.Inval
    case ERRNO.ENOSPC:
    case ERRNO.EFBIG:
    case EDQUOT:
      return NbdError.NoSpc
    case ERRNO.ENOTSUP:
      return (flags & CmdFlag.FastZero) !== 0 ? NbdError.NotSup : NbdError.Inval
    case ERRNO.ESHUTDOWN:
    case ERRNO.ENODEV:
      return NbdError.Shutdown
    default:
      return NbdError.Io
  }
}

/** The wire's error for a completion other than success. `leaving`: the bdev or the server is going away. */
export function nbdErrorOfIo(io: BdevIo, type: number, flags: number, leaving: boolean): number {
  switch (io.status) {
    case IoStatus.AioError:
      return nbdErrorOfErrno(-io.aioErrno, flags)
    case IoStatus.NvmeError:
      return nbdErrorOfNvme(io.nvmeSct, io.nvmeSc, type)
    case IoStatus.Aborted:
      return leaving ? NbdError.Shutdown : NbdError.Io
    case IoStatus.Nomem:
      return NbdError.NoMem
    default:
      return NbdError.Io
  }
}

function nbdErrorOfNvme(sct: number, sc: number, type: number): number {
  if (sct === NVME_GENERIC) {
    switch (sc) {
      case NVME_NAMESPACE_WRITE_PROTECTED:
        return NbdError.Perm
      case NVME_LBA_OUT_OF_RANGE:
        return rangeError(type)
      case NVME_CAPACITY_EXCEEDED:
        return NbdError.NoSpc
      case NVME_ABORTED:
        return NbdError.Io
      default:
        return NbdError.Io
    }
  }
  if (sct === NVME_COMMAND_SPECIFIC && sc === NVME_WRITE_TO_READ_ONLY_RANGE) return NbdError.Perm
  return NbdError.Io
}

/** proto.md "Error values": writing beyond the end is ENOSPC, anything else there is EINVAL. */
export function rangeError(type: number): number {
  return type === Cmd.Write || type === Cmd.WriteZeroes ? NbdError.NoSpc : NbdError.Inval
}

/** The text beside an error in a structured reply. */
export function ioErrorText(io: BdevIo): string {
  const name = ioStatusName(io.status)
  if (io.status === IoStatus.AioError) return `${name}, errno ${-io.aioErrno}`
  if (io.status === IoStatus.NvmeError) return `${name}, type ${io.nvmeSct} code ${io.nvmeSc}`
  return name
}
