// SPDX-License-Identifier: Apache-2.0
import { createHost } from '@bdevkit/core'
import { defineBdevModule, method } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import { parseConfig } from '../src/config-file.js'
import { loadConfig } from '../src/config-load.js'
import { registerModuleMethods } from '../src/methods/module-methods.js'
import { RpcRegistry } from '../src/registry.js'
import { hostFixture, ramModule, runningHost } from './host-fixture.js'
import { deferred, testLog } from './support.js'

const create = { name: 'R0', num_blocks: 8, uuid: '5eed0000-0000-4000-8000-000000000001' }

describe('methods of modules', () => {
  it('create, describe and delete bdevs, with SPDK errors', async () => {
    const { registry } = await runningHost()
    expect(await registry.call('bdev_ram_create', create)).toBe('R0')
    await expect(registry.call('bdev_ram_create', create)).rejects.toMatchObject({ rpcCode: -17, rpcMessage: 'File exists' })
    await expect(registry.call('bdev_ram_create', { ...create, uuid: 'zzz' })).rejects.toMatchObject({ rpcCode: -32603 })
    await expect(registry.call('bdev_ram_create', { ...create, foo: 1 })).rejects.toMatchObject({ rpcCode: -32603 })
    expect(await registry.call('bdev_ram_delete', { name: 'R0' })).toBe(true)
    await expect(registry.call('bdev_ram_delete', { name: 'R0' })).rejects.toMatchObject({
      rpcCode: -19,
      rpcMessage: 'No such device',
    })
  })

  it('of one name in two modules are refused with both names', () => {
    const twin = defineBdevModule({
      name: 'twin',
      sdk: '0.1',
      rpc: { bdev_ram_create: method() },
      setup: () => ({ handlers: { bdev_ram_create: () => true } }),
    })
    const host = createHost({ log: () => undefined })
    host.use(ramModule)
    host.use(twin)
    const registry = new RpcRegistry({ log: testLog() })
    expect(() => registerModuleMethods(registry, host)).toThrow('module "twin": method "bdev_ram_create": wanted a free name')
  })
})

describe('bdev_get_bdevs', () => {
  it('lists bdevs in the order of registration, each with the members of SPDK in its order', async () => {
    const { registry } = await runningHost()
    expect(await registry.call('bdev_get_bdevs')).toEqual([])
    await registry.call('bdev_ram_create', create)
    await registry.call('bdev_ram_create', { name: 'R1', num_blocks: 1 })
    const all = await registry.call<Record<string, unknown>[]>('bdev_get_bdevs', {})
    expect(all.map(({ name }) => name)).toEqual(['R0', 'R1'])
    expect(Object.keys(all[0] as object).join()).toBe(
      'name,aliases,product_name,block_size,num_blocks,preferred_write_alignment,preferred_write_granularity,' +
        'optimal_write_size,preferred_unmap_alignment,preferred_unmap_granularity,uuid,assigned_rate_limits,claimed,zoned,' +
        'supported_io_types,driver_specific',
    )
    expect(all[0]).toMatchObject({ aliases: [create.uuid], block_size: 512, num_blocks: 8, driver_specific: { ram: true } })
  })

  it('finds one by name, alias or UUID', async () => {
    const { registry } = await runningHost()
    await registry.call('bdev_ram_create', create)
    for (const name of ['R0', create.uuid])
      expect(await registry.call('bdev_get_bdevs', { name })).toMatchObject([{ name: 'R0' }])
    await expect(registry.call('bdev_get_bdevs', { name: 'nope' })).rejects.toMatchObject({
      rpcCode: -19,
      rpcMessage: 'No such device',
    })
  })

  it('finds none that is being removed', async () => {
    const { registry, host } = await runningHost()
    await registry.call('bdev_ram_create', create)
    await registry.call('bdev_wait_for_examine')
    const desc = host.openBdev('R0', { onEvent: () => undefined })
    const deleted = registry.call('bdev_ram_delete', { name: 'R0' })
    await expect(registry.call('bdev_get_bdevs', { name: 'R0' })).rejects.toMatchObject({ rpcCode: -19 })
    desc.close()
    expect(await deleted).toBe(true)
  })

  it('waits for a bdev as long as it is told', async () => {
    const { registry } = await runningHost()
    await expect(registry.call('bdev_get_bdevs', { name: 'R0', timeout: 20 })).rejects.toMatchObject({
      rpcCode: -110,
      rpcMessage: 'Connection timed out',
    })
    const found = registry.call('bdev_get_bdevs', { name: 'R0', timeout: 60_000 })
    await registry.call('bdev_ram_create', create)
    expect(await found).toMatchObject([{ name: 'R0' }])
  })
})

