// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KINDS, namesFor } from '../src/index.js'

const bin = fileURLToPath(new URL('../bin/create-bdev-module.js', import.meta.url))
const templates = fileURLToPath(new URL('../../../templates', import.meta.url))

let cwd: string
beforeEach(() => {
  cwd = realpathSync(mkdtempSync(join(tmpdir(), 'create-bdev-module-')))
})
afterEach(() => rmSync(cwd, { recursive: true, force: true }))

function create(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const { npm_config_kind: _kind, npm_config_user_agent: _agent, ...clean } = process.env
  return spawnSync(process.execPath, [bin, ...args], { cwd, env: { ...clean, ...env }, encoding: 'utf8', input: '' })
}
const read = (file: string): string => readFileSync(join(cwd, file), 'utf8')
const json = (file: string) => JSON.parse(read(file)) as Record<string, Record<string, string>>

/** Paths below a folder, without what is built. */
function tree(folder: string, below = ''): string[] {
  const made = new Set(['node_modules', 'dist', 'out', '.nx'])
  return readdirSync(join(folder, below), { withFileTypes: true })
    .filter(({ name }) => !made.has(name) && !name.includes('.sock'))
    .flatMap(entry => (entry.isDirectory() ? tree(folder, `${below}${entry.name}/`) : [below + entry.name]))
    .sort()
}

describe.each(KINDS)('a project of kind %s', kind => {
  const word = kind === 'bdev' ? 'my-disk' : 'my-filter'

  it('has the files of the template, under its own name', () => {
    const { status, stdout } = create(['ram-cache', '--kind', kind, '--no-install'])
    expect(status).toBe(0)
    expect(stdout).toContain(
      'made ram-cache: package bdev-module-ram-cache, module ram_cache, RPC methods bdev_ram_cache_create and bdev_ram_cache_delete',
    )
    expect(tree(join(cwd, 'ram-cache'))).toEqual(tree(join(templates, kind)).map(file => file.replace(word, 'ram-cache')).sort())
    for (const file of tree(join(cwd, 'ram-cache'))) expect(read(`ram-cache/${file}`)).not.toMatch(/my.?(disk|filter)|workspace:/i)
    expect(json('ram-cache/package.json')).toMatchObject({ name: 'bdev-module-ram-cache', bdevModule: { name: 'ram_cache' } })
  })

  it('says the three steps to a served disk', () => {
    const { stdout } = create(['ram', '--kind', kind, '--no-install'], { npm_config_user_agent: 'pnpm/10.0.0 npm/? node/v20' })
    expect(stdout).toMatch(/\nnow:\n {2}cd ram\n {2}pnpm install\n {2}pnpm test\n {2}pnpm run serve\n$/)
  })

  it('depends on released versions of what it uses', () => {
    create(['ram', '--kind', kind, '--no-install'])
    const { dependencies, devDependencies } = json('ram/package.json')
    const released = Object.fromEntries(['module-sdk', 'cli', 'conformance'].map(folder => {
      const file = fileURLToPath(new URL(`../../${folder}/package.json`, import.meta.url))
      return [`@bdevkit/${folder}`, `^${(JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version}`]
    }))
    expect({ ...dependencies, ...devDependencies }).toMatchObject(released)
  })
})

describe('npm create bdev-module', () => {
  it('gives each vbdev module a UUID namespace of its own', () => {
    create(['one', '--kind', 'vbdev', '--no-install'])
    create(['two', '--kind', 'vbdev', '--no-install'])
    const [one, two] = ['one', 'two'].map(name => /uuidNamespace: '([^']+)'/.exec(read(`${name}/src/index.ts`))![1])
    expect(one).toMatch(/^[0-9a-f-]{36}$/)
    expect(one).not.toBe(two)
    expect(one).not.toMatch(/^0+-/)
  })

  it('takes scope, name and folder apart', () => {
    expect(create(['modules/here', '--name', 'ram', '--scope', '@acme', '--no-install']).stdout)
      .toContain('made modules/here: package @acme/bdev-module-ram, module ram,')
    expect(read('modules/here/test/ram.test.ts')).toContain("import module from '@acme/bdev-module-ram'")
  })

  it('takes a name that contains the template\'s', () => {
    create(['my-disk-2', '--no-install'])
    expect(json('my-disk-2/package.json')).toMatchObject({ name: 'bdev-module-my-disk-2', bdevModule: { name: 'my_disk_2' } })
    expect(existsSync(join(cwd, 'my-disk-2/src/bdev-my-disk-2.ts'))).toBe(true)
  })

  it('takes --kind that npm kept for itself', () => {
    create(['ram', '--no-install'], { npm_config_kind: 'vbdev' })
    expect(read('ram/src/index.ts')).toContain('host.vbdevs')
  })

  it('says where to write an option whose value npm has torn off', () => {
    const { status, stderr } = create(['ram', 'vbdev'], { npm_config_kind: 'true' })
    expect(status).toBe(2)
    expect(stderr).toContain('write npm create bdev-module ram -- --kind vbdev\n')
  })

  it('copies another project with --template', () => {
    create(['first', '--no-install'])
    writeFileSync(join(cwd, 'first/src/extra.ts'), 'export const first = "bdev_first_create"\n')
    expect(create(['second', '--template', 'first', '--no-install']).status).toBe(0)
    expect(read('second/src/extra.ts')).toBe('export const second = "bdev_second_create"\n')
  })

  it('makes a git repository with --git and with --yes, and not inside of another one', () => {
    create(['one', '--no-install'])
    expect(existsSync(join(cwd, 'one/.git'))).toBe(false)
    expect(create(['two', '--git', '--no-install']).stdout).toContain('made a git repository')
    expect(existsSync(join(cwd, 'two/.git/HEAD'))).toBe(true)
    create(['three', '--yes', '--no-install'])
    expect(existsSync(join(cwd, 'three/.git/HEAD'))).toBe(true)
    create(['two/inner', '--yes', '--no-install'])
    expect(existsSync(join(cwd, 'two/inner/.git'))).toBe(false)
  })

  it('leaves a complete project behind where the install fails, and says what to do', () => {
    const { status, stderr } = create(['ram'], { PATH: join(cwd, 'nowhere') })
    expect(status).toBe(1)
    expect(stderr).toMatch(/^create-bdev-module: the project is complete, but "npm install" .*; mend that, then run it again in ram\n$/)
    expect(existsSync(join(cwd, 'ram/package.json'))).toBe(true)
  })
})

