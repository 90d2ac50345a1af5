// SPDX-License-Identifier: Apache-2.0
import type { PollerRc } from './constants.js'

/** A function registered to be called again and again on one thread. */
export interface Poller {
  /** Stops it for good. Legal inside its own callback; on its own thread only. */
  unregister(): void
  /** Stops it until `resume`; on its own thread only. */
  pause(): void
  /** Starts it again after `pause`; on its own thread only. */
  resume(): void
  /**
   * Sets when a timed poller runs next, in milliseconds of `BdevHost.nowMs`; after that run its period counts again. For work
   * that is due at uneven times: register with a period of `Infinity`, and the poller runs when told and not else. The event
   * loop sleeps until a millisecond before and turns for the rest, so that a run is late by microseconds.
   */
  runAt(dueMs: number): void
}

/**
 * A cooperative executor, `struct spdk_thread`: what runs on it never runs beside anything else of it. Several threads
 * may share one event loop. I/O completes on the thread that submitted it.
 */
export interface Thread {
  /** Unique in the host, ascending from 1; the app thread is 1. */
  readonly id: number
  /** As given when it was created. */
  readonly name: string
  /**
   * Coarse monotonic time in milliseconds, read once per batch of messages. Good for statistics and for deadlines of
   * milliseconds; a finer deadline reads the real clock (`BdevHost.nowMs`).
   */
  readonly tickMs: number
  /** Queues `fn(arg)` on this thread, after everything queued before. Callable from anywhere in the process. */
  sendMsg<Arg>(fn: (arg: Arg) => void, arg: Arg): void
  /** Runs `fn(arg)` at once where this thread is current or none is, otherwise as `sendMsg`. */
  execMsg<Arg>(fn: (arg: Arg) => void, arg: Arg): void
  /**
   * Calls `fn(arg)` every `periodUs` microseconds, or every turn where that is 0. A poller with period 0 that answers
   * `Busy` keeps the event loop turning; one that answers `Idle` lets the process sleep until something else wakes it.
   * With a period of `Infinity` it runs only when `Poller.runAt` says.
   */
  registerPoller<Arg>(fn: (arg: Arg) => PollerRc, arg: Arg, periodUs: number, name?: string): Poller
}

/** What one thread holds of an I/O device, `struct spdk_io_channel`. Reference counted per thread. */
export interface IoChannel<Ctx = unknown> {
  /** The thread that it belongs to. */
  readonly thread: Thread
  /** What `createChannel` returned. */
  readonly ctx: Ctx
  /** Gives one reference back, on the channel's thread. The last one destroys the channel, by message. */
  put(): void
}

/** How channels of a device are made and destroyed. */
export interface IoDeviceSpec<Ctx = unknown> {
  /** Shown in diagnostics and by `thread_get_io_channels`. */
  name: string
  /** Makes the context for one thread, on that thread. Where it throws, no channel exists and `destroyChannel` is not called. */
  createChannel(thread: Thread): Ctx
  /** Releases it, on the same thread, after the last reference went. */
  destroyChannel?(ctx: Ctx): void
}

/** Something that threads hold channels of, `spdk_io_device_register`. */
export interface IoDevice<Ctx = unknown> {
  /** The name of its spec. */
  readonly name: string
  /** The current thread's channel, made if there is none; `null` where making it failed or the device is unregistered: the log says. */
  getIoChannel(): IoChannel<Ctx> | null
  /**
   * Visits the channel of each thread that has one, thread by thread in ascending id, each on its thread.
   * `fn` may return a promise; the next channel waits for it. The first throw or rejection ends the walk.
   */
  forEachChannel(fn: (ctx: Ctx, thread: Thread) => void | Promise<void>): Promise<void>
  /** Removes it from look-up at once; settles when the last channel is gone. Once only. */
  unregister(): Promise<void>
}
