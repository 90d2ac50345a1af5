// SPDX-License-Identifier: Apache-2.0
// data plane
import { ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { DescChannel } from '../descriptor/desc-channel.js'
import { IoFlag, IoPhase, type BdevIo, type IoDone } from './bdev-io.js'
import { extOf } from './io-ext.js'
import { submitIo } from './io-submit.js'

/** Gives a borrowed buffer back on behalf of the submitter (`spdk_bdev_zcopy_end`). */
export function endZcopy(channel: DescChannel, io: BdevIo, commit: boolean, cb: IoDone, arg: unknown): number {
  if (io.type !== IoType.Zcopy || io.channel !== channel || io.phase !== IoPhase.Completed) return -ERRNO.EINVAL
  if ((io.flags & IoFlag.ZcopyOpen) === 0 || io.status !== IoStatus.Success) return -ERRNO.EINVAL
  submitZcopyEnd(io, commit, cb, arg)
  return 0
}

/** Sends a ZCOPY down a second time. */
export function submitZcopyEnd(io: BdevIo, commit: boolean, cb: IoDone, arg: unknown): void {
  const ext = extOf(io)
  ext.zcopyStart = false
  ext.zcopyCommit = commit
  io.flags &= ~IoFlag.ZcopyOpen
  io.cb = cb
  io.cbArg = arg
  io.status = IoStatus.Pending
  submitIo(io)
}

/** A ZCOPY is freed that was not ended: its module gets its buffer back all the same. Returns whether the free has to wait. */
export function discardZcopy(io: BdevIo): boolean {
  if ((io.flags & IoFlag.ZcopyOpen) === 0) return false
  if (io.status !== IoStatus.Success) {
    io.flags &= ~IoFlag.ZcopyOpen
    return false
  }
  submitZcopyEnd(io, false, freeEnded, null)
  return true
}

function freeEnded(io: BdevIo): void {
  io.free()
}
