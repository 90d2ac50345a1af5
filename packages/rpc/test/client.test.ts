// SPDX-License-Identifier: Apache-2.0
import { createServer, type Socket } from 'node:net'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { RpcClient } from '../src/client.js'
import { RpcServer } from '../src/server.js'
import { cleanup, deferred, echoRegistry, tempFolder } from './support.js'

interface Methods {
  sum: { params: { a: number; b: number }; result: number }
  nodev: { params: undefined; result: boolean }
  later: { params: undefined; result: string }
  gate: { params: undefined; result: string }
  echo: { params: object; result: object }
}

async function connected() {
  const { registry, log } = echoRegistry()
  const path = join(tempFolder(), 'rpc.sock')
  const server = await RpcServer.listen(path, { registry })
  cleanup(() => server.close({ timeoutMs: 0 }))
  const client = await RpcClient.connect<Methods>(path)
  cleanup(() => client.close())
  return { registry, log, path, server, client }
}

/** A server of one connection that does with it what the test says. */
async function fakeServer(onConnection: (socket: Socket) => void): Promise<string> {
  const path = join(tempFolder(), 'fake.sock')
  const server = createServer(socket => {
    cleanup(() => socket.destroy())
    socket.on('error', () => undefined)
    onConnection(socket)
  })
  cleanup(() => server.close())
  await new Promise<void>(resolve => server.listen(path, resolve))
  return path
}

describe('RpcClient', () => {
  it('calls methods and matches answers by id', async () => {
    const { registry, client } = await connected()
    const gate = deferred<string>()
    registry.register('gate', { states: 'any' }, () => gate.promise)
    const slow = client.call('gate')
    const sum: number = await client.call('sum', { a: 1, b: 2 })
    expect(sum).toBe(3)
    gate.resolve('open')
    expect(await slow).toBe('open')
  })

  it('throws error answers with code and text, and an errno name where there is one', async () => {
    const { client } = await connected()
    await expect(client.call('nodev')).rejects.toMatchObject({ rpcCode: -19, rpcMessage: 'No such device', code: 'ENODEV' })
    await expect(client.call('sum', { a: 1 } as never)).rejects.toMatchObject({ rpcCode: -32603, code: 'BDEV_E_RPC' })
    await expect(client.call('nodev')).rejects.toThrow('nodev: No such device (code -19)')
  })

  it('sends batches and gives their ends in the order of the calls', async () => {
    const { client } = await connected()
    const results = await client.batch([{ method: 'later' }, { method: 'sum', params: { a: 1, b: 1 } }, { method: 'nope' }])
    expect(results[0]).toEqual({ result: 'later' })
    expect(results[1]).toEqual({ result: 2 })
    expect(results[2]).toMatchObject({ error: { rpcCode: -32601, method: 'nope' } })
    expect(await client.batch([])).toEqual([])
  })

  it('sends notifications', async () => {
    const { registry, client } = await connected()
    const seen = deferred<object>()
    registry.register('note', { states: 'any', params: { type: 'object', additionalProperties: true } }, (params: object) =>
      seen.resolve(params),
    )
    const untyped = client as unknown as RpcClient
    untyped.notify('note', { a: 1 })
    expect(await seen.promise).toEqual({ a: 1 })
    expect(await client.call('later')).toBe('later')
  })

  it('reads answers of several megabytes', async () => {
    const { registry, path } = await connected()
    registry.register('big', { states: 'any' }, () => ['x'.repeat(3_000_000), 'é'])
    const client = await RpcClient.connect(path)
    cleanup(() => client.close())
    expect(await client.call('big')).toEqual(['x'.repeat(3_000_000), 'é'])
  })

  it('gives up on an answer after its time, and says that the server may go on', async () => {
    const { registry, client } = await connected()
    const gate = deferred<string>()
    registry.register('gate', { states: 'any' }, () => gate.promise)
    await expect(client.call('gate', undefined, { timeoutMs: 5 })).rejects.toMatchObject({
      code: 'ETIMEDOUT',
      message: expect.stringContaining('gate: wanted an answer within 5 ms'),
    })
    gate.resolve('late')
    expect(await client.call('later')).toBe('later')
  })

  it('leaves no timer behind', async () => {
    const { client } = await connected()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    cleanup(() => vi.useRealTimers())
    const call = client.call('later')
    expect(vi.getTimerCount()).toBe(1)
    await call
    await client.batch([{ method: 'later' }, { method: 'nope' }])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('says what to do when it cannot connect', async () => {
    const folder = tempFolder()
    await expect(RpcClient.connect(join(folder, 'none.sock'))).rejects.toMatchObject({
      code: 'ENOENT',
      message: expect.stringContaining('start a server on it'),
    })
    const dead = join(folder, 'dead.sock')
    writeFileSync(dead, '')
    await expect(RpcClient.connect(dead)).rejects.toMatchObject({
      code: 'ECONNREFUSED',
      message: expect.stringContaining('nobody listens there any more'),
    })
  })

  it('fails every open call when the server goes, and every later one', async () => {
    const path = await fakeServer(socket => socket.once('data', () => socket.destroy()))
    const client = await RpcClient.connect(path)
    const calls = [client.call('a'), client.call('b'), client.batch([{ method: 'c' }])]
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: expect.stringMatching(/ECONNRESET|EPIPE/) })
    await expect(client.call('d')).rejects.toThrow('the server closed the connection')
  })

  it('fails when the server does not speak JSON', async () => {
    const path = await fakeServer(socket => socket.once('data', () => socket.write('HTTP/1.1 400 Bad Request\r\n')))
    const client = await RpcClient.connect(path)
    await expect(client.call('a')).rejects.toMatchObject({
      code: 'BDEV_E_JSON',
      message: expect.stringContaining('wanted JSON-RPC answers'),
    })
  })

  it('ends its open calls when it is closed, and closes once', async () => {
    const { registry, client } = await connected()
    registry.register('gate', { states: 'any' }, () => new Promise<string>(() => undefined))
    const call = client.call('gate')
    const [outcome] = await Promise.allSettled([call, client.close()])
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ECONNRESET' } })
    await client.close()
  })
})
