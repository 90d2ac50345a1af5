// SPDX-License-Identifier: Apache-2.0
// data plane
import { DifFlag, DifType, ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevHost, BdevIo, DescChannel, DifContext, Iov } from '@bdevkit/module-sdk'
import type { RaidChannel } from '../raid-channel.js'
import type { RaidBdev } from '../raid-bdev.js'
import type { RaidIo } from '../raid-io.js'

/**
 * Reference tags count blocks of the array above it and blocks of the member below: they are checked and put over on the way
 * down, in a copy, and on the way up. One for each channel.
 */
export class ReftagRemap {
  readonly host: BdevHost
  readonly context: DifContext
  readonly blockSizeBytes: number
  readonly mdSizeBytes: number
  readonly iovs: readonly Iov[]

  constructor(raid: RaidBdev) {
    this.host = raid.host
    this.blockSizeBytes = raid.blockSizeBytes
    this.mdSizeBytes = raid.mdSizeBytes
    const { blockSizeBytes, format } = raid
    const spec = { ...format, blockSizeBytes, difCheckFlags: DifFlag.ReftagCheck } // cold: once for each channel
    this.context = raid.host.accel.dif.context(spec)
    this.iovs = raid.host.allocIovs(1)
  }
}

/** What a channel of raid0 needs, `null` where members do not check reference tags. */
export function reftagRemap(raid: RaidBdev): ReftagRemap | null {
  const { difType, difCheckFlags } = raid.format
  const checked = difType === DifType.Type1 || difType === DifType.Type2
  return checked && (difCheckFlags & DifFlag.ReftagCheck) !== 0 ? new ReftagRemap(raid) : null
}

/** Sends a READ or WRITE to a member whose block `memberBlock` is the first, with reference tags put over. */
export function submitRemapped(ch: RaidChannel, io: BdevIo<RaidIo>, leg: DescChannel, memberBlock: number): void {
  const remap = ch.ctx as ReftagRemap
  if (remap.mdSizeBytes > 0 && io.mdBuf === null) {
    io.forward(leg, memberBlock - io.offsetBlocks)
    return
  }
  io.ctx.next = memberBlock
  if (io.type === IoType.Read) io.forwardThen(leg, readDone, memberBlock - io.offsetBlocks)
  else write(remap, io, leg)
}

function write(remap: ReftagRemap, io: BdevIo<RaidIo>, leg: DescChannel): void {
  const { accel } = remap.host
  const own = io.ctx
  const separate = remap.mdSizeBytes > 0
  const lengthBytes = io.numBlocks * (separate ? remap.mdSizeBytes : remap.blockSizeBytes)
  let copy = own.ctx as Uint8Array | null
  if (copy === null || copy.length < lengthBytes) copy = own.ctx = new Uint8Array(lengthBytes) // cold: grows, and is kept
  const { context } = remap
  context.initRefTag = io.offsetBlocks >>> 0
  context.remappedInitRefTag = own.next >>> 0
  own.wait.fn = sendCopy
  own.wait.arg = io
  own.leg = leg
  if (separate) {
    accel.copy(copy, 0, io.mdBuf!, io.mdOff, lengthBytes)
    if (accel.dif.dixRemapRefTag(context, copy, 0, io.numBlocks)) sendCopy(io)
    else io.complete(IoStatus.Failed)
    return
  }
  accel.copyFromIovs(copy, 0, io.iovs, io.iovCnt, lengthBytes)
  const iov = remap.iovs[0]
  iov.buf = copy
  iov.off = 0
  iov.len = lengthBytes
  if (accel.dif.remapRefTag(context, remap.iovs, 1, io.numBlocks)) sendCopy(io)
  else io.complete(IoStatus.Failed)
}

function sendCopy(io: BdevIo<RaidIo>): void {
  const own = io.ctx
  const leg = own.leg!
  const copy = own.ctx as Uint8Array
  const remap = own.ch.ctx as ReftagRemap
  const rc = remap.mdSizeBytes > 0
    ? leg.writevBlocksWithMd(io.iovs, io.iovCnt, copy, 0, own.next, io.numBlocks, written, io)
    : leg.writeBlocks(copy, 0, own.next, io.numBlocks, written, io)
  if (rc === 0) return
  if (rc === -ERRNO.ENOMEM) {
    if (leg.queueIoWait(own.wait) !== 0) sendCopy(io)
    return
  }
  io.complete(IoStatus.Failed)
}

function written(child: BdevIo, _success: boolean, io: BdevIo<RaidIo>): void {
  io.completeFrom(child)
  child.free()
}

function readDone(child: BdevIo, io: BdevIo<RaidIo>): void {
  if (child.status !== IoStatus.Success) {
    io.completeFrom(child)
    return
  }
  const own = io.ctx
  const { host, context, mdSizeBytes } = own.ch.ctx as ReftagRemap
  context.initRefTag = own.next >>> 0
  context.remappedInitRefTag = io.offsetBlocks >>> 0
  const fits = mdSizeBytes > 0
    ? host.accel.dif.dixRemapRefTag(context, io.mdBuf!, io.mdOff, io.numBlocks)
    : host.accel.dif.remapRefTag(context, io.iovs, io.iovCnt, io.numBlocks)
  io.complete(fits ? IoStatus.Success : IoStatus.Failed)
}
