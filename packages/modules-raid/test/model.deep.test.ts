// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { modelLevels, runSequences } from './model-levels.js'

const SEQUENCES = Math.ceil(10_000 / modelLevels.length)

// RAID_MODEL_FIRST=n begins with another seed.
describe('10,000 sequences', () => {
  it.each(modelLevels)('$level with $numMembers members', { timeout: 1_200_000 }, async level => {
    expect(await runSequences(level, SEQUENCES, 1_200_000)).toBe(SEQUENCES)
  })
})
