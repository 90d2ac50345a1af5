// SPDX-License-Identifier: Apache-2.0
// Many clients that ask without waiting, among others that mean no good.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { inFolder } from '../interop/support/files.js'
import { RawClient, startRpcServer } from './support.js'

const CONNECTIONS = 32
const REQUESTS = 10_000

const methods = ['spdk_get_version', 'bdev_get_bdevs', 'nope', 'bdev_malloc_create']

function request(id: number): string {
  const method = methods[id % methods.length]
  return `${JSON.stringify({ jsonrpc: '2.0', id, method })}\n`
}

/** What each request is answered: a result, or the code of its error. */
function wanted(id: number): string | number {
  return ['result', 'result', -32601, -32603][id % methods.length] as string | number
}

/** Clients of the bad kind; each is gone, one way or the other, when the promise settles. */
const hostile: ((path: string) => Promise<void>)[] = [
  async path => {
    const client = await RawClient.open(path)
    client.send(request(1).repeat(20))
    client.close()
  },
  async path => {
    const client = await RawClient.open(path)
    client.send('{"jsonrpc":"2.0","id":1,"method":"bdev_get_bdevs"}}}}} \u0000\u00ff')
    await client.closed()
    client.close()
  },
  async path => {
    const client = await RawClient.open(path)
    client.send(Buffer.alloc(1024 * 1024, 0x20))
    await client.closed()
    client.close()
  },
  async path => {
    const client = await RawClient.open(path)
    client.send(`[${'['.repeat(100)}`)
    await client.closed()
    client.close()
  },
  async path => {
    // Half a request, and never the rest.
    const client = await RawClient.open(path)
    client.send('{"jsonrpc":"2.0","id":')
    await new Promise(resolve => setImmediate(resolve))
    client.close()
  },
]

/** Sockets of a process; Node opens and closes descriptors of its own. */
function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter(fd => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:')
    } catch {
      return false
    }
  }).length
}

const residentMiB = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024

describe.skipIf(process.platform !== 'linux')('the JSON-RPC socket', () => {
  it(
    'answers 10,000 requests of 32 clients rightly among hostile ones, and keeps neither memory nor descriptors',
    { timeout: 120_000 },
    async () => {
      await inFolder(async folder => {
        const server = await startRpcServer(folder, [])
        const pid = server.child.pid as number
        // An answer shows that the server has accepted this test's own connection, too.
        await server.call('spdk_get_version')
        const descriptorsBefore = descriptors(pid)
        const round = async (count: number): Promise<void> => {
          const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => RawClient.open(server.socket)))
          const bad = Array.from({ length: CONNECTIONS }, (_, i) => hostile[i % hostile.length]!(server.socket))
          await Promise.all(
            clients.map(async (client, index) => {
              const ids = Array.from({ length: count / CONNECTIONS }, (_, i) => i * CONNECTIONS + index)
              client.send(ids.map(request).join(''))
              const text = await client.lines(ids.length)
              const answers = text
                .trimEnd()
                .split('\n')
                .map(line => JSON.parse(line) as { id: number; result?: unknown; error?: { code: number } })
              const found = new Map(answers.map(({ id, error }) => [id, error === undefined ? 'result' : error.code]))
              expect(found).toEqual(new Map(ids.map(id => [id, wanted(id)])))
              client.close()
            }),
          )
          await Promise.all(bad)
        }
        await round(REQUESTS - (REQUESTS % CONNECTIONS))
        const memoryBefore = residentMiB(pid)
        for (let i = 0; i < 3; i++) await round(REQUESTS - (REQUESTS % CONNECTIONS))
        // The garbage collector comes when it likes: flat means that three rounds more cost less than a tenth of what they carried.
        expect(residentMiB(pid) - memoryBefore).toBeLessThan(64)
        expect(await server.call('spdk_get_version')).toBeDefined()
        // The server closes its ends when it has seen that the clients' are gone.
        for (let turn = 0; turn < 200 && descriptors(pid) > descriptorsBefore; turn++) await server.call('spdk_get_version')
        expect(descriptors(pid)).toBe(descriptorsBefore)
        expect(await server.stop()).toBe(0)
      })
    },
  )
})
