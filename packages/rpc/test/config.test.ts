// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConfigError, parseConfig, readConfigFile } from '../src/config-file.js'
import { loadConfig, missingModuleText, moduleOfMethod, type LoadConfigOptions } from '../src/config-load.js'
import { RpcRegistry } from '../src/registry.js'
import { deferred, tempFolder, testLog } from './support.js'

const failureOf = (text: string): string => {
  try {
    parseConfig(text, 'stack.json')
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as Error).message
  }
  throw new Error('it parsed')
}

function fixture() {
  const log = testLog()
  const registry = new RpcRegistry({ log })
  const calls: string[] = []
  const add = (name: string, states: 'startup' | 'runtime' | 'any') =>
    registry.register(
      name,
      { states, params: { type: 'object', properties: { name: { type: 'string' }, n: { type: 'integer' } } } },
      ({ name: of }: { name?: string }) => {
        calls.push(of === undefined ? name : `${name} ${of}`)
        if (of === 'fails') throw Object.assign(new Error('no base "x"'), { code: 'ENODEV' })
        return true
      },
    )
  add('bdev_set_options', 'startup')
  add('bdev_null_create', 'runtime')
  add('spdk_get_version', 'any')
  const load = async (subsystems: unknown, options: Partial<LoadConfigOptions> = {}) => {
    const config = parseConfig(JSON.stringify({ subsystems }, undefined, 1), 'stack.json')
    await loadConfig(config, { registry, ...options })
    calls.push('init')
    registry.enterRuntime()
    await loadConfig(config, { registry, ...options })
  }
  return { log, registry, calls, load }
}

const nullBdev = (name: string) => ({ method: 'bdev_null_create', params: { name } })

describe('parseConfig', () => {
  it('reads subsystems, batches, modules and comments, and ignores further members', () => {
    const config = parseConfig(
      `// a stack
      { "modules": ["bdev-module-foo", "./mine"], "comment": { "a": 1, "a": 18446744073709551615 },
        "subsystems": [ /* two */
          { "subsystem": "bdev", "config": [
            { "method": "bdev_null_create", "params": { "name": "N0" } },
            [ { "method": "bdev_null_create", "params": { "name": "N1" } }, { "method": "bdev_wait_for_examine" } ]
          ] },
          { "subsystem": "nbd", "config": null } ] }`,
      'stack.json',
    )
    expect(config.modules).toEqual(['bdev-module-foo', './mine'])
    expect(config.subsystems.map(({ subsystem, entries }) => [subsystem, entries.length])).toEqual([
      ['bdev', 2],
      ['nbd', 0],
    ])
    expect(config.subsystems[0]?.entries[1]).toMatchObject({ isBatch: true, where: 'stack.json:6:13' })
    expect(config.subsystems[0]?.entries[1]?.calls.map(({ method, where }) => `${where} ${method}`)).toEqual([
      'stack.json:6:15 bdev_null_create',
      'stack.json:6:77 bdev_wait_for_examine',
    ])
    expect(parseConfig('{}', 'x')).toEqual({ path: 'x', subsystems: [] })
  })

  it.each([
    ['{\n "subsystems": [\n  { "subsystem": }', 'stack.json:3:18: wanted a value, found "}"'],
    ['"subsystems": []', 'stack.json:1:13: wanted the end, found ":"'],
    ['[]', 'stack.json:1:1: JSON configuration file is not enclosed in {}'],
    ['{"subsystems": {}}', "stack.json:1:16: 'subsystems' should be an array"],
    ['{"subsystems": [5]}', "stack.json:1:17: wanted an object with 'subsystem' and 'config', found a number"],
    ['{"subsystems": [{"subsystem": "bdev"}]}', "stack.json:1:17: 'config': wanted an array or null, found nothing"],
    ['{"subsystems": [{"subsystem": 1, "config": []}]}', "stack.json:1:17: 'subsystem': wanted a name, found a number"],
    [
      '{"subsystems": [{"subsystem": "b", "config": [], "x": 1}]}',
      `stack.json:1:55: "x": wanted only 'subsystem' and 'config' here`,
    ],
    [
      '{"subsystems": [{"subsystem": "b", "config": [{"params": {}}]}]}',
      "stack.json:1:47: 'method': wanted the name of a method, found nothing",
    ],
    [
      '{"subsystems": [{"subsystem": "b", "config": [{"method": "m", "params": []}]}]}',
      "stack.json:1:73: m: 'params': wanted an object, found an array",
    ],
    ['{"subsystems": [], "subsystems": []}', 'stack.json:1:20: "subsystems": wanted once, found twice'],
    ['{"modules": "x"}', "stack.json:1:13: 'modules' should be an array of package names and paths"],
    ['{"modules": ["x", 1]}', "stack.json:1:19: 'modules': wanted the name of a package or a path, found a number"],
  ])('refuses %s with its place', (text, message) => {
    expect(failureOf(text)).toBe(message)
  })

  it('reads a file, and names the file it cannot read', async () => {
    const path = join(tempFolder(), 'stack.json')
    await expect(readConfigFile(path)).rejects.toMatchObject({ code: 'ENOENT', where: path })
    writeFileSync(path, '{"subsystems":[]}')
    expect(await readConfigFile(path)).toEqual({ path, subsystems: [] })
    writeFileSync(path, Buffer.from([0x7b, 0xff]))
    await expect(readConfigFile(path)).rejects.toThrow('wanted UTF-8')
  })
})