const noPython = spawnSync('python3', ['--version']).error !== undefined

describe.skipIf(noPython)(`on a terminal${noPython ? ' [skipped: not installed: python3]' : ''}`, () => {
  const terminal = fileURLToPath(new URL('terminal.py', import.meta.url))
  /** Answers each question, told by a text in it, with keys. */
  const answer = (args: readonly string[], answers: readonly (readonly [question: string, keys: string])[]) =>
    spawnSync('python3', [terminal, process.execPath, bin, ...args], {
      cwd, encoding: 'utf8', input: answers.flatMap(([question, keys]) => [question, JSON.stringify(keys)]).join('\n'),
    })

  it('asks for what is left open', () => {
    const { status, stdout } = answer(['--no-install'], [
      ['Name of the module', 'night-disk\r'], ['What kind of bdev?', '\u001b[B\r'], ['npm scope', 'acme\r'], ['Make a git repository?', 'n'],
    ])
    expect(stdout).toContain('made night-disk: package @acme/bdev-module-night-disk, module night_disk')
    expect(status).toBe(0)
    expect(read('night-disk/src/index.ts')).toContain('host.vbdevs')
    expect(existsSync(join(cwd, 'night-disk/.git'))).toBe(false)
  })

  it('asks for nothing that the command line says, and says at once what is wrong with an answer', () => {
    const { stdout } = answer(['--no-install', '--kind', 'bdev', '--scope', '', '--no-git'], [
      ['Name of the module', 'Night\r'], ['cannot be the name of a module', '\u0015night\r'],
    ])
    expect(stdout).not.toMatch(/What kind|npm scope|git repository/)
    expect(stdout).toContain('made night: package bdev-module-night,')
  })

  it('makes nothing where a question is left with Ctrl-C', () => {
    const { status, stdout } = answer(['--no-install'], [['Name of the module', '\u0003']])
    expect(stdout).toContain('nothing was made')
    expect(status).toBe(1)
    expect(tree(cwd)).toEqual([])
  })
})

describe('refusals write nothing:', () => {
  it.each([
    ['a folder in use', ['used'], 1, 'used is not empty (a.txt), and nothing is ever overwritten; choose another name, or empty it'],
    ['a file', ['file'], 1, 'file is a file; choose another name, or move it away'],
    ['no name', [], 2, 'no name: write npm create bdev-module my-disk'],
    ['two names', ['a', 'b'], 2, 'wanted one folder, found "a" and "b"'],
    ['a kind that does not exist', ['a', '--kind', 'raid'], 2, '--kind: wanted bdev or vbdev, found "raid"'],
    ['an unknown option', ['a', '--knid', 'bdev'], 2, 'Unknown option \'--knid\''],
    ['a name that npm does not take', ['My Disk'], 2, '"My Disk" cannot be the name of a module; write lower-case letters'],
    ['a name that is too long', ['a'.repeat(33)], 2, 'the name of a module has at most 32 characters, but'],
    ['a scope that npm does not take', ['a', '--scope', 'A b'], 2, '"A b" cannot be an npm scope'],
    ['a template that is none', ['a', '--template', 'used'], 1, 'is no template: ENOENT'],
    ['a template of another name', ['a', '--template', 'app'], 1, 'is no template: wanted the name bdev-module-<word>, which is replaced'],
  ])('%s', (_what, args, status, text) => {
    mkdirSync(join(cwd, 'used'))
    writeFileSync(join(cwd, 'used/a.txt'), 'mine')
    mkdirSync(join(cwd, 'app'))
    writeFileSync(join(cwd, 'app/package.json'), '{"name": "app"}')
    writeFileSync(join(cwd, 'file'), '')
    const before = tree(cwd)
    const result = create([...args, '--no-install'])
    expect(result.status).toBe(status)
    expect(result.stderr).toContain(`create-bdev-module: ${text}`.replace('create-bdev-module: is', 'is'))
    expect(tree(cwd)).toEqual(before)
  })
})

describe('names', () => {
  it.each([
    ['my-disk', 'bdev-module-my-disk', 'my_disk', 'MyDisk'],
    ['my_disk', 'bdev-module-my-disk', 'my_disk', 'MyDisk'],
    ['bdev-module-ram2', 'bdev-module-ram2', 'ram2', 'Ram2'],
  ])('%s is package %s, module %s, type %s', (name, packageName, snake, pascal) => {
    expect(namesFor(name)).toMatchObject({ packageName, snake, pascal })
  })
})
