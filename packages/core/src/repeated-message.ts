// SPDX-License-Identifier: Apache-2.0
// data plane
import { REPEATED_MESSAGE_MS, REPEATED_MESSAGES } from './limits.js'

/** Bounds a message that every I/O of somebody may cause: the first ones are logged, then one in a while, which counts the others. */
export class RepeatedMessage {
  #first = REPEATED_MESSAGES
  #dueMs = 0
  #leftOut = 0

  /** How many were left out before the message of now; -1 where that is left out, too. */
  next(nowMs: number): number {
    if (this.#first > 0) this.#first--
    else if (nowMs < this.#dueMs) {
      this.#leftOut++
      return -1
    }
    const leftOut = this.#leftOut
    this.#dueMs = nowMs + REPEATED_MESSAGE_MS
    this.#leftOut = 0
    return leftOut
  }
}
