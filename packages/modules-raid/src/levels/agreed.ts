// SPDX-License-Identifier: Apache-2.0
// data plane
import type { BdevIo } from '@bdevkit/module-sdk'
import type { RaidChannel } from '../raid-channel.js'
import type { RaidIo } from '../raid-io.js'

/** Whether all copies of a range are the same. After a crash they may not be, until a resync has been there: then the first one answers. */
export function agreed({ raid: { dirtyMap } }: RaidChannel, io: BdevIo<RaidIo>): boolean {
  return dirtyMap === null || !dirtyMap.isUnsynced(io.offsetBlocks, io.numBlocks)
}
