// SPDX-License-Identifier: Apache-2.0
import { describe } from 'vitest'
import { suite } from './conformance-suite.js'

const three = ['Base0', 'Base1', 'Base2']

describe('raid0', () => {
  suite({ raid_level: 'raid0', strip_size_kb: 64 }, three, 512, false)
})
describe('concat of bases with 4096-byte blocks', () => {
  suite({ raid_level: 'concat', strip_size_kb: 4 }, ['Base0', 'Base1'], 4096, false)
})
describe('raid10', () => {
  suite({ raid_level: 'raid10', strip_size_kb: 16 }, three, 512, true)
})
describe('raid5f', () => {
  suite({ raid_level: 'raid5f', strip_size_kb: 4 }, three, 512, false)
})
describe('raid6 of bases with 4096-byte blocks', () => {
  suite({ raid_level: 'raid6', strip_size_kb: 8 }, ['Base0', 'Base1', 'Base2', 'Base3'], 4096, true)
})
