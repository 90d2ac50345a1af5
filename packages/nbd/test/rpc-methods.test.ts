// SPDX-License-Identifier: Apache-2.0
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { RpcRegistry } from '@bdevkit/rpc'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NbdDisks } from '../src/disks.js'
import { NbdServer, registerNbdMethods, type NbdMethods } from '../src/index.js'
import { RawClient } from './client.js'
import { createBench, type Bench } from './ram-disk.js'

const quiet = { error() {}, warn() {}, notice() {}, info() {}, debug() {} }

let bench: Bench
let registry: RpcRegistry
let methods: NbdMethods

beforeEach(async () => {
  bench = await createBench()
  bench.addDisk('ram0')
  bench.addDisk('ram1')
  registry = new RpcRegistry({ log: quiet })
  registry.enterRuntime()
  methods = registerNbdMethods(registry, bench.host)
})

afterEach(async () => {
  await methods.stop(0)
  await bench.close()
})

const call = <Result = unknown>(method: string, params?: object) => registry.call<Result>(method, params)
const socket = (name: string) => join(bench.dir, name)

describe('nbd_server methods', () => {
  it('start, fill, show, empty and stop servers, and save them', async () => {
    const path = socket('a.sock')
    expect(await call('nbd_server_start', { listen: [`unix:${path}`, 'tcp:127.0.0.1:0'] })).toMatchObject({
      name: 'nbd0',
      exports: [],
      connections: [],
    })
    expect(await call('nbd_server_add_export', { bdev_name: 'ram0' })).toEqual([
      `nbd+unix:///ram0?socket=${path}`,
      expect.stringMatching(/^nbd:\/\/127\.0\.0\.1:\d+\/ram0$/),
    ])
    await call('nbd_server_add_export', { bdev_name: 'ram1', name: 'other', read_only: true, description: 'd' })
    await RawClient.enter(path, 'other')
    const [server] = await call<{ listen: string[]; exports: object[]; connections: object[] }[]>('nbd_get_servers')
    expect(server!.exports).toMatchObject([
      { name: 'ram0', bdev_name: 'ram0', read_only: false },
      { name: 'other', bdev_name: 'ram1', read_only: true },
    ])
    expect(server!.connections).toMatchObject([{ export: 'other', state: 'transmission', in_flight: 0 }])
    expect(methods.subsystem.configJson()).toEqual([
      { method: 'nbd_server_start', params: { name: 'nbd0', listen: server!.listen } },
      { method: 'nbd_server_add_export', params: { server: 'nbd0', bdev_name: 'ram0', name: 'ram0' } },
      {
        method: 'nbd_server_add_export',
        params: { server: 'nbd0', bdev_name: 'ram1', name: 'other', read_only: true, description: 'd' },
      },
    ])
    expect(await call('nbd_server_remove_export', { name: 'other' })).toBe(true)
    expect((await call<{ connections: object[] }[]>('nbd_get_servers'))[0]!.connections).toEqual([])
    expect(await call('nbd_server_stop', {})).toEqual({ cut: 0 })
    expect(existsSync(path)).toBe(false)
    expect(await call('nbd_get_servers')).toEqual([])
  })

  it('refuse what cannot be, and leave nothing behind', async () => {
    const path = socket('a.sock')
    await call('nbd_server_start', { name: 'one', listen: [`unix:${path}`] })
    const refused = (method: string, params: object) =>
      call(method, params).then(
        () => 'done',
        (error: { rpcCode: number; message: string }) => [error.rpcCode, error.message],
      )
    expect(await refused('nbd_server_start', { name: 'one', listen: ['tcp:0'] })).toEqual([
      -17,
      expect.stringContaining('NBD server "one": there is one of that name'),
    ])
    expect(await refused('nbd_server_start', { name: 'two', listen: [`unix:${socket('b.sock')}`, `unix:${path}`] })).toEqual([
      -98,
      expect.stringContaining('another server answers there'),
    ])
    expect(existsSync(socket('b.sock'))).toBe(false)
    expect(await refused('nbd_server_start', { name: 'two', listen: ['tcp:0.0.0.0:0'] })).toEqual([
      -1,
      expect.stringContaining('can be reached from other machines'),
    ])
    expect(await refused('nbd_server_start', { name: 'two', listen: ['nowhere'] })).toEqual([
      -22,
      expect.stringContaining('wanted unix:PATH'),
    ])
    expect(await refused('nbd_server_add_export', { server: 'two', bdev_name: 'ram0' })).toEqual([
      -19,
      expect.stringContaining('only one'),
    ])
    expect(await refused('nbd_server_add_export', { server: 'one', bdev_name: 'nope' })).toEqual([
      -19,
      expect.stringContaining('there is no such bdev'),
    ])
    expect(await refused('nbd_server_remove_export', { server: 'one', name: 'nope' })).toEqual([
      -19,
      expect.stringContaining('there is none of that name'),
    ])
  })

  it('show a server of the application, give it exports, and do not save it', async () => {
    const server = new NbdServer(bench.host)
    await server.listen({ path: socket('own.sock') })
    methods.adopt('cli', server)
    await call('nbd_server_add_export', { server: 'cli', bdev_name: 'ram0' })
    expect(server.exportNames).toEqual(['ram0'])
    expect(methods.subsystem.configJson()).toEqual([])
    await server.stop()
  })
})

