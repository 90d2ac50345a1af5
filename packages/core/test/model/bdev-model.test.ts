// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest'
import { runModel } from './bdev-model.js'

// Data as a map of blocks has it, no I/O in quiesced blocks, and at the end nothing in use and nothing pending.
it('a thousand random sequences of I/O and control, on stacks up to five deep', { timeout: 60_000 }, async () => {
  expect(await runModel(1_000, 40_000)).toBeGreaterThan(100)
})
