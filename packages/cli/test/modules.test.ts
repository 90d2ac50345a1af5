// SPDX-License-Identifier: Apache-2.0
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { NbdClient } from './nbd-client.js'
import { bdev, bdevHere, call, moduleCode, modulePackage, stackFile, startServer, tempFolder, writeFiles } from './support.js'

interface Listing {
  modules: {
    name: string
    packageName: string
    packageVersion: string
    sdk: string
    sdkRange: string
    file: string
    origin: string
  }[]
  refused: { code: string; module: string; message: string }[]
}

/** A project of somebody else, with module packages among its dependencies. */
function project(modules: Readonly<Record<string, Parameters<typeof modulePackage>[2]>>): string {
  const folder = tempFolder()
  const dependencies = Object.fromEntries(Object.keys(modules).map(name => [`bdev-module-${name}`, '*']))
  writeFiles(folder, { 'package.json': { name: 'app', dependencies } })
  for (const [name, options] of Object.entries(modules)) {
    const dir = join(folder, `node_modules/bdev-module-${name}`)
    mkdirSync(dir, { recursive: true })
    modulePackage(dir, name, options)
  }
  return folder
}

describe('bdev modules', () => {
  it('lists what ships with it', async () => {
    const { status, stdout } = await bdev(['modules', '--json'])
    expect(status).toBe(0)
    const { modules, refused } = JSON.parse(stdout) as Listing
    expect(modules.map(({ name, packageName, origin }) => [name, packageName, origin])).toEqual([
      ['aio', '@bdevkit/modules-aio', 'builtin'],
      ['crypto', '@bdevkit/modules-crypto', 'builtin'],
      ['delay', '@bdevkit/modules-delay', 'builtin'],
      ['error', '@bdevkit/modules-error', 'builtin'],
      ['gpt', '@bdevkit/modules-gpt', 'builtin'],
      ['malloc', '@bdevkit/modules-malloc', 'builtin'],
      ['null', '@bdevkit/modules-null', 'builtin'],
      ['passthru', '@bdevkit/modules-passthru', 'builtin'],
      ['raid', '@bdevkit/modules-raid', 'builtin'],
      ['split', '@bdevkit/modules-split', 'builtin'],
    ])
    expect(refused).toEqual([])
  })

  it('shows all refusals at once, in words that say what to do, and ends with status 1', async () => {
    const folder = project({
      next: { range: '^2.0.0', code: moduleCode('next') },
      good: { code: moduleCode('good') },
      raw: {},
    })
    const dir = `${folder}/node_modules`
    const { status, stdout, stderr } = await bdev(['modules'], { cwd: folder })
    expect(status).toBe(1)
    expect(stdout).toMatch(/^module +package +version +sdk +range +found by +file\n/)
    expect(stdout).toContain(
      `good      bdev-module-good           2.1.0    0.1  ^0.1.0  dependency       ${dir}/bdev-module-good/index.js\n`,
    )
    expect(stderr).toBe(
      '\n2 modules are refused, so that "bdev serve" would not start:\n\n' +
        'BDEV_E_MODULE_SDK: module "next" (bdev-module-next 2.1.0) needs module-sdk ^2.0.0, but this host offers 0.1.0.\n' +
        `  manifest: ${dir}/bdev-module-next/package.json#dependencies\n` +
        '  fix: upgrade @bdevkit/core to one that offers module-sdk ^2.0.0\n\n' +
        'BDEV_E_MODULE_NOT_BUILT: module "raw" (bdev-module-raw 2.1.0) is not built: the file of its entry does not exist.\n' +
        `  file: ${dir}/bdev-module-raw/index.js\n` +
        '  fix: install bdev-module-raw again; where that does not help, its release lacks the file\n',
    )
    const json = JSON.parse((await bdev(['modules', '--json'], { cwd: folder })).stdout) as Listing
    expect(json.refused.map(({ code, module }) => [code, module])).toEqual([
      ['BDEV_E_MODULE_SDK', 'next'],
      ['BDEV_E_MODULE_NOT_BUILT', 'raw'],
    ])
  })

  it('tells the author of a module what to do where it is not built', async () => {
    const folder = tempFolder()
    modulePackage(join(folder, 'mine'), 'mine')
    const { status, stderr } = await bdevHere(['modules', '--module', `${folder}/mine`, '--no-discover'])
    expect(status).toBe(1)
    expect(stderr).toContain(`  fix: build it first, e.g. "npm run build" in ${folder}/mine\n`)
  })
})

describe('a module package of another project', () => {
  it('is served where the stack file names it', async () => {
    const folder = project({ stripes: { code: moduleCode('stripes', `${FILL}; io.complete(IoStatus.Success)`) } })
    const stack = stackFile([call('bdev_stripes_create', { name: 'S' })], { modules: ['bdev-module-stripes'] }, folder)
    const server = await startServer(stack)
    const client = await NbdClient.open(server.nbdSocket, 'S')
    expect((await client.read(512, 512)).equals(Buffer.alloc(512, 0x33))).toBe(true)
  })

  it('is served where --module names its folder', async () => {
    const folder = tempFolder()
    modulePackage(join(folder, 'mine'), 'mine', { code: moduleCode('mine') })
    const stack = stackFile([call('bdev_mine_create', { name: 'S' })])
    const args = ['serve', '-c', stack, '--module', './mine', '--no-discover', '--run', 'echo "$exportname"']
    expect(await bdev(args, { cwd: folder })).toEqual({ status: 0, stdout: 'S\n', stderr: '' })
  })

  it('keeps the server from starting where it was built for another SDK', async () => {
    const folder = project({ next: { range: '^2.0.0', code: moduleCode('next') } })
    const stack = stackFile([call('bdev_next_create', { name: 'S' })], { modules: ['bdev-module-next'] }, folder)
    const { status, stdout, stderr } = await bdevHere(['serve', '-c', stack, '--run', 'echo started'])
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toBe(
      'bdev: BDEV_E_MODULE_SDK: module "next" (bdev-module-next 2.1.0) needs module-sdk ^2.0.0, but this host offers 0.1.0.\n' +
        `  manifest: ${folder}/node_modules/bdev-module-next/package.json#dependencies\n` +
        '  fix: upgrade @bdevkit/core to one that offers module-sdk ^2.0.0\n',
    )
  })
})

const FILL = 'for (let i = 0; i < io.iovCnt; i++) io.iovs[i].buf.fill(0x33, io.iovs[i].off, io.iovs[i].off + io.iovs[i].len)'
