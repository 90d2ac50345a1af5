// SPDX-License-Identifier: Apache-2.0
import Module from 'node:module'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { discoverModules, loadModules, missingModuleText, neededModuleNames, type DiscoverOptions } from '../../src/node/index.js'
import { ForeignProject, moduleCode } from './fixtures.js'

let project: ForeignProject
beforeEach(() => {
  project = new ForeignProject()
})
afterEach(() => project.remove())

const HOST = { sdkVersion: '1.4.2', capabilities: ['zones@1'], platform: 'linux' }

function find(options: DiscoverOptions = {}) {
  const { candidates, failures, ...rest } = discoverModules({ cwd: project.dir, ...options })
  return { ...rest, found: candidates.map(({ origin, packageName }) => `${origin} ${packageName}`), failures }
}

/** The one failure's text, with `~` for the project. */
function failureText(options: DiscoverOptions): string {
  const { failures } = find(options)
  expect(failures).toHaveLength(1)
  return failures[0].message.replaceAll(project.dir, '~')
}

/** A host program with modules of its own, as the CLI is. Returns the path of its package.json. */
function addHost(names: readonly string[]): string {
  for (const name of names) {
    project.addModule(`host/node_modules/@bdevkit/modules-${name}`, { name, packageName: `@bdevkit/modules-${name}` })
  }
  return project.writeJson('host/package.json', {
    dependencies: Object.fromEntries(names.map(name => [`@bdevkit/modules-${name}`, '^0.1.0'])),
  })
}

