// SPDX-License-Identifier: Apache-2.0
// kill -9 of a server under load: every acknowledged write is on the file, and the server comes back from its stack file.
// BDEVKIT_CRASH_ROUNDS says how often.
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { load, noClient, serve, verify } from './support/crash.js'
import { inFolder, MiB, passthru, type Call } from './support/files.js'
import { itWith } from './support/tools.js'

const ROUNDS = Number(process.env.BDEVKIT_CRASH_ROUNDS ?? 6)

describe.each([
  ['on a disk', 512],
  ['on a disk', 4096],
  ['in memory', 512],
] as const)('a file %s with blocks of %i bytes', (place, blockSizeBytes) => {
  itWith(
    [],
    `holds every acknowledged write after kill -9, ${ROUNDS} times`,
    async () => {
      await inFolder(async folder => {
        const files = place === 'in memory' ? mkdtempSync('/dev/shm/bdevt-') : folder
        const filename = join(files, 'disk.img')
        writeFileSync(filename, '')
        truncateSync(filename, 16 * MiB)
        const create: Call = { method: 'bdev_aio_create', params: { name: 'Aio0', filename, block_size: blockSizeBytes } }
        const stack = [create, passthru('Disk0', 'Aio0')]
        const state = join(folder, 'state')
        let [acked, flushed, kills] = [0, 0, 0]
        let server = await serve(folder, stack, 'Disk0')
        for (let round = 0; round < ROUNDS; round++) {
          const writer = load(server.uri, state, round)
          // Numbers that look random and are the same in every run.
          await writer.acked(50 + ((round * 7919) % 2500))
          await server.kill()
          const seen = await writer.seen()
          expect(seen.failure).toBeNull()
          ;[acked, flushed, kills] = [acked + seen.acked, flushed + seen.flushed, kills + 1]
          server = await serve(folder, stack, 'Disk0')
          await verify(server.uri, state, `round ${round}`)
        }
        await server.kill()
        console.log(`${place}, blocks of ${blockSizeBytes} bytes: ${kills} kills, ${acked} acknowledged writes, ${flushed} flushes, none lost`)
        if (files !== folder) rmSync(files, { recursive: true })
      })
    },
    { timeout: 30_000 + ROUNDS * 20_000, unable: noClient },
  )
})
