// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoType } from '@bdevkit/module-sdk'
import type { BdevChannel } from '../channel/bdev-channel.js'
import type { BdevIo } from '../io/bdev-io.js'
import type { SpdkThread } from '../thread/thread.js'

/** Blocks of a bdev that are locked, or wait to be (`struct lba_range`). */
export class LbaRange {
  readonly offsetBlocks: number
  readonly numBlocks: number
  /** Who holds the lock: I/O of `owner` with this argument passes. `null` for a quiesce, which lets nobody pass. */
  readonly owner: BdevChannel | null
  readonly ctx: unknown
  /** Whether reads are held too. */
  readonly quiesce: boolean
  /** A quiesce of the whole bdev: it covers blocks that a resize adds, too. */
  readonly whole: boolean
  /** Where `done` is called. */
  readonly thread: SpdkThread
  /** Called once when the lock is held and every earlier I/O in its way has ended. */
  readonly done: (range: LbaRange) => void
  /** Every channel keeps it, and nothing in its way is left. */
  granted = false
  /** Channels that still have I/O in its way. */
  busyChannels = 0
  /** Every channel knows of it. */
  everywhere = false

  constructor(
    offsetBlocks: number,
    numBlocks: number,
    thread: SpdkThread,
    done: (range: LbaRange) => void,
    holder: { owner: BdevChannel; ctx: unknown } | { whole: boolean },
  ) {
    this.offsetBlocks = offsetBlocks
    this.numBlocks = numBlocks
    this.thread = thread
    this.done = done
    const locks = 'owner' in holder
    this.owner = locks ? holder.owner : null
    this.ctx = locks ? holder.ctx : null
    this.quiesce = !locks
    this.whole = !locks && holder.whole
  }

  /** Whether it has a block of the given ones. A range of no blocks has none. */
  covers(offsetBlocks: number, numBlocks: number): boolean {
    if (numBlocks === 0) return false
    if (this.whole) return true
    return this.numBlocks > 0 && offsetBlocks < this.offsetBlocks + this.numBlocks && this.offsetBlocks < offsetBlocks + numBlocks
  }

  /** Whether two of them may not be held at the same time. */
  overlaps(other: LbaRange): boolean {
    return other.whole ? this.whole || this.numBlocks > 0 : this.covers(other.offsetBlocks, other.numBlocks)
  }

  /** Whether an I/O has to wait for the lock, or the lock for the I/O (`bdev_io_range_is_locked`). */
  conflictsWith(io: BdevIo): boolean {
    switch (io.type) {
      case IoType.NvmeIo:
      case IoType.NvmeIoMd:
      case IoType.NvmeIovMd:
        // What a raw command touches is not known here.
        return true
      case IoType.Read:
      case IoType.Compare:
        return this.quiesce && this.#isInWayOf(io)
      case IoType.CompareAndWrite:
        // One that is emulated takes a lock of its own: it waits there, and must not be waited for.
        return (io.bdev.supportedTypes & (1 << IoType.CompareAndWrite)) !== 0 && this.#isInWayOf(io)
      case IoType.Write:
      case IoType.WriteUncorrectable:
      case IoType.Unmap:
      case IoType.WriteZeroes:
      case IoType.Zcopy:
        return this.#isInWayOf(io)
      case IoType.Copy:
        return this.#isInWayOf(io) || (this.quiesce && this.covers(io.srcOffsetBlocks, io.numBlocks))
      default:
        return false
    }
  }

  #isInWayOf(io: BdevIo): boolean {
    return this.covers(io.offsetBlocks, io.numBlocks) && !(this.granted && this.owner === io.ch && this.ctx === io.cbArg)
  }
}

/** Locks of one bdev. */
export class LbaRanges {
  /** Held, or about to be as soon as the I/O in their way has ended. */
  readonly locked: LbaRange[] = []
  /** Those that one of the above keeps waiting, oldest first. */
  readonly pending: LbaRange[] = []
}