describe('the ways to a module', () => {
  it('come in their fixed order, found ones sorted by package name', () => {
    for (const name of ['zeta', 'alpha', 'opt', 'cmd2', 'cmd1', 'file2', 'file1']) {
      project.addModule(`node_modules/${name}`, { name, packageName: name })
    }
    project.writeJson('package.json', { dependencies: { zeta: '*', alpha: '*' }, optionalDependencies: { opt: '*' } })
    const builtinPackageJson = addHost(['null', 'malloc'])
    const options = { specs: ['cmd2', 'cmd1'], builtinPackageJson }
    expect(find(options).found).toEqual([
      'command-line cmd2',
      'command-line cmd1',
      'dependency alpha',
      'dependency opt',
      'dependency zeta',
      'builtin @bdevkit/modules-malloc',
      'builtin @bdevkit/modules-null',
    ])
    const stackFile = { path: project.path('stack.json'), modules: ['file2', 'file1'] }
    expect(find({ ...options, stackFile }).found).toEqual([
      'stack-file file2',
      'stack-file file1',
      'command-line cmd2',
      'command-line cmd1',
    ])
  })

  it('resolve a stack file from its folder and --module from the working directory', () => {
    project.addModule('etc/node_modules/near', { name: 'near', packageName: 'near-the-file' })
    project.addModule('etc/mine', { name: 'mine', packageName: 'mine-by-the-file' })
    project.addModule('work/mine', { name: 'other', packageName: 'mine-by-cwd' })
    project.addModule('above', { name: 'above', packageName: 'above-cwd' })
    const { found, failures } = find({
      cwd: project.path('work'),
      stackFile: { path: project.path('etc/stack.json'), modules: ['near', './mine'] },
      specs: ['./mine', '../above', project.path('etc/mine')],
    })
    expect(failures).toEqual([])
    expect(found).toEqual([
      'stack-file near-the-file',
      'stack-file mine-by-the-file',
      'command-line mine-by-cwd',
      'command-line above-cwd',
    ])
  })

  it('take "." for the module in whose folder the author works', async () => {
    const cwd = project.addModule('my-disk', { name: 'my_disk' })
    expect(find({ cwd }).found).toEqual([])
    const [loaded] = await loadModules({ ...HOST, cwd, specs: ['.'] })
    expect(loaded).toMatchObject({ name: 'my_disk', origin: 'command-line' })
  })

  it('read node_modules of the folders above', () => {
    project.addModule('node_modules/@acme/ram', { packageName: '@acme/ram' })
    expect(find({ cwd: project.path('a/b/c'), specs: ['@acme/ram'] }).found).toEqual(['command-line @acme/ram'])
  })

  it('use the package.json nearest to the working directory', () => {
    project.addModule('node_modules/ram', { packageName: 'ram' })
    project.writeJson('package.json', { dependencies: { ram: '*' } })
    expect(find({ cwd: project.path('deep/down') }).found).toEqual(['dependency ram'])
    project.writeJson('deep/package.json', {})
    expect(find({ cwd: project.path('deep/down') }).found).toEqual([])
  })

  it('never follow transitive or development dependencies, nor take what is only installed', () => {
    project.writeJson('package.json', { dependencies: { plain: '*' }, devDependencies: { dev: '*' } })
    project.writeJson('node_modules/plain/package.json', { name: 'plain', dependencies: { deep: '*' } })
    for (const name of ['deep', 'dev', 'bdev-module-stray']) project.addModule(`node_modules/${name}`, { packageName: name })
    expect(find()).toMatchObject({ found: [], failures: [] })
  })

  it('leave node_modules for no dependency, whatever it is called', () => {
    project.addModule('outside')
    project.writeJson('package.json', { dependencies: { '../outside': '*', '..': '*', '': '*', '@x/../../outside': '*' } })
    expect(find()).toMatchObject({ found: [], failures: [], notInstalled: [] })
  })

  it('stop at named modules with noDiscover', () => {
    project.addModule('node_modules/ram', { packageName: 'ram' })
    project.addModule('node_modules/rom', { packageName: 'rom', name: 'rom' })
    project.writeJson('package.json', { dependencies: { ram: '*' } })
    const options = { specs: ['rom'], builtinPackageJson: addHost(['null']), noDiscover: true }
    expect(find(options)).toMatchObject({ found: ['command-line rom'], lookedIn: ['--module'] })
  })

  it('tell the dependencies that are not installed', () => {
    project.writeJson('package.json', { dependencies: { here: '*', gone: '*' }, optionalDependencies: { absent: '*' } })
    project.writeJson('node_modules/here/package.json', {})
    expect(find()).toMatchObject({ failures: [], notInstalled: ['absent', 'gone'] })
  })

  it('work through the links of a pnpm store', async () => {
    const store = 'node_modules/.pnpm/@acme+ram@2.1.0/node_modules'
    project.addModule(`${store}/@acme/ram`, {
      packageName: '@acme/ram',
      code: `export { default } from 'the-code'`,
    })
    project.writeJson(`${store}/the-code/package.json`, { name: 'the-code', type: 'module', exports: './index.js' })
    project.write(`${store}/the-code/index.js`, moduleCode('ram'))
    project.link(`${store}/@acme/ram`, 'node_modules/@acme/ram')
    project.writeJson('package.json', { dependencies: { '@acme/ram': '^2.0.0' } })
    const [loaded] = await loadModules({ ...HOST, cwd: project.dir })
    expect(loaded).toMatchObject({ packageName: '@acme/ram', file: project.path('node_modules/@acme/ram/dist/index.js') })
  })

  it("find a host program's modules beside its real path in a pnpm store", () => {
    const store = 'node_modules/.pnpm/@bdevkit+cli@1.0.0/node_modules'
    project.writeJson(`${store}/@bdevkit/cli/package.json`, { dependencies: { '@bdevkit/modules-null': '^1.0.0' } })
    project.addModule(`${store}/@bdevkit/modules-null`, { name: 'null', packageName: '@bdevkit/modules-null' })
    project.link(`${store}/@bdevkit/cli`, 'node_modules/@bdevkit/cli')
    const builtinPackageJson = project.path('node_modules/@bdevkit/cli/package.json')
    expect(find({ builtinPackageJson }).found).toEqual(['builtin @bdevkit/modules-null'])
  })

  it("ask Yarn Plug'n'Play for a named package where it runs", () => {
    project.addModule('cache/ram', { packageName: 'ram' })
    const yarn = Module as { findPnpApi?: unknown }
    yarn.findPnpApi = () => ({ resolveToUnqualified: (name: string) => project.path('cache', name) })
    try {
      expect(find({ specs: ['ram'] }).found).toEqual(['command-line ram'])
    } finally {
      delete yarn.findPnpApi
    }
  })
})

describe('one module, found more than once', () => {
  it('counts once, at its first place', () => {
    project.addModule('node_modules/ram', { packageName: 'ram' })
    project.link('node_modules/ram', 'linked')
    project.writeJson('package.json', { dependencies: { ram: '*' } })
    const stackFile = { path: project.path('stack.json'), modules: ['ram', './linked'] }
    expect(find({ stackFile, specs: ['ram'] }).found).toEqual(['stack-file ram'])
  })

  it('is the named package, not the one that is found', () => {
    project.addModule('node_modules/my-malloc', { name: 'malloc', packageName: 'my-malloc' })
    const builtinPackageJson = addHost(['malloc', 'null'])
    const { found } = find({ builtinPackageJson, specs: ['my-malloc'] })
    expect(found).toEqual(['command-line my-malloc', 'builtin @bdevkit/modules-null'])
  })

  it("is the application's own release of a builtin package", () => {
    const packageName = '@bdevkit/modules-malloc'
    project.addModule(`node_modules/${packageName}`, { name: 'malloc', packageName })
    project.writeJson('package.json', { dependencies: { [packageName]: '*' } })
    expect(find({ builtinPackageJson: addHost(['malloc']) }).found).toEqual([`dependency ${packageName}`])
  })

  it('is refused where a dependency of another package takes the name of a builtin', async () => {
    project.addModule('node_modules/my-malloc', { name: 'malloc', packageName: 'my-malloc' })
    project.writeJson('package.json', { dependencies: { 'my-malloc': '*' } })
    const loading = loadModules({ ...HOST, cwd: project.dir, builtinPackageJson: addHost(['malloc']) })
    await expect(loading).rejects.toMatchObject({ code: 'BDEV_E_MODULE_NAME_TAKEN' })
  })
})

