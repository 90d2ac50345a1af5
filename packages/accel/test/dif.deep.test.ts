// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { it } from 'vitest'
import { properties } from './dif-properties.js'

// DIF_RUNS=1000 npm run test:deep -- packages/accel/test/dif.deep.test.ts
const RUNS = Number(process.env['DIF_RUNS'] ?? 100_000)

it.each(Object.entries(properties))(`%s, ${RUNS} times`, (_name, property) => {
  fc.assert(property as fc.IPropertyWithHooks<unknown>, { numRuns: RUNS })
})
