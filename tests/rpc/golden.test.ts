// SPDX-License-Identifier: Apache-2.0
// Every request that was recorded from a real SPDK, in the same order on the same stack, against the built server.
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inFolder } from '../interop/support/files.js'
import { RawClient, startRpcServer, type RpcServerProcess } from './support.js'

interface Case {
  readonly name: string
  readonly request: string
  /** What came back; not recorded where it is absent. */
  readonly response_raw?: string
  readonly connection_closed_by_server?: boolean
}

const FORMATS = '../../compat/formats/jsonrpc/'
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(FORMATS + name, import.meta.url), 'utf8'))
const cases = read('errors.json') as Case[]
const setup = read('errors-setup.json') as { files: Record<string, number>; setup: { method: string; params: object }[] }
/** Errors of requests whose answer was not recorded, read out of SPDK's source. */
const derived = read('errors-derived.json') as Record<string, string>

// SPDK writes the UUID of a raid twice, and zeros as long as it waits for base bdevs: here it has its UUID from the start.
const raidUuids = (recorded: string): string =>
  recorded.replaceAll(/("uuid":"[^"]*"),\1/g, '$1').replaceAll(/("name":"RQ","uuid":)"[0-]*"/g, '$1"<uuid>"')

const result = (json: string): string => `{"jsonrpc":"2.0","id":1,"result":${json}}\n`
const KEY =
  '{"name":"k","cipher":"AES_XTS","key":"00000000000000000000000000000000","key2":"11111111111111111111111111111111","tweak_mode":"SIMPLE_LBA"}'

/** Deliberate differences, each in docs/spdk-differences.md: our answer, made of SPDK's. */
const DIFFERENCES: Record<string, (recorded: string) => string> = {
  'key: unsupported tweak mode': () => result('true'),
  'key_destroy: in use by CR': () =>
    '{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Failed to destroy key, rc -16"}}\n',
  'keys_get: after destroy while in use': () => result(`[${KEY}]`),
  'raid_get: R degraded': raidUuids,
  'raid_get: R after removal of the last': raidUuids,
  'state: raid at the end': raidUuids,
  // SPDK writes the name out of memory that it has freed.
  'get_bdevs: CR after its key was destroyed': recorded => recorded.replace(/"key_name":"[^}]*}/, '"key_name":"k"}'),
}

/** Requests whose answer tells of bdevs of modules that are not here, or of what follows from a difference. */
const ONLY_WITH: Record<string, string> = {
  'passthru: base claimed by raid': 'bdev_raid_create',
  'aio_delete: under an lvstore': 'bdev_lvol_create_lvstore',
  'get_bdevs: CR after its key was destroyed': 'bdev_crypto_create',
}

/** Random, or derived from a random one. */
const RANDOM_UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/g
const comparable = (text: string): string =>
  text
    .replace(/"tick_rate":\d+,"ticks":\d+/g, '"tick_rate":0,"ticks":0')
    .replace(RANDOM_UUID, uuid => (uuid.startsWith('5eed') ? uuid : '<uuid>'))

async function runningStack(folder: string): Promise<RpcServerProcess> {
  const server = await startRpcServer(folder, [])
  for (const { method, params } of setup.setup) await server.call(method, params).catch(() => undefined)
  return server
}

describe('the requests recorded from SPDK', () => {
  it('get the same answers, but for the differences that are meant', { timeout: 120_000 }, async () => {
    await inFolder(async folder => {
      for (const [name, lengthBytes] of Object.entries(setup.files)) {
        const file = join(folder, name)
        mkdirSync(dirname(file), { recursive: true })
        writeFileSync(file, '')
        truncateSync(file, lengthBytes)
      }
      let server = await runningStack(folder)
      const methods = new Set(await server.call<string[]>('rpc_get_methods'))
      let phase = 'runtime'
      const wrong: object[] = []
      let compared = 0
      for (const { name, request, response_raw: recorded, connection_closed_by_server: closes = false } of cases) {
        if (phase === 'runtime' && name.startsWith('startup')) {
          phase = 'startup'
          await server.stop()
          server = await startRpcServer(folder, ['--wait-for-rpc'])
        } else if (phase === 'startup' && name.startsWith('key_destroy: in use')) {
          phase = 'again'
          await server.stop()
          server = await runningStack(folder)
        }
        const method = /"method": ?"(\w+)"/.exec(request)?.[1]
        const needed = ONLY_WITH[name] ?? method
        const ofWire = name.startsWith('env:') || name.startsWith('startup')
        if (needed !== undefined && !methods.has(needed) && !ofWire) continue
        const wanted = DIFFERENCES[name]?.(recorded ?? '') ?? recorded ?? derived[name]
        const expectClose = recorded === undefined ? wanted === '' && !name.includes('notification') : closes
        const found = await ask(server.socket, request, wanted, expectClose)
        if (wanted === undefined) {
          // Not recorded, and no error of the framework's own: a module's answer, which its own tests know.
          if (!/^\[?\{"jsonrpc":"2\.0","id":1,"(?:result|error)":.*\}\]?\n$/.test(found.text))
            wrong.push({ name, request, found, wanted: 'one answer' })
          else if (process.env['BDEVKIT_GOLDEN_SHOW'] !== undefined) console.log(`${name}: ${found.text}`)
          continue
        }
        compared++
        if (comparable(found.text) !== comparable(wanted) || found.closed !== expectClose)
          wrong.push({ name, request, found, wanted, closes })
      }
      await server.stop()
      expect(wrong).toEqual([])
      expect(compared).toBeGreaterThan(150)
    })
  })
})

/** Sends a request and waits for its answer; where none is to come, for the answer to a second request. */
async function ask(
  socket: string,
  request: string,
  wanted: string | undefined,
  closes: boolean,
): Promise<{ text: string; closed: boolean }> {
  const client = await RawClient.open(socket)
  try {
    // Recorded as text where each character stands for a byte.
    client.send(
      Buffer.from(
        request.replace(/^<(\d+) spaces>/, (_all, count) => ' '.repeat(Number(count))),
        'latin1',
      ),
    )
    if (closes) return { text: await client.closed(), closed: true }
    if (wanted !== '') return { text: await client.lines((wanted ?? '\n').split('\n').length - 1), closed: client.isClosed }
    const probe = await RawClient.open(socket)
    probe.send('{"jsonrpc":"2.0","id":"probe","method":"spdk_get_version"}')
    await probe.lines(1)
    probe.close()
    return { text: client.received, closed: client.isClosed }
  } finally {
    client.close()
  }
}
