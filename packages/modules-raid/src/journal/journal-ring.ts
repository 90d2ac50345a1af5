// SPDX-License-Identifier: Apache-2.0
// data plane
// Where batches lie in the ring of one member, in blocks from its start. No I/O.

/**
 * A batch lies directly behind the one before it; where it does not fit there, at the start of the ring. What is in use begins
 * at the tail, which a checkpoint moves: from the head as it was when that began (`mark`).
 */
export class JournalRing {
  readonly numBlocks: number
  /** Where the next batch begins, where it fits. */
  head = 0
  /** `seq` of the last batch. */
  lastSeq = 0
  /** From the tail to the head, with what was passed over at the end. */
  usedBlocks = 0
  /** The head of the checkpoint under way, the last batch before it, and what was used since; `markHead` is -1 without one. */
  markHead = -1
  markSeq = 0
  #sinceMark = 0

  constructor(numBlocks: number) {
    this.numBlocks = numBlocks
  }

  /** Everything before `lastSeq` is void. */
  reset(lastSeq: number): void {
    this.head = 0
    this.lastSeq = lastSeq
    this.usedBlocks = 0
    this.markHead = -1
  }

  /** Where a batch would lie, -1 where there is no room for it. */
  placeOf(numBlocks: number): number {
    const position = this.head + numBlocks <= this.numBlocks ? this.head : 0
    return this.#cost(position, numBlocks) <= this.numBlocks - this.usedBlocks ? position : -1
  }

  /** The batch that was placed at `position` is there to stay. */
  take(position: number, numBlocks: number, seq: number): void {
    const cost = this.#cost(position, numBlocks)
    this.usedBlocks += cost
    this.#sinceMark += cost
    this.head = position + numBlocks
    this.lastSeq = seq
  }

  /** What it takes of the ring, with what is passed over; where nothing is in use that costs nothing. */
  #cost(position: number, numBlocks: number): number {
    return position === this.head || this.usedBlocks === 0 ? numBlocks : this.numBlocks - this.head + numBlocks
  }

  /** A checkpoint begins. */
  mark(): void {
    this.markHead = this.head
    this.markSeq = this.lastSeq
    this.#sinceMark = 0
  }

  /** The checkpoint is written down: what was before the mark is free. */
  release(): void {
    this.usedBlocks = this.#sinceMark
    this.markHead = -1
  }

  /** Where the batch behind one that ended at `position` may lie, for whoever reads the ring. */
  static placesAfter(position: number): readonly number[] {
    return position === 0 ? [0] : [position, 0]
  }
}