describe('a stack file with modules', () => {
  it('takes found modules only for what its methods need', () => {
    project.addModule('node_modules/ram', { packageName: 'ram' })
    project.addModule('node_modules/cache', { packageName: 'cache', name: 'cache' })
    project.writeJson('package.json', { dependencies: { cache: '*' } })
    const options = {
      stackFile: { path: project.path('stack.json'), modules: ['ram'] },
      builtinPackageJson: addHost(['malloc', 'null', 'ram']),
    }
    expect(find(options).found).toEqual(['stack-file ram'])
    const neededNames = new Set(['malloc', 'ram'])
    expect(find({ ...options, neededNames }).found).toEqual(['stack-file ram', 'builtin @bdevkit/modules-malloc'])
    const methods = ['bdev_malloc_create', 'bdev_ram_create', 'bdev_cache_flush', 'bdev_set_options']
    expect(find({ ...options, methods }).found).toEqual(['stack-file ram', 'dependency cache', 'builtin @bdevkit/modules-malloc'])
    expect(find({ ...options, stackFile: { ...options.stackFile, modules: [] }, neededNames }).found).toEqual([
      'builtin @bdevkit/modules-malloc',
      'builtin @bdevkit/modules-ram',
    ])
  })

  it('is not stopped by an unreadable package that it does not need', () => {
    project.addModule('node_modules/ram', { packageName: 'ram' })
    project.write('node_modules/broken/package.json', '{')
    project.writeJson('package.json', { dependencies: { broken: '*' } })
    const stackFile = { path: project.path('stack.json'), modules: ['ram'] }
    expect(find({ stackFile, methods: ['bdev_ram_create'] }).failures).toEqual([])
    expect(find({ stackFile, methods: ['bdev_rom_create'] }).failures).toMatchObject([{ packageName: 'broken' }])
    expect(find().failures).toMatchObject([{ packageName: 'broken', origin: 'dependency' }])
  })
})

describe('a named module that is not there', () => {
  const stack = (...modules: unknown[]) => ({ stackFile: { path: project.path('stack.json'), modules: modules as string[] } })

  it('is refused with the command that installs it', () => {
    expect(failureText({ specs: ['@acme/gone'] })).toBe(`\
BDEV_E_MODULE_NOT_FOUND: --module names module package "@acme/gone", which is not installed.
  looked in: ~/node_modules and in the folders above
  fix: run "npm install @acme/gone" in ~`)
    expect(failureText(stack('gone'))).toBe(`\
BDEV_E_MODULE_NOT_FOUND: stack file ~/stack.json names module package "gone", which is not installed.
  looked in: ~/node_modules and in the folders above
  fix: run "npm install gone" in ~`)
  })

  it('is refused with the folder that was perhaps meant', () => {
    project.addModule('my-disk')
    const fix = 'fix: write "./my-disk" for the folder of that name, or run "npm install my-disk"'
    expect(failureText({ specs: ['my-disk'] })).toContain(fix)
  })

  it('is refused where its folder is not there, or is no package', () => {
    project.write('empty/readme', '')
    expect(failureText(stack('./gone'))).toBe(`\
BDEV_E_MODULE_NOT_FOUND: stack file ~/stack.json names module folder "./gone", which is no folder.
  looked in: ~/gone
  fix: correct the path; it is resolved from ~`)
    expect(failureText(stack('./empty'))).toBe(`\
BDEV_E_MODULE_NOT_FOUND: stack file ~/stack.json names module folder "./empty", which holds no package.json.
  looked in: ~/empty
  fix: name the folder of a module package`)
    expect(failureText({ specs: ['./\0'] })).toContain('names module folder "./\\u0000", which is no folder.')
  })

  it('is refused where the package is no module', () => {
    project.writeJson('node_modules/lodash/package.json', { name: 'lodash', version: '4.17.21' })
    expect(failureText({ specs: ['lodash'] })).toBe(`\
BDEV_E_MODULE_MANIFEST: --module names package lodash 4.17.21, which has no "bdevModule" manifest.
  manifest: ~/node_modules/lodash/package.json
  fix: name a module package; its author adds "bdevModule": { "manifestVersion": 1, "name": "…", "entry": "." }`)
  })

  it.each(['ram@1.0.0', 'https://x/y.tgz', '@acme', 'a/b', '', '../'.repeat(3) + '\n', '__proto__', 7, null, {}])(
    'is refused where the spec is %j',
    spec => {
      const { failures } = find(stack(spec))
      expect(failures).toHaveLength(1)
      expect(failures[0].code).toMatch(/^BDEV_E_MODULE_(LIST|NOT_FOUND)$/)
    },
  )

  it('is refused where the list is no list', () => {
    expect(failureText({ stackFile: { path: project.path('stack.json'), modules: 'ram' as unknown as string[] } })).toBe(`\
BDEV_E_MODULE_LIST: stack file ~/stack.json: "modules" is "ram", but must be a list of package names and folders.
  fix: write e.g. "modules": ["bdev-module-foo", "./my-module"]`)
  })

  it('is told of an unreadable package.json of the application', () => {
    project.write('package.json', '[]')
    expect(failureText({})).toBe(`\
BDEV_E_MODULE_LIST: the package.json whose dependencies name modules holds a list, but must hold an object.
  file: ~/package.json
  fix: correct the file, or name the modules with --module and pass --no-discover`)
  })
})

