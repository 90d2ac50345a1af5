// SPDX-License-Identifier: Apache-2.0
// data plane
import { performance } from 'node:perf_hooks'
import { ioErrno, type Host } from '@bdevkit/core'
import { ERRNO, type BdevIo, type DescChannel, type DmaBuffer, type IoCallback } from '@bdevkit/module-sdk'
import type { LatencyHistogram } from './perf-latency.js'
import { checkVerified, startVerify } from './perf-verify.js'
import type { PerfWorkload } from './perf-workloads.js'

/** What a task submits next. */
export const PerfOp = { Read: 0, Write: 1, Unmap: 2, WriteZeroes: 3, Flush: 4, Reset: 5 } as const

const OPS: Readonly<Record<PerfWorkload, number>> = {
  read: PerfOp.Read,
  write: PerfOp.Write,
  randread: PerfOp.Read,
  randwrite: PerfOp.Write,
  rw: PerfOp.Read,
  randrw: PerfOp.Read,
  verify: PerfOp.Write,
  flush: PerfOp.Flush,
  unmap: PerfOp.Unmap,
  write_zeroes: PerfOp.WriteZeroes,
  reset: PerfOp.Reset,
}

/** One draw of the generator gives 24 good bits. */
const DRAW_SLOTS_MAX = 2 ** 24
const FAILURES_SHOWN_MAX = 10

/** What a run does, fixed. */
export interface PerfShape {
  readonly workload: PerfWorkload
  /** Blocks of one I/O. */
  readonly ioBlocks: number
  readonly queueDepth: number
  /** Share of reads in a mixed workload, percent. */
  readonly readPercentage: number
}

/** One I/O of the queue depth: submitted again as soon as it completes. */
export class PerfTask {
  readonly run: PerfRun
  readonly index: number
  /** Data for writes; reads go to it too, but for verify. */
  readonly buffer: DmaBuffer
  readonly buf: Uint8Array
  readonly off: number
  /** Where verify reads back to. */
  readonly readOff: number
  op = 0
  offsetBlocks = 0
  startedMs = 0
  /** For verify: rounds over the bdev, counted from 1. */
  generation = 0

  constructor(run: PerfRun, index: number, buffer: DmaBuffer, readOff: number) {
    this.run = run
    this.index = index
    this.buffer = buffer
    this.buf = buffer.buf
    this.off = buffer.off
    this.readOff = readOff
  }
}

/** A workload on one channel, from its thread alone. One run serves both passes. */
export class PerfRun {
  readonly host: Host
  readonly channel: DescChannel
  readonly ioBlocks: number
  readonly ioBytes: number
  /** I/Os that fit the bdev side by side. */
  readonly slots: number
  readonly tasks: PerfTask[] = []
  readonly #shape: PerfShape
  readonly mixed: boolean
  readonly random: boolean
  readonly verify: boolean
  readonly op: number
  readonly readPercentage: number
  complete: IoCallback<PerfTask> = onDone
  /** The second pass: each I/O is timed. */
  latency: LatencyHistogram | null = null
  ios = 0
  failed = 0
  /** What could not be submitted, and never will be. */
  refusedErrno = 0
  stopped = false
  inFlight = 0
  nextSlot = 0
  seed = 12_345
  /** Called when the last I/O of a stopped run has completed. */
  onDrained: () => void = noop

  constructor(host: Host, channel: DescChannel, shape: PerfShape) {
    const { workload, ioBlocks, queueDepth } = shape
    this.host = host
    this.channel = channel
    this.#shape = shape
    this.ioBlocks = ioBlocks
    this.ioBytes = ioBlocks * channel.desc.blockSizeBytes
    this.slots = Math.floor(channel.bdev.numBlocks / ioBlocks)
    this.mixed = workload === 'rw' || workload === 'randrw'
    this.random = workload.startsWith('rand')
    this.verify = workload === 'verify'
    this.op = OPS[workload]
    this.readPercentage = shape.readPercentage
    for (let i = 0; i < queueDepth; i++) this.tasks.push(this.#createTask(i))
  }

  /** Gives the buffers back. */
  free(): void {
    for (const task of this.tasks) this.host.dma.free(task.buffer)
    this.tasks.length = 0
  }

  /** Submits every task; on the channel's thread. */
  start(latency: LatencyHistogram | null): void {
    this.latency = latency
    this.stopped = false
    this.inFlight = this.tasks.length
    const plain = latency === null && !this.mixed && (this.op === PerfOp.Read || this.op === PerfOp.Write)
    const submit = this.verify ? startVerify : plain ? nextPlain : next
    this.complete = this.verify ? onVerifyDone : plain ? onPlainDone : latency === null ? onDone : onTimedDone
    for (const task of this.tasks) {
      task.startedMs = performance.now()
      submit(task)
    }
  }

  /** A failure: counted, and the first few are shown. */
  fail(what: string): void {
    this.failed++
    if (this.failed <= FAILURES_SHOWN_MAX) this.host.log.error(`perf: ${what}`)
    if (this.failed === FAILURES_SHOWN_MAX) this.host.log.error('perf: further failures are counted, not shown')
  }

  #createTask(index: number): PerfTask {
    const parts = this.verify ? 2 : 1
    const align = Math.max(this.channel.bdev.requiredAlignmentBytes, 64)
    const partBytes = Math.ceil(this.ioBytes / align) * align
    const buffer = this.host.dma.alloc(partBytes * parts, align)
    if (buffer === undefined) {
      this.free()
      throw new RangeError(`no memory for ${this.#shape.queueDepth} I/Os of ${this.ioBytes} bytes; use a smaller -q or -o`)
    }
    this.host.accel.fill(buffer.buf, buffer.off, 0x5a, this.ioBytes)
    return new PerfTask(this, index, buffer, buffer.off + (parts - 1) * partBytes)
  }
}

