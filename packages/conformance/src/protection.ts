// SPDX-License-Identifier: Apache-2.0
// Protection information in the data of the cases: blocks that carry it inside are given what fits them.
import { DifType } from '@bdevkit/module-sdk'
import type { Bdev, BdevHost, DifContext } from '@bdevkit/module-sdk'

/** The format of a bdev whose blocks carry protection information inside; `null` for any other. */
export function inBlocks(host: BdevHost, bdev: Bdev): DifContext | null {
  return bdev.difType === DifType.Disable || !bdev.mdInterleave ? null : host.accel.dif.context(bdev)
}

/** Gives whole blocks the protection information of blocks from `offsetBlocks` on. */
export function stamp(host: BdevHost, context: DifContext | null, offsetBlocks: number, bytes: Uint8Array): Uint8Array {
  if (context === null || bytes.length === 0) return bytes
  context.initRefTag = offsetBlocks >>> 0
  host.accel.dif.generate(context, [{ buf: bytes, off: 0, len: bytes.length }], 1, bytes.length / context.blockSizeBytes)
  return bytes
}

/**
 * `wanted` as it is to be found from `offsetBlocks` on: with the protection information of that place. A block of zeros may carry
 * any, as it may have its checks off: there, what was found is right.
 */
export function placed(host: BdevHost, context: DifContext | null, offsetBlocks: number, wanted: Uint8Array, found: Uint8Array): Uint8Array {
  if (context === null) return wanted
  const right = stamp(host, context, offsetBlocks, wanted.slice())
  const { blockSizeBytes, mdSizeBytes } = context
  for (let at = 0; at < right.length; at += blockSizeBytes) {
    const md = at + blockSizeBytes - mdSizeBytes
    if (!wanted.subarray(at, md).some(byte => byte !== 0)) right.set(found.subarray(md, md + mdSizeBytes), md)
  }
  return right
}
