// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { LogControl } from '../src/log-control.js'
import { parseCpumask } from '../src/methods/thread-methods.js'
import { hostFixture, runningHost } from './host-fixture.js'

const names = (list: object[]) => list.map(entry => (entry as { name: string }).name)

describe('log methods', () => {
  it('rule which messages are printed', async () => {
    const log = new LogControl('notice')
    const { registry } = hostFixture({ log })
    expect([log.prints('notice', 'ram'), log.prints('info', 'ram')]).toEqual([true, false])
    expect(await registry.call('log_get_print_level')).toBe('NOTICE')
    await registry.call('log_set_print_level', { level: 'WARNING' })
    expect([log.prints('warn', 'ram'), log.prints('notice', 'ram')]).toEqual([true, false])
    await registry.call('log_set_flag', { flag: 'ram' })
    expect([log.prints('debug', 'ram'), log.prints('debug', 'bdev')]).toEqual([true, false])
    expect(await registry.call('log_get_flags')).toEqual({ bdev: false, ram: true, rpc: false })
    await registry.call('log_set_flag', { flag: 'all' })
    await registry.call('log_clear_flag', { flag: 'ram' })
    expect([log.prints('debug', 'ram'), log.prints('debug', 'bdev')]).toEqual([false, true])
    await registry.call('log_set_level', { level: 'DEBUG' })
    expect(await registry.call('log_get_level')).toBe('DEBUG')
    expect(log.prints('debug', 'ram')).toBe(false)
  })

  it('refuse what SPDK refuses', async () => {
    const { registry } = hostFixture()
    await expect(registry.call('log_set_flag', { flag: 'nope' })).rejects.toMatchObject({
      rpcCode: -32602,
      rpcMessage: 'invalid log flag',
    })
    await expect(registry.call('log_set_level', { level: 'FOO' })).rejects.toMatchObject({ rpcCode: -32603 })
    await expect(registry.call('log_get_level', {})).rejects.toMatchObject({ rpcMessage: 'log_get_level requires no parameters' })
  })
})

it('a call on another thread than the app thread is refused before its handler runs', async () => {
  const { registry, host, log } = await runningHost()
  const one = host.createThread('one')
  let call!: Promise<unknown>
  one.execMsg(() => void (call = registry.call('bdev_ram_create', { name: 'r0', num_blocks: 8 })), null)
  await expect(call).rejects.toMatchObject({ rpcCode: -22, rpcMessage: 'Invalid argument' })
  expect(host.bdevByName('r0')).toBeUndefined()
  expect(log.lines.join('\n')).toContain('RPC bdev_ram_create: wanted a call on thread "app_thread", where the control plane runs, found "one"')
  host.appThread.execMsg(() => void (call = registry.call('bdev_ram_create', { name: 'r0', num_blocks: 8 })), null)
  expect(await call).toBe('r0')
})

