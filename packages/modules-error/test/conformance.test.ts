// SPDX-License-Identifier: Apache-2.0
import { conformance } from '@bdevkit/conformance'
import { describe, it } from 'vitest'
import error from '../src/index.js'

describe.each([
  { baseBlockSizeBytes: 512, basesRelayed: false, watched: false },
  { baseBlockSizeBytes: 4096, basesRelayed: true, watched: true },
])('on $baseBlockSizeBytes-byte blocks, base relayed: $basesRelayed, with a rule that never hits: $watched', ({ watched, ...bases }) => {
  conformance({
    module: error,
    bases: ['Base0'],
    ...bases,
    async create(rpc) {
      await rpc('bdev_error_create', { base_name: 'Base0' })
      const rules = [{ io_type: 'all', error_type: 'failure', every: Number.MAX_SAFE_INTEGER }]
      if (watched) await rpc('bdev_error_set_rules', { name: 'EE_Base0', rules })
      return 'EE_Base0'
    },
    remove: rpc => rpc('bdev_error_delete', { name: 'EE_Base0' }),
    describe,
    it,
  })
})
