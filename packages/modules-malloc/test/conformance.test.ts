// SPDX-License-Identifier: Apache-2.0
import { conformance } from '@bdevkit/conformance'
import { describe, it } from 'vitest'
import malloc from '../src/index.js'

describe.each([512, 4096])('with %i-byte blocks', blockSizeBytes => {
  conformance({
    module: malloc,
    create: rpc =>
      rpc('bdev_malloc_create', { name: 'Malloc0', num_blocks: 2 ** 24 / blockSizeBytes, block_size: blockSizeBytes }),
    remove: rpc => rpc('bdev_malloc_delete', { name: 'Malloc0' }),
    describe,
    it,
  })
})

describe.each([
  { block_size: 512, md_size: 8, md_interleave: true, dif_type: 1 },
  { block_size: 4096, md_size: 64, dif_type: 1, dif_pi_format: 2, dif_is_head_of_md: true },
  { block_size: 512, md_size: 16 },
])('with metadata: %j', params => {
  conformance({
    module: malloc,
    create: rpc => rpc('bdev_malloc_create', { name: 'Malloc0', num_blocks: 2 ** 24 / params.block_size, ...params }),
    remove: rpc => rpc('bdev_malloc_delete', { name: 'Malloc0' }),
    describe,
    it,
  })
})
