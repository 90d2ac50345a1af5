// SPDX-License-Identifier: Apache-2.0
// data plane
// What the levels with parity have in common: one stripe is one row of strips on the members.
import { IoType } from '@bdevkit/module-sdk'
import type { RaidChannel } from '../raid-channel.js'
import type { ParityGeometry } from '../parity/geometry.js'
import { pqWindow, scrubPq } from '../parity/pq-window.js'
import { StripePool } from '../parity/stripe-pool.js'
import { submitRead } from '../parity/stripe-read.js'
import { submitWrite } from '../parity/stripe-write.js'
import type { RaidLevel } from './level.js'
import { xorWindow } from './rebuild-window.js'
import { scrubXor } from './scrub-window.js'
import { numMissing } from './works-with.js'

/** What a level with parity adds. */
type ParityLevelOwn = 'name' | 'aliases' | 'number' | 'membersMin' | 'canResize' | 'rangeTypes'

/** Everything of a level with parity but its name and limits. */
export function parityLevel(geometry: ParityGeometry): Omit<RaidLevel, ParityLevelOwn> {
  const { numParity, partialWrites } = geometry
  return {
    striped: true,
    difSupported: false,
    separateMdSupported: !partialWrites,
    redundant: true,
    worksWith(there) {
      return numMissing(there) <= numParity
    },

    layout(members, stripSizeBlocks) {
      let smallest = Infinity
      for (const { dataSizeBlocks } of members) smallest = Math.min(smallest, dataSizeBlocks)
      const used = smallest - (smallest % stripSizeBlocks)
      for (const member of members) member.dataSizeBlocks = used
      const dataMembers = members.length - numParity
      const stripeBlocks = stripSizeBlocks * dataMembers
      return {
        numBlocks: used * dataMembers,
        // Without partial writes the write unit splits writes, and reads are split by strips.
        splitBoundaryBlocks: partialWrites ? stripeBlocks : stripSizeBlocks,
        writeUnitBlocks: partialWrites ? 1 : stripeBlocks,
      }
    },

    createChannel(ch) {
      return new StripePool(ch, geometry)
    },

    destroyChannel(ch) {
      ;(ch.ctx as StripePool).close()
    },

    submitRw(ch, io) {
      if (io.type === IoType.Write) submitWrite(ch, io)
      else submitRead(ch, io)
    },

    /** Zeros have zeros as their parity: what is zeroed in whole stripes is so on every member. */
    memberRange(ch: RaidChannel, io, _slot, out) {
      const { stripeBlocks } = ch.ctx as StripePool
      const first = Math.floor(io.offsetBlocks / stripeBlocks)
      out.offsetBlocks = first * ch.stripBlocks
      out.numBlocks = (Math.ceil((io.offsetBlocks + io.numBlocks) / stripeBlocks) - first) * ch.stripBlocks
    },

    rebuildUnitBlocks(numMembers, stripSizeBlocks) {
      return stripSizeBlocks * (numMembers - numParity)
    },

    rebuildWindow(job, offsetBlocks, numBlocks) {
      if (numParity === 1) return xorWindow(job, offsetBlocks, numBlocks)
      const numData = job.numMembers - numParity
      return pqWindow(job, geometry, offsetBlocks / numData, numBlocks / numData)
    },

    beginsUnsynced: partialWrites,
    scrubsWhole: true,
    scrubWindow(job, offsetBlocks, numBlocks, repair) {
      const { numMembers, raid: { stripSizeBlocks } } = job
      const numData = numMembers - numParity
      if (numParity === 2) return scrubPq(job, geometry, offsetBlocks / numData, numBlocks / numData, repair)
      // cold: a scrub
      const slotOfP = (block: number): number => geometry.slotOf(Math.floor(block / stripSizeBlocks), numData, numMembers)
      return scrubXor(job, offsetBlocks / numData, numBlocks / numData, repair, slotOfP)
    },
  }
}
