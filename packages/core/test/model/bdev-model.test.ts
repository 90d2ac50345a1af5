// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FAULTS, plan, type Plan } from './plan.js'
import { runModel } from './run.js'
import { Stage } from './stage.js'

it('any stack keeps the data of a map of blocks, and gives everything back, whatever happens to it', { timeout: 90_000 }, async () => {
  const stage = new Stage()
  await fc.assert(fc.asyncProperty(plan, p => runModel(stage, p)), { numRuns: 1_000, interruptAfterTimeLimit: 60_000 })
  expect(stage.runs).toBeGreaterThan(100)
})

// Otherwise a model that looks at nothing would pass, too.
describe('the model notices a layer that', () => {
  it.each(Object.keys(FAULTS))('%s', { timeout: 60_000 }, async fault => {
    const stage = new Stage()
    const faulty = plan.map((p): Plan => ({ ...p, kinds: [...p.kinds.slice(0, 2), fault] }))
    const found = await fc.check(fc.asyncProperty(faulty, p => runModel(stage, p)), { numRuns: 300, endOnFailure: true, seed: 1 })
    expect(found.failed).toBe(true)
  })
})
