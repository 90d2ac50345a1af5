// SPDX-License-Identifier: Apache-2.0
import { BdevError } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { LbaRange } from './lba-range.js'
import { lockRange, unlockRange } from './lba-range-lock.js'

/** Blocks of a bdev; left out: all of it, whatever its size becomes. */
export interface QuiesceRange {
  readonly offsetBlocks: number
  readonly numBlocks: number
}

/**
 * Holds back new reads and writes of a range, on every channel, and settles when what was submitted before has ended
 * (`spdk_bdev_quiesce`). A range that overlaps another one waits for that first.
 * @throws BdevError EINVAL the range is not within the bdev; ENODEV the bdev is being removed and nobody has it open.
 */
export async function quiesce(bdev: Bdev, blocks?: QuiesceRange): Promise<void> {
  const { offsetBlocks, numBlocks } = checked(bdev, 'quiesce', blocks)
  const thread = bdev.host.currentThread()
  const ended = bdev.host.waits.begin(`quiesce of ${named(blocks)} of bdev "${bdev.name}"`, () => whom(bdev))
  await new Promise<void>(resolve => {
    lockRange(bdev, new LbaRange(offsetBlocks, numBlocks, thread, () => resolve(), { whole: blocks === undefined }))
  })
  ended()
}

/**
 * Ends a quiesce of exactly this range; settles when the I/O that it held goes on.
 * @throws BdevError EINVAL that range is not quiesced; ENODEV as for `quiesce`.
 */
export async function unquiesce(bdev: Bdev, blocks?: QuiesceRange): Promise<void> {
  const { offsetBlocks, numBlocks } = checked(bdev, 'unquiesce', blocks)
  const isIt = (found: LbaRange): boolean =>
    (blocks === undefined && found.whole) || (found.offsetBlocks === offsetBlocks && found.numBlocks === numBlocks)
  const range = bdev.ranges.locked.find(found => found.quiesce && found.granted && isIt(found))
  if (range === undefined) {
    throw new BdevError('EINVAL', `unquiesce of ${named(blocks)} of bdev "${bdev.name}": wanted a range that is quiesced, found ${quiesced(bdev)}; it must be the same range`)
  }
  await new Promise<void>(resolve => unlockRange(bdev, range, resolve))
}

function checked(bdev: Bdev, what: string, blocks: QuiesceRange | undefined): QuiesceRange {
  const { offsetBlocks, numBlocks } = blocks ?? { offsetBlocks: 0, numBlocks: bdev.numBlocks }
  if (!(Number.isInteger(offsetBlocks) && Number.isInteger(numBlocks) && offsetBlocks >= 0 && numBlocks >= 0 && offsetBlocks + numBlocks <= bdev.numBlocks)) {
    throw new BdevError('EINVAL', `${what} of bdev "${bdev.name}": wanted a range within its ${bdev.numBlocks} blocks, found ${numBlocks} blocks at ${offsetBlocks}`)
  }
  if (bdev.status === 'removing' && bdev.descs.length === 0) {
    throw new BdevError('ENODEV', `${what} of bdev "${bdev.name}": it is being removed, and nobody has it open`)
  }
  return { offsetBlocks, numBlocks }
}

function named(blocks: QuiesceRange | undefined): string {
  return blocks === undefined ? 'all blocks' : `blocks ${blocks.offsetBlocks}+${blocks.numBlocks}`
}

function quiesced(bdev: Bdev): string {
  const ranges = bdev.ranges.locked.filter(range => range.quiesce && range.granted)
  return ranges.length === 0 ? 'none' : ranges.map(range => (range.whole ? 'all blocks' : `${range.offsetBlocks}+${range.numBlocks}`)).join(', ')
}

function whom(bdev: Bdev): string {
  const busy = bdev.channels.filter(ch => ch.drainingRanges.length > 0)
  if (busy.length === 0) return 'a range that is locked before it'
  return `I/O under way on thread ${busy.map(ch => `"${ch.thread.name}"`).join(', ')}, outstanding with module "${bdev.module.name}": ${busy.map(ch => ch.outstanding).join(', ')}`
}
