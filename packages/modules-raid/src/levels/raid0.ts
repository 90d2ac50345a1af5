// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { RaidLevel } from './level.js'
import { allThere } from './works-with.js'
import { reftagRemap, submitRemapped } from './raid0-dif.js'

/** Strips in turn on each member: no redundancy. SPDK's `raid0.c`. */
export const raid0: RaidLevel = {
  name: 'raid0',
  aliases: ['0'],
  number: 0,
  membersMin: 1,
  striped: true,
  difSupported: true,
  separateMdSupported: true,
  canResize: true,
  rangeTypes: [IoType.Unmap, IoType.Flush, IoType.WriteZeroes],
  redundant: false,
  worksWith: allThere,

  layout(members, stripSizeBlocks) {
    let smallest = Infinity
    for (const { dataSizeBlocks } of members) smallest = Math.min(smallest, dataSizeBlocks)
    const used = smallest - (smallest % stripSizeBlocks)
    for (const member of members) member.dataSizeBlocks = used
    return { numBlocks: used * members.length, splitBoundaryBlocks: members.length > 1 ? stripSizeBlocks : 0, writeUnitBlocks: 1 }
  },

  createChannel(ch) {
    return reftagRemap(ch.raid)
  },

  // One strip, or one member: the framework has split it.
  submitRw(ch, io) {
    const { stripBlocks, numMembers } = ch
    const inStrip = io.offsetBlocks % stripBlocks
    const strip = (io.offsetBlocks - inStrip) / stripBlocks
    const slot = strip % numMembers
    const leg = ch.readLegs[slot]
    if (leg === null || (inStrip + io.numBlocks > stripBlocks && numMembers > 1)) {
      io.complete(IoStatus.Failed)
      return
    }
    const memberBlock = ch.dataOffsets[slot] + ((strip - slot) / numMembers) * stripBlocks + inStrip
    if (ch.ctx !== null) submitRemapped(ch, io, leg, memberBlock)
    else io.forward(leg, memberBlock - io.offsetBlocks)
  },

  memberRange(ch, io, slot, out) {
    out.offsetBlocks = blocksBefore(io.offsetBlocks, slot, ch.stripBlocks, ch.numMembers)
    out.numBlocks = blocksBefore(io.offsetBlocks + io.numBlocks, slot, ch.stripBlocks, ch.numMembers) - out.offsetBlocks
  },
}

/** How many of the array's first `endBlocks` blocks lie on the member in `slot`: what it has of a range follows itself. */
export function blocksBefore(endBlocks: number, slot: number, stripBlocks: number, numMembers: number): number {
  const row = stripBlocks * numMembers
  const inRow = endBlocks % row
  return ((endBlocks - inRow) / row) * stripBlocks + Math.min(stripBlocks, Math.max(0, inRow - slot * stripBlocks))
}
