// SPDX-License-Identifier: Apache-2.0
import type { Bdev } from '../bdev/bdev.js'
import type { SpdkThread } from '../thread/thread.js'
import type { BdevChannel } from './bdev-channel.js'

/**
 * Visits every channel of a bdev on its own thread, in ascending thread id, by message, then calls `done` on `origin`
 * (`spdk_bdev_for_each_channel`). An answer other than 0 ends the walk and goes to `done`. A channel that has gone is
 * skipped; one that appears on a thread that is still to come is visited.
 */
export function walkChannels(bdev: Bdev, origin: SpdkThread, visit: (ch: BdevChannel) => number | void, done: (status: number) => void): void {
  const visitThread = (thread: SpdkThread): void => {
    let status = 0
    for (const ch of bdev.channels.filter(other => other.thread === thread)) {
      try {
        status = visit(ch) ?? 0
      } catch (thrown) {
        bdev.host.reportThrow(`a walk over the channels of bdev "${bdev.name}" on thread "${thread.name}"`, thrown)
      }
      if (status !== 0) break
    }
    if (status === 0) goOn(thread.id)
    else origin.sendMsg(done, status)
  }
  const goOn = (afterId: number): void => {
    let next: SpdkThread | null = null
    for (const { thread } of bdev.channels) if (thread.id > afterId && (next === null || thread.id < next.id)) next = thread
    if (next === null) origin.sendMsg(done, 0)
    else next.sendMsg(visitThread, next)
  }
  goOn(0)
}

/** As `walkChannels`, for code that awaits: settles with 0, or with the answer that ended the walk. */
export function visitChannels(bdev: Bdev, visit: (ch: BdevChannel) => number | void): Promise<number> {
  return new Promise(resolve => walkChannels(bdev, bdev.host.currentThread(), visit, resolve))
}
