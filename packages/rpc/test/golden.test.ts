// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { RpcServer } from '../src/server.js'
import { hostFixture, runningHost } from './host-fixture.js'
import { cleanup, rawClient, tempFolder } from './support.js'

interface Case {
  readonly name: string
  readonly state: 'startup' | 'runtime'
  readonly request: string
  readonly response: string
  readonly closed: boolean
}

const cases = JSON.parse(readFileSync(new URL('../../../compat/formats/jsonrpc/answers.json', import.meta.url), 'utf8')) as Case[]
const app = { startInit: async () => undefined, kill: () => undefined }
// A second request, whose answer shows that nothing came before it and that the connection is open.
const PROBE = '{"jsonrpc":"2.0","id":"probe","method":"framework_wait_init"}'
const PROBE_RUNTIME = '{"jsonrpc":"2.0","id":"probe","result":true}\n'

const withoutClock = (text: string) => text.replace(/"tick_rate":\d+,"ticks":\d+/, '"tick_rate":0,"ticks":0')

describe('the answers of a real SPDK', () => {
  it.each(cases)('$name ($state)', async ({ state, request, response, closed }) => {
    const { registry } = state === 'startup' ? hostFixture(app) : await runningHost(app)
    if (state === 'runtime') {
      await registry.call('bdev_ram_create', { name: 'M0', num_blocks: 8 })
      await registry.call('bdev_ram_create', { name: 'N0', num_blocks: 8 })
    }
    const path = join(tempFolder(), 'spdk.sock')
    const server = await RpcServer.listen(path, { registry })
    cleanup(() => server.close({ timeoutMs: 0 }))
    const client = await rawClient(path)
    client.socket.write(request.replace(/^<(\d+) spaces>/, (_all, count) => ' '.repeat(Number(count))))
    if (closed) return expect(await client.closed()).toBe(response)
    if (response !== '') {
      expect(withoutClock(await client.lines(1))).toBe(withoutClock(response))
      expect(client.socket.destroyed).toBe(false)
    } else if (request.endsWith('}')) {
      client.socket.write(PROBE)
      expect(await client.lines(1)).toBe(PROBE_RUNTIME)
    } else {
      // What is incomplete is completed by whatever follows; the probe goes over another connection.
      const other = await rawClient(path)
      other.socket.write(PROBE)
      expect(await other.lines(1)).toBe(PROBE_RUNTIME)
      expect([client.received(), client.socket.destroyed]).toEqual(['', false])
    }
  })
})
