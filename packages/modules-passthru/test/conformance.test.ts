// SPDX-License-Identifier: Apache-2.0
import { conformance } from '@bdevkit/conformance'
import { describe, it } from 'vitest'
import passthru from '../src/index.js'

conformance({
  module: passthru,
  bases: ['Base0'],
  create: rpc => rpc('bdev_passthru_create', { name: 'PT0', base_bdev_name: 'Base0' }),
  remove: rpc => rpc('bdev_passthru_delete', { name: 'PT0' }),
  describe,
  it,
})
