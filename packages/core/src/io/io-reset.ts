// SPDX-License-Identifier: Apache-2.0
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { ChannelFlag, type BdevChannel } from '../channel/bdev-channel.js'
import { walkChannels } from '../channel/walk-channels.js'
import { RESET_POLL_US } from '../limits.js'
import { abortLimited } from '../qos/qos.js'
import { IoFlag, IoPhase, type BdevIo } from './bdev-io.js'
import { abortBufWaits } from './io-buffer-wait.js'
import { finishLater, sendToModule } from './io-submit.js'

/**
 * A RESET enters the framework: every channel of the bdev is frozen, what is queued there is aborted, outstanding I/O
 * may drain, the module is asked, and the channels thaw. A reset that comes meanwhile waits and ends as this one does.
 */
export function startReset(io: BdevIo): void {
  const bdev = io.bdev
  if (bdev.resetInProgress !== null) {
    bdev.queuedResets.push(io)
    return
  }
  bdev.resetInProgress = io
  bdev.frozen = true
  const { module } = bdev
  bdev.resetWait = bdev.host.waits.begin(
    `reset of bdev "${bdev.name}"`,
    () => `module "${module.name}", I/O outstanding: ${bdev.channels.map(ch => ch.outstanding).join(', ')}`,
  )
  walkChannels(bdev, io.ch.thread, freeze, () => drain(io))
}

function freeze(ch: BdevChannel): void {
  ch.flags |= ChannelFlag.Reset
  ch.shared.abortQueued(ch)
  abortBufWaits(ch)
  if ((ch.flags & ChannelFlag.Qos) !== 0) abortLimited(ch)
}

/** Lets outstanding I/O end by itself for as long as the bdev says; then the module has no reset to do. */
function drain(io: BdevIo): void {
  const bdev = io.bdev
  if (bdev.resetIoDrainTimeoutS === 0) {
    send(io)
    return
  }
  const thread = io.ch.thread
  const deadlineMs = bdev.host.reactor.clock.nowMs() + bdev.resetIoDrainTimeoutS * 1000
  if (drained(bdev)) {
    io.status = IoStatus.Success
    resetCompleted(io)
    return
  }
  const poller = thread.registerPoller(
    () => {
      const done = drained(bdev)
      if (!done && bdev.host.reactor.clock.nowMs() < deadlineMs) return 0
      poller.unregister()
      if (done) {
        io.status = IoStatus.Success
        resetCompleted(io)
      } else send(io)
      return 1
    },
    null,
    RESET_POLL_US,
    'bdev_reset_check_outstanding_io',
  )
}

function drained(bdev: Bdev): boolean {
  return bdev.channels.every(ch => ch.outstanding === 0)
}

function send(io: BdevIo): void {
  if ((io.bdev.supportedTypes & (1 << IoType.Reset)) === 0) {
    io.status = IoStatus.Failed
    resetCompleted(io)
  } else {
    sendToModule(io.ch, io)
  }
}

/** The module has answered, or was not needed: channels thaw, and this reset and those queued behind it complete alike. */
export function resetCompleted(io: BdevIo): void {
  const bdev = io.bdev
  io.phase = IoPhase.Framework
  bdev.frozen = false
  walkChannels(bdev, io.ch.thread, thaw, () => {
    const queued = bdev.queuedResets.splice(0)
    bdev.resetInProgress = null
    bdev.resetWait?.()
    bdev.resetWait = null
    for (const later of queued) {
      if ((io.flags & IoFlag.Details) !== 0) later.copyDetails(io)
      finishLater(later, io.status)
    }
    finishLater(io, io.status)
    bdev.resetEnded()
  })
}

function thaw(ch: BdevChannel): void {
  ch.flags &= ~ChannelFlag.Reset
}
