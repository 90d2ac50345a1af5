// SPDX-License-Identifier: Apache-2.0
// data plane
import type { IoWaitEntry } from '@bdevkit/module-sdk'
import type { SpdkThread } from '../thread/thread.js'
import type { BdevIo } from './bdev-io.js'

/** Somebody who waits for an I/O of a thread. */
export interface IoWaiter extends IoWaitEntry {
  next: IoWaiter | null
  /** The I/O that waits for a child: it is in use meanwhile. */
  parent: BdevIo | null
}

/** Queues a waiter, at the tail or, for one that was waiting before, at the head. */
export function queueIoWaiter(thread: SpdkThread, waiter: IoWaiter, atHead = false): void {
  if (thread.ioWaitHead === null) {
    thread.ioWaitHead = waiter
    thread.ioWaitTail = waiter
    // While waiters are being called the thread still counts as one that waits.
    if (!thread.ioWaking) thread.ioBudget!.waits(thread)
  } else if (atHead) {
    waiter.next = thread.ioWaitHead
    thread.ioWaitHead = waiter
  } else {
    thread.ioWaitTail!.next = waiter
    thread.ioWaitTail = waiter
  }
}

/** Removes the waiters of `parent`. Returns whether there was one. */
export function removeIoWaiters(thread: SpdkThread, parent: BdevIo): boolean {
  let found = false
  let prev: IoWaiter | null = null
  for (let waiter = thread.ioWaitHead; waiter !== null; waiter = waiter.next) {
    if (waiter.parent !== parent) {
      prev = waiter
      continue
    }
    found = true
    if (prev === null) thread.ioWaitHead = waiter.next
    else prev.next = waiter.next
    if (thread.ioWaitTail === waiter) thread.ioWaitTail = prev
  }
  if (found && thread.ioWaitHead === null && !thread.ioWaking) thread.ioBudget!.waitsNoMore(thread)
  return found
}

/** Moves the youngest waiter that an I/O in use depends on to the head: the one nearest to an end. Returns whether there is one. */
export function lastParentWaiter(thread: SpdkThread): boolean {
  let before: IoWaiter | null = null
  let found: IoWaiter | null = null
  let prev: IoWaiter | null = null
  for (let at = thread.ioWaitHead; at !== null; prev = at, at = at.next) {
    if (at.parent === null) continue
    before = prev
    found = at
  }
  if (found === null || before === null) return found !== null
  before.next = found.next
  if (thread.ioWaitTail === found) thread.ioWaitTail = before
  found.next = thread.ioWaitHead
  thread.ioWaitHead = found
  return true
}

/** Calls waiters, oldest first, while there are I/Os for them. */
export function wakeIoWaiters(thread: SpdkThread): void {
  if (thread.ioWaking) return
  thread.execMsg(callIoWaiters, thread)
}

function callIoWaiters(thread: SpdkThread): void {
  // Where several credits came at once, the first message has served all.
  if (thread.ioWaking || thread.ioWaitHead === null) return
  thread.ioWaking = true
  while (thread.ioCredits > 0) {
    const waiter: IoWaiter | null = thread.ioWaitHead
    if (waiter === null) break
    thread.ioWaitHead = waiter.next
    if (waiter.next === null) thread.ioWaitTail = null
    waiter.next = null
    try {
      waiter.fn(waiter.arg)
    } catch (thrown) {
      thread.reactor.reportThrow('a waiter for an I/O', thrown)
    }
  }
  thread.ioWaking = false
  if (thread.ioWaitHead === null) thread.ioBudget!.waitsNoMore(thread)
}
