// SPDX-License-Identifier: Apache-2.0
// data plane
import type { StripeOp } from './stripe-op.js'

/**
 * What stands between "everything that will be written is known" and the writes in place. `RaidBdev.journal`, `null` without.
 * All calls come on the operation's thread (`op.ch.thread`).
 */
export interface StripeJournal {
  /** Whether the operation has to be in the journal before it is written in place. Asked once. */
  wanted(op: StripeOp): boolean
  /**
   * Writes down what `op.strips` will be written with (`leg`, `firstRow`, `numRows`, `iovs`; strips without `leg` or rows are
   * not written). Calls `stripeLogged` on the operation's thread, later or at once. The memory stays as it is until `wrote`.
   * Where the journal could not be written, `op.status` says so then: nothing is written in place, and `wrote` is not called.
   */
  append(op: StripeOp): void
  /**
   * All members have been written in place (or have left, or failed: `op.status`, with what was settled). Called once for each
   * appended operation, before the stripe is free for the next one.
   */
  wrote(op: StripeOp): void
}
