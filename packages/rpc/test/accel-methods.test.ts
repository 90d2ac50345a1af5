// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import type { RpcCallError } from '../src/errors.js'
import type { RpcRegistry } from '../src/registry.js'
import { hostFixture, runningHost } from './host-fixture.js'

const key = '00112233445566778899aabbccddeeff'
const key2 = 'ffeeddccbbaa99887766554433221100'
const good = { name: 'key0', cipher: 'AES_XTS', key, key2 }
/** The key as a real SPDK v26.09-pre answers and saves it. */
const golden =
  '{"name":"key0","cipher":"AES_XTS","key":"00112233445566778899aabbccddeeff",' +
  '"key2":"ffeeddccbbaa99887766554433221100","tweak_mode":"SIMPLE_LBA"}'
const create = (registry: RpcRegistry, params: object) => registry.call('accel_crypto_key_create', params)

async function failure(call: Promise<unknown>): Promise<{ code: number; message: string; reason: string }> {
  const error = await call.then(
    () => expect.unreachable('the call succeeded'),
    (thrown: RpcCallError) => thrown,
  )
  return { code: error.rpcCode, message: error.rpcMessage, reason: error.message }
}

describe('accel_crypto_key_create', () => {
  // Requests and answers of a real SPDK v26.09-pre.
  const zeros = '0'.repeat(32)
  const twos = '2'.repeat(32)
  it.each([
    ['length 24', { name: 'kx', cipher: 'AES_XTS', key: '0'.repeat(48), key2: '1'.repeat(48) }, 'failed to create DEK, rc -22'],
    ['odd hex digits', { name: 'kx', cipher: 'AES_XTS', key: '0'.repeat(31), key2: twos }, 'failed to create DEK, rc -22'],
    ['no key2', { name: 'kx', cipher: 'AES_XTS', key: zeros }, 'failed to create DEK, rc -22'],
    ['key1 == key2', { name: 'kx', cipher: 'AES_XTS', key: zeros, key2: zeros }, 'failed to create DEK, rc -22'],
    ['AES_CBC', { name: 'kcbc', cipher: 'AES_CBC', key: zeros, key2: twos }, 'failed to create DEK, rc -22'],
    ['empty', { name: 'kx', cipher: 'AES_XTS', key: '', key2: twos }, 'failed to create DEK, rc -22'],
    ['duplicate', { name: 'key0', cipher: 'AES_XTS', key: zeros, key2: twos }, 'failed to create DEK, rc -17'],
  ])('answers as SPDK does: %s', async (_name, params, message) => {
    const { registry } = await runningHost()
    await create(registry, good)
    expect(await failure(create(registry, params))).toMatchObject({ code: -32602, message })
  })

  it.each([
    ['an unknown cipher', { ...good, cipher: 'AES_FOO' }],
    ['an unknown tweak mode', { ...good, tweak_mode: 'FOO' }],
    ['no name', { cipher: 'AES_XTS', key, key2 }],
    ['no cipher', { name: 'key0', key, key2 }],
    ['no key', { name: 'key0', cipher: 'AES_XTS', key2 }],
    ['a parameter nobody knows', { ...good, key3: key }],
    ['a key that is a number', { ...good, key: 1234567890123456 }],
  ])('refuses %s as undecodable', async (_name, params) => {
    const { registry } = await runningHost()
    expect(await failure(create(registry, params))).toMatchObject({ code: -32700, message: 'spdk_json_decode_object failed' })
  })

  it('takes all tweak modes of SPDK, and shows the default', async () => {
    const { registry } = await runningHost()
    const modes = ['SIMPLE_LBA', 'JOIN_NEG_LBA_WITH_LBA', 'INCR_512_FULL_LBA', 'INCR_512_UPPER_LBA']
    for (const tweak_mode of modes) expect(await create(registry, { ...good, name: tweak_mode, tweak_mode })).toBe(true)
    expect(await create(registry, good)).toBe(true)
    const keys = await registry.call<{ tweak_mode: string }[]>('accel_crypto_keys_get')
    expect(keys.map(({ tweak_mode }) => tweak_mode)).toEqual([...modes, 'SIMPLE_LBA'])
  })

  it('shows key bytes in no error and no message, whatever is wrong with them', async () => {
    const { registry, log } = await runningHost()
    const digits = '31415926535897932384626433832795'
    const texts: string[] = []
    for (const wrong of [
      { key: digits, key2: digits },
      { key: `${digits}x` },
      { key: 31415926535897 },
      { key: [digits] },
      { key2: 31415926 },
    ]) {
      texts.push((await failure(create(registry, { ...good, ...wrong }))).reason)
    }
    registry.invoke(
      'accel_crypto_key_create',
      { ...good, key: 0 },
      [{ kind: 'unsafe-integer', path: ['params', 'key'], text: digits, offset: 0 }],
      outcome => texts.push(JSON.stringify(outcome)),
    )
    await create(registry, { ...good, key: digits })
    const said = [...texts, JSON.stringify(log)].join('\n')
    expect(said).toContain('key and key2 are equal')
    expect(said).not.toContain('3141592')
    expect(said).not.toContain(key2)
  })
})

