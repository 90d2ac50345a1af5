// SPDX-License-Identifier: Apache-2.0
// The conformance kit on a stack: crypto over raid over malloc.
import { conformance } from '@bdevkit/conformance'
import crypto from '@bdevkit/modules-crypto'
import malloc from '@bdevkit/modules-malloc'
import raid from '@bdevkit/modules-raid'
import { describe, it } from 'vitest'

const members = ['m0', 'm1', 'm2']
const uuid = (i: number): string => `5eed0000-0000-4000-8000-00000000000${i}`

describe.each([['raid1', 0], ['raid5', 64]])('crypto over %s over malloc', (level, stripKb) => {
  conformance({
    module: crypto,
    modules: [raid, malloc],
    prepare: host => host.accel.keys.create({ name: 'key0', cipher: 'AES_XTS', key: '11'.repeat(32), key2: '22'.repeat(32) }),
    async create(rpc) {
      for (const [i, name] of members.entries()) await rpc('bdev_malloc_create', { name, num_blocks: 20_480, block_size: 512, uuid: uuid(i) })
      await rpc('bdev_raid_create', { name: 'Raid0', base_bdevs: members, uuid: uuid(9), raid_level: level, strip_size_kb: stripKb })
      return rpc('bdev_crypto_create', { base_bdev_name: 'Raid0', name: 'Crypto0', key_name: 'key0' })
    },
    async remove(rpc) {
      await rpc('bdev_crypto_delete', { name: 'Crypto0' })
      await rpc('bdev_raid_delete', { name: 'Raid0' })
      for (const name of members) await rpc('bdev_malloc_delete', { name })
    },
    describe,
    it,
  })
})
