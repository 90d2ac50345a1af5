// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { discoverModules, inspectModules, ModuleErrorCode, negotiateModules } from '../../src/node/index.js'
import { ForeignProject } from './fixtures.js'

let project: ForeignProject
beforeAll(() => {
  project = new ForeignProject()
  project.addModule('node_modules/hostile', { packageName: 'hostile' })
})
afterAll(() => project.remove())

const HOST = { sdkVersion: '1.4.2', capabilities: ['zones@1'], platform: 'linux' }
const CODES: readonly string[] = Object.values(ModuleErrorCode)

/** Puts `text` where the package.json is and returns every failure; the module must not get through. */
function failuresOf(text: string) {
  project.write('node_modules/hostile/package.json', text)
  const discovery = discoverModules({ cwd: project.dir, specs: ['hostile'] })
  const negotiation = negotiateModules(discovery.candidates, HOST)
  return { failures: [...discovery.failures, ...negotiation.failures], accepted: negotiation.accepted }
}

/** One refusal with a known code, a bounded text of printable lines, and never a crash. */
function expectNamed(text: string): void {
  const { failures, accepted } = failuresOf(text)
  expect(failures.length + accepted.length).toBe(1)
  for (const { code, message } of failures) {
    expect(CODES).toContain(code)
    expect(message.startsWith(`${code}: `)).toBe(true)
    expect(message.length).toBeLessThan(16_000)
    expect(message).not.toMatch(/(?!\n)[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u)
  }
  for (const { file } of accepted) expect(file.startsWith(`${project.path('node_modules/hostile')}/`)).toBe(true)
}

const key = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '', '.', './x', 'default', 'import'),
  fc.string({ maxLength: 8 }),
)
const value = fc.letrec<{ any: unknown }>(tie => ({
  any: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(null, true, 0, -1, 1e308),
    fc.constantFrom('', '.', './dist/index.js', '../../x', '^1.2.0', '\0', '\u202e\u001b[31m', 'é'.repeat(300)),
    fc.string({ unit: 'binary' }),
    fc.array(tie('any'), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie('any')), { maxLength: 4 }).map(entries => new Map(entries)),
  ),
})).any

/** JSON text in which `__proto__` is an ordinary key, as an attacker would write it. */
function toJson(data: unknown): string {
  if (data instanceof Map) return `{${[...data].map(([k, v]) => `${JSON.stringify(k)}:${toJson(v)}`).join(',')}}`
  if (Array.isArray(data)) return `[${data.map(toJson).join(',')}]`
  return JSON.stringify(data)
}

const RIGHT = new Map<string, unknown>([
  ['name', 'hostile'],
  ['version', '1.0.0'],
  ['exports', new Map([['.', './dist/index.js']])],
  ['dependencies', new Map([['@bdevkit/module-sdk', '^1.2.0']])],
])
const RIGHT_MANIFEST = new Map<string, unknown>([
  ['manifestVersion', 1],
  ['name', 'hostile'],
  ['entry', '.'],
])

describe('a hostile package', () => {
  it('is refused by name whatever one of its fields holds', () => {
    const where = fc.constantFrom('name', 'version', 'exports', 'dependencies', 'bdevModule', 'peerDependencies', '__proto__')
    fc.assert(
      fc.property(where, value, (field, hostile) => {
        expectNamed(toJson(new Map([...RIGHT, ['bdevModule', RIGHT_MANIFEST], [field, hostile]])))
      }),
      { numRuns: 150 },
    )
  })

  it('is refused by name whatever one of its manifest fields holds', () => {
    const where = fc.oneof(fc.constantFrom('manifestVersion', 'name', 'entry', 'platforms', 'requires', 'sdk', '$schema'), key)
    fc.assert(
      fc.property(where, value, (field, hostile) => {
        expectNamed(toJson(new Map([...RIGHT, ['bdevModule', new Map([...RIGHT_MANIFEST, [field, hostile]])]])))
      }),
      { numRuns: 150 },
    )
  })

  it('is refused by name whatever its target in exports is', () => {
    const part = fc.constantFrom('.', '..', '/', '\\', '%2e', '%2f', '%5c', 'dist', 'node_modules', '?', '#', '\0', ':', ' ')
    const target = fc.array(part, { maxLength: 8 })
    fc.assert(
      fc.property(target, parts => {
        expectNamed(toJson(new Map([...RIGHT, ['bdevModule', RIGHT_MANIFEST], ['exports', `./${parts.join('')}`]])))
      }),
      { numRuns: 150 },
    )
  })

  it('is refused by name whatever its bytes are', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json()), text => expectNamed(text)),
      { numRuns: 100 },
    )
  })

  it('gains nothing by a prototype key', () => {
    const inherited = toJson(new Map<string, unknown>([...RIGHT, ['bdevModule', new Map([['__proto__', RIGHT_MANIFEST]])]]))
    expect(failuresOf(inherited).failures[0].message).toMatch(/"manifestVersion" is missing|unknown key "__proto__"/)
    const top = toJson(new Map<string, unknown>([...RIGHT, ['__proto__', new Map([['bdevModule', RIGHT_MANIFEST]])]]))
    expect(failuresOf(top).failures[0].message).toContain('has no "bdevModule" manifest')
    expect(({} as Record<string, unknown>)['bdevModule']).toBeUndefined()
  })

  it('is refused unread where it is huge', () => {
    const { failures } = failuresOf(`{"bdevModule": "${'x'.repeat(5_000_000)}"}`)
    expect(failures[0].message).toMatch(/has 5000018 bytes, more than the 4194304 that are read\.\n/)
  })

  it('is refused where it nests deeper than the stack', () => {
    const deep = (open: string, close: string, times: number) => open.repeat(times) + '"./dist/index.js"' + close.repeat(times)
    const right = toJson(new Map<string, unknown>([...RIGHT, ['bdevModule', RIGHT_MANIFEST]]))
    const withField = (field: string, json: string) => right.replace(/\}$/, `,"${field}":${json}}`)
    expectNamed(withField('exports', deep('{"default":', '}', 100_000)))
    expectNamed(withField('exports', deep('[', ']', 100_000)))
    expectNamed(withField('bdevModule', deep('{"name":', '}', 100_000)))
  })

  it('is refused in few words where its own are long', () => {
    const long = 'x'.repeat(100_000)
    const manifest = new Map([...RIGHT_MANIFEST, ['name', long]])
    const { failures } = failuresOf(toJson(new Map<string, unknown>([...RIGHT, ['version', long], ['bdevModule', manifest]])))
    expect(failures[0].message.length).toBeLessThan(2000)
  })

  it('is refused fast where its lists are long', () => {
    const requires = Array.from({ length: 100_000 }, (_, i) => `zones@${i + 1}`)
    const json = toJson(new Map([...RIGHT, ['bdevModule', new Map([...RIGHT_MANIFEST, ['requires', requires]])]]))
    expect(failuresOf(json).failures[0].message).toContain('"requires" is a list, but must NOT have more than 64 items.')
  })

  it('is refused where its package.json is a folder', async () => {
    project.write('odd/package.json/x', '')
    const { failures } = await inspectModules({ cwd: project.dir, specs: ['./odd'], ...HOST })
    expect(failures[0].message).toContain('which holds no package.json.')
  })
})
