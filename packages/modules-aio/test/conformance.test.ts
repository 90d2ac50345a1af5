// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { conformance } from '@bdevkit/conformance'
import { afterAll, describe, it } from 'vitest'
import aio from '../src/index.js'

// A file on a disk goes through workers, one in memory does not.
describe.each([
  ['on disk', tmpdir(), 512],
  ['on disk', tmpdir(), 4096],
  ['in memory', '/dev/shm', 512],
] as const)('a file %s, in %s, with blocks of %i bytes', (_, parent, blockSizeBytes) => {
  const folder = mkdtempSync(join(parent, 'bdevkit-aio-'))
  const filename = join(folder, 'disk.img')
  afterAll(() => rmSync(folder, { recursive: true }))

  conformance({
    module: aio,
    create: rpc => {
      writeFileSync(filename, '')
      truncateSync(filename, 16 * 1024 * 1024)
      return rpc('bdev_aio_create', { name: 'Aio0', filename, block_size: blockSizeBytes })
    },
    remove: rpc => rpc('bdev_aio_delete', { name: 'Aio0' }),
    describe,
    it,
  })
})
