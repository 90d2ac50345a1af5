// SPDX-License-Identifier: Apache-2.0
// Some 150 cases that every bdev has to pass. What the bdev declares decides which: there is nothing to skip.
import { describe, it } from 'node:test'
import { conformance } from '@bdevkit/conformance'
import module from 'bdev-module-my-filter'

conformance({
  module,
  bases: ['Base0'], // the kit makes it
  create: rpc => rpc('bdev_my_filter_create', { name: 'MyFilter0', base_bdev_name: 'Base0' }),
  remove: rpc => rpc('bdev_my_filter_delete', { name: 'MyFilter0' }),
  describe,
  it,
})