describe('threads', () => {
  it('show their pollers and channels with the members of SPDK', async () => {
    const { host, registry } = await runningHost()
    await registry.call('bdev_ram_create', { name: 'R0', num_blocks: 8 })
    const desc = host.openBdev('R0', { onEvent: () => undefined })
    const channel = desc.getIoChannel()
    const poller = host.appThread.registerPoller(() => 0, undefined, 5000, 'test_poller')
    const paused = host.appThread.registerPoller(() => 0, undefined, 5000, 'paused_poller')
    paused.pause()

    type Threads = {
      threads: { name: string; id: number; io_channels: object[]; timed_pollers: object[]; paused_pollers: object[] }[]
    }
    const { threads } = await registry.call<Threads>('thread_get_io_channels')
    expect(threads[0]!.name).toBe('app_thread')
    expect(names(threads[0]!.io_channels)).toEqual(['ram', 'bdev_R0'])
    const pollers = (await registry.call<Threads>('thread_get_pollers')).threads[0]!
    expect(pollers.timed_pollers).toContainEqual({
      name: 'test_poller',
      id: poller.id,
      state: 'waiting',
      run_count: 0,
      busy_count: 0,
      period_ticks: 5_000_000,
    })
    expect(names(pollers.paused_pollers)).toEqual(['paused_poller'])
    const stats = (await registry.call<{ threads: Record<string, unknown>[] }>('thread_get_stats')).threads[0]!
    expect(Object.keys(stats)).toEqual([
      'name',
      'id',
      'cpumask',
      'busy',
      'idle',
      'active_pollers_count',
      'timed_pollers_count',
      'paused_pollers_count',
    ])
    expect(stats['paused_pollers_count']).toBe(1)
    const reactors = await registry.call<{ pid: number; reactors: { lw_threads: object[] }[] }>('framework_get_reactors')
    expect(reactors.pid).toBe(process.pid)
    expect(names(reactors.reactors[0]!.lw_threads)).toContain('app_thread')
    poller.unregister()
    paused.unregister()
    channel?.put()
    desc.close()
  })

  it('stay on their one reactor', async () => {
    const { registry, host } = await runningHost()
    const { id } = host.appThread
    const set = (params: object) => registry.call('thread_set_cpumask', params)
    expect(await set({ id, cpumask: '0x1' })).toBe(true)
    expect(await set({ id, cpumask: '[0,3]' })).toBe(true)
    await expect(set({ id, cpumask: '2' })).rejects.toMatchObject({
      rpcCode: -32603,
      rpcMessage: 'No CPU is selected from reactor mask 1',
    })
    await expect(set({ id, cpumask: 'zz' })).rejects.toMatchObject({ rpcCode: -32603, rpcMessage: 'Invalid cpumask zz' })
    await expect(set({ id: 9999, cpumask: '1' })).rejects.toMatchObject({
      rpcCode: -32602,
      rpcMessage: 'Thread 9999 does not exist',
    })
    expect([parseCpumask('[1-3]'), parseCpumask('[3-1]'), parseCpumask('[9999]'), parseCpumask('')]).toEqual([
      14n,
      undefined,
      undefined,
      undefined,
    ])
  })
})

describe('options of what is not here', () => {
  it('are kept and saved as SPDK saves them', async () => {
    const { host, registry } = hostFixture()
    await registry.call('iobuf_set_options', { small_pool_count: 64, large_bufsize: 8192 })
    await registry.call('sock_impl_set_options', { impl_name: 'ssl', tls_version: 13 })
    await registry.call('sock_set_default_impl', { impl_name: 'uring' })
    await registry.call('framework_set_scheduler', { name: 'static', period: 5 })
    await expect(registry.call('framework_set_scheduler', { name: 'dynamic' })).rejects.toMatchObject({
      rpcCode: -32603,
      rpcMessage: 'Unknown error -22',
    })
    await expect(registry.call('iobuf_set_options', { small_bufsize: 4095 })).rejects.toMatchObject({
      rpcCode: -22,
      rpcMessage: 'Invalid argument',
    })
    await expect(registry.call('sock_impl_get_options', { impl_name: 'nope' })).rejects.toMatchObject({
      rpcCode: -32602,
      rpcMessage: 'Invalid parameters',
    })
    await host.init()
    registry.enterRuntime()
    const config = (name: string) => registry.call<{ params: object }[]>('framework_get_config', { name })
    expect(await config('iobuf')).toEqual([
      {
        method: 'iobuf_set_options',
        params: { small_pool_count: 64, large_pool_count: 1024, small_bufsize: 8192, large_bufsize: 8192, enable_numa: false },
      },
    ])
    expect(await config('scheduler')).toEqual([{ method: 'framework_set_scheduler', params: { name: 'static', period: 5 } }])
    expect(await config('keyring')).toEqual([])
    expect((await config('sock')).map(({ params }) => params)).toMatchObject([
      { impl_name: 'uring' },
      { impl_name: 'uring', recv_buf_size: 2097152, enable_zerocopy_send_server: false },
      { impl_name: 'ssl', recv_buf_size: 4096, tls_version: 13 },
      { impl_name: 'posix', recv_buf_size: 2097152 },
    ])
    expect(await registry.call('sock_get_default_impl')).toEqual({ impl_name: 'uring' })
    expect(await registry.call('keyring_get_keys')).toEqual([])
    expect(await registry.call('framework_get_scheduler')).toMatchObject({ scheduler_name: 'static', scheduler_period: 5 })
    expect(await registry.call('framework_get_pci_devices')).toEqual([])
    expect(await registry.call<object[]>('iobuf_get_stats')).toMatchObject([{ module: 'bdev', small_pool: { cache_size: 32 } }])
  })

  it('have schemas that are schemas', () => {
    const { registry } = hostFixture({ kill: () => undefined, startInit: async () => undefined })
    expect(() => registry.compileSchemas()).not.toThrow()
  })
})
