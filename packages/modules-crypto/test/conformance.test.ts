// SPDX-License-Identifier: Apache-2.0
import { conformance } from '@bdevkit/conformance'
import { describe, it } from 'vitest'
import crypto from '../src/index.js'

const keys = {
  key0: { key: '00112233445566778899aabbccddeeff', key2: 'ffeeddccbbaa99887766554433221100' },
  key1: { key: '11'.repeat(32), key2: '22'.repeat(32), tweak_mode: 'INCR_512_FULL_LBA' },
} as const

describe.each([
  { baseBlockSizeBytes: 512, basesRelayed: false, key_name: 'key0' },
  { baseBlockSizeBytes: 4096, basesRelayed: true, key_name: 'key1' },
] as const)('on $baseBlockSizeBytes-byte blocks, base relayed: $basesRelayed, $key_name', ({ key_name, ...bases }) => {
  conformance({
    module: crypto,
    bases: ['Base0'],
    ...bases,
    prepare: host => host.accel.keys.create({ name: key_name, cipher: 'AES_XTS', ...keys[key_name] }),
    create: rpc => rpc('bdev_crypto_create', { base_bdev_name: 'Base0', name: 'Crypto0', key_name }),
    remove: rpc => rpc('bdev_crypto_delete', { name: 'Crypto0' }),
    describe,
    it,
  })
})
