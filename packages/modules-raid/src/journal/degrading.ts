// SPDX-License-Identifier: Apache-2.0
// Arrays that use the journal only while they are degraded: how they come to it, and away from it. Control plane.
import { flushBase } from '../base-io.js'
import { StripePhase, type StripeOp } from '../parity/stripe-op.js'
import type { RaidBdev } from '../raid-bdev.js'
import type { RaidMember } from '../raid-member.js'
import type { Journal } from './journal.js'

/**
 * A member leaves, and no superblock says so yet. From here on writes go through the journal; those that do not are in place on the
 * members that stay, and flushed, when this settles. So no crash finds a degraded array with a stripe half written: until the
 * superblock says that a member is missing, the array is whole, and its dirty map knows what to compare. Never rejects.
 */
export async function beforeDegraded(journal: Journal): Promise<void> {
  if (journal.active) return
  journal.active = true
  const { raid } = journal
  await unloggedWritten(raid)
  await Promise.all(raid.members.filter(member => stays(member)).map(async ({ leg, name }) => {
    try {
      await flushBase(leg!)
    } catch (thrown) {
      raid.host.log.error(`${raid.who}: bdev "${name}" could not be flushed before the array is degraded: ${(thrown as Error).message}`)
    }
  }))
}

function stays({ configured, leaving }: RaidMember): boolean {
  return configured && leaving === null
}

/** Settles when no member that stays has a write in place under way that the journal does not know. */
function unloggedWritten({ stripes, members }: RaidBdev): Promise<void> {
  const settled = (): boolean => ![...stripes.writers()].some(op => isInPlace(op, members))
  if (settled()) return Promise.resolve()
  return new Promise(resolve => {
    stripes.onWritten = () => {
      if (!settled()) return
      stripes.onWritten = null
      resolve()
    }
  })
}

function isInPlace(op: StripeOp, members: readonly RaidMember[]): boolean {
  if (op.journaled || op.phase !== StripePhase.Writing) return false
  return op.strips.some(({ slot, leg, numRows, writing, again }) => numRows > 0 && leg !== null && stays(members[slot]) && (writing || again))
}

/**
 * Every member is in sync again: with no I/O to the array under way the journal is emptied, and then left alone. Not to be
 * waited for in turn: I/O that it waits for may wait for its turn. Never rejects.
 */
export async function afterDegraded(journal: Journal): Promise<void> {
  const { raid } = journal
  const whole = (): boolean => raid.members.every(({ inSync }) => inSync)
  if (journal.always || !journal.active || raid.bdev === null || !whole()) return
  try {
    await raid.host.quiesce(raid.bdev)
    try {
      const empty = await journal.checkpoints.now()
      // Asked and answered at once: from here on a member that leaves begins anew.
      if (empty && whole()) journal.active = false
    } finally {
      await raid.host.unquiesce(raid.bdev)
    }
  } catch (thrown) {
    raid.host.log.info(`${raid.who}: writes go on through the journal: ${(thrown as Error).message}`)
  }
}
