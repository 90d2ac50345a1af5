// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevIo } from '@bdevkit/module-sdk'
import type { RaidChannel } from '../raid-channel.js'
import { allSent, legSent, startAll, writeTo, type RaidIo } from '../raid-io.js'
import { agreed } from './agreed.js'
import type { RaidLevel } from './level.js'
import { copyWindow } from './rebuild-window.js'
import { scrubCopies } from './scrub-window.js'

/** The same on every member. SPDK's `raid1.c`. */
export const raid1: RaidLevel = {
  name: 'raid1',
  aliases: ['1'],
  number: 1,
  membersMin: 2,
  striped: false,
  difSupported: false,
  separateMdSupported: true,
  canResize: true,
  rangeTypes: [IoType.Unmap, IoType.Flush, IoType.WriteZeroes],
  redundant: true,
  worksWith(there) {
    return there.includes(true)
  },

  layout(members) {
    let smallest = Infinity
    for (const { dataSizeBlocks } of members) smallest = Math.min(smallest, dataSizeBlocks)
    for (const member of members) member.dataSizeBlocks = smallest
    return { numBlocks: smallest, splitBoundaryBlocks: 0, writeUnitBlocks: 1 }
  },

  submitRw(ch, io) {
    if (io.type === IoType.Write) startAll(ch, io, sendWrites)
    else read(ch, io, agreed(ch, io) ? leastBusy(ch) : firstCopy(ch))
  },

  memberRange(_ch, io, _slot, out) {
    out.offsetBlocks = io.offsetBlocks
    out.numBlocks = io.numBlocks
  },

  rebuildUnitBlocks() {
    return 1
  },

  rebuildWindow: copyWindow,
  scrubWindow: scrubCopies,
}

function sendWrites(io: BdevIo<RaidIo>): void {
  const own = io.ctx
  const { ch } = own
  while (own.next < ch.numMembers) {
    const leg = ch.writeLegs[own.next]
    if (leg === null) {
      own.next++
      ch.raid.missedWrites = true
      continue
    }
    if (!legSent(io, leg, writeTo(leg, io, io.offsetBlocks + ch.dataOffsets[own.next]))) return
  }
  allSent(io)
}

/** The member that a resync makes the others like; -1 where none is left. */
function firstCopy(ch: RaidChannel): number {
  for (let i = 0; i < ch.numMembers; i++) if (ch.readLegs[i] !== null) return i
  return -1
}

/** The member with the fewest blocks to read on this channel, the first of equals; -1 where none is left. */
function leastBusy(ch: RaidChannel): number {
  let least = Infinity
  let slot = -1
  for (let i = 0; i < ch.numMembers; i++) {
    if (ch.readLegs[i] !== null && ch.readingBlocks[i] < least) {
      least = ch.readingBlocks[i]
      slot = i
    }
  }
  return slot
}

function read(ch: RaidChannel, io: BdevIo<RaidIo>, slot: number): void {
  if (slot < 0) {
    io.complete(IoStatus.Failed)
    return
  }
  io.ctx.slot = slot
  ch.readingBlocks[slot] += io.numBlocks
  io.forwardThen(ch.readLegs[slot]!, readDone, ch.dataOffsets[slot])
}

function readDone(child: BdevIo, io: BdevIo<RaidIo>): void {
  const own = io.ctx
  own.ch.readingBlocks[own.slot] -= io.numBlocks
  if (child.status === IoStatus.Success) {
    io.complete(IoStatus.Success)
    return
  }
  if (child.status === IoStatus.Aborted && own.ch.raid.resets > 0) {
    io.completeFrom(child)
    return
  }
  own.next = 0
  readOther(child, io)
}

/** The member in `own.slot` could not be read: the others are asked in the order of their slots. */
function readOther(child: BdevIo, io: BdevIo<RaidIo>): void {
  const own = io.ctx
  const { ch } = own
  while (own.next < ch.numMembers && (own.next === own.slot || ch.readLegs[own.next] === null)) own.next++
  if (own.next === ch.numMembers) {
    io.completeFrom(child)
    return
  }
  const slot = own.next++
  io.forwardThen(ch.readLegs[slot]!, otherRead, ch.dataOffsets[slot])
}

function otherRead(child: BdevIo, io: BdevIo<RaidIo>): void {
  if (child.status !== IoStatus.Success) {
    readOther(child, io)
    return
  }
  const own = io.ctx
  own.ch.raid.repairLater(own.slot, io.offsetBlocks, io.numBlocks)
  io.complete(IoStatus.Success)
}
