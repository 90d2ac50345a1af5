// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoType } from '@bdevkit/module-sdk'
import type { BdevChannel } from '../channel/bdev-channel.js'
import { IoFlag, isPart, type BdevIo } from './bdev-io.js'
import type { BufferWaiter, PoolBuffer } from './iobuf-pool.js'

/**
 * A buffer for `io`, of a length that the pools serve. `null`: it waits, ABORT and RESET find it there, and `fn`, which clears
 * `BufWait`, is called with the buffer, or with `null` where the wait was given up.
 *
 * Only those wait for whom nobody waits: a buffer that I/O above `io` holds does not come back before `io` has ended. Where I/O
 * above it may hold one, and none is left, it takes memory beyond the pool. I/O at the top holds nothing yet and waits: that bounds
 * what goes beyond.
 */
export function takeBuffer(io: BdevIo, lengthBytes: number, fn: (io: BdevIo, buffer: PoolBuffer | null) => void): PoolBuffer | null {
  const cache = io.ch.iobuf.cacheFor(lengthBytes)
  let buffer = cache.get(lengthBytes, io.bdev)
  if (buffer !== null) return buffer
  if (isWaitedFor(io)) {
    buffer = cache.beyond(lengthBytes)
    if (buffer !== null) return buffer
  }
  io.flags |= IoFlag.BufWait
  cache.wait({ fn, arg: io, lengthBytes, bdev: io.bdev, next: null, buffer: null })
  return null
}

/**
 * Whether a buffer of the pool, or blocks, may be held until `io` has ended: by itself, by the I/O that it is a part of, or, since
 * nobody knows which I/O of a module it serves, by any I/O of a module that has bases. Other I/O of its own bdev does not count.
 */
function isWaitedFor(io: BdevIo): boolean {
  if (holdsBuffer(io)) return true
  for (let at = io; isPart(at); ) {
    at = at.cbArg as BdevIo
    // Writers of these blocks wait for its lock, with what they hold.
    if (at.type === IoType.CompareAndWrite || holdsBuffer(at)) return true
  }
  const { bdev } = io
  return io.channel.desc.module !== null && bdev.host.iobuf.heldAbove > bdev.buffersHeld
}

function holdsBuffer(io: BdevIo): boolean {
  if (io.auxBuffers > 0 || (io.flags & (IoFlag.HasBuffer | IoFlag.Bounced | IoFlag.HiddenMd)) !== 0) return true
  // COPY, and COMPARE where it is made of reads.
  return (io.parts as { buffer?: PoolBuffer } | null)?.buffer !== undefined
}

/** Ends the wait of an I/O for a buffer: its module is told by message that there is none. Returns whether it waited. */
export function abortBufWait(io: BdevIo): boolean {
  if ((io.flags & IoFlag.BufWait) === 0) return false
  const waiter = io.ch.iobuf.small.unwait(isFor, io) ?? io.ch.iobuf.large.unwait(isFor, io)
  if (waiter === null) return false
  io.ch.thread.sendMsg(giveUp, waiter)
  return true
}

/** Ends every such wait of a channel. */
export function abortBufWaits(ch: BdevChannel): void {
  for (let io = ch.submitted.next!; io !== ch.submitted; io = io.next!) abortBufWait(io)
}

function isFor(waiter: BufferWaiter, io: BdevIo): boolean {
  return waiter.arg === io
}

function giveUp(waiter: BufferWaiter): void {
  waiter.fn(waiter.arg, null)
}
