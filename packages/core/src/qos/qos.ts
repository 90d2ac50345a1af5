// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { ChannelFlag, type BdevChannel } from '../channel/bdev-channel.js'
import { walkChannels } from '../channel/walk-channels.js'
import type { BdevIo } from '../io/bdev-io.js'
import { dataBytesOf, dataTypeOf } from '../io/io-ext.js'
import { finishLater, submitAdmitted } from '../io/io-submit.js'
import { QOS_TIMESLICE_US } from '../limits.js'
import type { Poller } from '../thread/poller.js'
import type { SpdkThread } from '../thread/thread.js'
import { createQosLimits, type QosLimit } from './qos-limit.js'

const SLICE_MS = QOS_TIMESLICE_US / 1000

/**
 * Rate limits of one bdev (`struct spdk_bdev_qos`): one quota a timeslice for all channels, a queue on each channel for
 * what exceeds it. A poller on one thread hands out quotas and empties the queues, channel by channel in the order of
 * threads; with nothing queued and nothing charged it pauses, and the next I/O makes up for the timeslices it missed.
 */
export class Qos {
  readonly bdev: Bdev
  readonly limits: readonly QosLimit[] = createQosLimits()
  /** Where the poller runs; `null` while no descriptor is open or no channel exists: then everything passes. */
  thread: SpdkThread | null = null
  /** I/Os queued on all channels. */
  queued = 0
  /** Changes whenever quotas grow: only then is it worth looking at a queue again. */
  generation = 0
  #poller: Poller<Qos> | null = null
  #lastSliceMs = 0
  #charged = false
  #idle = false
  #walking = false
  readonly #walked = (): void => {
    this.#walking = false
  }

  constructor(bdev: Bdev) {
    this.bdev = bdev
  }

  /** Whether any limit is set. */
  get limited(): boolean {
    for (const limit of this.limits) if (limit.perSecond > 0) return true
    return false
  }

  /** Limits a channel, on its thread. The first one decides where the poller runs. */
  enable(ch: BdevChannel): void {
    ch.flags |= ChannelFlag.Qos
    if (this.thread === null) this.#start(ch.thread)
  }

  /** The first descriptor is open again: limits that were set before are in force again on the channels there are. */
  restart(): void {
    if (this.thread !== null) return
    let first: SpdkThread | null = null
    for (const { thread } of this.bdev.channels) if (first === null || thread.id < first.id) first = thread
    first?.execMsg(restartOnThread, this)
  }

  /** Body of the message of `restart`. */
  restarted(): void {
    const thread = this.bdev.host.currentThread()
    if (this.thread === null && this.bdev.qos === this && this.bdev.descs.length > 0) this.#start(thread)
  }

  /** The last descriptor has closed, or the limits are off. What is still queued is aborted: nobody waits for it any more. */
  stop(): void {
    const poller = this.#poller
    this.thread?.execMsg(unregister, poller)
    this.thread = null
    this.#poller = null
    for (const limit of this.limits) limit.suspend()
    if (this.queued > 0) for (const ch of this.bdev.channels) ch.thread.execMsg(abortLimited, ch)
  }

  /** Puts changed limits into force, on the poller's thread. */
  apply(): void {
    for (const limit of this.limits) limit.apply()
    this.generation++
  }

  /** Charges an I/O to every limit that counts it. Returns false, with nothing charged, where one has nothing left. */
  admits(io: BdevIo): boolean {
    const dataType = dataTypeOf(io)
    if (dataType === 0) return true
    const bit = 1 << dataType
    if (this.#idle) this.#wake()
    this.#charged = true
    const bytes = dataBytesOf(io)
    const limits = this.limits
    for (let i = 0; i < limits.length; i++) {
      const limit = limits[i]!
      if (limit.perSlice === 0 || (limit.types & bit) === 0) continue
      if (limit.remaining <= 0) {
        this.#refund(i, bit, bytes)
        return false
      }
      limit.remaining -= limit.countsIos ? 1 : bytes
    }
    return true
  }

  #refund(count: number, bit: number, bytes: number): void {
    for (let i = 0; i < count; i++) {
      const limit = this.limits[i]!
      if (limit.perSlice !== 0 && (limit.types & bit) !== 0) limit.remaining += limit.countsIos ? 1 : bytes
    }
  }

  #start(thread: SpdkThread): void {
    this.thread = thread
    this.#idle = false
    this.apply()
    this.#lastSliceMs = this.bdev.host.reactor.clock.nowMs()
    this.#poller = thread.registerPoller<Qos>(pollQos, this, QOS_TIMESLICE_US, 'bdev_channel_poll_qos')
  }

  /** Body of the poller. */
  poll(): number {
    const slices = this.#elapsedSlices()
    if (slices === 0) return 0
    for (const limit of this.limits) limit.replenish(slices)
    this.generation++
    if (this.queued > 0) {
      if (!this.#walking) {
        this.#walking = true
        walkChannels(this.bdev, this.thread!, drainForWalk, this.#walked)
      }
    } else if (!this.#charged) {
      this.#idle = true
      this.#poller!.pause()
    }
    this.#charged = false
    return 1
  }

  #wake(): void {
    this.#idle = false
    const slices = this.#elapsedSlices()
    for (const limit of this.limits) if (slices > 0) limit.replenishEach(slices)
    this.generation++
    this.thread?.execMsg(resume, this.#poller)
  }

  #elapsedSlices(): number {
    const slices = Math.max(0, Math.floor((this.bdev.host.reactor.clock.nowMs() - this.#lastSliceMs) / SLICE_MS))
    this.#lastSliceMs += slices * SLICE_MS
    return slices
  }
}

function pollQos(qos: Qos): number {
  return qos.poll()
}

function restartOnThread(qos: Qos): void {
  qos.restarted()
}

function unregister(poller: Poller<Qos> | null): void {
  poller?.unregister()
}

function resume(poller: Poller<Qos> | null): void {
  poller?.resume()
}

/** An I/O enters a limited channel: it goes on where every limit has something left, else it waits in the queue. */
export function submitLimited(ch: BdevChannel, io: BdevIo): void {
  const qos = ch.bdev.qos
  if (qos === null) {
    submitAdmitted(ch, io)
    return
  }
  // Between two timeslices quotas only shrink: what was refused stays refused, and need not be asked again.
  if (ch.qosQueue.length > 0 && ch.qosGeneration !== qos.generation) drainLimited(ch, qos)
  if (qos.admits(io)) {
    submitAdmitted(ch, io)
  } else {
    ch.qosGeneration = qos.generation
    ch.qosQueue.push(io)
    qos.queued++
  }
}

/** Sends what the quotas allow, oldest first; an I/O that one limit refuses does not hold up those behind it. */
function drainLimited(ch: BdevChannel, qos: Qos): void {
  const queue = ch.qosQueue
  const admitted: BdevIo[] = []
  let kept = 0
  for (let i = 0; i < queue.length; i++) {
    const io = queue[i]!
    if (qos.admits(io)) admitted.push(io)
    else queue[kept++] = io
  }
  queue.length = kept
  qos.queued -= admitted.length
  ch.qosGeneration = qos.generation
  for (let i = 0; i < admitted.length; i++) submitAdmitted(ch, admitted[i]!)
}

/** One step of the poller's walk. A channel with a queue that is left ends it, as in SPDK. */
function drainForWalk(ch: BdevChannel): number {
  const qos = ch.bdev.qos
  if (qos !== null && ch.qosQueue.length > 0) drainLimited(ch, qos)
  return ch.qosQueue.length === 0 ? 0 : 1
}

/** Takes an I/O out of its channel's queue. Returns whether it was there. */
export function removeLimited(ch: BdevChannel, io: BdevIo): boolean {
  const at = ch.qosQueue.indexOf(io)
  if (at < 0) return false
  ch.qosQueue.splice(at, 1)
  if (ch.bdev.qos !== null) ch.bdev.qos.queued--
  return true
}

/** Completes everything in a channel's queue as aborted, by message. */
export function abortLimited(ch: BdevChannel): void {
  for (const io of takeQueue(ch)) finishLater(io, IoStatus.Aborted)
}

/** A channel is limited no longer: what it queued goes on, on its thread. */
export function disableLimited(ch: BdevChannel): void {
  ch.flags &= ~ChannelFlag.Qos
  for (const io of takeQueue(ch)) submitAdmitted(ch, io)
}

function takeQueue(ch: BdevChannel): BdevIo[] {
  const queued = ch.qosQueue.splice(0)
  if (ch.bdev.qos !== null) ch.bdev.qos.queued -= queued.length
  return queued
}
