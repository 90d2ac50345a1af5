// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType, PollerRc } from '@bdevkit/module-sdk'
import type { BdevFnTable, BdevHost, BdevIo, BdevSpec, DescChannel, IoDevice, Poller, Thread, VbdevBase } from '@bdevkit/module-sdk'
import { DelayQueue, type DelayIo } from './delay-queue.js'
import type { Latency } from './latency.js'
import type { DelayCreateParams } from './rpc.js'

/** Queues of a channel: average and p99 for reads, the same for writes, and one for distributions. */
export const QueueAt = { AvgRead: 0, P99Read: 1, AvgWrite: 2, P99Write: 3, Drawn: 4 } as const

/** What a delay bdev is set to; it outlives the bdev while the base is away. Times in milliseconds. */
export interface DelaySettings {
  /** Latency of the first four queues. */
  readonly queueMs: Float64Array
  /** Where the delays of a type come from, by I/O type; `undefined` for those that are not delayed. */
  readonly latencies: (Latency | undefined)[]
}

/** One delay bdev. */
export interface Delay {
  readonly host: BdevHost
  readonly params: DelayCreateParams
  readonly settings: DelaySettings
  readonly base: VbdevBase
  readonly device: IoDevice<DelayChannel>
  /** RESETs under way, and one for a removal: then nothing is held back. */
  passing: number
}

/** One thread's share of a delay bdev. */
export class DelayChannel {
  readonly delay: Delay
  readonly base: DescChannel
  readonly queues: readonly DelayQueue[] = [new DelayQueue(), new DelayQueue(), new DelayQueue(), new DelayQueue(), new DelayQueue()]
  readonly poller: Poller
  /** When the poller runs next; Infinity while nothing waits, -Infinity while it runs. */
  wakeMs = Infinity

  constructor(delay: Delay, base: DescChannel, thread: Thread) {
    this.delay = delay
    this.base = base
    this.poller = thread.registerPoller(answerDue, this, Infinity, 'delay')
  }
}

const delayFn: BdevFnTable<Delay, DelayChannel, DelayIo> = {
  async destruct({ device, base }) { // cold: removal
    await device.unregister() // cold: removal
    await base.close() // cold: removal
  },
  removeStarted(delay) {
    delay.passing++
    void delay.device.forEachChannel(answerAll)
  },
  ioTypeSupported(delay, type) {
    return delay.base.ioTypeSupported(type)
  },
  getIoChannel(delay) {
    return delay.device.getIoChannel()
  },
  submitRequest(channel, io) {
    const { latencies } = channel.delay.settings
    const latency = latencies[io.type]
    if (latency === undefined) submitOther(channel, io)
    else submitDelayed(channel, io, latency)
  },
  dumpInfoJson({ host, params, base }) {
    const { name, avg_read_latency, p99_read_latency, avg_write_latency, p99_write_latency, seed, distributions } = params
    const uuid = host.bdevByName(name)?.uuid ?? params.uuid ?? ''
    const latencies = { avg_read_latency, p99_read_latency, avg_write_latency, p99_write_latency }
    const extras = { ...(seed !== undefined && { seed }), ...(distributions !== undefined && { distributions }) } // cold: for bdev_get_bdevs
    return { delay: { name, base_bdev_name: base.bdev.name, uuid, ...latencies, ...extras } } // cold: for bdev_get_bdevs
  },
}

/** The bdev for `params` on `base`: of the same size, shape and I/O types. */
export function delayAttach(host: BdevHost, base: VbdevBase, params: DelayCreateParams, settings: DelaySettings): BdevSpec<Delay> {
  const device: IoDevice<DelayChannel> = host.registerIoDevice({
    name: params.name,
    createChannel(thread) {
      const below = base.getIoChannel()
      if (below === null) throw new Error(`no channel of base bdev "${base.bdev.name}"`)
      return new DelayChannel(delay, below, thread)
    },
    destroyChannel(channel) {
      channel.poller.unregister()
      channel.base.put()
    },
  })
  const delay: Delay = { host, params, settings, base, device, passing: 0 }
  const { lendsReadBuffers } = base.bdev
  return Object.assign(base.geometry(), { name: params.name, ctx: delay, fn: delayFn, productName: 'delay', lendsReadBuffers })
}

function submitDelayed(channel: DelayChannel, io: BdevIo<DelayIo>, latency: Latency): void {
  const one = io.ctx
  one.io = io
  one.channel = channel
  if (latency.sampler === null) one.queueAt = latency.nextQueue()
  else {
    one.queueAt = QueueAt.Drawn
    one.delayMs = latency.sampler.nextMs()
  }
  io.forwardThen(channel.base, onBaseAnswer)
}

