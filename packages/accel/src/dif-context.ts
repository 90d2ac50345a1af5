// SPDX-License-Identifier: Apache-2.0
import type { DifContext as SdkDifContext, DifContextSpec, DifError } from '@bdevkit/module-sdk'
import { BdevError, DifErrorType, DifPiFormat, DifType } from '@bdevkit/module-sdk'

/** Bytes of the protection information, by format (`spdk_dif_pi_format_get_size`). */
const PI_BYTES: readonly number[] = [8, 16, 16]
const GUARD_BYTES: readonly number[] = [2, 4, 8]
/** The reference tag ends the protection information and has so many bytes. */
const REF_TAG_BYTES: readonly number[] = [4, 8, 6]

/** Where things are in one block of one format: everything that a loop over blocks asks for. */
export class DifContext implements SdkDifContext {
  readonly blockSizeBytes: number
  readonly mdSizeBytes: number
  readonly mdInterleave: boolean
  readonly difIsHeadOfMd: boolean
  readonly difType: number
  readonly difPiFormat: number
  difCheckFlags: number
  initRefTag = 0
  remappedInitRefTag = 0
  appTag: number
  appTagMask: number
  readonly error: DifError = { type: DifErrorType.None, expected: 0n, actual: 0n, offsetBlocks: 0 }
  /** Size of a block without metadata. */
  readonly dataBytes: number
  /** Where the protection information starts: in the block, or in its separate metadata. The guard covers what is before it. */
  readonly piOff: number
  readonly piBytes: number
  readonly guardBytes: number
  readonly refTagOff: number
  readonly refTagBytes: number

  constructor(spec: DifContextSpec) {
    const { blockSizeBytes, mdSizeBytes, mdInterleave, difIsHeadOfMd, difType, difPiFormat } = spec
    const refuse = (wanted: string, found: unknown): never => {
      throw new BdevError('EINVAL', `protection information: wanted ${wanted}, found ${String(found)}`)
    }
    if (![DifType.Disable, DifType.Type1, DifType.Type2, DifType.Type3].some(type => type === difType)) refuse('difType 0 to 3', difType)
    // Without protection information its format is of no matter.
    const used = difType !== DifType.Disable
    const format = used ? difPiFormat : DifPiFormat.Guard16
    if (![DifPiFormat.Guard16, DifPiFormat.Guard32, DifPiFormat.Guard64].some(known => known === format)) refuse('difPiFormat 0, 1 or 2', format)
    const piBytes = PI_BYTES[format]!
    if (used && !(mdSizeBytes >= piBytes)) refuse(`metadata of at least ${piBytes} bytes`, mdSizeBytes)
    const dataBytes = mdInterleave ? blockSizeBytes - mdSizeBytes : blockSizeBytes
    const unit = format === DifPiFormat.Guard16 ? 512 : 4096
    if (!(dataBytes > 0 && (!used || dataBytes % unit === 0))) refuse(`data blocks of a multiple of ${unit} bytes`, dataBytes)
    this.blockSizeBytes = blockSizeBytes
    this.mdSizeBytes = mdSizeBytes
    this.mdInterleave = mdInterleave
    this.difIsHeadOfMd = difIsHeadOfMd
    this.difType = difType
    this.difPiFormat = difPiFormat
    this.difCheckFlags = spec.difCheckFlags
    this.appTag = spec.appTag ?? 0
    this.appTagMask = spec.appTagMask ?? 0xffff
    this.dataBytes = dataBytes
    this.piBytes = piBytes
    this.piOff = (mdInterleave ? dataBytes : 0) + (difIsHeadOfMd ? 0 : mdSizeBytes - piBytes)
    this.guardBytes = GUARD_BYTES[format]!
    this.refTagBytes = REF_TAG_BYTES[format]!
    this.refTagOff = piBytes - this.refTagBytes
  }
}
