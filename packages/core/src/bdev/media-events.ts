// SPDX-License-Identifier: Apache-2.0
import type { MediaEvent } from '@bdevkit/module-sdk'
import { BdevError, BdevEventType } from '@bdevkit/module-sdk'
import { MEDIA_EVENTS_MAX } from '../limits.js'
import type { Bdev } from './bdev.js'

/**
 * Keeps events for the oldest descriptor that may write, as many as it has room for (`spdk_bdev_push_media_events`).
 * Returns how many.
 * @throws BdevError ENODEV the bdev has none, or nobody has it open for writing.
 */
export function pushMediaEvents(bdev: Bdev, events: readonly MediaEvent[]): number {
  const who = `module "${bdev.module.name}": media events of bdev "${bdev.name}"`
  if (!bdev.mediaEvents) throw new BdevError('ENODEV', `${who}: it was registered without mediaEvents`)
  const desc = bdev.descs.find(other => other.write)
  if (desc === undefined) throw new BdevError('ENODEV', `${who}: nobody has it open for writing`)
  const room = Math.max(0, MEDIA_EVENTS_MAX - desc.mediaEvents.length)
  const kept = events.slice(0, room)
  for (const { offsetBlocks, numBlocks } of kept) desc.mediaEvents.push({ offsetBlocks, numBlocks })
  return kept.length
}

/** Sends MEDIA_MANAGEMENT to each descriptor with events to read (`spdk_bdev_notify_media_management`). */
export function notifyMediaManagement(bdev: Bdev): void {
  for (const desc of bdev.descs) if (desc.mediaEvents.length > 0) desc.send(BdevEventType.MediaManagement)
}
