// SPDX-License-Identifier: Apache-2.0
// The memory that a queue shares with its workers. One array of 32-bit words and, behind it, one of doubles.

/** Calls under way in one queue at most, as SPDK's aio has it. A power of two. */
export const SLOTS = 128
/** Workers of one queue at most. */
export const WORKERS_MAX = 16
/** Elements of a scatter list that a worker is told; more are gathered in one piece before. */
export const IOVS_MAX = 32

/** A line of the cache, in words: what different threads write lies on different lines. */
const LINE = 16

/** Words of the control block, by index. The worker gets this object with its start-up data. */
export const LAYOUT = {
  slots: SLOTS,
  /** Submissions made, counted without end; workers sleep on it. */
  submitTail: 0,
  /** Submissions taken. */
  submitHead: LINE,
  /** 1 while the event loop sleeps and wants a message about a completion. */
  hostSleeps: 2 * LINE,
  /** Workers asleep. */
  sleepers: 3 * LINE,
  /** Above 0 where the last calls took long: then every call gets a worker of its own. */
  slow: 4 * LINE,
  /** 1: workers end. */
  stop: 5 * LINE,
  /** Slot numbers in the order of submission. */
  submitRing: 6 * LINE,
  /** Per slot: what to do, the file, elements, result. */
  slotWords: 6 * LINE + SLOTS,
  wordsPerSlot: 4,
  /** Per worker: completions made, counted without end; then what the following say; in the end a ring of completed slots. */
  workerWords: 6 * LINE + SLOTS + 4 * SLOTS,
  wordsPerWorker: LINE + SLOTS,
  /** The slot that it has in hand, + 1. */
  workerHand: 1,
  /** 1 while it is counted in `sleepers`. */
  workerAsleep: 2,
  workerRing: LINE,
  /** Doubles per slot: the position, then offset and length of each element; for a task its four arguments. */
  numbersPerSlot: 1 + 2 * IOVS_MAX,
  /** Byte where the doubles begin. */
  numbersAt: 4 * (6 * LINE + 5 * SLOTS + WORKERS_MAX * (LINE + SLOTS)),
} as const

/** Bytes of the whole. */
export const SHARED_BYTES = LAYOUT.numbersAt + 8 * SLOTS * LAYOUT.numbersPerSlot

/** What a slot asks for. */
export const Op = { Read: 0, Write: 1, Sync: 2, Task: 3 } as const

if ((SLOTS & (SLOTS - 1)) !== 0 || LAYOUT.numbersAt % 8 !== 0) throw new RangeError('offload: SLOTS or LAYOUT do not fit')
