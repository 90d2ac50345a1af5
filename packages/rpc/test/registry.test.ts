// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { RpcRegistry, type RpcState } from '../src/registry.js'
import { RpcCallError } from '../src/errors.js'
import { testLog } from './support.js'

const nullCreate = {
  params: {
    type: 'object',
    required: ['name', 'num_blocks'],
    properties: {
      name: { type: 'string' },
      num_blocks: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
      uuid: { type: 'string', format: 'uuid' },
      level: { enum: ['raid0', 'raid1'] },
      key: { type: 'string', pattern: '^[0-9a-f]+$' },
      base_bdevs: { type: 'array', items: { type: 'string' } },
    },
  },
}

function fixture(state: RpcState = 'startup') {
  const log = testLog()
  const registry = new RpcRegistry({ log })
  if (state === 'runtime') registry.enterRuntime()
  registry.register('bdev_null_create', nullCreate, ({ name }: { name: string }) => name)
  return { registry, log }
}

const failure = async (call: Promise<unknown>): Promise<RpcCallError> => {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(RpcCallError)
  return error as RpcCallError
}

describe('parameters', () => {
  it.each([
    ['an unknown one', { name: 'n', num_blocks: 1, foo: 1 }, '"params.foo": no such parameter; known: name, num_blocks, uuid'],
    ['a missing one', { name: 'n' }, '"params.num_blocks": wanted, not found'],
    ['a string for an integer', { name: 'n', num_blocks: '2048' }, '"params.num_blocks": wanted type integer, found "2048"'],
    ['a fraction', { name: 'n', num_blocks: 1.5 }, '"params.num_blocks": wanted type integer, found 1.5'],
    ['a negative count', { name: 'n', num_blocks: -1 }, '"params.num_blocks": wanted a value that must be >= 0, found -1'],
    ['null', { name: null, num_blocks: 1 }, '"params.name": wanted type string, found null'],
    [
      'a bad UUID',
      { name: 'n', num_blocks: 1, uuid: 'zzz' },
      '"params.uuid": wanted a value that must match format "uuid", found "zzz"',
    ],
    [
      'a value that is not listed',
      { name: 'n', num_blocks: 1, level: 'raid9' },
      '"params.level": wanted one of "raid0", "raid1", found "raid9"',
    ],
    ['a bad element', { name: 'n', num_blocks: 1, base_bdevs: ['a', 5] }, '"params.base_bdevs[1]": wanted type string, found 5'],
    ['an array instead of an object', ['n', 1], '"params": wanted type object, found an array of 2'],
  ])('that hold %s fail to decode, and the log says why', async (_name, params, problem) => {
    const { registry, log } = fixture('runtime')
    const error = await failure(registry.call('bdev_null_create', params))
    expect(error).toMatchObject({ rpcCode: -32603, rpcMessage: 'spdk_json_decode_object failed', code: 'BDEV_E_RPC' })
    expect(log.lines[0]).toContain(`error: bdev_null_create: ${problem}`)
  })

  it('that may be keys are never in the log', async () => {
    const { registry, log } = fixture('runtime')
    await failure(registry.call('bdev_null_create', { name: 'n', num_blocks: 1, key: 'SECRET' }))
    expect(log.lines[0]).toContain('"params.key": wanted a value that must match pattern')
    expect(log.lines[0]).toContain('found a string of 6')
    expect(log.lines.join()).not.toContain('SECRET')
  })

  it('that do not decode are answered as the method says', async () => {
    const { registry } = fixture('runtime')
    registry.register('split', { ...nullCreate, decodeError: { code: -32602, message: 'Invalid parameters' } }, () => true)
    registry.register('raid', { ...nullCreate, decodeError: { code: -32700 } }, () => true)
    expect(await failure(registry.call('split', {}))).toMatchObject({ rpcCode: -32602, rpcMessage: 'Invalid parameters' })
    expect(await failure(registry.call('raid'))).toMatchObject({ rpcCode: -32700, rpcMessage: 'spdk_json_decode_object failed' })
  })

  it('of a method that takes none are refused or ignored, as SPDK does for that method', async () => {
    const { registry } = fixture()
    registry.register('a', {}, () => 1)
    registry.register('b', {}, () => 2, { sentParams: 'ignore' })
    registry.register('c', {}, () => 3, { sentParams: { refuse: "'c' requires no arguments" } })
    expect(await failure(registry.call('a', {}))).toMatchObject({ rpcCode: -1, code: 'BDEV_E_RPC' })
    registry.enterRuntime()
    expect(await failure(registry.call('a', {}))).toMatchObject({ rpcCode: -32602, rpcMessage: 'a requires no parameters' })
    expect(await registry.call('b', { a: 1 })).toBe(2)
    expect(await failure(registry.call('c', {}))).toMatchObject({ rpcMessage: "'c' requires no arguments" })
    expect(await registry.call('c')).toBe(3)
  })

  it('reach the handler as a copy', async () => {
    const { registry } = fixture()
    const seen: object[] = []
    registry.register(
      'keep',
      { params: { type: 'object', properties: { list: { type: 'array' } } } },
      (params: object) => void seen.push(params),
    )
    registry.enterRuntime()
    const sent = { list: [1] }
    await registry.call('keep', sent)
    sent.list.push(2)
    expect(seen).toEqual([{ list: [1] }])
  })
})

