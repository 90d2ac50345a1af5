// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { checkModulePackage } from '@bdevkit/conformance'
import { describe, expect, it } from 'vitest'
import { type PackageJson, directionOf, packages, read, root } from '../repository.js'

const ours = (names: readonly string[]): string[] => names.filter(name => name.startsWith('@bdevkit/')).map(name => name.slice(9))

const runtime = ({ dependencies, peerDependencies, optionalDependencies }: PackageJson): string[] =>
  Object.keys({ ...dependencies, ...peerDependencies, ...optionalDependencies })

describe.each(packages)('package $folder', ({ folder, json }) => {
  it('can be published: readme, licence, repository, files, exports, engines', () => {
    expect(read(`packages/${folder}/README.md`)).toMatch(/^# /)
    expect(json.license).toBe('Apache-2.0')
    expect(json.repository?.directory).toBe(`packages/${folder}`)
    expect(json.files).toContain('dist')
    expect(json.exports).toHaveProperty(['./package.json'], './package.json')
    expect(json.engines?.node).toBe('>=20.19')
    expect(json.private).toBeUndefined()
  })

  it('stands in the README', () => {
    expect(read('README.md')).toMatch(new RegExp(`^\\| \\[${json.name}\\]\\(packages/${folder}\\) \\| \\S`, 'm'))
  })

  it('is called like its folder', () => {
    expect(json.name).toBe(folder === 'create-bdev-module' ? folder : `@bdevkit/${folder}`)
  })

  it('depends only on what tools/import-directions.json allows', () => {
    const direction = directionOf(folder)
    expect(direction, `tools/import-directions.json has no row for ${folder}`).toBeDefined()
    // The CLI ships modules as data: they stand in its dependencies, and its code never imports them.
    const shipped = folder === 'cli' ? packages.map(other => other.folder).filter(name => name.startsWith('modules-')) : []
    expect([...(direction?.source ?? []), ...shipped]).toEqual(expect.arrayContaining(ours(runtime(json))))
    const inTests = ours(Object.keys(json.devDependencies ?? {}))
    expect([...(direction?.source ?? []), ...(direction?.tests ?? [])]).toEqual(expect.arrayContaining(inTests))
  })

  it('has no foreign runtime dependency that docs/decisions/0001-runtime-dependencies.md does not name', () => {
    const rows = read('docs/decisions/0001-runtime-dependencies.md').matchAll(/^\| `([\w-]+)` \| `([^`]+)` \|/gm)
    const allowed = [...rows].filter(row => row[1] === folder).map(row => row[2])
    expect(runtime(json).filter(name => !name.startsWith('@bdevkit/')).sort()).toEqual(allowed.sort())
  })

  it('has the scripts that nx runs', () => {
    expect(Object.keys(json.scripts ?? {})).toEqual(expect.arrayContaining(['build', 'test', 'lint']))
  })
})

describe('the contract', () => {
  it('is pinned by core: the version that core offers is the one that it was tested with', () => {
    const core = packages.find(({ folder }) => folder === 'core')
    expect(core?.json.dependencies?.['@bdevkit/module-sdk']).toBe('workspace:*')
  })
})

const modules = packages.filter(({ json }) => json.bdevModule !== undefined)

describe.each(modules)('module package $folder', ({ folder, json }) => {
  it('carries one word as folder, npm name, manifest name and module name', async () => {
    const built = pathToFileURL(join(root, `packages/${folder}/dist/index.js`)).href
    const { default: value } = (await import(built)) as { default: { name: string } }
    expect(json.bdevModule?.name).toBe(folder.replace(/^modules-/, '').replaceAll('-', '_'))
    expect(value.name).toBe(json.bdevModule?.name)
  })

  // What is packed, tests/publish looks at: pnpm adds the licence of the root.
  it('passes bdev-module-check', async () => {
    const only = ['load', 'sdk', 'exports', 'keyword', 'rpc', 'import', 'readme'] as const
    const { findings, verdicts } = await checkModulePackage(join(root, `packages/${folder}`), { only })
    expect(findings).toEqual([])
    expect([...verdicts.values()]).not.toContain('skipped')
  })

  it('is shipped with the CLI and found by npm search', () => {
    const cli = packages.find(other => other.folder === 'cli')
    expect(Object.keys(cli?.json.dependencies ?? {})).toContain(json.name)
    expect(json).toHaveProperty('keywords', expect.arrayContaining(['bdev-module']))
  })
})

it('every modules-* folder holds a module', () => {
  const folders = packages.map(({ folder }) => folder).filter(folder => folder.startsWith('modules-'))
  expect(modules.map(({ folder }) => folder)).toEqual(folders)
  expect(existsSync(join(root, 'LICENSE'))).toBe(true)
})
