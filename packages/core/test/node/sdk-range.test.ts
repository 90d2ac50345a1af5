// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import semver, { type Range } from 'semver'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { inspectModules, lowestSdkVersion, MODULE_MANIFEST_SCHEMA, SDK_VERSION } from '../../src/node/index.js'
import { rangeLine } from '../../src/node/sdk-range.js'
import { sdkLine } from '../../src/sdk-version.js'
import { ForeignProject } from './fixtures.js'

let project: ForeignProject
beforeAll(() => {
  project = new ForeignProject()
})
afterAll(() => project.remove())

let count = 0

/** `accepted`, or the code of the refusal. */
async function verdict(sdkRange: string, sdkVersion: string, sdk = sdkVersion.split('.', 2).join('.')): Promise<string> {
  const folder = `m${count++}`
  project.addModule(folder, { sdkRange, sdk })
  const { failures } = await inspectModules({ cwd: project.dir, specs: [`./${folder}`], sdkVersion })
  return failures[0]?.code ?? 'accepted'
}

const RANGE = 'BDEV_E_MODULE_SDK_RANGE'
const SDK = 'BDEV_E_MODULE_SDK'

describe('an SDK range', () => {
  it.each([
    ['^1', 'accepted'],
    ['1.x', 'accepted'],
    ['1', 'accepted'],
    ['>=1.2.0 <2', 'accepted'],
    ['>=1.2.0 <2.0.0', 'accepted'],
    ['^1.2.0 || ^1.4.0', 'accepted'],
    ['1.4.2', 'accepted'],
    ['1.0.0 - 1.9.0', 'accepted'],
    ['^1.0.0-rc.1', 'accepted'],
    ['~1.2.0', SDK],
    ['1.2.3', SDK],
    ['^0.9.0', SDK],
    ['^1.4.3', SDK],
    ['^2.0.0-rc.1', SDK],
    ['*', RANGE],
    ['x', RANGE],
    ['', RANGE],
    ['>=1', RANGE],
    ['>=1.2.0', RANGE],
    ['<2', RANGE],
    ['<=1.4.2', RANGE],
    ['latest', RANGE],
    ['^1.2.0 || ^2.0.0', RANGE],
    ['>=1.2.0 <2.0.0-beta.3', RANGE],
    ['>=2 <1', RANGE],
    ['git+https://example.org/sdk.git', RANGE],
    [`^1.2.0${' '.repeat(300)}`, RANGE],
  ])('of "%s" on a host that offers 1.4.2: %s', async (range, expected) => {
    expect(await verdict(range, '1.4.2')).toBe(expected)
  })

  it.each([
    ['^0.1.0', '0.1.3', 'accepted'],
    ['0.1.x', '0.1.3', 'accepted'],
    ['~0.1.1', '0.1.3', 'accepted'],
    ['>=0.1.0 <0.2.0', '0.1.3', 'accepted'],
    ['^0.2.0', '0.1.3', SDK],
    ['^0.1.0', '0.2.0', SDK],
    ['^0.1.0', '1.0.0', SDK],
    ['0.x', '0.1.3', RANGE],
    ['^0', '0.1.3', RANGE],
    ['>=0.1.0 <1', '0.1.3', RANGE],
    ['^0.1.0 || ^0.2.0', '0.1.3', RANGE],
    ['^0.1.0 || ^1.0.0', '0.1.3', RANGE],
  ])('of "%s" below 1.0 on a host that offers %s: %s', async (range, host, expected) => {
    expect(await verdict(range, host)).toBe(expected)
  })

  it.each([
    ['^1.4.0', '1.5.0-rc.1', 'accepted'],
    ['^1.5.0', '1.5.0-rc.1', SDK],
    ['>=1.2.0 <2.0.0', '2.0.0-rc.1', SDK],
  ])('of "%s" on a host with the prerelease %s: %s', async (range, host, expected) => {
    expect(await verdict(range, host)).toBe(expected)
  })

  it.each([
    ['workspace:^', '1.4.0', '^1.4.0'],
    ['workspace:~', '1.4.0', '~1.4.0'],
    ['workspace:*', '1.4.2', '1.4.2'],
    ['workspace:^1.3.0', '1.4.0', '^1.3.0'],
    ['file:../sdk.tgz', '1.4.0', '^1.4.0'],
    ['link:../sdk', '1.4.0', '^1.4.0'],
    ['catalog:', '1.4.0', '^1.4.0'],
  ])('of "%s" is read with the SDK %s found on disk as %s', async (range, onDisk, expected) => {
    const folder = `m${count++}`
    project.addModule(folder, { sdkRange: range })
    project.writeJson(`${folder}/node_modules/@bdevkit/module-sdk/package.json`, { version: onDisk })
    const { loaded } = await inspectModules({ cwd: project.dir, specs: [`./${folder}`], sdkVersion: '1.4.2' })
    expect(loaded).toMatchObject([{ sdkRange: expected }])
  })

  it('is never accepted with two lines of the SDK in it', () => {
    const part = fc.nat({ max: 3 })
    const pre = fc.constantFrom('', '', '', '-rc.1', '-0')
    const version = fc.tuple(part, part, part, pre).map(([a, b, c, suffix]) => `${a}.${b}.${c}${suffix}`)
    const simple = fc.tuple(fc.constantFrom('^', '~', '>=', '<', '<=', '>', '', '='), version).map(([op, v]) => op + v)
    const partial = fc.tuple(fc.constantFrom('^', '~', '>=', '<', '', '>'), part).map(([op, v]) => `${op}${v}.x`)
    const all = fc.array(fc.oneof(simple, partial, fc.constant('*')), { minLength: 1, maxLength: 2 }).map(list => list.join(' '))
    const range = fc.array(all, { minLength: 1, maxLength: 2 }).map(list => list.join(' || '))
    const versions = [0, 1, 2, 3, 4].flatMap(a =>
      [0, 1, 2, 3, 4].flatMap(b => ['0-0', '0-rc.1', '0', '2', '4'].map(c => semver.parse(`${a}.${b}.${c}`))),
    )
    const linesOf = (parsed: Range) => new Set(versions.filter(v => parsed.test(v)).map(v => sdkLine(v.version)))
    fc.assert(
      fc.property(range, text => {
        const lines = linesOf(new semver.Range(text))
        const line = rangeLine(text)
        if (line !== undefined) return [...lines].every(other => other === line)
        return lines.size !== 1 || /[<>|-]/.test(text) // only odd bounds may be refused without need
      }),
      { numRuns: 500 },
    )
  })
})

