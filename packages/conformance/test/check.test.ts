// SPDX-License-Identifier: Apache-2.0
// Each check of bdev-module-check, on a package that fails it and nothing else, with the text that its author reads.
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { checkModulePackage, parameterTables, type CheckName, type CheckOptions } from '../src/index.js'
import { checkImport } from '../src/check/effects-check.js'
import { runCheck } from '../src/run-check.js'

const SDK = fileURLToPath(new URL('../node_modules/@bdevkit/module-sdk', import.meta.url))
const sdkVersion = (JSON.parse(readFileSync(join(SDK, 'package.json'), 'utf8')) as { version: string }).version
const minor = sdkVersion.split('.', 2).join('.')

let folder: string
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'bdev-module-check-')))
  write('node_modules/.keep', '')
  mkdirSync(join(folder, 'node_modules/@bdevkit'), { recursive: true })
  symlinkSync(SDK, join(folder, 'node_modules/@bdevkit/module-sdk'))
  for (const [file, content] of Object.entries(good())) write(file, content)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function write(file: string, content: unknown): void {
  const path = join(folder, file)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
}

const manifest = (more: object = {}) => ({
  name: '@acme/bdev-module-ram',
  version: '1.0.0',
  type: 'module',
  keywords: ['bdev-module'],
  exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' }, './package.json': './package.json' },
  files: ['dist'],
  dependencies: { '@bdevkit/module-sdk': `^${sdkVersion}` },
  bdevModule: { manifestVersion: 1, name: 'ram', entry: '.' },
  ...more,
})

const params = "{ type: 'object', additionalProperties: false, required: ['name'], properties: { name: { type: 'string' } } }"

/** Code of the module; `top` stands before it, `rpc` is its one method. */
function code({ top = '', sdk = minor, name = 'ram', method = 'bdev_ram_create', schema = params } = {}): string {
  return `${top}
import { defineBdevModule } from '@bdevkit/module-sdk'
export default defineBdevModule({
  name: '${name}', sdk: '${sdk}',
  rpc: { ${method}: { description: 'Create one', params: ${schema} } },
  setup: () => ({ handlers: { ${method}: () => 'x' } }),
})
`
}

const tables = parameterTables({
  rpc: {
    bdev_ram_create: {
      description: 'Create one',
      params: { required: ['name'], properties: { name: { type: 'string' } } },
    },
  },
} as never)

function good(): Record<string, unknown> {
  return {
    'package.json': manifest(),
    'dist/index.js': code(),
    'dist/index.d.ts': 'export {}\n',
    'README.md': `# ram\n\n## RPC methods\n\n${tables}\n## More\n`,
    LICENSE: 'Apache-2.0\n',
  }
}

/** What is found, as "check: message" and "fix: …", with `~` for the folder. */
async function found(options: CheckOptions = {}): Promise<string[]> {
  const { findings } = await checkModulePackage(folder, options)
  return findings.map(({ check, message, fix }) => `${check}: ${message}${fix === undefined ? '' : `\nfix: ${fix}`}`.replaceAll(folder, '~'))
}

