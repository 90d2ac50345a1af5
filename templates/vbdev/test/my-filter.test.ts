// SPDX-License-Identifier: Apache-2.0
// What is special to this module.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startTestHost } from '@bdevkit/conformance'
import module from 'bdev-module-my-filter'

it('shows the data of its base', async () => {
  await using test = await startTestHost(module)
  test.createRamBdev('Base0')
  await test.rpc('bdev_my_filter_create', { name: 'MyFilter0', base_bdev_name: 'Base0' })

  await using disk = await test.host.open('MyFilter0', { write: true })
  await disk.write(new Uint8Array(512).fill(0xab), 512)
  assert.deepEqual(await disk.read(512, 512), new Uint8Array(512).fill(0xab))
})

it('appears when its base does', async () => {
  await using test = await startTestHost(module)
  await test.rpc('bdev_my_filter_create', { name: 'MyFilter0', base_bdev_name: 'Base0' })
  assert.equal(test.host.bdevByName('MyFilter0'), undefined)
  test.createRamBdev('Base0')
  await test.host.waitForExamine()
  assert.notEqual(test.host.bdevByName('MyFilter0'), undefined)
})
