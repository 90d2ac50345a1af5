// SPDX-License-Identifier: Apache-2.0
// A running stack becomes another one, and what stays is not touched.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inFolder, MiB } from '../interop/support/files.js'
import { fioJob } from '../interop/support/fio.js'
import { itWith } from '../interop/support/tools.js'
import { startRpcServer, type RpcServerProcess } from './support.js'

interface Plan {
  remove: { name: string; method: string; reason: string }[]
  create: { name: string; method: string; reason: string }[]
  set: { name: string; method: string; params: object }[]
  keep: string[]
  needs_restart: { method: string }[]
}

const call = (method: string, params: object): object => ({ method, params })
const malloc = (name: string, blocks = 2048): object => call('bdev_malloc_create', { name, num_blocks: blocks, block_size: 512 })
const passthru = (name: string, base: string): object => call('bdev_passthru_create', { name, base_bdev_name: base })
const config = (calls: object[], ...more: object[]): object => ({ subsystems: [{ subsystem: 'bdev', config: calls }, ...more] })

async function withStack(first: object, use: (server: RpcServerProcess, folder: string) => Promise<void>): Promise<void> {
  await inFolder(async folder => {
    writeFileSync(join(folder, 'first.json'), JSON.stringify(first))
    const server = await startRpcServer(folder, ['-c', 'first.json'])
    await use(server, folder)
    expect(await server.stop()).toBe(0)
  })
}

const names = (list: { name: string }[]): string[] => list.map(({ name }) => name)

describe('bdevkit_config_plan and bdevkit_config_apply', () => {
  it('remove dependents first, make bases first, and make anew what stands on something that is', async () => {
    const first = config([
      malloc('A'),
      malloc('B'),
      malloc('C'),
      passthru('OnA', 'A'),
      passthru('OnB', 'B'),
      call('bdev_split_create', { base_bdev: 'C', split_count: 2 }),
      passthru('OnC', 'Cp1'),
      call('bdev_set_qos_limit', { name: 'B', rw_ios_per_sec: 20_000 }),
    ])
    await withStack(first, async (server, folder) => {
      expect(await server.call<Plan>('bdevkit_config_plan', { config: first })).toMatchObject({
        remove: [],
        create: [],
        set: [],
        needs_restart: [],
      })
      const second = config([
        // In no order at all.
        passthru('OnC', 'Cp1'),
        passthru('OnB', 'B'),
        passthru('OnD', 'D'),
        malloc('B'),
        malloc('C', 4096),
        call('bdev_split_create', { base_bdev: 'C', split_count: 2 }),
        malloc('D'),
        call('bdev_set_options', { bdev_io_pool_size: 4096 }),
      ])
      writeFileSync(join(folder, 'second.json'), JSON.stringify(second))
      const plan = await server.call<Plan>('bdevkit_config_plan', { path: join(folder, 'second.json') })
      expect(names(plan.remove)).toEqual(['OnC', 'OnA', 'A', 'C', 'C'])
      expect(names(plan.create)).toEqual(['C', 'C', 'OnC', 'D', 'OnD'])
      expect(plan.create.map(({ reason }) => reason)).toEqual([
        'num_blocks: 2048 becomes 4096',
        'stands on C',
        'stands on C',
        'new',
        'new',
      ])
      expect(plan.keep.sort()).toEqual(['B', 'OnB'])
      expect(plan.set).toMatchObject([{ name: 'B', method: 'bdev_set_qos_limit', params: { rw_ios_per_sec: 0 } }])
      expect(plan.needs_restart.map(({ method }) => method)).toEqual(['bdev_set_options'])
      expect(names(await server.call('bdev_get_bdevs'))).toContain('OnA')

      await server.call('bdevkit_config_apply', { path: join(folder, 'second.json') })
      const bdevs = await server.call<{ name: string; num_blocks: number; assigned_rate_limits: object }[]>('bdev_get_bdevs')
      expect(names(bdevs).sort()).toEqual(['B', 'C', 'Cp0', 'Cp1', 'D', 'OnB', 'OnC', 'OnD'])
      expect(bdevs.find(({ name }) => name === 'Cp1')).toMatchObject({ num_blocks: 2048 })
      expect(bdevs.find(({ name }) => name === 'B')).toMatchObject({ assigned_rate_limits: { rw_ios_per_sec: 0 } })
      const again = await server.call<Plan>('bdevkit_config_plan', { config: second })
      expect([again.remove, again.create, again.set]).toEqual([[], [], []])
    })
  })

  it('change nothing where the configuration is wrong, and say how far they came where a call fails', async () => {
    await withStack(config([malloc('A')]), async server => {
      const refused = (method: string, params: object): Promise<string> =>
        server.call(method, params).then(String, (error: Error) => error.message)
      expect(await refused('bdevkit_config_apply', { config: config([call('bdev_nope_create', { name: 'x' })]) })).toMatch(
        /bdev_nope_create: there is no such method/,
      )
      expect(await refused('bdevkit_config_apply', { config: config([call('bdev_malloc_create', { name: 'B' })]) })).toMatch(
        /"params\.num_blocks": wanted, not found/,
      )
      expect(await refused('bdevkit_config_apply', { config: config([malloc('B'), malloc('B')]) })).toMatch(
        /"B": wanted once, found twice/,
      )
      expect(await refused('bdevkit_config_apply', { path: '/nonexistent.json' })).toMatch(/cannot read the configuration/)
      expect(await refused('bdevkit_config_apply', {})).toMatch(/wanted either path or config/)
      expect(names(await server.call('bdev_get_bdevs'))).toEqual(['A'])
      const failing = config([malloc('A'), malloc('B'), malloc('C', 0), malloc('D')])
      expect(await refused('bdevkit_config_apply', { config: failing })).toMatch(
        /1 of 3 calls are done, then bdev_malloc_create of "C" failed: .*; not called: bdev_malloc_create of "D"/,
      )
    })
  })

  itWith(
    ['fio'],
    'lose no I/O of a bdev that stays, while others come and go under load',
    async () => {
      await inFolder(async folder => {
        const stays = [malloc('Base', (32 * MiB) / 512), passthru('Disk', 'Base')]
        writeFileSync(join(folder, 'first.json'), JSON.stringify(config([...stays, malloc('Other')])))
        const socket = join(folder, 'nbd.sock')
        const server = await startRpcServer(folder, ['-c', 'first.json', '--nbd', `unix:${socket}`, '--export', 'Disk'])
        const uri = `nbd+unix:///Disk?socket=${socket}`
        let running = true
        let reloads = 0
        const reload = async (): Promise<void> => {
          while (running) {
            const other = reloads % 2 === 0 ? [malloc('New'), passthru('OnNew', 'New')] : [malloc('Other', 4096)]
            const plan = await server.call<Plan>('bdevkit_config_apply', { config: config([...stays, ...other]) })
            expect(plan.keep.sort()).toEqual(['Base', 'Disk'])
            reloads++
          }
        }
        const reloading = reload()
        const job = await fioJob(uri, {
          rw: 'randwrite',
          bs: '4k',
          iodepth: 16,
          size: 32 * MiB,
          verify: 'crc32c',
          verify_fatal: 1,
          do_verify: 1,
        })
        running = false
        await reloading
        expect(job.write.io_bytes).toBe(32 * MiB)
        expect(reloads).toBeGreaterThan(2)
        expect(await server.stop()).toBe(0)
      })
    },
    { timeout: 60_000 },
  )
})
