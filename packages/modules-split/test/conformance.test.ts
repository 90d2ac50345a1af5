// SPDX-License-Identifier: Apache-2.0
import { conformance } from '@bdevkit/conformance'
import { describe, it } from 'vitest'
import split from '../src/index.js'

describe.each([
  { baseBlockSizeBytes: 512, basesRelayed: false },
  { baseBlockSizeBytes: 4096, basesRelayed: true },
])('on $baseBlockSizeBytes-byte blocks, base relayed: $basesRelayed', bases => {
  conformance({
    module: split,
    bases: ['Base0'],
    ...bases,
    create: async rpc => {
      const [name] = (await rpc('bdev_split_create', { base_bdev: 'Base0', split_count: 1 })) as string[]
      return name
    },
    remove: rpc => rpc('bdev_split_delete', { base_bdev: 'Base0' }),
    describe,
    it,
  })
})
