// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { describe, expect, expectTypeOf, it } from 'vitest'
import {
  connect,
  loadConfigInto,
  notifications,
  saveConfig,
  type BdevkitMethods,
  type RpcClient,
  type SavedConfig,
} from '../src/client/index.js'
import { RpcServer } from '../src/server.js'
import { hostFixture, runningHost, type HostFixture } from './host-fixture.js'
import { cleanup, tempFolder } from './support.js'

async function served(fixture: HostFixture): Promise<RpcClient<BdevkitMethods>> {
  const path = join(tempFolder(), 'spdk.sock')
  const server = await RpcServer.listen(path, { registry: fixture.registry })
  cleanup(() => server.close({ timeoutMs: 0 }))
  const client = await connect(path)
  cleanup(() => client.close())
  return client
}

describe('the typed client', () => {
  it('knows the parameters and results of the methods', async () => {
    const client = await served(await runningHost())
    const bdevs = await client.call('bdev_get_bdevs', { timeout: 0 })
    expectTypeOf(bdevs).toExtend<{ name: string; num_blocks: number; claimed: boolean }[]>()
    expectTypeOf<BdevkitMethods['bdev_malloc_create']['params']>().toExtend<{
      num_blocks: number
      block_size: number
      name?: string
    }>()
    expectTypeOf<BdevkitMethods['bdev_malloc_create']['result']>().toEqualTypeOf<string>()
    expectTypeOf<BdevkitMethods['bdev_reset_iostat']['params']>().toExtend<
      { mode?: 'all' | 'maxmin' | 'error' | 'none' } | undefined
    >()
    expect(bdevs).toEqual([])
  })

  it('gives notifications as they come, of the types that are asked for, from now on or from an id', async () => {
    const fixture = await runningHost()
    const client = await served(fixture)
    const { registry } = fixture
    await registry.call('bdev_ram_create', { name: 'Before', num_blocks: 8 })
    await fixture.host.waitForExamine()
    const abort = new AbortController()
    const seen: string[] = []
    const reading = (async () => {
      for await (const { type, ctx } of notifications(client, { types: ['bdev_register'], pollMs: 1, signal: abort.signal })) {
        seen.push(`${type} ${ctx}`)
        if (ctx === 'B') break
      }
    })()
    await client.call('notify_get_notifications', {})
    await registry.call('bdev_ram_create', { name: 'A', num_blocks: 8 })
    await registry.call('bdev_ram_delete', { name: 'A' })
    await registry.call('bdev_ram_create', { name: 'B', num_blocks: 8 })
    await reading
    expect(seen).toEqual(['bdev_register A', 'bdev_register B'])
    const first = await notifications(client, { fromId: 0 }).next()
    expect(first.value).toMatchObject({ id: 0, ctx: 'Before' })
    // An end that is asked for is no error.
    const waiting = notifications(client, { pollMs: 60_000, signal: abort.signal }).next()
    abort.abort()
    expect(await waiting).toMatchObject({ done: true })
  })

  it('saves a configuration, and loads it through both states of a server', async () => {
    const first = await runningHost()
    await first.registry.call('bdev_ram_create', { name: 'R0', num_blocks: 8 })
    const saved = await saveConfig(await served(first))
    expect(saved.subsystems.map(({ subsystem }) => subsystem)).toEqual(['scheduler', 'sock', 'keyring', 'iobuf', 'accel', 'bdev'])
    expect((await saveConfig(await served(first), ['accel'])).subsystems.map(({ subsystem }) => subsystem)).toEqual([
      'iobuf',
      'accel',
    ])
    await expect(saveConfig(await served(first), ['nope'])).rejects.toThrow('there is no subsystem "nope"')

    const second: HostFixture = hostFixture({ startInit: () => second.host.init() })
    const client = await served(second)
    const unknown: SavedConfig = { subsystems: [...saved.subsystems, { subsystem: 'x', config: [{ method: 'nope' }] }] }
    await expect(loadConfigInto(client, unknown)).rejects.toThrow(
      'subsystem "x": the server has no method "nope"; nothing was called',
    )
    expect(second.registry.state).toBe('startup')
    await loadConfigInto(client, saved)
    expect(await saveConfig(client)).toEqual(saved)
    const late: SavedConfig = { subsystems: [{ subsystem: 'bdev', config: [{ method: 'bdev_set_options', params: {} }] }] }
    await expect(loadConfigInto(client, late)).rejects.toThrow(
      'not called, as the present state does not permit it: bdev_set_options',
    )
  })
})
