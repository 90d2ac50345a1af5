// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { RaidChannel } from '../raid-channel.js'
import { allThere } from './works-with.js'
import type { RaidLevel } from './level.js'

/** The members one after the other: no redundancy. SPDK's `concat.c`. */
export const concat: RaidLevel = {
  name: 'concat',
  aliases: [],
  number: 99,
  membersMin: 1,
  striped: true,
  difSupported: false,
  separateMdSupported: true,
  canResize: false,
  rangeTypes: [IoType.Unmap, IoType.Flush, IoType.WriteZeroes],
  redundant: false,
  worksWith: allThere,

  layout(members, stripSizeBlocks) {
    let numBlocks = 0
    for (const member of members) {
      member.dataSizeBlocks -= member.dataSizeBlocks % stripSizeBlocks
      numBlocks += member.dataSizeBlocks
    }
    return { numBlocks, splitBoundaryBlocks: stripSizeBlocks, writeUnitBlocks: 1 }
  },

  /** First block of each member, and the end of the array. */
  createChannel(ch) {
    const starts = [0]
    for (const { dataSizeBlocks } of ch.raid.members) starts.push(starts.at(-1)! + dataSizeBlocks)
    return starts
  },

  // Within one strip, and so on one member: the framework has split it.
  submitRw(ch, io) {
    const starts = ch.ctx as readonly number[]
    let slot = 0
    while (starts[slot + 1] <= io.offsetBlocks) slot++
    const leg = ch.readLegs[slot]
    if (leg === null || io.offsetBlocks + io.numBlocks > starts[slot + 1]) {
      io.complete(IoStatus.Failed)
      return
    }
    io.forward(leg, ch.dataOffsets[slot] - starts[slot])
  },

  memberRange(ch, io, slot, out) {
    const first = partOf(ch, slot, io.offsetBlocks)
    out.offsetBlocks = first
    out.numBlocks = partOf(ch, slot, io.offsetBlocks + io.numBlocks) - first
  },
}

/** How many of the array's first `endBlocks` blocks lie on the member in `slot`. */
function partOf(ch: RaidChannel, slot: number, endBlocks: number): number {
  const starts = ch.ctx as readonly number[]
  return Math.min(starts[slot + 1], Math.max(starts[slot], endBlocks)) - starts[slot]
}
