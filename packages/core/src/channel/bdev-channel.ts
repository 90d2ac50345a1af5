// SPDX-License-Identifier: Apache-2.0
// data plane
import type { IoChannel } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { BdevIo } from '../io/bdev-io.js'
import type { SplitParts } from '../io/io-split.js'
import type { IoBudget } from '../io/io-budget.js'
import { IoPool } from '../io/io-pool.js'
import type { IobufChannel } from '../io/iobuf-pool.js'
import type { LbaRange } from '../lba-range/lba-range.js'
import type { Histogram } from '../stat/histogram.js'
import { createStat } from '../stat/io-stat.js'
import type { SpdkThread } from '../thread/thread.js'
import type { SharedResource } from './shared-resource.js'

/** Bits of {@link BdevChannel.flags}. While none is set an I/O takes the short way. */
export const ChannelFlag = {
  /** A reset is in progress: new I/O is aborted. */
  Reset: 1,
  /** I/O of this channel's shared resource is queued for want of memory. */
  Nomem: 2,
  /** The host is strict: every I/O is checked for misuse. */
  Strict: 4,
  /** Nobody holds the channel any more; it goes when its last I/O has. */
  Unused: 8,
  /** The module has misused an I/O: none is used twice any more. */
  Distrusted: 16,
  /** Blocks are locked: I/O is looked at before it goes on. */
  Locked: 32,
  /** The bdev has rate limits: I/O waits for its quota. */
  Qos: 256,
  /** A latency histogram is on: the clock is read for each I/O. */
  Histogram: 512,
  /** A module works on a copy of the buffers of some I/O. */
  Bounced: 1024,
} as const

/** One bdev's state on one thread (`struct spdk_bdev_channel`). */
export class BdevChannel {
  readonly bdev: Bdev
  readonly thread: SpdkThread
  /** The function table of the bdev's module. */
  readonly fn: Bdev['fn']
  /** Its `submitRequest`: here, because tables of many modules have many shapes. */
  readonly submitRequest: (this: Bdev['fn'], channelCtx: any, io: BdevIo) => unknown
  readonly moduleChannel: IoChannel
  readonly moduleCtx: unknown
  readonly shared: SharedResource
  readonly pool: IoPool
  /** The thread's buffers. */
  readonly iobuf: IobufChannel
  flags = 0
  /** I/Os with the module. */
  outstanding = 0
  /** Completed I/Os that still lend the module's memory. */
  lent = 0
  /** I/Os whose module works on a copy of their buffers. */
  bounced = 0
  /** Ring of submitted I/Os, oldest first; this entry is no I/O. */
  readonly submitted: BdevIo
  /** Counters, see `io-stat`. */
  readonly stat = createStat()
  /** I/Os that wait for a quota of the bdev's rate limits, oldest first. */
  readonly qosQueue: BdevIo[] = []
  /** When that queue was looked at last, see `Qos.generation`. */
  qosGeneration = 0
  /** Locks that the channel keeps, while there are any. */
  readonly lockedRanges: LbaRange[] = []
  /** Those of them that wait for I/O which was submitted before. */
  readonly drainingRanges: LbaRange[] = []
  /** I/Os that a lock holds back, oldest first. They are not among the submitted ones. */
  readonly heldIos: BdevIo[] = []
  /** What split I/Os have kept; for the next ones. */
  spareParts: SplitParts | null = null
  /** Latencies, while the bdev's histogram is on. */
  histogram: Histogram | null = null

  constructor(bdev: Bdev, thread: SpdkThread, moduleChannel: IoChannel, shared: SharedResource, budget: IoBudget) {
    this.bdev = bdev
    this.thread = thread
    this.fn = bdev.fn
    this.moduleChannel = moduleChannel
    this.moduleCtx = moduleChannel.ctx
    this.shared = shared
    this.submitRequest = bdev.fn.submitRequest
    this.pool = new IoPool(this, budget)
    this.iobuf = bdev.host.iobuf.channelOf(thread)
    this.submitted = new BdevIo(this.pool)
    this.submitted.prev = this.submitted
    this.submitted.next = this.submitted
  }

  /** Whether nothing of it is in use. */
  get idle(): boolean {
    return this.submitted.next === this.submitted && this.lent === 0 && this.heldIos.length === 0
  }
}
