// SPDX-License-Identifier: Apache-2.0
// A configuration that SPDK has saved, loaded as it is.
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { saveConfig, type SavedConfig } from '@bdevkit/rpc/client'
import { describe, expect, it } from 'vitest'
import { inFolder, MiB } from '../interop/support/files.js'
import { startRpcServer } from './support.js'

const read = (name: string): string => readFileSync(new URL(`../../compat/formats/jsonrpc/${name}`, import.meta.url), 'utf8')
type Info = { name: string; driver_specific: Record<string, Record<string, unknown>> } & Record<string, unknown>

/** SPDK's answer without what means nothing here, or is a bug there. */
function expected(info: Info): Info {
  const { memory_domains: _domains, ...rest } = info
  const { delay } = rest.driver_specific
  if (delay === undefined) return rest as Info
  // SPDK loses a microsecond of each latency when it saves.
  const exact = Object.fromEntries(
    Object.entries(delay).map(([name, value]) => [name, typeof value === 'number' ? value + 1 : value]),
  )
  return { ...rest, driver_specific: { delay: exact } } as Info
}

/** Ours without what is beyond SPDK's. */
function found(info: Info): Info {
  const { aio } = info.driver_specific
  if (aio === undefined) return info
  const { direct: _direct, ...same } = aio
  return { ...info, driver_specific: { aio: same } }
}

function inFolderWithFiles(use: (folder: string) => Promise<void>): Promise<void> {
  return inFolder(async folder => {
    mkdirSync(join(folder, 'files'))
    for (const [name, size] of Object.entries({ 'cfg-aio.img': 16 * MiB, 'cfg-lvs.img': 64 * MiB })) {
      writeFileSync(join(folder, 'files', name), '')
      truncateSync(join(folder, 'files', name), size)
    }
    await use(folder)
  })
}

describe('the configuration that SPDK saved', () => {
  it('loads with --lenient, and gives the bdevs that SPDK has after it has loaded it', { timeout: 30_000 }, async () => {
    await inFolderWithFiles(async folder => {
      writeFileSync(join(folder, 'saved.json'), read('save_config.json'))
      const server = await startRpcServer(folder, ['-c', 'saved.json', '--lenient'])
      expect(server.stderr()).toMatch(
        /saved\.json:351:9: bdev_null_create: null bdev "Null1": block_size must be a multiple of 512, but is 4160/,
      )
      const bdevs = await server.call<Info[]>('bdev_get_bdevs')
      const wanted = JSON.parse(read('bdevs-after-reload.json')) as Info[]
      expect(bdevs.map(({ name }) => name).sort()).toEqual(wanted.map(({ name }) => name).sort())
      for (const info of wanted) {
        const ours = bdevs.find(({ name }) => name === info.name) as Info
        // As text: members stand in SPDK's order, too.
        expect(JSON.stringify(found(ours))).toBe(JSON.stringify(expected(info)))
      }
      expect(await server.stop()).toBe(0)
    })
  })

  it(
    'loads without --lenient but for the bdev that SPDK cannot load either, and is saved as the same each time',
    { timeout: 30_000 },
    async () => {
      await inFolderWithFiles(async folder => {
        const config = JSON.parse(read('save_config.json')) as SavedConfig
        for (const subsystem of config.subsystems) {
          subsystem.config = subsystem.config?.filter(call => JSON.stringify(call).includes('"Null1"') === false) ?? null
        }
        writeFileSync(join(folder, 'saved.json'), JSON.stringify(config))
        const first = await startRpcServer(folder, ['-c', 'saved.json'])
        const saved = await saveConfig(first)
        expect(await first.stop()).toBe(0)
        writeFileSync(join(folder, 'again.json'), JSON.stringify(saved))
        const second = await startRpcServer(folder, ['-c', 'again.json'])
        expect(await saveConfig(second)).toEqual(saved)
        expect(await second.stop()).toBe(0)
      })
    },
  )
})
