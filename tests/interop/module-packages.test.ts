// SPDX-License-Identifier: Apache-2.0
// Module packages of other people, in projects of their own outside of this repository.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inFolder, malloc, MiB, writeStack } from './support/files.js'
import { installSdk, writeModule } from './support/foreign-module.js'
import { run } from './support/run.js'
import { bdev } from './support/server.js'
import { itWith, TEST_TIMEOUT_MS } from './support/tools.js'

/** A read-only bdev of one letter, the first one of its module's name. It logs that it is set up. */
const letterModule = (name: string): string => `
const nameOnly = { type: 'object', additionalProperties: false, required: ['name'], properties: { name: { type: 'string' } } }
export default defineBdevModule({
  name: '${name}',
  sdk: '0.1',
  rpc: { bdev_${name}_create: method({ params: nameOnly }) },
  setup(host) {
    host.log.notice('set up')
    const device = host.registerIoDevice({ name: '${name}', createChannel: () => ({}) })
    const fn = {
      destruct() {},
      ioTypeSupported: (_ctx, type) => type === IoType.Read,
      getIoChannel: () => device.getIoChannel(),
      submitRequest(_channel, io) {
        if (io.type !== IoType.Read) return io.complete(IoStatus.Failed)
        host.accel.fillIovs(io.iovs, io.iovCnt, '${name}'.charCodeAt(0))
        io.complete(IoStatus.Success)
      },
    }
    return {
      handlers: {
        bdev_${name}_create: ({ name }) =>
          host.registerBdev({ name, ctx: {}, fn, productName: 'Letter', blockSizeBytes: 512, numBlocks: 2048 }).name,
      },
    }
  },
})
`

const readLetter = (name: string): string => `qemu-io -r -f raw -c "read -P ${name.charCodeAt(0)} 0 1M" "$uri"`

interface Project {
  readonly folder: string
  /** Adds `node_modules/<packageName>`. */
  install(packageName: string, name: string, sdkRange?: string): void
}

/** A project with nothing but the SDK. */
async function inProject(use: (project: Project) => Promise<void>): Promise<void> {
  await inFolder(async folder => {
    writeFileSync(join(folder, 'package.json'), '{ "name": "app", "private": true }')
    installSdk(folder)
    await use({
      folder,
      install: (packageName, name, sdkRange = '^0.1.0') =>
        writeModule({
          folder: join(folder, 'node_modules', packageName),
          packageName,
          name,
          sdkRange,
          source: letterModule(name),
        }),
    })
  })
}

describe('a module package of a foreign project', () => {
  itWith(['qemu-io'], 'is found by its name in the stack file, from wherever bdev is started', async () => {
    await inProject(async project => {
      project.install('@acme/bdev-module-zulu', 'zulu')
      const stack = writeStack(
        project.folder,
        [{ method: 'bdev_zulu_create', params: { name: 'Z0' } }],
        ['@acme/bdev-module-zulu'],
      )
      const { status, stdout, stderr } = await run(bdev, ['serve', '-c', stack, '--run', readLetter('zulu')], { cwd: '/' })
      expect(stderr).toContain('set up')
      expect(stdout).toContain('read 1048576/1048576 bytes')
      expect(status).toBe(0)
    })
  })

  itWith(['qemu-io'], 'is found by --module, by name and by folder', async () => {
    await inProject(async project => {
      project.install('bdev-module-kilo', 'kilo')
      writeModule({ folder: join(project.folder, 'here'), packageName: 'here', name: 'mike', source: letterModule('mike') })
      for (const [spec, name] of [
        ['bdev-module-kilo', 'kilo'],
        ['./here', 'mike'],
      ] as const) {
        const stack = writeStack(project.folder, [{ method: `bdev_${name}_create`, params: { name: 'L0' } }])
        const args = ['serve', '-c', stack, '--module', spec, '--run', readLetter(name)]
        const { status, stdout } = await run(bdev, args, { cwd: project.folder })
        expect(stdout).toContain('read 1048576/1048576 bytes')
        expect(status).toBe(0)
      }
    })
  })

  itWith(['qemu-io'], "is found among the dependencies of the project, beside the modules of bdev's own", async () => {
    await inProject(async project => {
      project.install('bdev-module-kilo', 'kilo')
      writeFileSync(
        join(project.folder, 'package.json'),
        JSON.stringify({ name: 'app', dependencies: { 'bdev-module-kilo': '^2.0.0' } }),
      )
      const stack = writeStack(project.folder, [malloc('Malloc0', MiB), { method: 'bdev_kilo_create', params: { name: 'L0' } }])
      const both = `${readLetter('kilo')} && qemu-io -f raw -c "write -P 1 0 1M" "$uri_Malloc0"`
      const { status, stderr } = await run(bdev, ['serve', '-c', stack, '--run', both], { cwd: project.folder })
      expect(stderr).not.toMatch(/BDEV_E/)
      expect(status).toBe(0)
      const listed = await run(bdev, ['modules', '--json'], { cwd: project.folder })
      expect(listed.stdout).toContain('bdev-module-kilo')
    })
  })

  it('that is built for another SDK major is refused before any module is set up', { timeout: TEST_TIMEOUT_MS }, async () => {
    await inProject(async project => {
      project.install('bdev-module-kilo', 'kilo')
      project.install('@acme/bdev-module-next', 'next', '^2.0.0')
      const calls = [malloc('Malloc0', MiB), { method: 'bdev_next_create', params: { name: 'N0' } }]
      const stack = writeStack(project.folder, calls, ['bdev-module-kilo', '@acme/bdev-module-next'])
      const { status, stdout, stderr } = await run(bdev, [
        'serve',
        '-c',
        stack,
        '--run',
        'echo it runs',
        '--log-level',
        'debug',
      ])
      expect(stderr.trim()).toBe(
        `bdev: BDEV_E_MODULE_SDK: module "next" (@acme/bdev-module-next 2.1.0) needs module-sdk ^2.0.0, \
but this host offers 0.1.0.
  manifest: ${project.folder}/node_modules/@acme/bdev-module-next/package.json#dependencies
  fix: upgrade @bdevkit/core to one that offers module-sdk ^2.0.0`,
      )
      expect(stdout).toBe('')
      expect(status).toBe(1)
    })
  })

  it('that is missing, or lacks its manifest, is named with all others that fail', { timeout: TEST_TIMEOUT_MS }, async () => {
    await inProject(async project => {
      project.install('bdev-module-next', 'next', '^3.0.0')
      const bare = join(project.folder, 'node_modules/bare')
      mkdirSync(bare)
      writeFileSync(join(bare, 'package.json'), '{ "name": "bare", "version": "1.0.0" }')
      const stack = writeStack(project.folder, [malloc('Malloc0', MiB)], ['no-such-package', 'bare', 'bdev-module-next'])
      const { status, stderr } = await run(bdev, ['serve', '-c', stack, '--run', 'true'])
      expect(stderr.match(/BDEV_E_MODULE_\w+/g)).toEqual([
        'BDEV_E_MODULE_NOT_FOUND',
        'BDEV_E_MODULE_MANIFEST',
        'BDEV_E_MODULE_SDK',
      ])
      expect(status).toBe(1)
    })
  })
})