describe('errors of handlers', () => {
  const thrown = async (value: unknown) => {
    const { registry, log } = fixture()
    registry.register('fails', { states: 'any' }, () => {
      throw value
    })
    registry.register('rejects', { states: 'any' }, () => Promise.reject(value as Error))
    const errors = [await failure(registry.call('fails')), await failure(registry.call('rejects'))]
    expect(errors[0]).toMatchObject({ rpcCode: errors[1]?.rpcCode, rpcMessage: errors[1]?.rpcMessage })
    return { error: errors[0] as RpcCallError, log: log.lines.join('\n') }
  }

  it('with an errno name become the number and its text; the message goes to the log', async () => {
    const { error, log } = await thrown(Object.assign(new Error('bdev "x": wanted a free name'), { code: 'EEXIST' }))
    expect(error).toMatchObject({ rpcCode: -17, rpcMessage: 'File exists', code: 'EEXIST' })
    expect(log).toContain('warn: fails: bdev "x": wanted a free name')
    expect((await thrown({ code: 'ENOTSUP' })).error).toMatchObject({ rpcCode: -95, rpcMessage: 'Operation not supported' })
    expect((await thrown({ code: 'EPERM' })).error).toMatchObject({ rpcCode: -1, code: 'EPERM' })
  })

  it('with a code and text of their own are sent as they are', async () => {
    const error = Object.assign(new Error('x'), { rpcCode: -32602, rpcMessage: "Subsystem 'x' not found", code: 'ENODEV' })
    expect((await thrown(error)).error).toMatchObject({ rpcCode: -32602, rpcMessage: "Subsystem 'x' not found" })
  })

  it('of any other kind tell a client nothing, and the log everything', async () => {
    for (const value of [
      new TypeError('secret detail'),
      'secret detail',
      Object.assign(new Error('secret detail'), { code: 'BDEV_E_X' }),
    ]) {
      const { error, log } = await thrown(value)
      expect(error).toMatchObject({ rpcCode: -32603, rpcMessage: 'Internal error' })
      expect(log).toContain('error: fails: its handler failed: ')
      expect(log).toContain('secret detail')
    }
    expect((await thrown(undefined)).error.rpcCode).toBe(-32603)
  })
})

