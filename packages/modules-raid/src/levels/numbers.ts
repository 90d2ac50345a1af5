// SPDX-License-Identifier: Apache-2.0

/**
 * Numbers on disk of the levels that SPDK has not. Its own are 0, 1, 95 and 99; what it does not know it refuses. "bd" in the
 * upper half keeps clear of what it may number next.
 */
export const OWN_LEVEL_NUMBERS = { raid5: 0x6264_0005, raid6: 0x6264_0006, raid10: 0x6264_000a } as const
