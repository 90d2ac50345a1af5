// SPDX-License-Identifier: Apache-2.0
import { ClaimType, IO_TYPE_NAMES } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import type { BdevChannel } from '../channel/bdev-channel.js'
import { CLAIM_TYPE_NAMES } from '../descriptor/claim.js'
import { IoPhase, isPart, type BdevIo } from '../io/bdev-io.js'
import { WAIT_REPORT_MS } from '../limits.js'
import type { Host } from './host.js'
import type { PendingWait } from './waits.js'

/**
 * Everything that does not go on, whom it waits for and since when, oldest first: the waits of the control plane, I/O that
 * lasts, I/O that a quiesce holds back, and claims of modules that present nothing.
 */
export function pendingOf(host: Host): PendingWait[] {
  const found = host.waits.list()
  for (const bdev of host.bdevs) {
    for (const ch of bdev.channels) found.push(...slowIo(ch), ...heldIo(ch))
    found.push(...idleClaims(bdev))
  }
  return found.sort((a, b) => a.sinceMs - b.sinceMs)
}

/** What is left of a host that has ended, one line each. */
export function leaksOf(host: Host): string[] {
  const lines: string[] = []
  for (const [what, count] of Object.entries(host.usage())) if (count !== 0) lines.push(`${count} ${what}`)
  for (const bdev of host.bdevs) {
    for (const desc of bdev.descs) lines.push(`descriptor of ${desc.owner} on bdev "${bdev.name}"`)
    for (const ch of bdev.channels) lines.push(`${ch.outstanding} I/O(s) of bdev "${bdev.name}" with module "${bdev.module.name}" on thread "${ch.thread.name}"`)
  }
  for (const thread of host.reactor.threads) {
    for (const { device, refs } of thread.ioChannels) lines.push(`channel of "${device.name}" on thread "${thread.name}", held ${refs} time(s)`)
    for (const { name, state } of thread.pollers) if (state !== 'unregistered') lines.push(`poller "${name}" of thread "${thread.name}"`)
  }
  return lines
}

function slowIo({ bdev, submitted, thread }: BdevChannel): PendingWait[] {
  const lateMs = bdev.host.reactor.clock.nowMs() - WAIT_REPORT_MS
  let oldest: BdevIo | null = null
  let count = 0
  for (let io = submitted.next!; io !== submitted && io.submitTickMs <= lateMs; io = io.next!) {
    if (isPart(io) || io.phase === IoPhase.Completed) continue
    oldest ??= io
    count++
  }
  if (oldest === null) return []
  const { offsetBlocks, numBlocks, submitTickMs } = oldest
  const what = `${count} I/O(s) of bdev "${bdev.name}" on thread "${thread.name}", oldest ${IO_TYPE_NAMES[oldest.type] ?? oldest.type} ${offsetBlocks}+${numBlocks}`
  return [{ what, who: whoHas(oldest), sinceMs: submitTickMs }]
}

function whoHas(io: BdevIo): string {
  const { ch, bdev } = io
  switch (io.phase) {
    case IoPhase.Submitting:
    case IoPhase.Outstanding:
      return `module "${bdev.module.name}" to complete it`
    case IoPhase.Forwarded:
    case IoPhase.Failing: {
      const below = childOf(io)
      return below === null ? 'an I/O of the pool' : `bdev "${below.bdev.name}"`
    }
    default:
      if (ch.qosQueue.includes(io)) return 'its rate limits'
      if (ch.shared.queue.includes(io)) return `module "${bdev.module.name}" to have memory`
      if (bdev.resetInProgress !== null && io !== bdev.resetInProgress) return 'a reset that is under way'
      return 'its parts'
  }
}

function childOf(parent: BdevIo): BdevIo | null {
  for (const { channels } of parent.bdev.host.bdevs) {
    for (const { submitted } of channels) {
      for (let io = submitted.next!; io !== submitted; io = io.next!) if (io.cbArg === parent) return io
    }
  }
  return null
}

function heldIo({ bdev, heldIos, thread }: BdevChannel): PendingWait[] {
  const oldest = heldIos[0]
  if (oldest === undefined) return []
  const holders = bdev.ranges.locked.filter(range => range.conflictsWith(oldest))
  const quiesced = holders.some(range => range.quiesce)
  const what = `${heldIos.length} I/O(s) of bdev "${bdev.name}" on thread "${thread.name}", held back`
  return [{ what, who: quiesced ? `module "${bdev.module.name}" to end its quiesce` : 'a COMPARE_AND_WRITE of the same blocks', sinceMs: oldest.submitTickMs }]
}

/** A module that has claimed a bdev and shows nothing on top of it, or of any other, may have forgotten the claim. */
function idleClaims({ host, name, claims }: Bdev): PendingWait[] {
  if (claims.type === ClaimType.None) return []
  const lateMs = host.reactor.clock.nowMs() - WAIT_REPORT_MS
  return claims.holders
    .filter(({ module, sinceMs }) => module !== null && sinceMs <= lateMs && !host.bdevs.some(bdev => bdev.module === module))
    .map(({ module, sinceMs }) => ({
      what: `claim ${CLAIM_TYPE_NAMES[claims.type]} on bdev "${name}"`,
      who: `module "${module!.name}" to present a bdev, or to release the claim`,
      sinceMs,
    }))
}