describe('nbd disks', () => {
  it('on an address serve one bdev until they are stopped or it is gone', async () => {
    const path = socket('disk.sock')
    expect(await call('nbd_start_disk', { bdev_name: 'ram0', nbd_device: `unix:${path}` })).toBe(`unix:${path}`)
    const tcp = await call<string>('nbd_start_disk', { bdev_name: 'ram1', nbd_device: 'tcp:127.0.0.1:0' })
    expect(tcp).toMatch(/^tcp:127\.0\.0\.1:[1-9]\d*$/)
    expect(await call('nbd_get_disks')).toEqual([
      { nbd_device: `unix:${path}`, bdev_name: 'ram0' },
      { nbd_device: tcp, bdev_name: 'ram1' },
    ])
    expect(methods.subsystem.configJson()[0]).toEqual({
      method: 'nbd_start_disk',
      params: { bdev_name: 'ram0', nbd_device: `unix:${path}` },
    })
    await RawClient.enter(path, '')
    await expect(call('nbd_start_disk', { bdev_name: 'ram0', nbd_device: `unix:${path}` })).rejects.toMatchObject({
      rpcCode: -16,
      rpcMessage: 'Device or resource busy',
    })
    expect(await call('nbd_get_disks', { nbd_device: tcp })).toHaveLength(1)
    expect(await call('nbd_stop_disk', { nbd_device: `unix:${path}` })).toBe(true)
    expect(existsSync(path)).toBe(false)
    await bench.removeDisk('ram1')
    expect(await call('nbd_get_disks')).toEqual([])
  })

  it('answer as SPDK does where there is no such disk, device or bdev', async () => {
    const refused = (params: object) =>
      call('nbd_start_disk', params).then(
        () => 'done',
        (error: unknown) => error,
      )
    expect(await refused({ bdev_name: 'ram0', nbd_device: '/dev/sda' })).toMatchObject({
      rpcCode: -19,
      rpcMessage: 'illegal nbd device /dev/sda',
    })
    expect(await refused({ bdev_name: 'ram0', nbd_device: 'nowhere' })).toMatchObject({
      rpcCode: -19,
      rpcMessage: 'illegal nbd device nowhere',
    })
    expect(await refused({ bdev_name: 'nope', nbd_device: `unix:${socket('x')}` })).toMatchObject({
      rpcCode: -19,
      rpcMessage: 'No such device',
    })
    expect(await refused({ bdev_name: 'ram0', nbd_device: 'tcp:192.0.2.1:1' })).toMatchObject({ rpcCode: -1 })
    expect(await refused({})).toMatchObject({ rpcCode: -32603 })
    await expect(call('nbd_stop_disk', { nbd_device: '/dev/nbd0' })).rejects.toMatchObject({
      rpcCode: -19,
      rpcMessage: 'No such device',
    })
    await expect(call('nbd_get_disks', { nbd_device: '/dev/nbd0' })).rejects.toMatchObject({ rpcCode: -19 })
  })

  it('of the kernel are connected and disconnected by nbd-client, and nothing is left where it fails', async () => {
    const runs: string[][] = []
    let fail: Error | undefined
    let socketPath = ''
    const disks = new NbdDisks(bench.host, false, async (file, args) => {
      runs.push([file, ...args])
      if (args[0] === '-unix') socketPath = args[1]!
      if (fail !== undefined) throw fail
    })
    expect(await disks.start('ram0', '/dev/nbd97')).toBe('/dev/nbd97')
    expect(runs[0]).toEqual(['nbd-client', '-unix', socketPath, '/dev/nbd97', '-name', '', '-b', '512'])
    expect(statSync(socketPath).isSocket()).toBe(true)
    await expect(disks.start('ram1', '/dev/nbd97')).rejects.toMatchObject({ code: 'EBUSY' })
    await disks.stop('/dev/nbd97')
    expect(runs[1]).toEqual(['nbd-client', '-d', '/dev/nbd97'])
    expect(existsSync(socketPath)).toBe(false)

    fail = Object.assign(new Error('spawn nbd-client ENOENT'), { code: 'ENOENT' })
    await expect(disks.start('ram0', '/dev/nbd98')).rejects.toMatchObject({
      code: 'ENOTSUP',
      message: expect.stringContaining('install it, or name unix:PATH'),
    })
    fail = new Error('Error: Cannot open NBD: No such file\n')
    await expect(disks.start('ram0', '/dev/nbd98')).rejects.toMatchObject({
      code: 'EIO',
      message: expect.stringContaining('Cannot open NBD: No such file; it needs root'),
    })
    expect(existsSync(socketPath)).toBe(false)
    expect(disks.list()).toEqual([])
  })
})
