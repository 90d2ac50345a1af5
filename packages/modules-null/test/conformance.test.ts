// SPDX-License-Identifier: Apache-2.0
import { conformance } from '@bdevkit/conformance'
import { describe, it } from 'vitest'
import nullModule from '../src/index.js'

conformance({
  module: nullModule,
  create: rpc => rpc('bdev_null_create', { name: 'Null0', num_blocks: 32_768, block_size: 512 }),
  remove: rpc => rpc('bdev_null_delete', { name: 'Null0' }),
  keepsData: false,
  describe,
  it,
})

describe('with protection information', () => {
  conformance({
    module: nullModule,
    create: rpc => rpc('bdev_null_create', { name: 'Null0', num_blocks: 32_768, block_size: 512, md_size: 16, dif_type: 1 }),
    remove: rpc => rpc('bdev_null_delete', { name: 'Null0' }),
    keepsData: false,
    describe,
    it,
  })
})
