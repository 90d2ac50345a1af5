// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { it } from 'vitest'
import { plan, runModel, Stage } from './stack-model.js'

it('any stack keeps the data of a map of blocks, and gives everything back, 10,000 times', async () => {
  const stage = new Stage()
  await fc.assert(fc.asyncProperty(plan, p => runModel(stage, p)), { numRuns: 10_000 })
})
