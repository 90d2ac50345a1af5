// SPDX-License-Identifier: Apache-2.0
// Which members levels can do without. `there` says of each slot whether its data is there.

/** What has no redundancy needs every member. */
export function allThere(there: readonly boolean[]): boolean {
  return !there.includes(false)
}

export function numMissing(there: readonly boolean[]): number {
  let missing = 0
  for (const one of there) if (!one) missing++
  return missing
}
