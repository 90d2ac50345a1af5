// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadModules, ModuleLoadError, type LoadOptions, type ModuleFailure } from '../../src/node/index.js'
import { ForeignProject, moduleCode, type ModuleFixture } from './fixtures.js'

let project: ForeignProject
beforeEach(() => {
  project = new ForeignProject()
})
afterEach(() => project.remove())

const HOST: LoadOptions = { sdkVersion: '1.4.2', capabilities: ['zones@1', 'nvme-passthru@1'], platform: 'linux' }

async function refusals(options: LoadOptions): Promise<readonly ModuleFailure[]> {
  try {
    await loadModules({ cwd: project.dir, ...HOST, ...options })
  } catch (error) {
    expect(error).toBeInstanceOf(ModuleLoadError)
    return (error as ModuleLoadError).failures
  }
  throw new Error('nothing was refused')
}

/** Installs `@acme/bdev-module-<name>`, names it with --module and returns its one refusal. */
async function refusalOf(name: string, fixture: ModuleFixture, options: LoadOptions = {}): Promise<ModuleFailure> {
  const packageName = `@acme/bdev-module-${name}`
  project.addModule(`node_modules/${packageName}`, { name, packageName, ...fixture })
  const failures = await refusals({ specs: [packageName], ...options })
  expect(failures).toHaveLength(1)
  return failures[0]
}

/** Text with `$` for the module's folder. */
function text(failure: ModuleFailure): string {
  return failure.message.replaceAll(project.path('node_modules/@acme'), '$').replaceAll(project.dir, '~')
}

describe('check 1, the manifest', () => {
  it('names an unknown key', async () => {
    const failure = await refusalOf('typo', { manifest: { platfroms: ['linux'] } })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_MANIFEST: module "typo" (@acme/bdev-module-typo 2.1.0) has a bad manifest: unknown key "platfroms".
  manifest: $/bdev-module-typo/package.json#bdevModule
  fix: see @bdevkit/module-sdk/schema/bdev-module.schema.json`)
  })

  it('names a key of a wrong value, with the value and the rule', async () => {
    const failure = await refusalOf('upper', { manifest: { name: 'Upper-Case' } })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_MANIFEST: module "Upper-Case" (@acme/bdev-module-upper 2.1.0) has a bad manifest: \
"name" is "Upper-Case", but must match pattern "^[a-z][a-z0-9_]{0,31}$".
  manifest: $/bdev-module-upper/package.json#bdevModule.name
  fix: see @bdevkit/module-sdk/schema/bdev-module.schema.json`)
    expect(failure).toMatchObject({ need: 'must match pattern "^[a-z][a-z0-9_]{0,31}$"', have: '"Upper-Case"' })
  })

  it('names a missing key', async () => {
    const failure = await refusalOf('bare', { packageJson: { bdevModule: { manifestVersion: 1, name: 'bare' } } })
    expect(failure.message).toContain('has a bad manifest: "entry" is missing.')
  })

  it('says of a later manifest that the host is too old, before any other key is looked at', async () => {
    const failure = await refusalOf('late', { manifest: { manifestVersion: 2, unheardOf: true } })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_MANIFEST: module "late" (@acme/bdev-module-late 2.1.0) has a bad manifest: \
manifestVersion 2 is unknown, this host reads 1.
  manifest: $/bdev-module-late/package.json#bdevModule.manifestVersion
  fix: upgrade @bdevkit/core`)
    expect(failure).toMatchObject({ need: '2', have: '1' })
  })

  it('refuses an entry that exports does not hold', async () => {
    const failure = await refusalOf('deep', { manifest: { entry: './module' } })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_MANIFEST: module "deep" (@acme/bdev-module-deep 2.1.0) has a bad manifest: \
entry "./module" is not a key of its "exports".
  manifest: $/bdev-module-deep/package.json#exports
  fix: write e.g. "exports": { "./module": "./dist/index.js" }`)
  })

  it.each([
    './../other/index.js',
    '../other/index.js',
    './dist/../../other.js',
    './%2e%2e/other.js',
    './..%2fother.js',
    './..\\other.js',
    '/etc/passwd',
    'file:///etc/passwd',
    './node_modules/other/index.js',
    './dist/index.js?query',
    './',
  ])('refuses an entry outside of the package: %s', async target => {
    const failure = await refusalOf('out', { packageJson: { exports: { '.': target } } })
    expect(failure.code).toBe('BDEV_E_MODULE_MANIFEST')
    expect(failure.message).toContain(`its "exports" leads "." to "${target}", outside of the package.`)
  })

  it('refuses exports without a file for an import', async () => {
    const failure = await refusalOf('cjs', { packageJson: { exports: { '.': { require: './dist/index.cjs' } } } })
    expect(failure.message).toContain('its "exports" gives no file for "." to an import on Node.')
  })

  it('names the file that is not JSON', async () => {
    project.write('node_modules/broken/package.json', '{ "bdevModule": ')
    const [failure] = await refusals({ specs: ['broken'] })
    const manifestFile = project.path('node_modules/broken/package.json')
    expect(failure).toMatchObject({ code: 'BDEV_E_MODULE_MANIFEST', manifestFile })
    expect(failure.message).toMatch(/^BDEV_E_MODULE_MANIFEST: the package\.json of package "broken" cannot be read: .*JSON/)
    expect(failure.cause).toBeInstanceOf(SyntaxError)
  })
})

