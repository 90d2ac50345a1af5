// SPDX-License-Identifier: Apache-2.0
import { conformance } from '@bdevkit/conformance'
import type { JsonObject } from '@bdevkit/module-sdk'
import { describe, it } from 'vitest'
import raid from '../src/index.js'

const uuid = '5eed0000-0000-4000-8000-00000000000a'

/** The whole suite of the kit on one array. */
export function suite(params: JsonObject, bases: string[], baseBlockSizeBytes: number, basesRelayed: boolean): void {
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