describe('RpcRegistry', () => {
  it('lets each method be called in its state alone', async () => {
    const { registry } = fixture()
    registry.register('s', { states: 'startup' }, () => 's')
    registry.register('any', { states: 'any' }, () => 'any')
    expect(await registry.call('s')).toBe('s')
    expect(await failure(registry.call('bdev_null_create', { name: 'n', num_blocks: 1 }))).toMatchObject({
      rpcCode: -1,
      rpcMessage: 'Method may only be called after framework is initialized using framework_start_init RPC.',
    })
    let woken = false
    const waiting = registry.whenRuntime().then(() => (woken = true))
    await Promise.resolve()
    expect(woken).toBe(false)
    registry.enterRuntime()
    await waiting
    await registry.whenRuntime()
    expect(await registry.call('bdev_null_create', { name: 'n', num_blocks: 1 })).toBe('n')
    expect((await failure(registry.call('s'))).rpcMessage).toMatch(/^Method may only be called before framework is initialized\./)
    expect(await registry.call('any')).toBe('any')
  })

  it('lists newest first, by state and with aliases where asked', () => {
    const { registry } = fixture()
    registry.register('s', { states: 'startup' }, () => 's')
    registry.registerAlias('construct_null_bdev', 'bdev_null_create')
    const names = (options = {}) => registry.list(options).map(({ name }) => name)
    expect(names()).toEqual(['s', 'bdev_null_create'])
    expect(names({ includeAliases: true })).toEqual(['construct_null_bdev', 's', 'bdev_null_create'])
    expect(names({ current: true })).toEqual(['s'])
    registry.enterRuntime()
    expect(names({ current: true, includeAliases: true })).toEqual(['construct_null_bdev', 'bdev_null_create'])
  })

  it('serves an alias and warns of it once', async () => {
    const { registry, log } = fixture()
    registry.registerAlias('construct_null_bdev', 'bdev_null_create')
    registry.enterRuntime()
    for (let i = 0; i < 2; i++) expect(await registry.call('construct_null_bdev', { name: 'n', num_blocks: 1 })).toBe('n')
    expect(log.lines).toEqual(['warn: RPC method construct_null_bdev is deprecated; use bdev_null_create instead'])
    expect(registry.unregister('bdev_null_create')).toBe(true)
    expect((await failure(registry.call('construct_null_bdev'))).rpcCode).toBe(-32601)
    expect(registry.unregister('bdev_null_create')).toBe(false)
  })

  it('hides what the allow list lacks', async () => {
    const { registry } = fixture()
    registry.register('a', { states: 'any' }, () => 1)
    registry.setAllowList(['a'])
    expect(registry.list().map(({ name }) => name)).toEqual(['a'])
    expect(await failure(registry.call('bdev_null_create'))).toMatchObject({ rpcCode: -32601, rpcMessage: 'Method not found' })
    registry.setAllowList(undefined)
    expect(registry.list()).toHaveLength(2)
  })

  it('finds what is wrong with a schema when it is first used, or when it is asked', async () => {
    const { registry, log } = fixture()
    registry.register('x', { states: 'any', params: { type: 'object', propertees: {} } }, () => 1)
    expect(() => registry.compileSchemas()).toThrow(
      /^method "x": wanted a JSON Schema of draft 07 in "params", found: .*propertees/,
    )
    expect(await failure(registry.call('x'))).toMatchObject({ rpcCode: -32603, rpcMessage: 'Internal error' })
    expect(log.lines.join('\n')).toContain('method "x": wanted a JSON Schema of draft 07')
  })

  it('refuses a name twice, a bad alias, and a schema that is none', () => {
    const { registry } = fixture()
    expect(() => registry.register('bdev_null_create', {}, () => 1)).toThrow('method "bdev_null_create": wanted a free name')
    expect(() => registry.registerAlias('x', 'nope')).toThrow('found none named "nope"')
    expect(() => registry.register('x', { params: { type: 'objekt' } }, () => 1)).toThrow('method "x"')
    expect(registry.get('x')).toBeUndefined()
  })
})
