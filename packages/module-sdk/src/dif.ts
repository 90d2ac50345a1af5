// SPDX-License-Identifier: Apache-2.0
import type { Iov } from './dma.js'

/**
 * Kinds of protection information, `enum spdk_dif_type` (spdk/dif.h). Types 1 and 2 check the reference tag, and no check is
 * made where the application tag is ffffh. Type 3 never checks the reference tag, and no check is made where both tags are all ones.
 * @since 0.1
 */
export const DifType = {
  /** None. */
  Disable: 0,
  /** The reference tag is the low half of the block's address. */
  Type1: 1,
  /** The reference tag is what the application says. */
  Type2: 2,
  /** The reference tag is opaque. */
  Type3: 3,
} as const
/** A number of {@link (DifType:variable)}. */
export type DifType = number

/**
 * Formats of protection information, `enum spdk_dif_pi_format`: how many bits the guard has.
 * @since 0.1
 */
export const DifPiFormat = {
  /** 8 bytes: CRC-16 T10 DIF, application tag of 16 bits, reference tag of 32. Data blocks are multiples of 512 bytes. */
  Guard16: 0,
  /** 16 bytes: CRC-32C, application tag of 16 bits, reference tag of 64. Data blocks are multiples of 4096 bytes. */
  Guard32: 1,
  /** 16 bytes: CRC-64/NVME, application tag of 16 bits, reference tag of 48. Data blocks are multiples of 4096 bytes. */
  Guard64: 2,
} as const
/** A number of {@link (DifPiFormat:variable)}. */
export type DifPiFormat = number

/**
 * What is made and checked, as bits: `SPDK_DIF_FLAGS_*`, the values of NVMe's PRCHK. A tag whose bit is not set is written as 0
 * and not looked at.
 * @since 0.1
 */
export const DifFlag = {
  /** Reference tag. */
  ReftagCheck: 0x0400_0000,
  /** Application tag. */
  ApptagCheck: 0x0800_0000,
  /** Guard. */
  GuardCheck: 0x1000_0000,
} as const
/** A combination of {@link (DifFlag:variable)}. */
export type DifFlag = number

/**
 * Which part of the protection information did not fit, `SPDK_DIF_*_ERROR`.
 * @since 0.1
 */
export const DifErrorType = {
  /** None. */
  None: 0,
  /** Reference tag. */
  Reftag: 1,
  /** Application tag. */
  Apptag: 2,
  /** Guard. */
  Guard: 4,
} as const
/** A number of {@link (DifErrorType:variable)}. */
export type DifErrorType = number

/** An application tag that switches the checks of its block off. */
export const DIF_APPTAG_IGNORE = 0xffff
/** A first reference tag that stands for all ones in every block. */
export const DIF_REFTAG_IGNORE = 0xffff_ffff

/** Where metadata lies and what protection information it holds. */
export interface DifFormat {
  /** Size of a block in bytes; with metadata in it where that is interleaved. */
  blockSizeBytes: number
  /** Metadata per block, in bytes. */
  mdSizeBytes: number
  /** Metadata follows the data of each block (DIF); else it has a buffer of its own (DIX). */
  mdInterleave: boolean
  /** The protection information starts the metadata; else it ends it, and its guard covers the metadata before it. */
  difIsHeadOfMd: boolean
  /** Kind of protection information. */
  difType: DifType
  /** Format of protection information. */
  difPiFormat: DifPiFormat
}

/** What a check found, `struct spdk_dif_error`. */
export interface DifError {
  /** What did not fit. */
  type: DifErrorType
  /** For tags: what was wanted; for the guard: what the block carries. */
  expected: bigint
  /** For tags: what the block carries; for the guard: what its data gives. */
  actual: bigint
  /** Which block, counted from the start of the request. */
  offsetBlocks: number
}

/**
 * A format and what is wanted of it, `struct spdk_dif_ctx`. Made once by `Dif.context`; what may differ between requests is set
 * before each call, as every call runs to its end.
 */
export interface DifContext extends Readonly<DifFormat> {
  /** What is made and checked. Initially everything that was given. */
  difCheckFlags: DifFlag
  /** Reference tag of the first block, 32 bits; types 1 and 2 count on from there. */
  initRefTag: number
  /** Reference tag that `remapRefTag` gives to the first block. */
  remappedInitRefTag: number
  /** Application tag. */
  appTag: number
  /** Bits of the application tag that are compared. */
  appTagMask: number
  /** What the last check that failed found. */
  readonly error: DifError
}

/** What `Dif.context` takes. */
export interface DifContextSpec extends DifFormat {
  /** What is made and checked. */
  difCheckFlags: DifFlag
  /** Application tag, default 0. */
  appTag?: number
  /** Bits of it that are compared, default ffffh. */
  appTagMask?: number
}

/**
 * Protection information (T10 DIF and DIX, NVMe end-to-end data protection). Elements may be cut anywhere, and hold at least what
 * `numBlocks` blocks need. Methods that check return whether everything fitted, and describe the first mismatch in `context.error`.
 */
export interface Dif {
  /**
   * Prepares a format.
   * @throws BdevError EINVAL there is no such type or format, the metadata is smaller than the protection information, or the data
   * block is no multiple of 512 bytes (of 4096 with a guard of 32 or 64 bits).
   */
  context(spec: DifContextSpec): DifContext
  /** Writes the protection information of interleaved blocks. */
  generate(context: DifContext, iovs: readonly Iov[], iovCnt: number, numBlocks: number): void
  /** Checks interleaved blocks. */
  verify(context: DifContext, iovs: readonly Iov[], iovCnt: number, numBlocks: number): boolean
  /** Inserts: data without metadata from `src` becomes interleaved blocks in `dst`; metadata beside the protection information is zero. */
  generateCopy(context: DifContext, dst: readonly Iov[], dstCnt: number, src: readonly Iov[], srcCnt: number, numBlocks: number): void
  /** Strips: interleaved blocks of `src` are checked and their data goes to `dst`, which is left alone where the check fails. */
  verifyCopy(context: DifContext, dst: readonly Iov[], dstCnt: number, src: readonly Iov[], srcCnt: number, numBlocks: number): boolean
  /** Writes the protection information of blocks into their separate metadata. */
  dixGenerate(context: DifContext, iovs: readonly Iov[], iovCnt: number, md: Uint8Array, mdOff: number, numBlocks: number): void
  /** Checks blocks with separate metadata. */
  dixVerify(context: DifContext, iovs: readonly Iov[], iovCnt: number, md: Uint8Array, mdOff: number, numBlocks: number): boolean
  /**
   * Checks the reference tags of interleaved blocks and puts those that start at `remappedInitRefTag` in their place. Does nothing
   * without `ReftagCheck`, and leaves blocks alone whose checks are off. A mismatch ends it.
   */
  remapRefTag(context: DifContext, iovs: readonly Iov[], iovCnt: number, numBlocks: number): boolean
  /** As `remapRefTag`, for separate metadata. */
  dixRemapRefTag(context: DifContext, md: Uint8Array, mdOff: number, numBlocks: number): boolean
}
