// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from '@bdevkit/module-sdk'
import { ClaimType, DifFlag, DifType, IO_TYPE_NAMES } from '@bdevkit/module-sdk'
import { CLAIM_TYPE_NAMES } from '../descriptor/claim.js'
import { getQosLimits, QOS_LIMIT_KEYS } from '../qos/qos-control.js'
import type { Bdev } from './bdev.js'

/** Members about metadata, of a bdev that has some. */
function metadataJson(bdev: Bdev): JsonObject {
  if (bdev.mdSizeBytes === 0) return {}
  const checks = (flag: number): boolean => (bdev.difCheckFlags & flag) !== 0
  const protection = {
    dif_is_head_of_md: bdev.difIsHeadOfMd,
    enabled_dif_check_types: { reftag: checks(DifFlag.ReftagCheck), apptag: checks(DifFlag.ApptagCheck), guard: checks(DifFlag.GuardCheck) },
    dif_pi_format: bdev.difPiFormat,
  }
  return {
    md_size: bdev.mdSizeBytes,
    md_interleave: bdev.mdInterleave,
    dif_type: bdev.difType,
    ...(bdev.difType === DifType.Disable ? {} : protection),
  }
}

/** One element of `bdev_get_bdevs`, members in SPDK's order. */
export function bdevInfoJson(bdev: Bdev): JsonObject {
  const claimed = bdev.claims.type !== ClaimType.None
  const limits = getQosLimits(bdev)
  return {
    name: bdev.name,
    aliases: [...bdev.aliases],
    product_name: bdev.productName,
    block_size: bdev.blockSizeBytes,
    num_blocks: bdev.numBlocks,
    preferred_write_alignment: bdev.preferredWriteAlignmentBlocks,
    preferred_write_granularity: bdev.preferredWriteGranularityBlocks,
    optimal_write_size: bdev.optimalWriteSizeBlocks,
    preferred_unmap_alignment: bdev.preferredUnmapAlignmentBlocks,
    preferred_unmap_granularity: bdev.preferredUnmapGranularityBlocks,
    uuid: bdev.uuid,
    ...(bdev.numaId === undefined ? {} : { numa_id: bdev.numaId }),
    ...metadataJson(bdev),
    assigned_rate_limits: Object.fromEntries(QOS_LIMIT_KEYS.map(([key, name]) => [name, limits[key]])),
    claimed,
    ...(claimed ? { claim_type: CLAIM_TYPE_NAMES[bdev.claims.type]! } : {}),
    zoned: false,
    supported_io_types: Object.fromEntries(IO_TYPE_NAMES.slice(1).map((name, i) => [name, bdev.ioTypeSupported(i + 1)])),
    driver_specific: bdev.callPlain<JsonObject>('dumpInfoJson', bdev.ctx) ?? {},
  }
}
