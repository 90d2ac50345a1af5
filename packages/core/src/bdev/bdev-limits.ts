// SPDX-License-Identifier: Apache-2.0
import type { BdevLimits, BdevSpec } from '@bdevkit/module-sdk'
import { BdevError, IoType } from '@bdevkit/module-sdk'
import { ZERO_BUFFER_BYTES } from '../limits.js'

/** Limits of a bdev as the I/O path uses them: every field set, 0 = none. */
export interface ResolvedLimits extends Readonly<Required<BdevLimits>> {
  /** No READ, or WRITE, crosses a multiple of so many blocks. */
  readonly readBoundaryBlocks: number
  readonly writeBoundaryBlocks: number
  /** Types that may have to be split, as bits. */
  readonly splitTypes: number
}

/** `UINT32_MAX`: what SPDK takes for no limit where it needs a number. */
const NO_LIMIT = 0xffff_ffff

const COUNTS = [
  'maxSegmentSizeBytes', 'maxNumSegments', 'maxRwSizeBlocks', 'maxUnmapBlocks', 'maxUnmapSegments', 'maxWriteZeroesBlocks', 'maxCopyBlocks',
] as const

/**
 * The limits of a spec, with what the framework adds to them (`bdev_register`): I/O that may have to be bounced fits into a
 * buffer of the pool, and so do the pieces of what is emulated.
 */
export function resolveLimits(spec: BdevSpec, supportedTypes: number, largeBufBytes: number): ResolvedLimits {
  const limit = (field: (typeof COUNTS)[number]): number => spec[field] ?? 0
  const has = (type: number): boolean => (supportedTypes & (1 << type)) !== 0
  const unit = spec.writeUnitSizeBlocks || 1
  const align = spec.requiredAlignmentBytes ?? 1
  const { splitOnOptimalIoBoundary = false, splitOnWriteUnit = false } = spec
  const readBoundaryBlocks = splitOnOptimalIoBoundary ? (spec.optimalIoBoundaryBlocks ?? 0) : 0
  const writeBoundaryBlocks = splitOnWriteUnit ? unit : readBoundaryBlocks
  /** The longest write that a buffer of so many bytes holds, in blocks. */
  const blockBytes = spec.blockSizeBytes + (spec.mdInterleave === true ? 0 : (spec.mdSizeBytes ?? 0))
  const fits = (bytes: number): number => Math.floor(Math.floor((bytes - (align - 1)) / blockBytes) / unit) * unit

  let maxRwSizeBlocks = limit('maxRwSizeBlocks')
  if (align > 1) maxRwSizeBlocks = Math.min(maxRwSizeBlocks || NO_LIMIT, fits(largeBufBytes))
  let maxWriteZeroesBlocks = limit('maxWriteZeroesBlocks')
  if (!has(IoType.WriteZeroes)) maxWriteZeroesBlocks = Math.min(writeBoundaryBlocks, fits(ZERO_BUFFER_BYTES)) || fits(ZERO_BUFFER_BYTES)
  const maxCopyBlocks = has(IoType.Copy) ? limit('maxCopyBlocks') : fits(largeBufBytes)
  const maxSegmentSizeBytes = limit('maxSegmentSizeBytes')
  const maxNumSegments = limit('maxNumSegments')
  const maxUnmapBlocks = limit('maxUnmapBlocks')
  const maxUnmapSegments = limit('maxUnmapSegments')

  const limitsData = maxSegmentSizeBytes > 0 || maxNumSegments > 0 || maxRwSizeBlocks > 0
  let splitTypes = 0
  if (limitsData || readBoundaryBlocks > 0) splitTypes |= 1 << IoType.Read
  if (limitsData || writeBoundaryBlocks > 0) splitTypes |= 1 << IoType.Write
  if (maxUnmapBlocks > 0 && maxUnmapSegments > 0) splitTypes |= 1 << IoType.Unmap
  // What is emulated is cut up by its emulation.
  if (has(IoType.WriteZeroes) && maxWriteZeroesBlocks > 0) splitTypes |= 1 << IoType.WriteZeroes
  if (has(IoType.Copy) && maxCopyBlocks > 0) splitTypes |= 1 << IoType.Copy
  return {
    splitOnOptimalIoBoundary,
    splitOnWriteUnit,
    maxSegmentSizeBytes,
    maxNumSegments,
    maxRwSizeBlocks,
    maxUnmapBlocks,
    maxUnmapSegments,
    maxWriteZeroesBlocks,
    maxCopyBlocks,
    readBoundaryBlocks,
    writeBoundaryBlocks,
    splitTypes,
  }
}

/** @throws BdevError EINVAL a limit that is no integer of 0 or more. */
export function checkLimits(who: string, spec: BdevSpec): void {
  for (const field of COUNTS) {
    const found: unknown = spec[field] ?? 0
    if (!(Number.isSafeInteger(found) && (found as number) >= 0)) {
      throw new BdevError('EINVAL', `${who}: wanted ${field} to be an integer of 0 (no limit) or more, found ${String(found)}`)
    }
  }
}
