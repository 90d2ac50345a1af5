// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import { ChannelFlag, type BdevChannel } from '../channel/bdev-channel.js'
import { lockedChannelFinished } from '../lba-range/lba-range-lock.js'
import { STAT_BY_DATA, STAT_INDEX, Stat, TICK_RATE, countError, countSuccess } from '../stat/io-stat.js'
import { IoFlag, IoPhase, type BdevIo } from './bdev-io.js'
import { endBounce } from './io-buffer.js'
import { dataTypeOf } from './io-ext.js'
import { endHiddenMd } from './io-metadata.js'
import { resetCompleted } from './io-reset.js'
import { restoreBuffers } from './io-strict.js'
import { readTick } from './io-submit.js'

/**
 * The one way up: takes the I/O off its channel, counts it, and calls the submitter. On the I/O's thread. What the callback
 * throws goes to the caller: the message loop, or `finishGuarded` where a module's code is in between.
 */
export function finishIo(io: BdevIo): void {
  const ch = io.ch
  const prev = io.prev!
  const next = io.next!
  prev.next = next
  next.prev = prev
  if (ch.flags !== 0) {
    finishUncommon(io, true)
    return
  }
  const ok = io.status === IoStatus.Success
  if (ok) {
    const at = STAT_INDEX[io.type]!
    if (at >= 0) {
      const stat = ch.stat
      const ticks = ch.thread.tickMs - io.submitTickMs
      stat[at + Stat.Ops]! += 1
      stat[at + Stat.Bytes]! += io.numBlocks * io.bdev.blockSizeBytes
      stat[at + Stat.Ticks]! += ticks
      if (ticks > stat[at + Stat.Max]!) stat[at + Stat.Max] = ticks
      if (ticks < stat[at + Stat.Min]!) stat[at + Stat.Min] = ticks
    } else if (at === STAT_BY_DATA) countZcopy(ch, io)
  } else {
    countError(io.bdev.ioErrors, io.status)
  }
  io.phase = IoPhase.Completed
  io.cb(io, ok, io.cbArg)
}

/** As `finishIo`, for an I/O that was made of others: they are counted, it is not. */
export function finishParent(io: BdevIo): void {
  io.prev!.next = io.next
  io.next!.prev = io.prev
  if (io.ch.flags !== 0) finishUncommon(io, false)
  else io.cb(io, io.status === IoStatus.Success, io.cbArg)
}

/** As `finishIo`, called from a module's `complete()`: what the submitter's callback throws must not unwind the module. */
export function finishGuarded(io: BdevIo): void {
  const bdev = io.bdev
  const owner = io.channel.desc.owner
  try {
    finishIo(io)
  } catch (thrown) {
    bdev.host.reportThrow(`the completion callback of ${owner} on bdev "${bdev.name}"`, thrown)
  }
}

/** Something special goes on with the channel. */
function finishUncommon(io: BdevIo, counted: boolean): void {
  const ch = io.ch
  if ((io.flags & IoFlag.Bounced) !== 0) endBounce(io)
  if ((io.flags & IoFlag.Shadow) !== 0) restoreBuffers(io)
  if ((io.flags & IoFlag.HiddenMd) !== 0) endHiddenMd(io)
  const ok = io.status === IoStatus.Success
  if (counted) countUncommon(io, ok)
  io.phase = IoPhase.Completed
  try {
    io.cb(io, ok, io.cbArg)
  } finally {
    if ((ch.flags & ChannelFlag.Locked) !== 0) lockedChannelFinished(ch)
    if ((ch.flags & ChannelFlag.Unused) !== 0 && ch.idle) ch.bdev.channelIdle(ch)
  }
}

/** As `finishIo` counts, and the latency where a histogram is on. */
function countUncommon(io: BdevIo, ok: boolean): void {
  const ch = io.ch
  if ((ch.flags & ChannelFlag.Histogram) !== 0) tallyLatency(ch, io)
  const at = STAT_INDEX[io.type]!
  if (!ok) countError(io.bdev.ioErrors, io.status)
  else if (at === STAT_BY_DATA) countZcopy(ch, io)
  else if (at >= 0) countSuccess(ch.stat, at, io.numBlocks * io.bdev.blockSizeBytes, ch.thread.tickMs - io.submitTickMs)
}

/** The start of a ZCOPY counts as the READ or WRITE that it stands for; its end is not counted. */
function countZcopy(ch: BdevChannel, io: BdevIo): void {
  const at = STAT_INDEX[dataTypeOf(io)]!
  if (at >= 0) countSuccess(ch.stat, at, io.numBlocks * io.bdev.blockSizeBytes, ch.thread.tickMs - io.submitTickMs)
}

function tallyLatency(ch: BdevChannel, io: BdevIo): void {
  const ticksMs = readTick(ch) - io.submitTickMs
  const histogram = ch.histogram
  if (histogram !== null && (histogram.ioType === 0 || histogram.ioType === io.type)) histogram.tally(Math.round(ticksMs * (TICK_RATE / 1000)))
}

/** A completion on a channel where something special goes on, or with a special status. `phase` is what it was before. */
export function completeUncommon(io: BdevIo, phase: number): void {
  const ch = io.ch
  if (io.status === IoStatus.Pending) {
    io.pool.module.log.error(`module "${io.pool.module.name}" completed an I/O of bdev "${io.bdev.name}" with status Pending; it fails`)
    io.status = IoStatus.Failed
  }
  if (io.type === IoType.Reset) {
    if (io.status === IoStatus.Nomem) {
      io.pool.module.log.error(`module "${io.pool.module.name}" completed a RESET of bdev "${io.bdev.name}" with Nomem; it fails`)
      io.status = IoStatus.Failed
    }
    ch.thread.sendMsg(resetCompleted, io)
    // It may have been the last one outstanding, and what another bdev of the module has queued waits for that.
    if ((ch.flags & ChannelFlag.Nomem) !== 0) ch.shared.retry()
    return
  }
  if (io.status === IoStatus.Nomem) {
    if ((ch.flags & ChannelFlag.Reset) !== 0) {
      io.status = IoStatus.Aborted
    } else {
      io.phase = IoPhase.Framework
      ch.shared.refused(io)
      return
    }
  }
  if (phase === IoPhase.Submitting) ch.thread.sendMsg(finishIo, io)
  else ch.thread.execMsg(finishGuarded, io)
  if ((ch.flags & ChannelFlag.Nomem) !== 0) ch.shared.retry()
}

/** A module or a submitter did with an I/O what it must not: say so, and leave everything as it is. */
export function misuse(io: BdevIo, what: 'completed' | 'forwarded' | 'freed'): void {
  const module = io.pool.module
  const bdev = io.bdev === null ? '?' : io.bdev.name
  if (what !== 'freed') {
    module.distrust()
    module.log.error(`module "${module.name}" ${what} an I/O of bdev "${bdev}" that it does not have (twice, after it forwarded it, or after the framework failed it); ignored`)
  } else {
    const owner = io.channel === null ? '?' : io.channel.desc.owner
    module.log.error(`${owner} freed an I/O of bdev "${bdev}" that it does not have (twice, or before it completed); ignored`)
  }
}
