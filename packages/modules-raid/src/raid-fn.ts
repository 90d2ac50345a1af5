// SPDX-License-Identifier: Apache-2.0
import type { BdevFnTable, BdevIo } from '@bdevkit/module-sdk'
import type { RaidLevel } from './levels/level.js'
import type { StripeOp } from './parity/stripe-op.js'
import { stripeSettled } from './parity/stripe-write.js'
import type { RaidBdev } from './raid-bdev.js'
import type { RaidChannel } from './raid-channel.js'
import { failuresSettled, submitRaid, type RaidIo } from './raid-io.js'

/** The function table of the arrays of one level. */
export function raidFnTable(level: RaidLevel): BdevFnTable<RaidBdev, RaidChannel, RaidIo> {
  return {
    destruct: raid => raid.destruct(),
    removeStarted: raid => raid.removeStarted(),
    ioTypeSupported: (raid, type) => raid.ioTypeSupported(type),
    getIoChannel: raid => raid.device!.getIoChannel(),
    dumpInfoJson(raid) {
      const { process, ...info } = raid.infoJson()
      // As in SPDK a rebuild is shown. What an array does by itself wherever it is loaded, `bdev_raid_get_bdevs` tells.
      return { raid: raid.rebuild === null || process === undefined ? info : { ...info, process } }
    },
    writeConfigJson: bdev => bdev.ctx.createCalls(),
    submitRequest(ch, io) {
      submitRaid(level, ch, io)
    },
  }
}

/** Members have failed `io`, others have carried it out: what the array decides ends it. */
export function failMembersOf(raid: RaidBdev, slots: readonly number[], io: BdevIo<RaidIo>): void {
  raid.failMembers(slots).then(
    without => failuresSettled(io, without),
    () => failuresSettled(io, false),
  )
}

/** As `failMembersOf`, for a write of a stripe. */
export function settleStripe(raid: RaidBdev, slots: readonly number[], op: StripeOp): void {
  raid.failMembers(slots).then(
    without => stripeSettled(op, without),
    () => stripeSettled(op, false),
  )
}
