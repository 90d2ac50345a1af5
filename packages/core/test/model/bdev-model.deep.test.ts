// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest'
import { runModel } from './bdev-model.js'

it('ten thousand random sequences', { timeout: 600_000 }, async () => {
  expect(await runModel(10_000, 590_000)).toBe(10_000)
})
