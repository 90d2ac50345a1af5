// SPDX-License-Identifier: Apache-2.0
// data plane

/** Which member has which strip of a stripe. */
export interface ParityGeometry {
  /** Parity strips: P, or P and Q. */
  readonly numParity: 1 | 2
  /** Whether writes may be of any size; else they are whole stripes. */
  readonly partialWrites: boolean
  /** The member with strip `role` of a stripe: data strips by their number, then P, then Q. */
  slotOf(stripe: number, role: number, numMembers: number): number
}

/** The member that has P turns from the last to the first. */
function slotOfP(stripe: number, numMembers: number): number {
  return numMembers - 1 - (stripe % numMembers)
}

/** SPDK's raid5f, which is what md calls left-asymmetric: data strips in the order of members. */
export const leftAsymmetric: ParityGeometry = {
  numParity: 1,
  partialWrites: false,
  slotOf(stripe, role, numMembers) {
    const p = slotOfP(stripe, numMembers)
    if (role === numMembers - 1) return p
    return role < p ? role : role + 1
  },
}

/** md's `ALGORITHM_LEFT_SYMMETRIC` of raid5: data begins behind P, and goes round. */
export const leftSymmetric5: ParityGeometry = {
  numParity: 1,
  partialWrites: true,
  slotOf(stripe, role, numMembers) {
    return (slotOfP(stripe, numMembers) + 1 + role) % numMembers
  },
}

/** The same of raid6: Q is behind P, data begins behind Q. */
export const leftSymmetric6: ParityGeometry = {
  numParity: 2,
  partialWrites: true,
  slotOf(stripe, role, numMembers) {
    return (slotOfP(stripe, numMembers) + 2 + role) % numMembers
  },
}
