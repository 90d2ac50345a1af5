// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { modelLevels, runSequences } from './model-levels.js'

// RAID_MODEL_SEED=n runs that sequence alone.
describe('no sequence of I/O, failures, removals, rebuilds and crashes reads what was not written', () => {
  it.each(modelLevels)('$level with $numMembers members', { timeout: 30_000 }, async level => {
    expect(await runSequences(level, 220, 2_500)).toBeGreaterThan(0)
  })
})