describe('keys over RPC', () => {
  it('are answered as SPDK answers them', async () => {
    const { registry } = await runningHost()
    expect(await registry.call('accel_crypto_keys_get')).toEqual([])
    await create(registry, good)
    const wanted = `[${golden}]`
    expect(JSON.stringify(await registry.call('accel_crypto_keys_get'))).toBe(wanted)
    expect(JSON.stringify(await registry.call('accel_crypto_keys_get', { key_name: 'key0' }))).toBe(wanted)
    expect(await failure(registry.call('accel_crypto_keys_get', { key_name: 'nope' }))).toMatchObject({
      code: -32602,
      message: 'key was not found',
    })
    expect(await failure(registry.call('accel_crypto_keys_get', { name: 'key0' }))).toMatchObject({ code: -32700 })
  })

  it('are destroyed unless somebody uses them', async () => {
    const { registry, host } = await runningHost()
    await create(registry, good)
    const destroy = (key_name: string) => registry.call('accel_crypto_key_destroy', { key_name })
    expect(await failure(destroy('nope'))).toMatchObject({ code: -32602, message: 'No key object found' })
    const held = host.keys.hold('key0', 'crypto bdev "C0"')
    const refused = await failure(destroy('key0'))
    expect(refused).toMatchObject({ code: -32602, message: 'Failed to destroy key, rc -16' })
    expect(refused.reason).toContain('crypto bdev "C0" uses it')
    held.release()
    expect(await destroy('key0')).toBe(true)
    expect(await registry.call('accel_crypto_keys_get')).toEqual([])
  })

  it('are saved before the bdevs, byte for byte as SPDK saves them, and load again', async () => {
    const { registry } = await runningHost()
    await create(registry, good)
    const saved = await registry.call('framework_get_config', { name: 'accel' })
    expect(JSON.stringify(saved)).toBe(
      '[{"method":"accel_set_options","params":{"small_cache_size":128,"large_cache_size":16,"task_count":2048,' +
        `"sequence_count":2048,"buf_count":2048}},{"method":"accel_crypto_key_create","params":${golden}}]`,
    )
    const subsystems = await registry.call<{ subsystem: string }[]>('framework_get_subsystems')
    expect(subsystems.map(({ subsystem }) => subsystem).slice(-2)).toEqual(['accel', 'bdev'])
    const again = hostFixture()
    const [options, call] = saved as { method: string; params: object }[]
    await again.registry.call(options.method, { ...options.params, task_count: 64 })
    await again.host.init()
    again.registry.enterRuntime()
    await again.registry.call(call.method, call.params)
    expect(await again.registry.call('framework_get_config', { name: 'accel' })).toEqual([
      { method: 'accel_set_options', params: { ...options.params, task_count: 64 } },
      call,
    ])
  })
})

describe('accel', () => {
  it('names its operations and who carries them out', async () => {
    const { registry } = await runningHost()
    const ops = ['copy', 'fill', 'compare', 'crc32c', 'xor', 'encrypt', 'decrypt']
    expect(await registry.call('accel_get_module_info')).toEqual([{ module: 'software', 'supported ops': ops }])
    expect(await registry.call('accel_get_opc_assignments')).toEqual(Object.fromEntries(ops.map(op => [op, 'software'])))
    expect(await failure(registry.call('accel_get_opc_assignments', {}))).toMatchObject({
      code: -32602,
      message: 'accel_get_opc_assignments requires no parameters',
    })
    expect(await failure(registry.call('accel_get_module_info', {}))).toMatchObject({
      code: -32602,
      message: 'accel_get_module_info requires no parameters',
    })
  })

  it('counts what was encrypted and decrypted', async () => {
    const { registry, host } = await runningHost()
    await create(registry, good)
    const channel = host.keys.hold('key0', 'test').channel(512)
    const iovs = [{ buf: new Uint8Array(1024), off: 0, len: 1024 }]
    await new Promise<void>(resolve => channel.decrypt(iovs, 1, 0, 2, () => resolve(), null))
    expect(JSON.stringify(await registry.call('accel_get_stats'))).toBe(
      '{"sequence_executed":0,"sequence_failed":0,"sequence_outstanding":0,"task_outstanding":0,' +
        '"operations":[{"opcode":"decrypt","module_name":"software","executed":1,"failed":0,"num_bytes":1024}],' +
        '"retry_task":0,"retry_sequence":0,"retry_iobuf":0,"retry_bufdesc":0}',
    )
  })
})

describe('accel_assign_opc', () => {
  it('takes the one engine there is, before the host is initialised, and is saved behind the options', async () => {
    const { registry, host } = hostFixture()
    const subsystem = () => registry.call<{ method: string; params: object }[]>('framework_get_config', { name: 'accel' })
    expect(await registry.call('accel_assign_opc', { opname: 'xor', module: 'software' })).toBe(true)
    expect(await registry.call('accel_assign_opc', { opname: 'crc32c', module: 'software' })).toBe(true)
    expect(await registry.call('accel_assign_opc', { opname: 'xor', module: 'software' })).toBe(true)
    await host.init()
    registry.enterRuntime()
    await create(registry, good)
    expect((await subsystem()).map(({ method, params }) => [method, (params as { opname?: string }).opname])).toEqual([
      ['accel_set_options', undefined],
      ['accel_assign_opc', 'crc32c'],
      ['accel_assign_opc', 'xor'],
      ['accel_crypto_key_create', undefined],
    ])
    expect(await failure(registry.call('accel_assign_opc', { opname: 'xor', module: 'software' }))).toMatchObject({ code: -1 })
  })

  it.each([
    ['another engine', { opname: 'crc32c', module: 'dsa' }, -32602, 'error assigning opcode', 'wanted "software", the only engine here, for crc32c, found "dsa"'],
    ['an unknown operation', { opname: 'crc7', module: 'software' }, -32602, 'spdk_json_decode_object failed', 'found "crc7"'],
    ['no engine', { opname: 'xor' }, -32700, 'spdk_json_decode_object failed', 'module'],
  ])('refuses %s', async (_name, params, code, message, reason) => {
    const { registry } = hostFixture()
    expect(await failure(registry.call('accel_assign_opc', params))).toMatchObject({ code, message, reason: expect.stringContaining(reason) as string })
  })
})
