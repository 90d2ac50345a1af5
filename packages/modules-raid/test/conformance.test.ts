// SPDX-License-Identifier: Apache-2.0
import { conformance } from '@bdevkit/conformance'
import type { JsonObject } from '@bdevkit/module-sdk'
import { describe, it } from 'vitest'
import raid from '../src/index.js'

const uuid = '5eed0000-0000-4000-8000-00000000000a'

function suite(params: JsonObject, bases: string[], baseBlockSizeBytes: number, basesRelayed: boolean): void {
  conformance({
    module: raid,
    bases,
    baseBlockSizeBytes,
    basesRelayed,
    async create(rpc) {
      await rpc('bdev_raid_create', { name: 'Raid0', uuid, base_bdevs: bases, ...params })
      return 'Raid0'
    },
    remove: rpc => rpc('bdev_raid_delete', { name: 'Raid0' }),
    describe,
    it,
  })
}

const three = ['Base0', 'Base1', 'Base2']

describe('raid0', () => {
  suite({ raid_level: 'raid0', strip_size_kb: 64 }, three, 512, false)
})
describe('concat of bases with 4096-byte blocks', () => {
  suite({ raid_level: 'concat', strip_size_kb: 4 }, ['Base0', 'Base1'], 4096, false)
})
describe('raid1', () => {
  suite({ raid_level: 'raid1' }, ['Base0', 'Base1'], 512, true)
})
describe('raid10', () => {
  suite({ raid_level: 'raid10', strip_size_kb: 16 }, three, 512, true)
})
describe('raid5f', () => {
  suite({ raid_level: 'raid5f', strip_size_kb: 4 }, three, 512, false)
})
describe('raid5', () => {
  suite({ raid_level: 'raid5', strip_size_kb: 4 }, three, 512, false)
})
describe('raid6 of bases with 4096-byte blocks', () => {
  suite({ raid_level: 'raid6', strip_size_kb: 8 }, ['Base0', 'Base1', 'Base2', 'Base3'], 4096, true)
})
