// SPDX-License-Identifier: Apache-2.0
import { describe } from 'vitest'
import { suite } from './conformance-suite.js'

const three = ['Base0', 'Base1', 'Base2']

describe('raid1', () => {
  suite({ raid_level: 'raid1' }, ['Base0', 'Base1'], 512, true)
})
describe('raid5', () => {
  suite({ raid_level: 'raid5', strip_size_kb: 64 }, three, 512, false)
})
