// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'

/** Something that happened to a bdev, or to another object of the server. */
export interface RpcNotification {
  /** Ascending. */
  readonly id: number
  /** `bdev_register`, `bdev_unregister`, `bdev_resize`, … */
  readonly type: string
  /** Name of the object. */
  readonly ctx: string
}

/** What {@link notifications} needs of a client. */
export interface NotificationSource {
  call(method: 'notify_get_notifications', params: { id: number; max: number }): Promise<readonly RpcNotification[]>
}

/** Options of {@link notifications}. */
export interface NotificationOptions {
  /** First id wanted. Default: only what happens from now on. */
  readonly fromId?: number
  /** Only these types. Default: all. */
  readonly types?: readonly string[]
  /** Time between two questions, milliseconds; the wire has no way for a server to speak first. Default 200. */
  readonly pollMs?: number
  /** Ends the iteration. */
  readonly signal?: AbortSignal
}

const BATCH = 256
/** As many as a server keeps. */
const KEPT_MAX = 1024
const POLL_MS = 200

/**
 * Notifications as they come, without end: leave the loop, or abort `signal`. The server keeps the last 1024; of a burst beyond that
 * between two questions the oldest are lost, which shows as a gap in the ids.
 * @throws RpcConnectionError when the connection fails; RpcCallError when the server has no such method.
 */
export async function* notifications(
  source: NotificationSource,
  options: NotificationOptions = {},
): AsyncGenerator<RpcNotification, void, undefined> {
  const { types, pollMs = POLL_MS, signal } = options
  let next = options.fromId ?? (await firstFree(source))
  while (signal?.aborted !== true) {
    const found = await source.call('notify_get_notifications', { id: next, max: BATCH })
    for (const notification of found) {
      next = notification.id + 1
      if (types === undefined || types.includes(notification.type)) yield notification
    }
    if (found.length === 0) await sleep(pollMs, undefined, { ...(signal === undefined ? {} : { signal }) }).catch(() => undefined)
  }
}

/** The id that the next notification will have: in one question, so that none that comes meanwhile counts as past. */
async function firstFree(source: NotificationSource): Promise<number> {
  const kept = await source.call('notify_get_notifications', { id: 0, max: KEPT_MAX })
  return (kept[kept.length - 1]?.id ?? -1) + 1
}