describe('the line of a version', () => {
  it.each([
    ['1.2', '1'],
    ['1.4.2', '1'],
    ['2.0.0-rc.1', '2'],
    ['0.1', '0.1'],
    ['0.1.9', '0.1'],
    ['1', undefined],
    ['01.2', undefined],
    ['v1.2', undefined],
    ['', undefined],
  ])('of "%s" is %s', (version, line) => {
    expect(sdkLine(version)).toBe(line)
  })
})

describe('this core', () => {
  const sdk = new URL('../../../module-sdk/', import.meta.url)

  it('offers the SDK version of this workspace', () => {
    expect(JSON.parse(readFileSync(new URL('package.json', sdk), 'utf8')).version).toBe(SDK_VERSION)
  })

  it('checks manifests by the schema that the SDK ships', () => {
    const schema: unknown = JSON.parse(readFileSync(new URL('schema/bdev-module.schema.json', sdk), 'utf8'))
    expect(MODULE_MANIFEST_SCHEMA).toEqual(schema)
  })

  it('refuses to start with an SDK version that is none', async () => {
    await expect(inspectModules({ sdkVersion: '1.4' })).rejects.toThrow(new TypeError('sdkVersion "1.4" is no semver version'))
  })
})

it.each([['^1.2.0', '1.2.0'], ['1.x', '1.0.0'], ['>=1.2.3 <2', '1.2.3'], ['^1.4.0 || ^1.2.0', '1.2.0'], ['^0.1.0', '0.1.0']])(
  'the lowest release of %s is %s', (range, lowest) => expect(lowestSdkVersion(range)).toBe(lowest),
)