describe('loadConfig', () => {
  it('runs methods for startup first, the others after initialisation, and those for both once', async () => {
    const { calls, load } = fixture()
    await load([
      { subsystem: 'bdev', config: [nullBdev('N0'), { method: 'bdev_set_options' }] },
      { subsystem: 'app', config: [{ method: 'spdk_get_version' }, [nullBdev('N1'), nullBdev('N2')]] },
    ])
    expect(calls).toEqual([
      'bdev_set_options',
      'spdk_get_version',
      'init',
      'bdev_null_create N0',
      'bdev_null_create N1',
      'bdev_null_create N2',
    ])
  })

  it('runs one entry after another, and the calls of a batch at the same time', async () => {
    const { registry, load } = fixture()
    const gate = deferred()
    const running: string[] = []
    registry.register('wait', { params: { type: 'object', additionalProperties: true } }, async ({ n }: { n: number }) => {
      running.push(`start ${n}`)
      if (n === 2) gate.resolve()
      await gate.promise
      running.push(`end ${n}`)
    })
    const wait = (n: number) => ({ method: 'wait', params: { n } })
    await load([{ subsystem: 'bdev', config: [[wait(1), wait(2)], wait(3)] }])
    expect(running.slice(0, 2)).toEqual(['start 1', 'start 2'])
    expect(running.slice(-2)).toEqual(['start 3', 'end 3'])
  })

  it('stops at the first error with file, line, column, method and reason', async () => {
    const { calls, load } = fixture()
    await expect(load([{ subsystem: 'bdev', config: [nullBdev('fails'), nullBdev('N1')] }])).rejects.toMatchObject({
      code: 'ENODEV',
      message: 'stack.json:6:5: bdev_null_create: no base "x": No such device (code -19)',
    })
    expect(calls).toEqual(['init', 'bdev_null_create fails'])
  })

  it('names the parameter that does not fit, and the number that is too large, with its own place', async () => {
    const wrong = { method: 'bdev_null_create', params: { n: 'x' } }
    await expect(fixture().load([{ subsystem: 'bdev', config: [wrong] }])).rejects.toThrow(
      'stack.json:6:5: bdev_null_create: "params.n": wanted type integer, found "x": spdk_json_decode_object failed',
    )
    const { registry } = fixture()
    const config = parseConfig(
      '{"subsystems":[{"subsystem":"bdev","config":[\n{"method":"bdev_null_create","params":{"n":18446744073709551615}}]}]}',
      's.json',
    )
    registry.enterRuntime()
    await expect(loadConfig(config, { registry })).rejects.toThrow(
      's.json:2:44: bdev_null_create: "params.n": wanted an integer within ±9007199254740991 (2^53-1)',
    )
  })

  it('goes on after errors where asked', async () => {
    const { calls, load, log } = fixture()
    await load([{ subsystem: 'bdev', config: [nullBdev('fails'), { method: 'nope' }, nullBdev('N1')] }], { ignoreErrors: true })
    expect(calls).toEqual(['init', 'bdev_null_create fails', 'bdev_null_create N1'])
    expect(log.lines.filter(line => line.startsWith('error: stack.json:'))).toHaveLength(3)
  })

  it('says which module a missing method needs', async () => {
    const config = [{ subsystem: 'bdev', config: [{ method: 'bdev_foo_create' }] }]
    const missingMethod = (method: string) => missingModuleText(method, ['stack.json', 'package.json'])
    await expect(fixture().load(config, { missingMethod })).rejects.toThrow(
      'stack.json:6:5: bdev_foo_create: no module "foo" (looked in stack.json, package.json); try: npm install bdev-module-foo',
    )
    await expect(fixture().load(config)).rejects.toThrow('bdev_foo_create: there is no such method')
    expect([moduleOfMethod('bdev_my_disk_create'), moduleOfMethod('nbd_start_disk')]).toEqual(['my_disk', undefined])
  })

  it("skips subsystems and options of modules that are not here, so that SPDK's own files load", async () => {
    const { calls, load, log } = fixture()
    await load(
      [
        { subsystem: 'sock', config: [{ method: 'sock_set_default_impl', params: { impl_name: 'posix' } }] },
        {
          subsystem: 'bdev',
          config: [{ method: 'bdev_nvme_set_hotplug', params: {} }, { method: 'bdev_raid_set_options' }, nullBdev('N0')],
        },
        { subsystem: 'nvmf', config: [[{ method: 'nvmf_set_crdt' }]] },
      ],
      { hasSubsystem: name => name === 'bdev' },
    )
    expect(calls).toEqual(['init', 'bdev_null_create N0'])
    expect(log.lines).toEqual([
      expect.stringContaining("stack.json:6:5: skipping method 'sock_set_default_impl' because its subsystem 'sock' is not"),
      "notice: stack.json:17:5: skipping method 'bdev_nvme_set_hotplug' because nothing here has these options",
      "notice: stack.json:21:5: skipping method 'bdev_raid_set_options' because nothing here has these options",
      expect.stringContaining("'nvmf_set_crdt' because its subsystem 'nvmf'"),
    ])
  })

  it('refuses a batch that can run in no state', async () => {
    await expect(
      fixture().load([{ subsystem: 'bdev', config: [[nullBdev('N0'), { method: 'bdev_set_options' }]] }]),
    ).rejects.toThrow('stack.json:6:5: a batch may not mix methods for before and for after initialisation')
  })
})