/** Chooses what the task does now, and submits it. */
function next(task: PerfTask): void {
  const run = task.run
  task.offsetBlocks = nextOffsetBlocks(run)
  task.op = run.mixed && draw(run) % 100 >= run.readPercentage ? PerfOp.Write : run.op
  issue(task)
}

/**
 * As {@link next}, where all I/Os are reads or all are writes and none is timed. These are the figures that are compared with
 * other programs: each I/O costs a tenth less without the choices of `next` and `issue`.
 */
function nextPlain(task: PerfTask): void {
  const run = task.run
  const channel = run.channel
  const ioBlocks = run.ioBlocks
  const offsetBlocks = nextOffsetBlocks(run)
  const rc =
    run.op === PerfOp.Write
      ? channel.writeBlocks(task.buf, task.off, offsetBlocks, ioBlocks, onPlainDone, task)
      : channel.readBlocks(task.buf, task.readOff, offsetBlocks, ioBlocks, onPlainDone, task)
  if (rc === 0) return
  task.op = run.op
  task.offsetBlocks = offsetBlocks
  refused(task, rc)
}

/** Submits what the task holds. */
export function issue(task: PerfTask): void {
  const run = task.run
  const channel = run.channel
  let rc
  switch (task.op) {
    case PerfOp.Read:
      rc = channel.readBlocks(task.buf, task.readOff, task.offsetBlocks, run.ioBlocks, run.complete, task)
      break
    case PerfOp.Write:
      rc = channel.writeBlocks(task.buf, task.off, task.offsetBlocks, run.ioBlocks, run.complete, task)
      break
    case PerfOp.Unmap:
      rc = channel.unmapBlocks(task.offsetBlocks, run.ioBlocks, run.complete, task)
      break
    case PerfOp.WriteZeroes:
      rc = channel.writeZeroesBlocks(task.offsetBlocks, run.ioBlocks, run.complete, task)
      break
    case PerfOp.Flush:
      rc = channel.flushBlocks(task.offsetBlocks, run.ioBlocks, run.complete, task)
      break
    default:
      rc = channel.reset(run.complete, task)
  }
  if (rc !== 0) refused(task, rc)
}

/** The bdev did not take it: it waits for an I/O object, or the run ends. */
function refused(task: PerfTask, rc: number): void {
  const run = task.run
  if (rc === -ERRNO.ENOMEM) {
    // -EINVAL: there is one again by now.
    if (run.channel.queueIoWait({ fn: issue, arg: task }) !== 0) run.host.appThread.sendMsg(issue, task)
    return
  }
  run.refusedErrno = -rc
  run.stopped = true
  retire(task)
}

function onPlainDone(io: BdevIo, success: boolean, task: PerfTask): void {
  const run = task.run
  if (!success) ioFailed(io, task)
  io.free()
  run.ios++
  if (run.stopped) retire(task)
  else nextPlain(task)
}

function onDone(io: BdevIo, success: boolean, task: PerfTask): void {
  const run = task.run
  if (!success) ioFailed(io, task)
  io.free()
  run.ios++
  if (run.stopped) retire(task)
  else next(task)
}

function onTimedDone(io: BdevIo, success: boolean, task: PerfTask): void {
  const run = task.run
  const nowMs = performance.now()
  run.latency!.record((nowMs - task.startedMs) * 1e6)
  if (!success) ioFailed(io, task)
  io.free()
  run.ios++
  task.startedMs = nowMs
  if (run.stopped) retire(task)
  else next(task)
}

function onVerifyDone(io: BdevIo, success: boolean, task: PerfTask): void {
  const run = task.run
  const latency = run.latency
  if (latency !== null) latency.record((performance.now() - task.startedMs) * 1e6)
  if (!success) ioFailed(io, task)
  io.free()
  run.ios++
  if (success && task.op === PerfOp.Write) {
    task.op = PerfOp.Read
    if (latency !== null) task.startedMs = performance.now()
    issue(task)
    return
  }
  if (success) checkVerified(task)
  if (run.stopped) {
    retire(task)
    return
  }
  startVerify(task)
}

function ioFailed(io: BdevIo, task: PerfTask): void {
  const run = task.run
  const where = `block ${io.offsetBlocks} of bdev "${run.channel.bdev.name}"`
  run.fail(`I/O at ${where} failed with errno ${-ioErrno(io)}, status ${io.status}`)
}

function retire(task: PerfTask): void {
  const run = task.run
  if (--run.inFlight === 0) run.onDrained()
}

/** Knuth's linear congruential generator: the upper 24 of 32 bits. */
function draw(run: PerfRun): number {
  run.seed = (Math.imul(run.seed, 1_664_525) + 1_013_904_223) | 0
  return run.seed >>> 8
}

function nextOffsetBlocks(run: PerfRun): number {
  if (run.random) return drawSlot(run) * run.ioBlocks
  const slot = run.nextSlot
  run.nextSlot = slot + 1 === run.slots ? 0 : slot + 1
  return slot * run.ioBlocks
}

function drawSlot(run: PerfRun): number {
  const slots = run.slots
  if (slots <= DRAW_SLOTS_MAX) return draw(run) % slots
  return (draw(run) * DRAW_SLOTS_MAX + draw(run)) % slots
}

function noop(): void {}
