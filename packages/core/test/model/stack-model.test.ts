// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { it } from 'vitest'
import { plan, runModel, Stage } from './stack-model.js'

it('any stack keeps the data of a map of blocks, and gives everything back, whatever happens to it', { timeout: 60_000 }, async () => {
  const stage = new Stage()
  await fc.assert(fc.asyncProperty(plan, p => runModel(stage, p)), { numRuns: 1000, interruptAfterTimeLimit: 30_000 })
})
