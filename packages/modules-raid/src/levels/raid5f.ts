// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevIo, DescChannel } from '@bdevkit/module-sdk'
import type { RaidChannel } from '../raid-channel.js'
import { allSent, legDone, legSent, startAll, type RaidIo } from '../raid-io.js'
import type { RaidLevel } from './level.js'
import { xorWindow } from './rebuild-window.js'
import { scrubXor } from './scrub-window.js'
import { StripePool, type Stripe } from './stripe.js'
import { numMissing } from './works-with.js'

/** Strips and their parity, which turns from member to member; whole stripes are written. SPDK's `raid5f.c`. */
export const raid5f: RaidLevel = {
  name: 'raid5f',
  aliases: ['5f'],
  number: 95,
  membersMin: 3,
  striped: true,
  difSupported: false,
  canResize: false,
  rangeTypes: [IoType.Flush, IoType.WriteZeroes],
  redundant: true,
  worksWith(there) {
    return numMissing(there) <= 1
  },

  layout(members, stripSizeBlocks) {
    let smallest = Infinity
    for (const { dataSizeBlocks } of members) smallest = Math.min(smallest, dataSizeBlocks)
    const used = smallest - (smallest % stripSizeBlocks)
    for (const member of members) member.dataSizeBlocks = used
    const dataMembers = members.length - 1
    return { numBlocks: used * dataMembers, splitBoundaryBlocks: stripSizeBlocks, writeUnitBlocks: stripSizeBlocks * dataMembers }
  },

  createChannel(ch) {
    const { host, blockSizeBytes, mdSizeBytes } = ch.raid
    return new StripePool(host, ch.numMembers, ch.stripBlocks * blockSizeBytes, ch.stripBlocks * mdSizeBytes)
  },

  destroyChannel(ch) {
    ;(ch.ctx as StripePool).close()
  },

  submitRw(ch, io) {
    if (io.type === IoType.Write) write(ch, io)
    else read(ch, io)
  },

  /** Zeros have zeros as their parity: what is zeroed in whole stripes is so on every member. */
  memberRange(ch, io, _slot, out) {
    const { stripBlocks } = ch
    const stripeBlocks = stripBlocks * (ch.numMembers - 1)
    const first = Math.floor(io.offsetBlocks / stripeBlocks)
    out.offsetBlocks = first * stripBlocks
    out.numBlocks = (Math.ceil((io.offsetBlocks + io.numBlocks) / stripeBlocks) - first) * stripBlocks
  },

  rebuildUnitBlocks(numMembers, stripSizeBlocks) {
    return stripSizeBlocks * (numMembers - 1)
  },

  rebuildWindow: xorWindow,
  scrubsWhole: true,
  scrubWindow(job, offsetBlocks, numBlocks, repair) {
    const { numMembers, raid: { stripSizeBlocks } } = job
    return scrubXor(job, offsetBlocks / (numMembers - 1), numBlocks / (numMembers - 1), repair, block => paritySlot(Math.floor(block / stripSizeBlocks), numMembers))
  },
}

/** The member that has the parity of a stripe. */
export function paritySlot(stripe: number, numMembers: number): number {
  return numMembers - 1 - (stripe % numMembers)
}

function read(ch: RaidChannel, io: BdevIo<RaidIo>): void {
  const { stripBlocks, numMembers } = ch
  const own = io.ctx
  const inStrip = io.offsetBlocks % stripBlocks
  if (inStrip + io.numBlocks > stripBlocks) {
    io.complete(IoStatus.Failed)
    return
  }
  const strip = (io.offsetBlocks - inStrip) / stripBlocks
  const place = strip % (numMembers - 1)
  const stripe = (strip - place) / (numMembers - 1)
  own.slot = place < paritySlot(stripe, numMembers) ? place : place + 1
  // Where it lies on each member.
  own.next = stripe * stripBlocks + inStrip
  const leg = ch.readLegs[own.slot]
  if (leg === null) reconstruct(ch, io)
  else io.forwardThen(leg, readDone, ch.dataOffsets[own.slot] + own.next - io.offsetBlocks)
}

function readDone(child: BdevIo, io: BdevIo<RaidIo>): void {
  const { ch, slot } = io.ctx
  if (child.status === IoStatus.Success) {
    io.complete(IoStatus.Success)
  } else if (child.status === IoStatus.Aborted && ch.raid.resets > 0) {
    io.completeFrom(child)
  } else {
    for (let i = 0; i < ch.numMembers; i++) {
      if (i !== slot && ch.readLegs[i] === null) {
        io.completeFrom(child)
        return
      }
    }
    reconstruct(ch, io)
  }
}

/** The member in `own.slot` cannot give it: it is the xor of the same blocks of all others. */
function reconstruct(ch: RaidChannel, io: BdevIo<RaidIo>): void {
  const own = io.ctx
  const stripe = (ch.ctx as StripePool).take()
  if (stripe === null) {
    io.complete(IoStatus.Nomem)
    return
  }
  stripe.offsetBlocks = own.next
  own.ch = ch
  own.ctx = stripe
  own.next = 0
  own.left = 1
  own.good = 0
  own.status = IoStatus.Success
  own.wait.fn = sendReads
  own.wait.arg = io
  sendReads(io)
}

