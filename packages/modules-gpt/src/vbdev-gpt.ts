// SPDX-License-Identifier: Apache-2.0
import type { Bdev, BdevError, BdevHost, Part } from '@bdevkit/module-sdk'
import {
  hasProtectiveMbr, parseBackup, parsePrimary, SPDK_OLD_TYPE_GUID, SPDK_TYPE_GUID, TABLE_BYTES, type GptDisk, type GptPartition, type GptTable,
} from './gpt-table.js'

/** What a partition bdev shows of its entry. */
interface Gpt {
  readonly diskGuid: string
  readonly partition: GptPartition
}

const fn = {
  dumpInfoJson(part: Part<Gpt>) {
    const { diskGuid, partition } = part.ctx
    return {
      gpt: {
        base_bdev: part.base.bdev.name,
        offset_blocks: part.offsetBlocks,
        partition_table_guid: diskGuid,
        partition_type_guid: partition.typeGuid,
        unique_partition_guid: partition.uniqueGuid,
        partition_name: partition.name,
      },
    }
  },
}

/** Looks for a table on `bdev` and makes bdevs of its partitions. Nothing is ever written. */
export async function examineGpt(host: BdevHost, bdev: Bdev, allPartitions: boolean): Promise<void> {
  if (bdev.numBlocks < 2 || bdev.blockSizeBytes % 512 !== 0) return
  const table = await readTable(host, bdev)
  const wanted = table?.partitions.filter(({ typeGuid }) => allPartitions || typeGuid === SPDK_TYPE_GUID || typeGuid === SPDK_OLD_TYPE_GUID)
  if (table === null || wanted === undefined || wanted.length === 0) return
  const base = host.openPartBase<Gpt>(bdev.name, { fn })
  for (const partition of wanted) {
    const numBlocks = partition.endLba - partition.startLba + 1 - (partition.typeGuid === SPDK_OLD_TYPE_GUID ? 1 : 0)
    try {
      base.createPart<Gpt>({
        name: `${bdev.name}p${partition.index + 1}`,
        offsetBlocks: partition.startLba,
        numBlocks,
        productName: 'GPT Disk',
        uuid: partition.uniqueGuid,
        ctx: { diskGuid: table.diskGuid, partition },
      })
    } catch (thrown) {
      const { code, message } = thrown as Partial<BdevError> & Error
      if (code === 'EPERM') {
        // Somebody has taken the disk while its table was read: then it is theirs, with its partitions.
        host.log.warn(`the partitions of bdev "${bdev.name}" stay away: ${message}`)
        break
      }
      host.log.error(`partition ${partition.index + 1} of bdev "${bdev.name}": ${message}`)
    }
  }
  if (base.parts().length === 0) await base.close()
}

async function readTable(host: BdevHost, bdev: Bdev): Promise<GptTable | null> {
  const disk: GptDisk = { blockSizeBytes: bdev.blockSizeBytes, numBlocks: bdev.numBlocks }
  const blocks = Math.min(Math.max(1, TABLE_BYTES / disk.blockSizeBytes), disk.numBlocks)
  const desc = host.openBdev(bdev.name, { onEvent: () => {} })
  try {
    const first = await host.readBlocks(desc, 0, blocks)
    if (!hasProtectiveMbr(first, disk)) return null
    const primary = parsePrimary(first, disk)
    if ('table' in primary) return primary.table
    const firstLba = disk.numBlocks - blocks
    const backup = parseBackup(await host.readBlocks(desc, firstLba, blocks), firstLba, disk)
    if (!('table' in backup)) {
      host.log.warn(`bdev "${bdev.name}" has a protective MBR, but no valid partition table: primary: ${primary.why}; backup: ${backup.why}`)
      return null
    }
    host.log.warn(`the primary partition table of bdev "${bdev.name}" is damaged (${primary.why}); its backup is used, and nothing is repaired`)
    return backup.table
  } finally {
    desc.close()
  }
}
