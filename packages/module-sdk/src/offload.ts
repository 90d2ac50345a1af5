// SPDX-License-Identifier: Apache-2.0
import type { Iov } from './dma.js'

/**
 * Called once when offloaded work has ended, on the thread that asked for it. `result` is the number of bytes moved, the
 * answer of a task, or a negative errno.
 */
export type OffloadCallback<Arg = any> = (arg: Arg, result: number) => void

/** How a queue of offloaded work is opened. */
export interface OffloadQueueSpec {
  /** Whom it works for, as messages show it: usually the name of the bdev. */
  name: string
  /**
   * Threads that carry it out at most, 1 to 16, default 8: the queue depth that the device sees. The first starts with the
   * first work, the others one by one while work waits.
   */
  workersMax?: number
  /**
   * Nothing asked of this queue ever waits for a device, because the files lie in memory: transfers of up to 64 KiB are
   * done at once by the calling thread, which costs less than telling a worker. Default false.
   */
  inMemory?: boolean
  /** Alignment of memory that the files ask for, in bytes, a power of two: that of O_DIRECT. Default 1. */
  alignBytes?: number
  /**
   * Blocking functions of the module for {@link OffloadQueue.run}, each the text of one JavaScript function expression
   * `(heap, a, b, c, d) => number`, where `heap` is the DMA heap. It is compiled in a worker: it sees the globals of Node and
   * `process.getBuiltinModule`, and nothing of the module's scope. Being text it survives bundling.
   */
  tasks?: readonly string[]
}

/**
 * Blocking work of one device. A call returns 0, then `cb` follows once, never before the call has returned unless the queue
 * is `inMemory`; or a negative errno, then it does not: -EAGAIN 128 calls are under way, -ENOMEM the DMA heap has no room to
 * bounce the data, -EINVAL the iovecs hold less than `lengthBytes`, -ESHUTDOWN the queue is closed. The elements and their
 * memory stay as they are until then. Nothing is allocated per call for data in the DMA heap that is aligned.
 *
 * Calls are carried out beside each other and end in any order. One that was made after another has ended is carried out
 * after it. When a worker dies, what it had in hand ends with -EIO.
 */
export interface OffloadQueue {
  /** The name of its spec. */
  readonly name: string
  /** Calls under way. */
  readonly pending: number
  /** Reads `lengthBytes` at `positionBytes` of a file into the first `iovCnt` elements (preadv). */
  read<Arg>(
    fd: number,
    positionBytes: number,
    iovs: readonly Iov[],
    iovCnt: number,
    lengthBytes: number,
    cb: OffloadCallback<Arg>,
    arg: Arg,
  ): number
  /** Writes `lengthBytes` of the first `iovCnt` elements at `positionBytes` of a file (pwritev). */
  write<Arg>(
    fd: number,
    positionBytes: number,
    iovs: readonly Iov[],
    iovCnt: number,
    lengthBytes: number,
    cb: OffloadCallback<Arg>,
    arg: Arg,
  ): number
  /** Makes what was written to a file before durable (fdatasync). */
  sync<Arg>(fd: number, cb: OffloadCallback<Arg>, arg: Arg): number
  /** Calls the task of that index in the spec's `tasks`; a throw is its `errno`, or -EIO. */
  run<Arg>(task: number, a: number, b: number, c: number, d: number, cb: OffloadCallback<Arg>, arg: Arg): number
  /** Ends its workers when the last call has ended; settles then. New calls are refused at once. */
  close(): Promise<void>
}

/**
 * Work that blocks, carried out by I/O workers on the DMA heap, so that no device stalls the event loop. Each queue has
 * workers of its own: a device that hangs holds up nobody else. They start when there is work, sleep when there is none, and
 * end with the queue or the host.
 */
export interface Offload {
  /**
   * Opens a queue. Control plane.
   * @throws BdevError ENOTSUP this JavaScript runtime has no worker threads; EINVAL a number of the spec is out of range.
   */
  openQueue(spec: OffloadQueueSpec): OffloadQueue
}
