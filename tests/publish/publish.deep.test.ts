// SPDX-License-Identifier: Apache-2.0
// From idea to npm: every package is published to a real registry on loopback; strangers then scaffold a module of each kind,
// test, check, bump and publish it, install it elsewhere beside ours, stack all of them, serve the stack, and read it.
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { itWith } from '../interop/support/tools.js'
import { emptyProject, Machine, root, weigh, type Manager } from './project.js'
import { startRegistry, type Registry } from './registry.js'

const MIB = 1024 * 1024
/** What `npx @bdevkit/cli` may cost: bytes on disk, packages. */
const COLD_BYTES_MAX = 15 * MIB
const COLD_PACKAGES_MAX = 50
const TIMEOUT_MS = 600_000

const hereMajor = Number(process.versions.node.split('.')[0])
const otherMajor = hereMajor < 24 ? 24 : 20

let folder: string
let registry: Registry
let here: Machine
let other: Machine

beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'bdevkit-publish-')))
  registry = await startRegistry(join(folder, 'registry'))
  here = new Machine(registry.npmrc)
  const publish = ['-r', '--filter', './packages/*', 'publish', '--no-git-checks', '--access', 'public']
  here.run(root, 'pnpm', publish)
  here.run(emptyProject(join(folder, 'node')), 'npm', ['install', `node@${otherMajor}`])
  other = new Machine(registry.npmrc, join(folder, 'node/node_modules/.bin'))
}, TIMEOUT_MS)
afterAll(async () => {
  await registry?.stop()
  rmSync(folder, { recursive: true, force: true })
}, TIMEOUT_MS)

const kinds = ['bdev', 'vbdev'] as const
const ways: { manager: Manager; major: number; machine: () => Machine }[] = [
  { manager: 'npm', major: hereMajor, machine: () => here },
  { manager: 'pnpm', major: otherMajor, machine: () => other },
]

/** `npm create` of a module, and how to name an option: npm wants "--" before it. */
const create = (manager: Manager, name: string, ...options: string[]): string[] =>
  ['create', 'bdev-module', name, ...(manager === 'npm' ? ['--'] : []), ...options]

/** A stack of the new bdev, three modules of ours, and the new vbdev on top. */
function stackOf(manager: Manager): object {
  const call = (method: string, params: object): object => ({ method, params })
  return {
    modules: kinds.map(kind => `bdev-module-${manager}-${kind}`),
    subsystems: [{
      subsystem: 'bdev',
      config: [
        call(`bdev_${manager}_bdev_create`, { name: 'New0', num_blocks: 32_768, block_size: 512 }),
        call('bdev_malloc_create', { name: 'Malloc0', num_blocks: 32_768, block_size: 512 }),
        call('bdev_error_create', { base_name: 'Malloc0' }),
        call('bdev_passthru_create', { name: 'PT0', base_bdev_name: 'EE_Malloc0' }),
        call(`bdev_${manager}_vbdev_create`, { name: 'Top0', base_bdev_name: 'PT0' }),
      ],
    }],
  }
}

const modulesOfOurs = ['@bdevkit/modules-malloc', '@bdevkit/modules-error', '@bdevkit/modules-passthru']
const qemuIo = 'qemu-io -f raw -c "write -P 0xab 4096 1M" -c "read -P 0xab 4096 1M" "$uri_Top0" && qemu-io -r -f raw -c "read -P 0 0 1M" "$uri_New0"'

