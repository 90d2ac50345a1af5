// SPDX-License-Identifier: Apache-2.0
// Some 150 cases that every bdev has to pass. What the bdev declares decides which: there is nothing to skip.
import { describe, it } from 'node:test'
import { conformance } from '@bdevkit/conformance'
import module from 'bdev-module-my-disk'

conformance({
  module,
  create: rpc => rpc('bdev_my_disk_create', { name: 'MyDisk0', num_blocks: 32_768, block_size: 512 }),
  remove: rpc => rpc('bdev_my_disk_delete', { name: 'MyDisk0' }),
  keepsData: false, // reads return zeros. Delete this line when your disk keeps what is written
  describe,
  it,
})
