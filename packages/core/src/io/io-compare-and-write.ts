// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { LbaRange } from '../lba-range/lba-range.js'
import { lockLbaRange, unlockLbaRange } from '../lba-range/lba-range-lock.js'
import { IoPhase, type BdevIo } from './bdev-io.js'
import { childOrWait } from './io-split.js'
import { finishLater, finishParentLater, submitIo } from './io-submit.js'

/** Who has an emulated COMPARE_AND_WRITE: its `parts`. */
const LockState = { Waiting: 'waiting', Aborted: 'aborted', Held: 'held' } as const

/** COMPARE, then WRITE, with the blocks locked against other writers. The I/O is on its channel. */
export function startCompareAndWrite(io: BdevIo): void {
  io.parts = LockState.Waiting
  lockLbaRange(io.ch, io.offsetBlocks, io.numBlocks, io, locked)
}

/** Ends the wait of an ABORT's target for its lock. Returns whether it waited. */
export function abortLockWait(io: BdevIo): boolean {
  if (io.type !== IoType.CompareAndWrite || io.parts !== LockState.Waiting) return false
  io.parts = LockState.Aborted
  const { pending } = io.bdev.ranges
  for (let i = 0; i < pending.length; i++) {
    if (pending[i]!.ctx !== io) continue
    pending.splice(i, 1)
    io.parts = null
    finishLater(io, IoStatus.Aborted)
    break
  }
  return true
}

function locked(range: LbaRange): void {
  const io = range.ctx as BdevIo
  if (io.parts === LockState.Aborted) {
    unlock(io, IoStatus.Aborted)
    return
  }
  io.parts = LockState.Held
  sendCompare(io)
}

function sendCompare(io: BdevIo): void {
  const child = childOrWait(io, sendCompare)
  if (child === null) return
  child.type = IoType.Compare
  child.iovs = io.iovs
  child.iovCnt = io.iovCnt
  child.cb = compared
  sendRange(io, child)
}

function compared(child: BdevIo, success: boolean, io: BdevIo): void {
  if (!success) {
    endWith(io, child)
    return
  }
  child.free()
  sendWrite(io)
}

function sendWrite(io: BdevIo): void {
  const child = childOrWait(io, sendWrite)
  if (child === null) return
  child.type = IoType.Write
  child.iovs = io.fusedIovs as typeof child.iovs
  child.iovCnt = io.fusedIovCnt
  child.cb = written
  sendRange(io, child)
}

function written(child: BdevIo, _success: boolean, io: BdevIo): void {
  endWith(io, child)
}

function sendRange(io: BdevIo, child: BdevIo): void {
  child.offsetBlocks = io.offsetBlocks
  child.numBlocks = io.numBlocks
  submitIo(child)
}

function endWith(io: BdevIo, child: BdevIo): void {
  const { status } = child
  if (status !== IoStatus.Success) io.copyDetails(child)
  child.free()
  unlock(io, status)
}

/** The submitter hears of it when others may write again. */
function unlock(io: BdevIo, status: number): void {
  io.parts = null
  io.phase = IoPhase.Framework
  unlockLbaRange(io.ch, io.offsetBlocks, io.numBlocks, io, () => finishParentLater(io, status)) // cold: a lock ends
}
