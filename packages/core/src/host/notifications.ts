// SPDX-License-Identifier: Apache-2.0
import { BdevError } from '@bdevkit/module-sdk'
import { NOTIFICATIONS_MAX } from '../limits.js'

/** Something that happened to a bdev or to another object of the host. */
export interface Notification {
  /** Ascending from 0 in one host. */
  readonly id: number
  /** One of {@link Notifications.types}. */
  readonly type: string
  /** Name of the object. */
  readonly ctx: string
}

/** What happened in a host, the last {@link NOTIFICATIONS_MAX} kept for those who ask later (SPDK's `lib/notify`). */
export class Notifications {
  /** Known types, in the order of their registration. */
  readonly types: string[] = ['bdev_register', 'bdev_unregister', 'bdev_resize']
  readonly #ring: Notification[] = []
  readonly #listeners = new Set<(notification: Notification) => void>()
  readonly #reportThrow: (where: string, thrown: unknown) => void
  #nextId = 0

  /** `reportThrow` is told what a listener throws. @internal */
  constructor(reportThrow: (where: string, thrown: unknown) => void) {
    this.#reportThrow = reportThrow
  }

  /**
   * Adds a type, for parts of an application that notify; a known one is left as it is.
   * @throws BdevError EINVAL an empty name.
   */
  addType(type: string): void {
    if (type === '') throw new BdevError('EINVAL', 'notification type: wanted a non-empty name')
    if (!this.types.includes(type)) this.types.push(type)
  }

  /** Keeps a notification and tells the listeners. Returns its id. */
  send(type: string, ctx: string): number {
    const notification = { id: this.#nextId++, type, ctx }
    this.#ring[notification.id % NOTIFICATIONS_MAX] = notification
    for (const listener of this.#listeners) {
      try {
        listener(notification)
      } catch (thrown) {
        this.#reportThrow(`a listener to the notification ${type} of "${ctx}"`, thrown)
      }
    }
    return notification.id
  }

  /** At most `max` notifications from `fromId` on, oldest first; those that are no longer kept are left out. */
  list(fromId = 0, max = Infinity): Notification[] {
    const first = Math.max(fromId, this.#nextId - NOTIFICATIONS_MAX)
    const end = Math.min(this.#nextId, first + max)
    const found: Notification[] = []
    for (let id = first; id < end; id++) found.push(this.#ring[id % NOTIFICATIONS_MAX]!)
    return found
  }

  /** Calls `listener` for each notification from now on; call what it returns to end that. */
  listen(listener: (notification: Notification) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}