describe('check 2, the range', () => {
  it('refuses a range that does not fix the major', async () => {
    const failure = await refusalOf('star', { sdkRange: '>=1' })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_SDK_RANGE: module "star" (@acme/bdev-module-star 2.1.0) asks for module-sdk ">=1", \
which does not fix the major version.
  manifest: $/bdev-module-star/package.json#dependencies
  fix: write e.g. "^1.4.2"`)
    expect(failure.have).toBe('>=1')
  })

  it('says below 1.0 that minors count as majors', async () => {
    const failure = await refusalOf('zero', { sdkRange: '0.x' }, { sdkVersion: '0.1.0' })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_SDK_RANGE: module "zero" (@acme/bdev-module-zero 2.1.0) asks for module-sdk "0.x", \
which does not fix the major version.
  manifest: $/bdev-module-zero/package.json#dependencies
  fix: write e.g. "^0.1.0" (below 1.0 each minor counts as a major)`)
  })

  it('asks for the dependency where there is no range', async () => {
    const failure = await refusalOf('none', { sdkRange: null })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_SDK_RANGE: module "none" (@acme/bdev-module-none 2.1.0) names no module-sdk range.
  manifest: $/bdev-module-none/package.json#dependencies
  fix: add "@bdevkit/module-sdk": "^1.4.2" to its dependencies, or "sdk": "^1.4.2" to bdevModule where the SDK is bundled`)
  })

  it('sees the range among the peers', async () => {
    const failure = await refusalOf('peer', {
      sdkRange: null,
      packageJson: { peerDependencies: { '@bdevkit/module-sdk': '^1.2.0' } },
    })
    expect(failure.message).toContain('fix: move "@bdevkit/module-sdk" from its peerDependencies to its dependencies')
  })

  it('refuses two ranges that differ', async () => {
    const failure = await refusalOf('both', { manifest: { sdk: '^1.3.0' } })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_SDK_RANGE: module "both" (@acme/bdev-module-both 2.1.0) asks for module-sdk "^1.2.0" in dependencies \
and "^1.3.0" in bdevModule.sdk.
  manifest: $/bdev-module-both/package.json#bdevModule.sdk
  fix: remove bdevModule.sdk; it is for packages without the dependency`)
  })

  it('refuses a workspace range without an SDK on disk', async () => {
    const failure = await refusalOf('ws', { sdkRange: 'workspace:^' })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_SDK_RANGE: module "ws" (@acme/bdev-module-ws 2.1.0) asks for module-sdk "workspace:^", \
but no @bdevkit/module-sdk is installed for it.
  manifest: $/bdev-module-ws/package.json#dependencies
  fix: install the dependencies of @acme/bdev-module-ws`)
  })
})

describe('check 3, the SDK', () => {
  it('refuses a module of a later major', async () => {
    const failure = await refusalOf('next', { sdkRange: '^2.0.0' })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_SDK: module "next" (@acme/bdev-module-next 2.1.0) needs module-sdk ^2.0.0, but this host offers 1.4.2.
  manifest: $/bdev-module-next/package.json#dependencies
  fix: upgrade @bdevkit/core to one that offers module-sdk ^2.0.0`)
    expect(failure).toMatchObject({ need: '^2.0.0', have: '1.4.2' })
  })

  it('refuses a module of an earlier major', async () => {
    const failure = await refusalOf('old', { sdkRange: '^0.9.0' })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_SDK: module "old" (@acme/bdev-module-old 2.1.0) needs module-sdk ^0.9.0, but this host offers 1.4.2.
  manifest: $/bdev-module-old/package.json#dependencies
  fix: install a release of @acme/bdev-module-old built for module-sdk 1.x`)
  })

  it('names the manifest where the range stands there', async () => {
    const failure = await refusalOf('own', { sdkRange: null, manifest: { sdk: '^1.5.0' } })
    expect(text(failure)).toContain('\n  manifest: $/bdev-module-own/package.json#bdevModule.sdk\n')
  })
})

describe('check 4, platform and capabilities', () => {
  it('refuses another platform', async () => {
    const failure = await refusalOf('uring', { manifest: { platforms: ['linux', 'freebsd'] } }, { platform: 'win32' })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_PLATFORM: module "uring" (@acme/bdev-module-uring 2.1.0) runs on linux, freebsd, but this host runs on win32.
  manifest: $/bdev-module-uring/package.json#bdevModule.platforms
  fix: remove it from the modules of this host`)
    expect(failure).toMatchObject({ need: 'linux, freebsd', have: 'win32' })
  })

  it('refuses a capability of another version', async () => {
    const failure = await refusalOf('cap', { manifest: { requires: ['nvme-passthru@1', 'zones@2'] } })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_CAPABILITY: module "cap" (@acme/bdev-module-cap 2.1.0) requires "zones@2", which this host does not offer.
  manifest: $/bdev-module-cap/package.json#bdevModule.requires
  host offers: zones@1, nvme-passthru@1`)
    expect(failure).toMatchObject({ missing: ['zones@2'], have: 'zones@1, nvme-passthru@1' })
  })

  it('says where a host offers none', async () => {
    const failure = await refusalOf('cap', { manifest: { requires: ['zones@1'] } }, { capabilities: [] })
    expect(failure.message).toContain('\n  host offers: no experimental capability')
  })
})

describe('check 5, the name', () => {
  it('refuses two named packages of one module name', async () => {
    project.addModule('node_modules/@acme/a', { packageName: '@acme/a' })
    project.addModule('node_modules/@acme/b', { packageName: '@acme/b' })
    const failures = await refusals({ specs: ['@acme/b', '@acme/a'] })
    expect(failures.map(text)).toEqual([
      `\
BDEV_E_MODULE_NAME_TAKEN: module name "ram" is given by two packages: @acme/b 2.1.0 and @acme/a 2.1.0.
  manifest: $/b/package.json#bdevModule.name
  manifest: $/a/package.json#bdevModule.name
  fix: name only one of them`,
    ])
  })

  it('refuses two dependencies of one module name, and says how to choose', async () => {
    project.writeJson('package.json', { dependencies: { '@acme/a': '*', '@acme/b': '*' } })
    project.addModule('node_modules/@acme/a', { packageName: '@acme/a' })
    project.addModule('node_modules/@acme/b', { packageName: '@acme/b' })
    const [failure] = await refusals({})
    expect(failure.message).toMatch(/\n {2}fix: remove one of them, or name the wanted one with --module$/)
    const loaded = await loadModules({ cwd: project.dir, ...HOST, specs: ['@acme/b'] })
    expect(loaded.map(module => module.packageName)).toEqual(['@acme/b'])
  })
})

describe('check 6, the import', () => {
  it('says of a folder that it must be built', async () => {
    project.addModule('my-disk', { name: 'my_disk', code: null })
    const [failure] = await refusals({ specs: ['./my-disk'] })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_NOT_BUILT: module "my_disk" (bdev-module-my_disk 2.1.0) is not built: the file of its entry does not exist.
  file: ~/my-disk/dist/index.js
  fix: build it first, e.g. "npm run build" in ~/my-disk`)
  })

  it('says of an installed package that it must be installed again', async () => {
    const failure = await refusalOf('hole', { code: null })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_NOT_BUILT: module "hole" (@acme/bdev-module-hole 2.1.0) is not built: the file of its entry does not exist.
  file: $/bdev-module-hole/dist/index.js
  fix: install @acme/bdev-module-hole again; where that does not help, its release lacks the file`)
  })

  it('keeps what an import threw', async () => {
    const failure = await refusalOf('thrower', { code: 'throw new RangeError("no disks today")' })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_IMPORT: module "thrower" (@acme/bdev-module-thrower 2.1.0) cannot be imported: no disks today.
  file: $/bdev-module-thrower/dist/index.js
  fix: report it to the author of @acme/bdev-module-thrower; importing a module must have no effect`)
    expect(failure.cause).toMatchObject({ name: 'RangeError', message: 'no disks today' })
  })

  it.each(['throw undefined', 'throw { get message() { throw 1 } }', 'throw Object.create(null)', 'export default 1 +'])(
    'survives an import that ends in %s',
    async code => {
      const failure = await refusalOf('odd', { code })
      expect(failure.code).toBe('BDEV_E_MODULE_IMPORT')
    },
  )

  it('says of a missing dependency what to install', async () => {
    const failure = await refusalOf('lost', { code: 'import "not-installed-anywhere"' })
    expect(failure.code).toBe('BDEV_E_MODULE_IMPORT')
    expect(failure.message).toContain('not-installed-anywhere')
    expect(failure.message).toMatch(/\n {2}fix: install the dependencies of @acme\/bdev-module-lost, or build it again$/)
  })

  it('bounds an import that never settles', async () => {
    const failure = await refusalOf('stuck', { code: 'await new Promise(() => {})' }, { importTimeoutMs: 20 })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_IMPORT: module "stuck" (@acme/bdev-module-stuck 2.1.0) did not finish its import in 20 ms: \
its code, or what it imports, awaits at top level.
  file: $/bdev-module-stuck/dist/index.js
  fix: importing a module must have no effect; wait in moduleInit instead`)
  })

  it.each([
    ['export const ram = 1', 'undefined'],
    ['export default null', 'null'],
    ['export default { name: "plain", sdk: "1.2", setup() {} }', 'an object'],
    ['export default () => {}', 'function'],
    ['export default { "@bdevkit/bdev-module": 1, name: "plain", sdk: "1.2" }', 'an object'],
    ['export default { "@bdevkit/bdev-module": true, name: "plain", sdk: "1.2", setup() {} }', 'an object'],
  ])('refuses a default export that defineBdevModule did not make: %s', async (code, have) => {
    const failure = await refusalOf('plain', { code })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_EXPORT: module "plain" (@acme/bdev-module-plain 2.1.0) does not default-export a value made by defineBdevModule().
  file: $/bdev-module-plain/dist/index.js
  fix: write "export default defineBdevModule({ … })" in its entry`)
    expect(failure.have).toBe(have)
  })

  it('sees an ES module that was built as CommonJS', async () => {
    const failure = await refusalOf('wrapped', { code: 'export default { default: { "@bdevkit/bdev-module": 1 } }' })
    expect(failure.message).toMatch(/\n {2}fix: build it as an ES module; its default export is wrapped as CommonJS$/)
  })

  it('refuses a value of a later shape', async () => {
    const failure = await refusalOf('shape', { code: 'export default { "@bdevkit/bdev-module": 2 }' })
    expect(failure.message).toContain('default-exports a module value of shape 2, but this host knows 1.')
  })

  it('survives a value whose getters throw', async () => {
    const failure = await refusalOf('trap', { code: 'export default { get name() { throw new Error("gotcha") } }' })
    expect(failure.message).toContain('default-exports a value that cannot be read: gotcha.')
  })

  it.each(['1', '1.2.0', 'latest', '^1.2', ''])('refuses the sdk literal "%s"', async sdk => {
    const failure = await refusalOf('lit', { sdk })
    expect(failure.code).toBe('BDEV_E_MODULE_EXPORT')
    expect(failure.message).toContain(`has sdk "${sdk}", but must have "major.minor".`)
    expect(failure.message).toContain("fix: write e.g. sdk: '1.4' where")
  })

  it('refuses a build for another major', async () => {
    const failure = await refusalOf('stale', { sdk: '2.0' })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_ABI: module "stale" (@acme/bdev-module-stale 2.1.0) was built against module-sdk 2.0, but this host offers 1.4.
  file: $/bdev-module-stale/dist/index.js
  fix: its package.json asks for another SDK than its build was made with; rebuild it`)
    expect(failure).toMatchObject({ need: '2.0', have: '1.4' })
  })

  it('refuses below 1.0 a build for another minor', async () => {
    const failure = await refusalOf('early', { sdkRange: '^0.1.0', sdk: '0.2' }, { sdkVersion: '0.1.7' })
    expect(failure.message).toContain('was built against module-sdk 0.2, but this host offers 0.1.')
  })
})

describe('check 7, the name in code', () => {
  it('refuses another name than the manifest has', async () => {
    const failure = await refusalOf('ram', { valueName: 'rom' })
    expect(text(failure)).toBe(`\
BDEV_E_MODULE_NAME_MISMATCH: module "ram" (@acme/bdev-module-ram 2.1.0) calls itself "rom" in code.
  file: $/bdev-module-ram/dist/index.js
  fix: write one name in defineBdevModule() and in bdevModule of its package.json`)
    expect(failure).toMatchObject({ need: 'ram', have: 'rom' })
  })
})

describe('several refusals', () => {
  it('are reported in one error', async () => {
    project.addModule('good', { name: 'good' })
    project.addModule('stale', { name: 'stale', sdk: '2.0' })
    project.addModule('next', { name: 'next', sdkRange: '^2.0.0' })
    const failures = await refusals({ specs: ['./good', './stale', './next', './gone'] })
    expect(failures.map(({ code, module }) => [code, module])).toEqual([
      ['BDEV_E_MODULE_NOT_FOUND', undefined],
      ['BDEV_E_MODULE_SDK', 'next'],
      ['BDEV_E_MODULE_ABI', 'stale'],
    ])
    const error = new ModuleLoadError(failures)
    expect(error.code).toBe('BDEV_E_MODULE_NOT_FOUND')
    for (const failure of failures) expect(error.message).toContain(failure.message)
  })

  it('come of packages as they were before the first import', async () => {
    const victim = project.addModule('b', { name: 'b' })
    project.addModule('a', {
      name: 'a',
      code: `import { rmSync } from 'node:fs'\nrmSync('${victim}/package.json')\n${moduleCode('a')}`,
    })
    // b's own package.json is read before a runs; its import then still works, since .js without one is read as written.
    project.write('b/dist/package.json', '{ "type": "module" }')
    const loaded = await loadModules({ cwd: project.dir, ...HOST, specs: ['./a', './b'] })
    expect(loaded.map(module => module.name)).toEqual(['a', 'b'])
  })
})