describe('a loaded module', () => {
  it('carries its value and where it comes from', async () => {
    const packageName = '@acme/bdev-module-ram'
    project.addModule(`node_modules/${packageName}`, { packageName, manifest: { requires: ['zones@1'], platforms: ['linux'] } })
    const loaded = await loadModules({ ...HOST, cwd: project.dir, specs: [packageName] })
    expect(loaded).toEqual([
      {
        value: expect.objectContaining({ name: 'ram', '@bdevkit/bdev-module': 1 }),
        name: 'ram',
        packageName,
        packageVersion: '2.1.0',
        sdkRange: '^1.2.0',
        sdk: '1.2',
        requires: ['zones@1'],
        file: project.path(`node_modules/${packageName}/dist/index.js`),
        manifestFile: project.path(`node_modules/${packageName}/package.json`),
        origin: 'command-line',
      },
    ])
  })

  it.each<[string, unknown, string]>([
    ['a string', './dist/index.js', '.'],
    ['a list', ['bad-target', './dist/index.js'], '.'],
    ['conditions', { types: './dist/index.d.ts', import: './dist/index.js', default: './none.js' }, '.'],
    ['the first condition that counts', { browser: './none.js', node: './dist/index.js', import: './none.js' }, '.'],
    ['nested conditions', { '.': { node: { require: './none.cjs', import: './dist/index.js' }, default: './none.js' } }, '.'],
    ['a subpath', { '.': './none.js', './module': { types: './x.d.ts', default: './dist/index.js' } }, './module'],
    ['an encoded name', './di%73t/index.js', '.'],
  ])('is found by exports of %s', async (_what, exports, entry) => {
    project.addModule('ram', { packageJson: { exports }, manifest: { entry } })
    const [{ file }] = await loadModules({ ...HOST, cwd: project.dir, specs: ['./ram'] })
    expect(file).toBe(join(project.dir, 'ram/dist/index.js'))
  })

  it('may need a later minor for its build than its range says', async () => {
    project.addModule('ram', { sdkRange: '^1.2.0', sdk: '1.6' })
    expect(await loadModules({ ...HOST, cwd: project.dir, specs: ['./ram'] })).toMatchObject([{ sdk: '1.6' }])
  })
})

describe('the module of an RPC method', () => {
  it('is the longest known name after bdev_', () => {
    const known = ['raid', 'lvol', 'my', 'my_disk']
    expect(neededModuleNames(['bdev_my_disk_create', 'bdev_raid_add_base_bdev', 'bdev_lvol_create_lvstore'], known)).toEqual(
      new Set(['my_disk', 'raid', 'lvol']),
    )
    expect(neededModuleNames(['bdev_my_disks', 'bdev_my'], known)).toEqual(new Set(['my']))
  })

  it('is unknown but needed for a create call, and none for methods of the framework', () => {
    const methods = ['bdev_foo_bar_create', 'bdev_get_bdevs', 'bdev_set_options', 'framework_start_init', 'bdev__create', 'bdev_']
    expect(neededModuleNames(methods, ['malloc'])).toEqual(new Set(['foo_bar']))
  })

  it('is named with what to install where it is missing', () => {
    expect(missingModuleText('bdev_my_disk_create', ['--module', 'dependencies of /srv/app/package.json'])).toBe(
      'bdev_my_disk_create: no module "my_disk" (looked in --module, dependencies of /srv/app/package.json); ' +
        'try: npm install bdev-module-my-disk',
    )
    expect(missingModuleText('bdev_get_bdevs', [])).toBeUndefined()
  })
})
