// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { it } from 'vitest'
import { plan } from './plan.js'
import { runModel } from './run.js'
import { Stage } from './stage.js'

it('any stack keeps the data of a map of blocks, and gives everything back, 10,000 times', { timeout: 1_200_000 }, async () => {
  const stage = new Stage()
  await fc.assert(fc.asyncProperty(plan, p => runModel(stage, p)), { numRuns: 10_000 })
})