describe('bdev_get_iostat', () => {
  it('counts I/O in SPDK members', async () => {
    const { registry, host } = await runningHost()
    await registry.call('bdev_ram_create', create)
    const handle = await host.open('R0', { write: true })
    await handle.write(new Uint8Array(1024), 0)
    await handle.read(512, 512)
    const perChannel = await registry.call('bdev_get_iostat', { names: ['R0'], per_channel: true })
    expect(perChannel).toMatchObject({
      name: 'R0',
      channels: [{ thread_id: expect.any(Number), bytes_written: 1024, num_read_ops: 1 }],
    })
    await handle.close()
    const stat = await registry.call<{ bdevs: object[] }>('bdev_get_iostat')
    expect(Object.keys(stat)).toEqual(['tick_rate', 'ticks', 'bdevs'])
    expect(stat.bdevs).toHaveLength(1)
    expect(stat.bdevs[0]).toMatchObject({
      name: 'R0',
      bytes_read: 512,
      num_read_ops: 1,
      bytes_written: 1024,
      num_write_ops: 1,
      io_error: {},
      driver_specific: { spins: 7 },
    })
    expect(
      Object.keys(stat.bdevs[0] as object)
        .slice(0, 12)
        .join(),
    ).toBe(
      'name,bytes_read,num_read_ops,bytes_written,num_write_ops,bytes_unmapped,num_unmap_ops,bytes_copied,num_copy_ops,' +
        'read_latency_ticks,max_read_latency_ticks,min_read_latency_ticks',
    )
  })
})

describe('methods of the application', () => {
  it('list themselves, newest first', async () => {
    const { registry } = hostFixture()
    const startup = await registry.call<string[]>('rpc_get_methods', { current: true })
    expect(startup.slice(0, 6)).toEqual([
      'rpc.discover',
      'framework_wait_init',
      'bdevkit_get_version',
      'spdk_get_version',
      'rpc_get_methods',
      'bdev_get_pending',
    ])
    expect(startup).toEqual(expect.arrayContaining(['accel_set_options', 'iobuf_set_options', 'sock_impl_set_options', 'log_get_flags']))
    expect(startup).not.toContain('bdev_get_bdevs')
    const all = await registry.call<string[]>('rpc_get_methods')
    expect(all).toContain('bdev_ram_create')
    expect(all).not.toContain('spdk_kill_instance')
    await expect(registry.call('rpc_get_methods', { current: 1 })).rejects.toMatchObject({
      rpcCode: -32602,
      rpcMessage: 'Invalid parameters',
    })
  })

  it('tell the version of SPDK that clients parse, and in a method of their own who we are', async () => {
    const { registry } = hostFixture({ identity: { name: 'bdev', version: '1.2.3' } })
    expect(await registry.call('spdk_get_version')).toEqual({
      version: 'SPDK v26.09-pre',
      fields: { major: 26, minor: 9, patch: 0, suffix: '-pre' },
    })
    expect(await registry.call('bdevkit_get_version')).toMatchObject({ name: 'bdev', version: '1.2.3', pid: process.pid })
    await expect(registry.call('spdk_get_version', {})).rejects.toMatchObject({
      rpcCode: -32602,
      rpcMessage: 'spdk_get_version method requires no parameters',
    })
  })

  it('initialise the framework once, and wake who waits for it', async () => {
    const gate = deferred()
    let inits = 0
    const { registry } = hostFixture({
      startInit: async () => {
        inits++
        await gate.promise
      },
    })
    const ends: string[] = []
    const waiting = registry.call('framework_wait_init').then(() => ends.push('wait'))
    const starting = registry.call('framework_start_init').then(() => ends.push('start'))
    await expect(registry.call('framework_start_init')).rejects.toMatchObject({ rpcCode: -114 })
    expect(ends).toEqual([])
    gate.resolve()
    await Promise.all([waiting, starting])
    expect(inits).toBe(1)
    await expect(registry.call('framework_start_init')).rejects.toMatchObject({ rpcCode: -1 })
    expect(await registry.call('framework_wait_init', { a: 1 })).toBe(true)
  })

  it('answer a failed initialisation as SPDK does, and tell the log why', async () => {
    const { registry, log } = hostFixture({ startInit: () => Promise.reject(new Error('module "foo" failed')) })
    await expect(registry.call('framework_start_init')).rejects.toMatchObject({
      rpcCode: -32603,
      rpcMessage: 'framework_initialization failed',
    })
    expect(log.lines.join()).toContain('module "foo" failed')
    expect(registry.state).toBe('startup')
  })

  it('end the application after the answer', async () => {
    const killed = deferred<string>()
    const { registry } = await runningHost({ kill: killed.resolve })
    let answered = false
    const order = killed.promise.then(signal => [signal, answered])
    expect(await registry.call('spdk_kill_instance', { sig_name: 'SIGTERM' })).toBe(true)
    answered = true
    expect(await order).toEqual(['SIGTERM', true])
  })
})

