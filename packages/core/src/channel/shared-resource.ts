// SPDX-License-Identifier: Apache-2.0
// data plane
import type { IoChannel } from '@bdevkit/module-sdk'
import { IoStatus } from '@bdevkit/module-sdk'
import { NOMEM_POLL_US, NOMEM_THRESHOLD } from '../limits.js'
import { IoFlag, type BdevIo } from '../io/bdev-io.js'
import { sendToModule } from '../io/io-submit.js'
import { finishIo } from '../io/io-complete.js'
import type { Poller } from '../thread/poller.js'
import type { SpdkThread } from '../thread/thread.js'
import { ChannelFlag, type BdevChannel } from './bdev-channel.js'

/**
 * What channels of bdevs share when their module serves them by one channel of its own (`struct spdk_bdev_shared_resource`):
 * a module that runs out of memory for one of them has run out for all, and a completion on any lets the queue move.
 */
export class SharedResource {
  readonly thread: SpdkThread
  readonly moduleChannel: IoChannel
  readonly channels: BdevChannel[] = []
  /** I/Os that the module refused for want of memory, in the order to send them again. */
  readonly queue: BdevIo[] = []
  /** Outstanding I/Os at or below which the queue moves. */
  threshold = 0
  #poller: Poller<SharedResource> | null = null
  #retrying = false

  constructor(thread: SpdkThread, moduleChannel: IoChannel) {
    this.thread = thread
    this.moduleChannel = moduleChannel
  }

  get outstanding(): number {
    let sum = 0
    for (let i = 0; i < this.channels.length; i++) sum += this.channels[i]!.outstanding
    return sum
  }

  /** The module answered NOMEM: the I/O goes to the head of the queue. */
  refused(io: BdevIo): void {
    io.status = IoStatus.Pending
    io.nvmeCdw0 = 0
    io.numRetries++
    io.flags |= IoFlag.Details
    this.queue.unshift(io)
    this.#flag(true)
    const outstanding = this.outstanding
    this.threshold = Math.max(Math.floor(outstanding / 2), outstanding - NOMEM_THRESHOLD)
    this.#watchIfStuck(outstanding)
  }

  /** New I/O while the queue is not empty waits behind it. */
  append(io: BdevIo): void {
    this.queue.push(io)
    this.#watchIfStuck(this.outstanding)
  }

  /** Sends queued I/O again, oldest first, until one is refused. */
  retry(): void {
    if (this.#retrying || this.outstanding > this.threshold) return
    this.#retrying = true
    while (this.queue.length > 0) {
      const io = this.queue.shift()!
      const retries = io.numRetries
      if (this.queue.length === 0) this.#flag(false)
      sendToModule(io.ch, io)
      if (this.queue[0] === io && io.numRetries > retries) break
    }
    this.#retrying = false
  }

  /** Takes an I/O out of the queue. Returns whether it was there. */
  remove(io: BdevIo): boolean {
    const at = this.queue.indexOf(io)
    if (at < 0) return false
    this.queue.splice(at, 1)
    if (this.queue.length === 0) this.#flag(false)
    return true
  }

  /** Completes every queued I/O of `ch` as aborted, by message, oldest first. */
  abortQueued(ch: BdevChannel): void {
    const queue = this.queue
    let kept = 0
    for (let i = 0; i < queue.length; i++) {
      const io = queue[i]!
      if (io.ch !== ch) {
        queue[kept++] = io
        continue
      }
      io.status = IoStatus.Aborted
      ch.thread.sendMsg(finishIo, io)
    }
    queue.length = kept
    if (kept === 0) this.#flag(false)
  }

  /** A channel has gone. */
  removeChannel(ch: BdevChannel): void {
    this.channels.splice(this.channels.indexOf(ch), 1)
    if (this.channels.length === 0) this.#poller?.unregister()
  }

  #flag(on: boolean): void {
    for (let i = 0; i < this.channels.length; i++) {
      const ch = this.channels[i]!
      if (on) ch.flags |= ChannelFlag.Nomem
      else ch.flags &= ~ChannelFlag.Nomem
    }
  }

  /** With nothing outstanding no completion comes to move the queue. */
  #watchIfStuck(outstanding: number): void {
    if (outstanding > 0 || this.#poller !== null) return
    this.#poller = this.thread.registerPoller<SharedResource>(retryStuck, this, NOMEM_POLL_US, 'bdev_ch_retry_io')
  }

  /** Body of the poller. */
  retryStuck(): number {
    this.#poller?.unregister()
    this.#poller = null
    if (this.queue.length === 0) return 0
    this.retry()
    if (this.queue.length > 0) this.#watchIfStuck(this.outstanding)
    return 1
  }
}

function retryStuck(shared: SharedResource): number {
  return shared.retryStuck()
}
