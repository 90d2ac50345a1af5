// SPDX-License-Identifier: Apache-2.0
import type { BdevIo } from '@bdevkit/module-sdk'
import { ERRNO, IoStatus } from '@bdevkit/module-sdk'

/** Generic command status codes of NVMe that say more than "failed" (NVMe base specification, status values). */
const NVME_GENERIC: Readonly<Record<number, number>> = {
  0x02: ERRNO.EINVAL,
  0x80: ERRNO.ENOSPC,
  0x81: ERRNO.ENOSPC,
  0x15: ERRNO.ENOTSUP,
}

/** The negative errno that tells best why a completed I/O failed; 0 where it succeeded. */
export function ioErrno(io: BdevIo): number {
  switch (io.status) {
    case IoStatus.Success:
      return 0
    case IoStatus.AioError:
      return io.aioErrno < 0 ? io.aioErrno : -ERRNO.EIO
    case IoStatus.Nomem:
      return -ERRNO.ENOMEM
    case IoStatus.Miscompare:
      return -ERRNO.EILSEQ
    case IoStatus.Aborted:
      return -ERRNO.ECANCELED
    case IoStatus.NvmeError:
      if (io.nvmeSct === 0) return -(NVME_GENERIC[io.nvmeSc] ?? ERRNO.EIO)
      // Command specific: attempted write to read-only range.
      if (io.nvmeSct === 1 && io.nvmeSc === 0x82) return -ERRNO.EPERM
      return -ERRNO.EIO
    default:
      return -ERRNO.EIO
  }
}