describe('configuration', () => {
  it('is given by subsystem, in the order of initialisation', async () => {
    const nbd = { name: 'nbd', dependsOn: ['bdev'], configJson: () => [] }
    const { registry } = await runningHost({ subsystems: [nbd] })
    expect(await registry.call('framework_get_subsystems')).toEqual([
      { subsystem: 'scheduler', depends_on: [] },
      { subsystem: 'sock', depends_on: [] },
      { subsystem: 'keyring', depends_on: [] },
      { subsystem: 'iobuf', depends_on: [] },
      { subsystem: 'accel', depends_on: ['iobuf'] },
      { subsystem: 'bdev', depends_on: ['accel', 'keyring', 'sock', 'iobuf'] },
      { subsystem: 'nbd', depends_on: ['bdev'] },
    ])
    await registry.call('bdev_ram_create', create)
    const config = await registry.call<{ method: string }[]>('framework_get_config', { name: 'bdev' })
    expect(config.map(entry => entry.method)).toEqual(['bdev_set_options', 'bdev_ram_create', 'bdev_wait_for_examine'])
    expect(await registry.call('framework_get_config', { name: 'nbd', with_batches: true })).toEqual([])
    await expect(registry.call('framework_get_config')).rejects.toMatchObject({
      rpcCode: -32602,
      rpcMessage: 'Invalid arguments',
    })
    await expect(registry.call('framework_get_subsystems', {})).rejects.toMatchObject({
      rpcMessage: "'framework_get_subsystems' requires no arguments",
    })
  })

  it('that was saved loads again and saves the same', async () => {
    const saved = await runningHost()
    await saved.registry.call('bdev_ram_create', create)
    const config = await saved.registry.call('framework_get_config', { name: 'bdev' })
    const file = parseConfig(JSON.stringify({ subsystems: [{ subsystem: 'bdev', config }] }), 'saved.json')
    const { host, registry } = hostFixture()
    await loadConfig(file, { registry })
    await host.init()
    registry.enterRuntime()
    await loadConfig(file, { registry })
    expect(await registry.call('framework_get_config', { name: 'bdev' })).toEqual(config)
  })

  it('takes the options of the bdev layer before initialisation', async () => {
    const { registry, host } = hostFixture()
    await expect(registry.call('bdev_set_options', { bdev_io_pool_size: 1 })).rejects.toMatchObject({
      rpcCode: -32602,
      rpcMessage: 'Pool size 1 too small for cache size 256',
    })
    await expect(registry.call('bdev_set_options', { bdev_io_pool_size: 'x' })).rejects.toMatchObject({
      rpcMessage: 'Invalid parameters',
    })
    expect(await registry.call('bdev_set_options', { bdev_auto_examine: false })).toBe(true)
    expect(host.examine.auto).toBe(false)
    expect(await registry.call('bdev_set_options', { bdev_io_pool_size: 100_000, iobuf_small_cache_size: 64 })).toBe(true)
    expect(host.configJson()[0]).toEqual({
      method: 'bdev_set_options',
      params: {
        bdev_io_pool_size: 100_000,
        bdev_io_cache_size: 256,
        bdev_auto_examine: false,
        iobuf_small_cache_size: 64,
        iobuf_large_cache_size: 16,
      },
    })
  })

  it('chooses what is examined where not everything is', async () => {
    const { registry } = hostFixture()
    await registry.call('bdev_set_options', { bdev_auto_examine: false })
    registry.enterRuntime()
    expect(await registry.call('bdev_examine', { name: 'R0' })).toBe(true)
    await expect(registry.call('bdev_examine', { name: 'R0' })).rejects.toMatchObject({ rpcCode: -17 })
    const all = await runningHost()
    await expect(all.registry.call('bdev_examine', { name: 'R0' })).rejects.toMatchObject({
      rpcCode: -22,
      rpcMessage: 'Invalid argument',
    })
    expect(await all.registry.call('bdev_wait_for_examine')).toBe(true)
  })
})
