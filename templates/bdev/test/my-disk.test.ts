// SPDX-License-Identifier: Apache-2.0
// What is special to this module.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startTestHost } from '@bdevkit/conformance'
import module from 'bdev-module-my-disk'

it('reads zeros, whatever was written', async () => {
  await using test = await startTestHost(module)
  assert.equal(await test.rpc('bdev_my_disk_create', { name: 'MyDisk0', num_blocks: 1024, block_size: 4096 }), 'MyDisk0')

  await using disk = await test.host.open('MyDisk0', { write: true })
  await disk.write(new Uint8Array(4096).fill(0xab), 0)
  const found = await disk.read(0, 4096)
  assert.deepEqual(found, new Uint8Array(4096))
})

it('refuses a block size that disks do not have', async () => {
  await using test = await startTestHost(module)
  await assert.rejects(test.rpc('bdev_my_disk_create', { name: 'MyDisk0', num_blocks: 1024, block_size: 500 }))
})