/** The base has answered: from now on the delay counts. */
function onBaseAnswer(child: BdevIo, io: BdevIo<DelayIo>): void {
  const one = io.ctx
  const { queueAt } = one
  const channel = one.channel!
  const { delay, queues } = channel
  const queue = queues[queueAt]
  const delayMs = queueAt === QueueAt.Drawn ? one.delayMs : delay.settings.queueMs[queueAt]
  if ((delayMs === 0 && queue.head === null) || delay.passing > 0) {
    io.completeFrom(child)
    return
  }
  one.keep(child)
  one.dueMs = delay.host.nowMs() + delayMs
  if (queueAt === QueueAt.Drawn) queue.insert(one)
  else queue.append(one)
  if (queue.head === one && one.dueMs < channel.wakeMs) wakeAt(channel, one.dueMs)
}

function wakeAt(channel: DelayChannel, dueMs: number): void {
  channel.wakeMs = dueMs
  channel.poller.runAt(dueMs)
}

/** Answers what is due, and says when to be called again. */
function answerDue(channel: DelayChannel): PollerRc {
  const nowMs = channel.delay.host.nowMs()
  let answered = 0
  let nextMs = Infinity
  channel.wakeMs = -Infinity
  for (const queue of channel.queues) {
    for (let one = queue.head; one !== null && one.dueMs <= nowMs; one = queue.head) {
      queue.remove(one)
      one.answer()
      answered++
    }
  }
  // The answers may have led to new I/O: look again.
  for (const { head } of channel.queues) if (head !== null && head.dueMs < nextMs) nextMs = head.dueMs
  wakeAt(channel, nextMs)
  return answered > 0 ? PollerRc.Busy : PollerRc.Idle
}

/** Answers everything that waits as the base did. */
function answerAll(channel: DelayChannel): void {
  for (const queue of channel.queues) {
    for (let one = queue.head; one !== null; one = queue.head) {
      queue.remove(one)
      one.answer()
    }
  }
}

/** Aborts everything that waits. */
function abortAll(channel: DelayChannel): void {
  for (const queue of channel.queues) {
    for (let one = queue.head; one !== null; one = queue.head) {
      queue.remove(one)
      one.io!.complete(IoStatus.Aborted)
    }
  }
}

/** What passes without delay; RESET and ABORT look after those that wait. A ZCOPY reads when it starts and writes when it ends. */
function submitOther(channel: DelayChannel, io: BdevIo<DelayIo>): void {
  if (io.type === IoType.Zcopy && (io.zcopyStart ? io.zcopyPopulate : io.zcopyCommit)) {
    const latency = channel.delay.settings.latencies[io.zcopyStart ? IoType.Read : IoType.Write]
    if (latency !== undefined) {
      submitDelayed(channel, io, latency)
      return
    }
  }
  if (io.type === IoType.Reset) submitReset(channel, io)
  else if (io.type !== IoType.Abort) io.forward(channel.base)
  else if (!abortDelayed(io)) io.forwardThen(channel.base, baseAborted)
}

/** First what waits on any channel ends, then the base is reset; what the base answers meanwhile goes up at once. */
function submitReset(channel: DelayChannel, io: BdevIo<DelayIo>): void {
  io.ctx.channel = channel
  channel.delay.passing++
  channel.delay.device.forEachChannel(abortAll).then(
    () => io.thread.execMsg(resetBase, io), // cold: RESET
    () => io.thread.execMsg(resetFailed, io), // cold: RESET
  )
}

function resetBase(io: BdevIo<DelayIo>): void {
  io.forwardThen(io.ctx.channel!.base, resetDone)
}

function resetDone(child: BdevIo, io: BdevIo<DelayIo>): void {
  io.ctx.channel!.delay.passing--
  io.completeFrom(child)
}

function resetFailed(io: BdevIo<DelayIo>): void {
  io.ctx.channel!.delay.passing--
  io.complete(IoStatus.Failed)
}

/** The base may have been done with it meanwhile, so that it waits here now. */
function baseAborted(child: BdevIo, io: BdevIo<DelayIo>): void {
  if (!abortDelayed(io)) io.completeFrom(child)
}

/** Aborts the target of an ABORT if it waits here; if it does not, the base may have it. */
function abortDelayed(io: BdevIo<DelayIo>): boolean {
  const one = io.abortTarget?.ctx as DelayIo | undefined
  const queue = one?.queue
  if (one === undefined || queue === undefined || queue === null) return false
  queue.remove(one)
  one.io!.complete(IoStatus.Aborted)
  io.complete(IoStatus.Success)
  return true
}
