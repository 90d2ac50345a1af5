// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { it } from 'vitest'
import { properties } from './dif-properties.js'

it.each(Object.entries(properties))('%s, 100,000 times', (_name, property) => {
  fc.assert(property as fc.IPropertyWithHooks<unknown>, { numRuns: 100_000 })
})
