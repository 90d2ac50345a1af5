// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoType } from '@bdevkit/module-sdk'

/** Bits of `Desc.access`; a closed descriptor has none. */
export const Access = { Read: 1, Write: 2 } as const

/** I/O types that need a writable descriptor, as bits. */
export const WRITING_TYPES =
  (1 << IoType.Write) | (1 << IoType.Unmap) | (1 << IoType.Flush) | (1 << IoType.WriteZeroes) | (1 << IoType.CompareAndWrite) |
  (1 << IoType.Copy) | (1 << IoType.Zcopy) | (1 << IoType.WriteUncorrectable) | (1 << IoType.NvmeAdmin) | (1 << IoType.NvmeIo) |
  (1 << IoType.NvmeIoMd) | (1 << IoType.NvmeIovMd)
