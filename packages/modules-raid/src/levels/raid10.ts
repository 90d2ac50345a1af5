// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevIo } from '@bdevkit/module-sdk'
import type { RaidChannel } from '../raid-channel.js'
import { allSent, legSent, startAll, writeTo, type RaidIo } from '../raid-io.js'
import type { RaidLevel } from './level.js'
import { copiesBefore, oneOfEachPair, rowsPerTurn } from './near2.js'
import { OWN_LEVEL_NUMBERS } from './numbers.js'
import { agreed } from './agreed.js'
import { copyStrips } from './rebuild-window.js'
import { scrubStrips } from './scrub-window.js'

/** Strips in turn, each on two members that follow one another: md's raid10 with its "near" layout. SPDK has none. */
export const raid10: RaidLevel = {
  name: 'raid10',
  aliases: ['10'],
  number: OWN_LEVEL_NUMBERS.raid10,
  membersMin: 3,
  striped: true,
  difSupported: false,
  separateMdSupported: true,
  canResize: true,
  rangeTypes: [IoType.Unmap, IoType.Flush, IoType.WriteZeroes],
  redundant: true,
  worksWith: oneOfEachPair,

  layout(members, stripSizeBlocks) {
    let smallest = Infinity
    for (const { dataSizeBlocks } of members) smallest = Math.min(smallest, dataSizeBlocks)
    const rows = Math.floor(smallest / stripSizeBlocks)
    for (const member of members) member.dataSizeBlocks = rows * stripSizeBlocks
    const strips = Math.floor((rows * members.length) / 2)
    return { numBlocks: strips * stripSizeBlocks, splitBoundaryBlocks: stripSizeBlocks, writeUnitBlocks: 1 }
  },

  // Within one strip: the framework has split it.
  submitRw(ch, io) {
    if ((io.offsetBlocks % ch.stripBlocks) + io.numBlocks > ch.stripBlocks) io.complete(IoStatus.Failed)
    else if (io.type === IoType.Write) startAll(ch, io, sendWrites)
    else read(ch, io)
  },

  memberRange(ch, io, slot, out) {
    out.offsetBlocks = copiesBefore(io.offsetBlocks, slot, ch.stripBlocks, ch.numMembers)
    out.numBlocks = copiesBefore(io.offsetBlocks + io.numBlocks, slot, ch.stripBlocks, ch.numMembers) - out.offsetBlocks
  },

  /** Whole turns of the layout: every member has a part of each window, and it is made of whole strips. */
  rebuildUnitBlocks(numMembers, stripSizeBlocks) {
    return ((rowsPerTurn(numMembers) * numMembers) / 2) * stripSizeBlocks
  },

  rebuildWindow: copyStrips,
  scrubWindow: scrubStrips,
}

/** The position of the first copy. */
function positionOf(ch: RaidChannel, io: BdevIo<RaidIo>): number {
  return 2 * Math.floor(io.offsetBlocks / ch.stripBlocks)
}

/** The block on the member at `position`. */
function memberBlock(ch: RaidChannel, io: BdevIo<RaidIo>, position: number): number {
  const slot = position % ch.numMembers
  return ch.dataOffsets[slot] + ((position - slot) / ch.numMembers) * ch.stripBlocks + (io.offsetBlocks % ch.stripBlocks)
}

function sendWrites(io: BdevIo<RaidIo>): void {
  const own = io.ctx
  const { ch } = own
  const position = positionOf(ch, io)
  const first = position % ch.numMembers
  const second = (position + 1) % ch.numMembers
  while (own.next < ch.numMembers) {
    const slot = own.next
    const leg = ch.writeLegs[slot]
    if (slot !== first && slot !== second) own.next++
    else if (leg === null) {
      own.next++
      ch.raid.missedWrites = true
    } else if (!legSent(io, leg, writeTo(leg, io, memberBlock(ch, io, slot === first ? position : position + 1)))) return
  }
  allSent(io)
}

/** From the copy on the member with fewer blocks to read on this channel. */
function read(ch: RaidChannel, io: BdevIo<RaidIo>): void {
  const position = positionOf(ch, io)
  const first = position % ch.numMembers
  const second = (position + 1) % ch.numMembers
  if (ch.readLegs[first] === null) readCopy(ch, io, position + 1, readDone)
  else if (ch.readLegs[second] === null || !agreed(ch, io) || ch.readingBlocks[first] <= ch.readingBlocks[second]) readCopy(ch, io, position, readDone)
  else readCopy(ch, io, position + 1, readDone)
}

function readCopy(ch: RaidChannel, io: BdevIo<RaidIo>, position: number, done: (child: BdevIo, io: BdevIo<RaidIo>) => void): void {
  const slot = position % ch.numMembers
  const leg = ch.readLegs[slot]
  if (leg === null) {
    io.complete(IoStatus.Failed)
    return
  }
  io.ctx.slot = slot
  ch.readingBlocks[slot] += io.numBlocks
  io.forwardThen(leg, done, memberBlock(ch, io, position) - io.offsetBlocks)
}

function readDone(child: BdevIo, io: BdevIo<RaidIo>): void {
  const { ch, slot } = io.ctx
  ch.readingBlocks[slot] -= io.numBlocks
  if (child.status === IoStatus.Success) {
    io.complete(IoStatus.Success)
    return
  }
  const position = positionOf(ch, io)
  const other = slot === position % ch.numMembers ? position + 1 : position
  if ((child.status === IoStatus.Aborted && ch.raid.resets > 0) || ch.readLegs[other % ch.numMembers] === null) io.completeFrom(child)
  else readCopy(ch, io, other, otherRead)
}

/** The first member that was asked could not read it. */
function otherRead(child: BdevIo, io: BdevIo<RaidIo>): void {
  const { ch, slot } = io.ctx
  ch.readingBlocks[slot] -= io.numBlocks
  if (child.status !== IoStatus.Success) {
    io.completeFrom(child)
    return
  }
  const first = positionOf(ch, io) % ch.numMembers
  ch.raid.repairLater(slot === first ? (first + 1) % ch.numMembers : first, io.offsetBlocks, io.numBlocks)
  io.complete(IoStatus.Success)
}
