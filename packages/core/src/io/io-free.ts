// SPDX-License-Identifier: Apache-2.0
// data plane
import { ChannelFlag } from '../channel/bdev-channel.js'
import { IoFlag, IoPhase, type BdevIo } from './bdev-io.js'
import { trapFields } from './io-strict.js'
import { discardZcopy } from './io-zcopy.js'

/** Frees an I/O that holds something beside itself. */
export function freeUncommon(io: BdevIo): void {
  if (discardZcopy(io)) return
  const flags = io.flags
  const ch = io.ch
  io.flags = 0
  if ((flags & IoFlag.Details) !== 0) {
    io.numRetries = 0
    io.nvmeCdw0 = 0
    io.nvmeSct = 0
    io.nvmeSc = 0
    io.aioErrno = 0
    io.scsiSense = null
  }
  if ((flags & IoFlag.Md) !== 0) {
    io.mdBuf = null
    io.difExclude = 0
  }
  if ((flags & IoFlag.HasLender) !== 0) {
    const lender = io.lender!
    io.lender = null
    lender.free()
  }
  if ((flags & IoFlag.HasBuffer) !== 0) {
    const buffer = io.buffer!
    io.buffer = null
    buffer.owner!.give(buffer)
  }
  if ((flags & IoFlag.Lent) !== 0) {
    ch.lent--
    if ((ch.flags & ChannelFlag.Unused) !== 0 && ch.idle) ch.bdev.channelIdle(ch)
  }
  if ((flags & IoFlag.Retire) !== 0) {
    io.phase = IoPhase.Retired
    if ((flags & IoFlag.Shadow) !== 0) trapFields(io)
    io.pool.giveCredit()
  } else {
    io.pool.give(io)
  }
}
