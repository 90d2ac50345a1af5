// SPDX-License-Identifier: Apache-2.0
import { existsSync, lstatSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { RpcServer } from '../src/server.js'
import { cleanup, deferred, echoRegistry, eventLoopTurns, rawClient, tempFolder } from './support.js'

async function serve(options: { paused?: boolean; responseBytesTotalMax?: number } = {}) {
  const { registry, log } = echoRegistry()
  const path = join(tempFolder(), 'rpc.sock')
  const server = await RpcServer.listen(path, { registry, ...options })
  cleanup(() => server.close({ timeoutMs: 0 }))
  return { registry, log, path, server }
}

const request = (id: number | string, method: string, params?: object) => JSON.stringify({ jsonrpc: '2.0', id, method, params })
const ok = (id: number | string, result: unknown) =>
  `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${JSON.stringify(result)}}\n`

describe('RpcServer on its socket', () => {
  it('answers a request and keeps the connection', async () => {
    const { path } = await serve()
    const client = await rawClient(path)
    client.socket.write(request(1, 'sum', { a: 1, b: 2 }))
    await client.lines(1)
    client.socket.write(request('x', 'sum', { a: 3, b: 4 }))
    expect(await client.lines(2)).toBe(ok(1, 3) + ok('x', 7))
  })

  it('answers a request that comes byte by byte', async () => {
    const { path } = await serve()
    const client = await rawClient(path)
    client.socket.setNoDelay()
    for (const char of ` \n${request(7, 'echo', { a: 'é"{' })}`) {
      await new Promise(resolve => client.socket.write(char, resolve))
    }
    expect(await client.lines(1)).toBe('{"jsonrpc":"2.0","id":7,"result":{"a":"\\u00E9\\"{"}}\n')
  })

  it('answers pipelined requests in the order of their completion', async () => {
    const { registry, path } = await serve()
    const gate = deferred<string>()
    registry.register('gate', { states: 'any' }, () => gate.promise)
    const client = await rawClient(path)
    client.socket.write(request(1, 'gate') + request(2, 'later') + '\n' + request(3, 'sum', { a: 1, b: 1 }))
    await client.lines(2)
    gate.resolve('open')
    expect(await client.lines(3)).toBe(ok(3, 2) + ok(2, 'later') + ok(1, 'open'))
  })

  it('answers a batch with one array in the order of completion', async () => {
    const { path } = await serve()
    const client = await rawClient(path)
    client.socket.write(`[${request(1, 'later')},${request(2, 'sum', { a: 1, b: 1 })},5,{"method":"later"}]`)
    const invalid = '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid request"}}'
    expect(await client.lines(1)).toBe(`[${ok(2, 2).trim()},${invalid},${ok(1, 'later').trim()}]\n`)
  })

  it('sends nothing for notifications that succeed', async () => {
    const { path } = await serve()
    const client = await rawClient(path)
    client.socket.write(`{"method":"later"}[{"method":"later"},{"method":"later","id":null}]${request(1, 'later')}`)
    expect(await client.lines(1)).toBe(ok(1, 'later'))
  })

  it('closes without an answer what is no JSON, and drops answers that were not sent yet', async () => {
    const { path, log } = await serve()
    for (const bytes of [
      '{"id":1,"method":"sum",}',
      `${request(1, 'later')} xyz`,
      `${' '.repeat(300_000)}{}`,
      '{"a":"\u0001"}',
      `["${'\\ud800'}"]`,
    ]) {
      const client = await rawClient(path)
      client.socket.write(bytes)
      expect(await client.closed()).toBe('')
    }
    const client = await rawClient(path)
    client.socket.write(`${request(1, 'sum', { a: 1, b: 1 })}}`)
    expect(await client.closed()).toBe('')
    expect(log.lines.filter(line => line.startsWith('warn: connection closed: '))).toHaveLength(6)
  })

  it('refuses a request of more than 256 KiB and takes one that just fits', async () => {
    const { path } = await serve()
    const empty = request(1, 'echo', { a: '' })
    const fits = request(1, 'echo', { a: 'x'.repeat(256 * 1024 - empty.length) })
    const client = await rawClient(path)
    client.socket.write(fits)
    expect((await client.lines(1)).length).toBeGreaterThan(256 * 1024 - 100)
    const other = await rawClient(path)
    other.socket.write(`${fits.slice(0, -2)}x"}}`)
    expect(await other.closed()).toBe('')
  })

  it('closes the connection of a request with more than 8192 values', async () => {
    const { path } = await serve()
    const client = await rawClient(path)
    client.socket.write(`[${'1,'.repeat(8190)}1]`)
    expect(await client.closed()).toBe('')
  })

  it('serves a client that has closed its sending half', async () => {
    const { registry, path } = await serve()
    const gate = deferred<string>()
    registry.register('gate', { states: 'any' }, () => gate.promise)
    const client = await rawClient(path)
    client.socket.end(request(1, 'gate') + request(2, 'later'))
    await client.lines(1)
    gate.resolve('open')
    expect(await client.closed()).toBe(ok(2, 'later') + ok(1, 'open'))
  })

  it('carries a request out although its client has gone', async () => {
    const { registry, path, server } = await serve()
    const begun = deferred()
    const gate = deferred()
    const ended = deferred()
    registry.register('gate', { states: 'any' }, async () => {
      begun.resolve()
      await gate.promise
      ended.resolve()
    })
    const client = await rawClient(path)
    client.socket.write(request(1, 'gate'))
    await begun.promise
    client.socket.destroy()
    gate.resolve()
    await ended.promise
    const next = await rawClient(path)
    next.socket.write(request(1, 'later'))
    expect(await next.lines(1)).toBe(ok(1, 'later'))
    expect(server.connections.served).toBeLessThanOrEqual(2)
  })

  it('reads nothing while paused', async () => {
    const { path, server } = await serve({ paused: true })
    const client = await rawClient(path)
    client.socket.write(request(1, 'later'))
    await eventLoopTurns()
    expect(client.received()).toBe('')
    server.resume()
    expect(await client.lines(1)).toBe(ok(1, 'later'))
    server.pause()
    client.socket.write(request(2, 'later'))
    await eventLoopTurns()
    expect(client.received()).toBe(ok(1, 'later'))
    server.resume()
    expect(await client.lines(2)).toBe(ok(1, 'later') + ok(2, 'later'))
  })

  it('stops reading while 1024 requests are in work', async () => {
    const { registry, path } = await serve()
    const gate = deferred<string>()
    const full = deferred()
    let calls = 0
    registry.register('gate', { states: 'any' }, () => {
      if (++calls === 1024) full.resolve()
      return gate.promise
    })
    const client = await rawClient(path)
    // Eight to a chunk of 64 KiB.
    for (let id = 0; id < 1200; id++) client.socket.write(request(id, 'gate').padEnd(8192))
    await full.promise
    await eventLoopTurns()
    expect(calls).toBeLessThan(1024 + 16)
    gate.resolve('open')
    await client.lines(1200)
    expect(calls).toBe(1200)
  })

  it('stops reading while answers pile up, and loses none of them', async () => {
    const { registry, path } = await serve()
    let calls = 0
    registry.register('big', { states: 'any' }, () => {
      calls++
      return 'x'.repeat(64 * 1024)
    })
    const client = await rawClient(path)
    client.socket.pause()
    const total = 200
    let sent = 0
    // One request per write, so that the server sees them in many chunks.
    while (sent < total) {
      const pad = ' '.repeat(20_000)
      client.socket.write(`${pad}${request(++sent, 'big')}`)
    }
    const stalled = await rawClient(path)
    for (let i = 0; i < 20; i++) {
      stalled.socket.write(request(i, 'later'))
      await stalled.lines(i + 1)
    }
    expect(calls).toBeLessThan(total)
    client.socket.resume()
    const text = await client.lines(total)
    expect(
      text
        .split('\n')
        .slice(0, -1)
        .map(line => (JSON.parse(line) as { id: number }).id),
    ).toEqual(Array.from({ length: total }, (_, i) => i + 1))
    expect(calls).toBe(total)
  })

  it('closes a client whose unread answers would pass 32 MiB', async () => {
    const { registry, path, log } = await serve()
    const gate = deferred<string>()
    registry.register('big', { states: 'any' }, () => gate.promise)
    const client = await rawClient(path)
    client.socket.pause()
    for (let i = 0; i < 5; i++) client.socket.write(request(i, 'big'))
    const other = await rawClient(path)
    other.socket.write(request(1, 'later'))
    await other.lines(1)
    gate.resolve('x'.repeat(8 * 1024 * 1024))
    client.socket.resume()
    await client.closed()
    expect(log.lines.join('\n')).toMatch(/connection closed: its client leaves \d+ bytes of answers unread/)
    other.socket.write(request(2, 'later'))
    expect(await other.lines(2)).toContain(ok(2, 'later'))
  })

  it('closes the client whose unread answers would pass the limit of all clients together', async () => {
    const { registry, path, log } = await serve({ responseBytesTotalMax: 10 * 1024 * 1024 })
    const gates = [deferred<string>(), deferred<string>()]
    const begun = [deferred(), deferred()]
    registry.register(
      'big',
      { states: 'any', params: { type: 'object', properties: { n: { type: 'integer' } } } },
      ({ n }: { n: 0 | 1 }) => {
        begun[n]?.resolve()
        return gates[n]?.promise
      },
    )
    const clients = [await rawClient(path), await rawClient(path)]
    for (const [n, client] of clients.entries()) {
      client.socket.pause()
      client.socket.write(request(n, 'big', { n }))
      await begun[n]?.promise
      gates[n]?.resolve('x'.repeat(6 * 1024 * 1024))
      await eventLoopTurns()
    }
    for (const client of clients) client.socket.resume()
    expect(await clients[1]?.closed()).toBe('')
    expect((await clients[0]?.lines(1))?.length).toBeGreaterThan(6 * 1024 * 1024)
    expect(log.lines.filter(line => line.includes('of answers unread'))).toHaveLength(1)
  })

  it('answers an internal error for a result of more than 32 MiB', async () => {
    const { registry, path, log } = await serve()
    registry.register('huge', { states: 'any' }, () => 'x'.repeat(33 * 1024 * 1024))
    const client = await rawClient(path)
    client.socket.write(request(1, 'huge'))
    expect(await client.lines(1)).toBe('{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"Internal error"}}\n')
    expect(log.lines.at(-1)).toContain('huge: its result cannot be sent')
  })

  it('serves 64 clients, lets the next wait, and serves it when one has gone', async () => {
    const { path, server } = await serve()
    const clients = []
    for (let i = 0; i < 64; i++) {
      const client = await rawClient(path)
      client.socket.write(request(i, 'later'))
      await client.lines(1)
      clients.push(client)
    }
    const late = await rawClient(path)
    late.socket.write(request('late', 'later'))
    clients[5]?.socket.write(request('again', 'later'))
    await clients[5]?.lines(2)
    expect(late.received()).toBe('')
    expect(server.connections).toEqual({ served: 64, waiting: 1 })
    clients[0]?.socket.destroy()
    expect(await late.lines(1)).toBe(ok('late', 'later'))
  })

  it('finishes the requests in work before it closes, then leaves no file', async () => {
    const { registry, path, server } = await serve()
    const gate = deferred<string>()
    const begun = deferred()
    registry.register('gate', { states: 'any' }, () => {
      begun.resolve()
      return gate.promise
    })
    const client = await rawClient(path)
    client.socket.write(request(1, 'gate'))
    await begun.promise
    const closed = server.close({ timeoutMs: 60_000 })
    gate.resolve('done')
    expect(await client.closed()).toBe(ok(1, 'done'))
    await closed
    expect(readdirSync(join(path, '..'))).toEqual([])
  })

  it('closes in bounded time and says which client kept it', async () => {
    const { registry, path, server, log } = await serve()
    registry.register('never', { states: 'any' }, () => new Promise<void>(() => undefined))
    const client = await rawClient(path)
    client.socket.write(request(1, 'never') + request(2, 'later'))
    await client.lines(1)
    await server.close({ timeoutMs: 10 })
    expect(log.lines.at(-1)).toContain('closed with 1 requests of a client in work after 10 ms')
    await client.closed()
  })

  it('survives random bytes on many connections', async () => {
    const { path } = await serve()
    let seed = 1
    const random = () => (seed = (seed * 1103515245 + 12345) % 2 ** 31)
    for (let round = 0; round < 100; round++) {
      const client = await rawClient(path)
      const bytes = Buffer.from(Array.from({ length: 64 }, () => random() % 256))
      client.socket.end(round % 2 === 0 ? bytes : Buffer.concat([Buffer.from('{"method":"'), bytes]))
      await client.closed()
    }
    const client = await rawClient(path)
    client.socket.write(request(1, 'later'))
    expect(await client.lines(1)).toBe(ok(1, 'later'))
  })
})

describe('the socket path', () => {
  const listen = async (path: string) => {
    const server = await RpcServer.listen(path, { registry: echoRegistry().registry })
    cleanup(() => server.close({ timeoutMs: 0 }))
    return server
  }

  it('is of mode 0600 whatever the umask, and the umask stays', async () => {
    const umask = process.umask(0)
    cleanup(() => process.umask(umask))
    const path = join(tempFolder(), 'rpc.sock')
    await listen(path)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(`${path}.lock`).mode & 0o777).toBe(0o600)
    expect(process.umask(0)).toBe(0)
  })

  it('is refused while this or another live process serves it', async () => {
    const path = join(tempFolder(), 'rpc.sock')
    await listen(path)
    await expect(listen(path)).rejects.toMatchObject({
      code: 'EADDRINUSE',
      message: expect.stringContaining('found it served by this process'),
    })
    const other = join(tempFolder(), 'rpc.sock')
    writeFileSync(`${other}.lock`, `${process.ppid}\n`)
    await expect(listen(other)).rejects.toMatchObject({
      code: 'EADDRINUSE',
      message: expect.stringContaining(`process ${process.ppid}`),
    })
    expect(readdirSync(join(other, '..'))).toEqual(['rpc.sock.lock'])
  })

  it('is refused while a server without our lock answers on it', async () => {
    const path = join(tempFolder(), 'rpc.sock')
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    cleanup(() => child.kill('SIGKILL'))
    await once(child.stdout, 'data')
    writeFileSync(`${path}.lock`, '') // as SPDK leaves it: empty, flock()ed
    await expect(listen(path)).rejects.toMatchObject({
      code: 'EADDRINUSE',
      message: expect.stringContaining('another server that answers'),
    })
    expect(existsSync(path)).toBe(true)
  })

  it('is taken over with the lock and socket of a process that died', async () => {
    const path = join(tempFolder(), 'rpc.sock')
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
    const child = spawn(process.execPath, ['-e', script], { stdio: 'inherit' })
    await once(child, 'exit')
    expect(lstatSync(path).isSocket()).toBe(true)
    writeFileSync(`${path}.lock`, `${child.pid} 1\n`)
    await listen(path)
    const client = await rawClient(path)
    client.socket.write(request(1, 'later'))
    expect(await client.lines(1)).toBe(ok(1, 'later'))
    expect(readFileSync(`${path}.lock`, 'utf8')).toMatch(new RegExp(`^${process.pid}\\b`))
    expect(readdirSync(join(path, '..')).sort()).toEqual(['rpc.sock', 'rpc.sock.lock'])
  })

  it.runIf(existsSync('/proc/self/stat'))('is taken over from a process whose pid now belongs to another', async () => {
    const path = join(tempFolder(), 'rpc.sock')
    writeFileSync(`${path}.lock`, `${process.pid} 1\n`)
    await listen(path)
  })

  it('is refused when it is no socket, which is left alone', async () => {
    const path = join(tempFolder(), 'stack.json')
    writeFileSync(path, '{}')
    await expect(listen(path)).rejects.toMatchObject({
      code: 'EEXIST',
      message: expect.stringContaining('found another kind of file'),
    })
    expect(readFileSync(path, 'utf8')).toBe('{}')
    expect(existsSync(`${path}.lock`)).toBe(false)
  })

  it('is refused with its limit when it is too long, or its folder is missing', async () => {
    await expect(listen(`/tmp/${'x'.repeat(200)}`)).rejects.toMatchObject({
      code: 'ENAMETOOLONG',
      message: expect.stringContaining('found 205 bytes'),
    })
    await expect(listen(join(tempFolder(), 'none', 'rpc.sock'))).rejects.toMatchObject({
      code: 'ENOENT',
      message: expect.stringContaining('create it'),
    })
  })
})
