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
