// SPDX-License-Identifier: Apache-2.0
import { BdevError, BdevEventType } from '@bdevkit/module-sdk'
import { SIZE_MAX } from '../limits.js'
import type { ModuleRecord } from '../module/module-record.js'
import type { Bdev } from './bdev.js'

/**
 * Takes a new size over and tells each open descriptor (`spdk_bdev_notify_blockcnt_change`).
 * @throws BdevError EINVAL another module's bdev, or a size out of range; EBUSY smaller while a descriptor is open.
 */
export function notifyBlockcntChange(module: ModuleRecord, bdev: Bdev, numBlocks: number): void {
  const who = `module "${module.name}": new size of bdev "${bdev.name}"`
  if (bdev.module !== module) throw new BdevError('EINVAL', `${who}: it belongs to module "${bdev.module.name}"`)
  if (!(Number.isSafeInteger(numBlocks) && numBlocks >= 0 && numBlocks <= SIZE_MAX / bdev.blockSizeBytes)) {
    throw new BdevError('EINVAL', `${who}: wanted at most 2^53-1 bytes, found ${numBlocks} blocks`)
  }
  if (numBlocks === bdev.numBlocks) return
  if (numBlocks < bdev.numBlocks && bdev.descs.length > 0) {
    const holders = bdev.descs.map(desc => desc.owner).join(', ')
    throw new BdevError('EBUSY', `${who}: wanted to shrink it from ${bdev.numBlocks} to ${numBlocks} blocks, but it is open by ${holders}`)
  }
  bdev.numBlocks = numBlocks
  bdev.host.notify('bdev_resize', bdev.name)
  for (const desc of bdev.descs) desc.send(BdevEventType.Resize)
}