describe.each(ways)('with $manager on Node $major', ({ manager, major, machine }) => {
  const at = (name: string): string => join(folder, manager, name)

  it.each(kinds)('a %s goes from nothing to the registry', { timeout: TIMEOUT_MS }, kind => {
    mkdirSync(at('.'), { recursive: true })
    const name = `${manager}-${kind}`
    const made = machine().run(at('.'), manager, create(manager, name, '--kind', kind))
    expect(made).toContain(`made ${name}: package bdev-module-${name}, module ${manager}_${kind}`)
    expect(machine().run(at('.'), 'node', ['--version'])).toContain(`v${major}.`)
    const tested = machine().run(at(name), manager, ['test'])
    expect(tested).toMatch(/^ℹ fail 0$/m)
    const checked = machine().run(at(name), manager, ['run', 'check'])
    expect(checked).toMatch(/^ {2}ok {6}packed/m)
    machine().run(at(name), manager, ['version', 'minor', '--no-git-tag-version'])
    expect(JSON.parse(readFileSync(join(at(name), 'package.json'), 'utf8'))).toMatchObject({ version: '0.2.0' })
    machine().run(at(name), manager, ['publish', '--access', 'public', ...(manager === 'pnpm' ? ['--no-git-checks'] : [])])
  })

  itWith(['qemu-io'], 'both are installed elsewhere, stacked with ours, served, and read', async () => {
    const app = emptyProject(at('app'))
    const packages = ['@bdevkit/cli', '@bdevkit/core', ...modulesOfOurs, ...kinds.map(kind => `bdev-module-${manager}-${kind}`)]
    machine().run(app, manager, [manager === 'npm' ? 'install' : 'add', ...packages])
    writeFileSync(join(app, 'stack.json'), JSON.stringify(stackOf(manager)))
    const listed = machine().run(app, 'node_modules/.bin/bdev', ['modules', '-c', 'stack.json'])
    expect(listed).toMatch(new RegExp(`^${manager}_vbdev +bdev-module-${manager}-vbdev +0\\.2\\.0 .*stack file`, 'm'))
    for (const node of [machine(), machine() === here ? other : here]) { // installed on one Node, served on both
      const served = node.run(app, 'node_modules/.bin/bdev', ['serve', '-c', 'stack.json', '--run', qemuIo])
      expect(served.match(/(wrote|read) 1048576\/1048576 bytes/g)).toHaveLength(3)
      expect(served).not.toContain('Pattern verification failed')
    }
    await Promise.resolve()
  }, { timeout: TIMEOUT_MS })
})

describe('the registry', () => {
  it('gives a module the lowest SDK of its range for --lowest', { timeout: TIMEOUT_MS }, () => {
    const module = join(folder, 'npm/npm-bdev')
    expect(here.run(module, 'npx', ['bdev-module-check', '--lowest'])).toMatch(/^ {2}ok {6}lowest/m)
  })

  it('gives the CLI cold in few packages and bytes', { timeout: TIMEOUT_MS }, () => {
    const app = emptyProject(join(folder, 'cold'))
    here.run(app, 'npm', ['install', '@bdevkit/cli'])
    const { packages, bytes } = weigh(app)
    console.log(`@bdevkit/cli cold: ${packages.length} packages, ${(bytes / MIB).toFixed(1)} MiB`)
    expect(packages).toContain('@bdevkit/core')
    expect(packages.length).toBeLessThanOrEqual(COLD_PACKAGES_MAX)
    expect(bytes).toBeLessThanOrEqual(COLD_BYTES_MAX)
    expect(here.run(app, 'npx', ['bdev', '--version'])).toMatch(/^bdev \d/m)
  })

  it('gives types that a strict consumer compiles', { timeout: TIMEOUT_MS }, () => {
    const app = emptyProject(join(folder, 'types'))
    here.run(app, 'npm', ['install', '@bdevkit/core', '@bdevkit/rpc', '@bdevkit/nbd', '@bdevkit/modules-malloc', 'typescript@7.0.2', '@types/node@20'])
    writeFileSync(join(app, 'a.ts'), `
import { createHost } from '@bdevkit/core'
import { loadModules } from '@bdevkit/core/node'
import { NbdServer } from '@bdevkit/nbd'
import { RpcRegistry } from '@bdevkit/rpc'
import malloc from '@bdevkit/modules-malloc'
const host = createHost()
host.use(malloc)
export const all = [host, loadModules, NbdServer, RpcRegistry]
`)
    const strict = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023,esnext.disposable', '--types', 'node']
    here.run(app, 'npx', ['tsc', ...strict, 'a.ts'])
  })
})