function sendReads(io: BdevIo<RaidIo>): void {
  const own = io.ctx
  const { ch } = own
  const stripe = own.ctx as Stripe
  while (own.next < ch.numMembers && own.status === IoStatus.Success) {
    const slot = own.next
    const leg = ch.readLegs[slot]
    if (slot === own.slot) own.next++
    else if (leg === null) own.status = IoStatus.Failed
    else {
      const { buf, off } = stripe.bufferOf(slot)
      const { md } = stripe.chunks[slot]
      const offsetBlocks = ch.dataOffsets[slot] + stripe.offsetBlocks
      const rc = io.mdBuf === null
        ? leg.readBlocks(buf, off, offsetBlocks, io.numBlocks, reconstructRead, io)
        : leg.readBlocksWithMd(buf, off, md!.buf, md!.off, offsetBlocks, io.numBlocks, reconstructRead, io)
      if (!legSent(io, leg, rc)) return
    }
  }
  own.failed = null
  if (--own.left === 0) reconstructDone(io)
}

function reconstructRead(child: BdevIo, success: boolean, io: BdevIo<RaidIo>): void {
  const own = io.ctx
  if (!success && own.status === IoStatus.Success) own.status = child.status
  child.free()
  if (--own.left === 0) reconstructDone(io)
}

function reconstructDone(io: BdevIo<RaidIo>): void {
  const own = io.ctx
  const { ch } = own
  const stripe = own.ctx as Stripe
  if (own.status === IoStatus.Success) {
    stripe.xorToIovs(io.iovs, io.iovCnt, own.slot, io.numBlocks * io.bdev.blockSizeBytes)
    if (io.mdBuf !== null) stripe.xorMdTo(io.mdBuf, io.mdOff, own.slot, io.numBlocks * ch.raid.mdSizeBytes)
    if (ch.readLegs[own.slot] !== null) ch.raid.repairLater(own.slot, io.offsetBlocks, io.numBlocks)
  }
  stripe.release()
  io.complete(own.status)
}

function write(ch: RaidChannel, io: BdevIo<RaidIo>): void {
  const stripeBlocks = ch.stripBlocks * (ch.numMembers - 1)
  if (io.numBlocks !== stripeBlocks || io.offsetBlocks % stripeBlocks !== 0) {
    io.complete(IoStatus.Failed)
    return
  }
  const stripe = (ch.ctx as StripePool).take()
  if (stripe === null) {
    io.complete(IoStatus.Nomem)
    return
  }
  const index = io.offsetBlocks / stripeBlocks
  const parity = paritySlot(index, ch.numMembers)
  stripe.offsetBlocks = index * ch.stripBlocks
  stripe.cut(io.iovs, io.iovCnt, parity)
  if (ch.writeLegs[parity] !== null) {
    stripe.computeParity()
    if (io.mdBuf !== null) stripe.computeMdParity(io.mdBuf, io.mdOff)
  }
  io.ctx.ctx = stripe
  startAll(ch, io, sendStrips)
}

function sendStrips(io: BdevIo<RaidIo>): void {
  const own = io.ctx
  const { ch } = own
  const stripe = own.ctx as Stripe
  while (own.next < ch.numMembers) {
    const slot = own.next
    const leg = ch.writeLegs[slot]
    if (leg === null) {
      own.next++
      ch.raid.missedWrites = true
      continue
    }
    const chunk = stripe.chunks[slot]
    const offsetBlocks = ch.dataOffsets[slot] + stripe.offsetBlocks
    const rc = io.mdBuf === null
      ? leg.writevBlocks(chunk.iovs, chunk.count, offsetBlocks, ch.stripBlocks, stripWritten, io)
      : writeWithMd(leg, io, stripe, slot, offsetBlocks)
    if (!legSent(io, leg, rc)) return
  }
  if (own.left === 1) stripe.release()
  allSent(io)
}

function writeWithMd(leg: DescChannel, io: BdevIo<RaidIo>, stripe: Stripe, slot: number, offsetBlocks: number): number {
  const { iovs, count, md } = stripe.chunks[slot]
  const own = slot === stripe.parity
  const mdBuf = own ? md!.buf : io.mdBuf
  const mdOff = own ? md!.off : io.mdOff + stripe.mdOffset(slot)
  return leg.writevBlocksWithMd(iovs, count, mdBuf, mdOff, offsetBlocks, io.ctx.ch.stripBlocks, stripWritten, io)
}

function stripWritten(child: BdevIo, success: boolean, io: BdevIo<RaidIo>): void {
  const own = io.ctx
  if (own.left === 1) (own.ctx as Stripe).release()
  legDone(child, success, io)
}