describe('bdev-module-check', () => {
  it('finds nothing in a good package, and says what it looked at', async () => {
    const { ok, subject, verdicts } = await checkModulePackage(folder)
    expect(await found()).toEqual([])
    expect({ ok, subject }).toEqual({ ok: true, subject: '@acme/bdev-module-ram@1.0.0' })
    expect(Object.fromEntries(verdicts)).toEqual({
      load: 'ok', sdk: 'ok', exports: 'ok', keyword: 'ok', rpc: 'ok', import: 'ok', readme: 'ok', packed: 'ok',
    })
  })

  const wrong: [what: string, files: Record<string, unknown>, text: string | RegExp][] = [
    ['a manifest that breaks its schema', { 'package.json': manifest({ bdevModule: { manifestVersion: 1, name: 'ram', entry: '.', x: 1 } }) },
      /^load: BDEV_E_MODULE_MANIFEST: module "ram" .* has a bad manifest: unknown key "x"\.[^]*\nfix: see @bdevkit\/module-sdk\/schema\//],
    ['a range that does not fix one major', { 'package.json': manifest({ dependencies: { '@bdevkit/module-sdk': '>=0.1' } }) },
      /^load: BDEV_E_MODULE_SDK_RANGE: .* asks for module-sdk ">=0\.1", which does not fix the major version\.[^]*\nfix: write e\.g\. "\^/],
    ['names that differ', { 'dist/index.js': code({ name: 'rom', method: 'bdev_rom_create' }) },
      /^load: BDEV_E_MODULE_NAME_MISMATCH: module "ram" .* calls itself "rom" in code\.[^]*\nfix: write one name in defineBdevModule\(\) and/],
    ['an SDK of another line in the code', { 'dist/index.js': code({ sdk: '9.0' }) },
      /^load: BDEV_E_MODULE_ABI: module "ram" .* was built against module-sdk 9\.0, but this host offers/],
    ['another SDK beside the code', {
      'node_modules/@bdevkit/module-sdk': null,
      'node_modules/@bdevkit/module-sdk/package.json': {
        name: '@bdevkit/module-sdk', version: '9.1.3', type: 'module', exports: { '.': './i.js', './package.json': './package.json' },
      },
      'node_modules/@bdevkit/module-sdk/i.js': `export const defineBdevModule = spec => ({ ...spec, '@bdevkit/bdev-module': 1 })\n`,
    }, `sdk: module "ram" says sdk: '${minor}', but it is built with module-sdk 9.1.3\n` +
      "fix: write sdk: '9.1' where it calls defineBdevModule(), and build again"],
    ['no types', { 'package.json': manifest({ exports: { '.': './dist/index.js', './package.json': './package.json' } }) },
      'exports: exports["."] gives no types, so that users of the module in code have none\n' +
      'fix: write "exports": { ".": { "types": "./dist/index.d.ts", "default": "./dist/index.js" } }'],
    ['types behind another condition', {
      'package.json': manifest({ exports: { '.': { default: './dist/index.js', types: './dist/index.d.ts' }, './package.json': './package.json' } }),
    }, 'exports: exports["."] has "types" behind another condition, which TypeScript then takes\nfix: move "types" to the front'],
    ['types that were not built', { 'dist/index.d.ts': null, 'package.json': manifest({ exports: {
      '.': { types: './dist/index.d.ts', default: './dist/index.js' }, './package.json': './package.json' } }) },
      /^exports: exports\["\."\]\.types is "\.\/dist\/index\.d\.ts", which does not exist\nfix: set "declaration": true in tsconfig\.json and build/],
    ['a hidden package.json', { 'package.json': manifest({ exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' } } }) },
      'exports: exports hide ./package.json, which tools read\nfix: add "./package.json": "./package.json" to "exports"'],
    ['no keywords', { 'package.json': manifest({ keywords: undefined }) },
      'keyword: package.json has no "keywords", without "bdev-module", by which people find modules on npm\n' +
      'fix: write "keywords": ["bdev-module"]'],
    ['a method of another name', { 'dist/index.js': code({ method: 'ram_create' }), 'README.md': tables.replace('bdev_ram_create', 'ram_create') },
      'rpc: RPC method "ram_create" does not carry the name of its module: a host that lacks it cannot say which to install\n' +
      'fix: call it bdev_ram_…'],
    ['a schema that is none', { 'dist/index.js': code({ schema: "{ type: 'objekt', additionalProperties: false }" }) },
      /^rpc: the schema of RPC method "bdev_ram_create" is not sound: .*\nfix: write a JSON Schema, draft-07$/],
    ['a schema that lets typos through', { 'dist/index.js': code({ schema: params.replace('additionalProperties: false, ', '') }) },
      'rpc: the schema of RPC method "bdev_ram_create" lets unknown parameters through, so that a typo passes in silence\n' +
      'fix: write additionalProperties: false'],
    ['a README of another parameter', { 'README.md': `# ram\n\n${tables.replace('| `name` |', '| `nam` |')}` },
      'readme: README.md lacks this line of the RPC schemas: | `name` | string | required |  |\n' +
      'fix: run bdev-module-check --fix, which writes the tables'],
    ['no README', { 'README.md': null }, 'readme: there is no README.md\nfix: run bdev-module-check --fix, which writes the tables'],
    ['a build that is not packed', { 'package.json': manifest({ files: ['src'] }) },
      'packed: package.json names "dist/index.d.ts", which npm would not pack: "files" is ["src"]\nfix: add "dist" to "files"'],
    ['a command that does not exist', { 'package.json': manifest({ bin: { ram: './bin/ram.js' } }) },
      'packed: package.json names "bin/ram.js", which npm would not pack: it does not exist\nfix: build first, or correct the path'],
    ['no licence', { LICENSE: null }, 'packed: no licence would be packed: nobody may use the module\nfix: add a file LICENSE'],
    ['a map without its source', { 'dist/index.js.map': { version: 3, sources: ['../src/index.ts'], mappings: '' } },
      'packed: "dist/index.js.map" maps to "../src/index.ts", which would not be packed: a map without sources only costs\n' +
      'fix: set "sourceMap": false in tsconfig.json, or pack the sources, too'],
  ]
  it.each(wrong)('finds %s', async (_what, files, text) => {
    for (const [file, content] of Object.entries(files)) {
      if (content === null) rmSync(join(folder, file), { recursive: true })
      else write(file, content)
    }
    const only = [/^\/?\^?(\w+):/.exec(typeof text === 'string' ? text : text.source)![1] as CheckName]
    expect((await found({ only }))[0]).toEqual(typeof text === 'string' ? text : expect.stringMatching(text))
  })

  const effects: [what: string, top: string, text: string | RegExp][] = [
    ['a timer', 'setInterval(() => {}, 1e6).unref()', 'setInterval() at dist/index.js:1:1\nfix: start pollers in moduleInit, with host.appThread.registerPoller'],
    ['a file that it reads', "import { readFileSync } from 'node:fs'; readFileSync(new URL(import.meta.url))",
      /^fs\.readFileSync\(\) at dist\/index\.js:1:41\nfix: read and write files in moduleInit/],
    ['a file that it reads by a promise', "import { stat } from 'node:fs/promises'; await stat('.')", /^fs\.promises\.stat\(\) at dist\/index\.js/],
    ['a server', "import net from 'node:net'; net.createServer()", /^net\.createServer\(\) at dist\/index\.js:1:33\nfix: connect in moduleInit/],
    ['a process', "import { execFileSync } from 'node:child_process'; execFileSync('true')", /^child_process\.execFileSync\(\) at/],
    ['output', "process.stdout.write('hello')", 'writing to standard output at dist/index.js:1:16\nfix: log through host.log'],
    ['a global', 'globalThis.ram = {}', /^globalThis\.ram\nfix: keep state in what setup\(\) closes over/],
    ['a changed prototype', 'Array.prototype.last = function () {}', /^Array\.prototype\.last\n/],
    ['a listener', "process.on('exit', () => {})", "process.on('exit')\nfix: a module has no business with the events of the process"],
    ['an exit', 'process.exit(0)', /^process\.exit\(\) at dist\/index\.js:1:9/],
  ]
  it.each(effects)('finds an import with an effect: %s', async (_what, top, text) => {
    // Loaded by this process, too: for those who would end it, a guard.
    const guarded = top.startsWith('process.exit') ? `if (process.argv[2] === '--probe') ${top}` : top
    write('dist/index.js', code({ top: guarded }))
    vi.spyOn(process.stdout, 'write').mockImplementation(() => true)
    const [first] = await found({ only: ['import'] }).finally(() => vi.restoreAllMocks())
    const said = first?.replace('import: importing it has an effect: ', '').replace(/:1:\d+/, top === guarded ? '$&' : ':1:9')
    expect(said).toEqual(typeof text === 'string' ? text : expect.stringMatching(text))
    delete (globalThis as { ram?: unknown }).ram
    delete (Array.prototype as { last?: unknown }).last
  })

  it('finds an import that waits for ever', async () => {
    write('dist/index.js', code({ top: 'setInterval(() => {}, 1e8); await new Promise(() => {})' }))
    const [finding] = await checkImport(folder, join(folder, 'dist/index.js'), 500)
    expect(finding).toEqual({
      check: 'import', message: 'importing it did not end within 0.5 seconds: it awaits at top level', fix: 'wait in moduleInit instead',
    })
  })

  it('writes the tables with --fix, and nothing else', async () => {
    write('README.md', '# ram\n\nText.\n\n## RPC methods\n\n### `bdev_ram_create`\n\nOld.\n\n### `bdev_ram_old`\n\n## More\n\nText.\n')
    expect(await found({ fix: true, only: ['readme'] })).toEqual([])
    expect(readFileSync(join(folder, 'README.md'), 'utf8')).toBe(`# ram\n\nText.\n\n## RPC methods\n\n${tables}\n## More\n\nText.\n`)
    write('README.md', '# ram\n')
    await found({ fix: true, only: ['readme'] })
    expect(readFileSync(join(folder, 'README.md'), 'utf8')).toBe(`# ram\n\n## RPC methods\n\n${tables}`)
  })

  it('with --lowest tells a package without tests so', async () => {
    expect(await found({ only: ['lowest'] })).toEqual([
      'lowest: package.json has no script "test"\nfix: write one that builds and runs the conformance kit',
    ])
  })
})

it('with --lowest says what fails, and with which SDK', async () => {
  write('package.json', manifest({ scripts: { test: 'exit 3' } }))
  vi.stubEnv('npm_config_registry', 'http://127.0.0.1:1/')
  vi.stubEnv('npm_config_fetch_retries', '0')
  const [finding] = await found({ only: ['lowest'] }).finally(() => vi.unstubAllEnvs())
  expect(finding).toMatch(
    /^lowest: with module-sdk 0\.\d+\.\d+, the lowest of "\^0\.\d+\.\d+", "npm install" fails:\n[^]*ECONNREFUSED[^]*\nfix: use what 0/,
  )
})

describe('the command', () => {
  async function run(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
    let stdout = ''
    let stderr = ''
    vi.spyOn(process.stdout, 'write').mockImplementation(chunk => ((stdout += String(chunk)), true))
    vi.spyOn(process.stderr, 'write').mockImplementation(chunk => ((stderr += String(chunk)), true))
    try {
      return { status: await runCheck(args), stdout, stderr }
    } finally {
      vi.restoreAllMocks()
    }
  }

  it('prints a line for each check, and below it what to write instead', async () => {
    write('package.json', manifest({ keywords: [] }))
    const { status, stdout } = await run(folder)
    expect(status).toBe(1)
    expect(stdout).toContain('@acme/bdev-module-ram@1.0.0\n  ok      load     a host would load it')
    expect(stdout).toContain(`\
  FAILED  keyword  the keyword "bdev-module", by which people find modules on npm
            package.json has the keywords [], without "bdev-module", by which people find modules on npm
            fix: write "keywords": ["bdev-module"]
`)
  })

  it('skips what needs the module where a host would not load it', async () => {
    rmSync(join(folder, 'dist/index.js'))
    const { status, stdout } = await run(folder)
    expect(status).toBe(1)
    expect(stdout).toContain('BDEV_E_MODULE_NOT_BUILT')
    expect(stdout).toMatch(/^ {2}skipped import/m)
  })

  it('prints JSON', async () => {
    const { status, stdout } = await run(folder, '--json')
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, verdicts: { load: 'ok' }, findings: [] })
  })

  it.each([
    [['--lowst'], 2, /^bdev-module-check: Unknown option '--lowst'/],
    [['a', 'b'], 2, /^bdev-module-check: wanted one folder, found a and b/],
    [['no-such'], 1, /^bdev-module-check: no-such holds no package\.json; name the folder of a module package/],
  ])('refuses %j with status %i', async (args, status, text) => {
    const result = await run(...args)
    expect(result.status).toBe(status)
    expect(result.stderr).toMatch(text)
  })
})
