// SPDX-License-Identifier: Apache-2.0
// Where the two copies of each strip lie: md's "near" layout. Copy k of strip s is at position 2s + k, and positions go from
// member to member and then to the next row. An even number of members makes pairs; an odd one shifts by one in each row.

/** A strip of one member. */
export interface StripPlace {
  readonly slot: number
  /** Strips of the member before it. */
  readonly row: number
}

/** Rows after which the layout begins anew. */
export function rowsPerTurn(numMembers: number): number {
  return numMembers % 2 === 0 ? 1 : 2
}

/** The place of a position. */
export function placeAt(position: number, numMembers: number): StripPlace {
  const slot = position % numMembers
  return { slot, row: (position - slot) / numMembers }
}

/** Where the other copy of a member's strip lies. */
export function otherCopy({ slot, row }: StripPlace, numMembers: number): StripPlace {
  const position = row * numMembers + slot
  return placeAt(position % 2 === 0 ? position + 1 : position - 1, numMembers)
}

/** How many of a member's blocks hold the array's first `endBlocks` blocks: what it has of a range follows itself. */
export function copiesBefore(endBlocks: number, slot: number, stripBlocks: number, numMembers: number): number {
  const inStrip = endBlocks % stripBlocks
  const position = (2 * (endBlocks - inStrip)) / stripBlocks
  // Whole strips before this one, and the part of this one where one of its copies is on the member.
  const rows = Math.max(0, Math.ceil((position - slot) / numMembers))
  const next = rows * numMembers + slot
  return rows * stripBlocks + (next === position || next === position + 1 ? inStrip : 0)
}

/** Whether no two members that share strips are both missing. */
export function oneOfEachPair(there: readonly boolean[]): boolean {
  const step = there.length % 2 === 0 ? 2 : 1
  for (let slot = 0; slot < there.length; slot += step) {
    if (!there[slot] && !there[(slot + 1) % there.length]) return false
  }
  return true
}
