// SPDX-License-Identifier: Apache-2.0
// The kernel's own ext4 on a bdev: nbdfuse shows the export as a file over several connections, a loop device makes a disk of
// it. Needs root, FUSE and loop devices.
import { closeSync, mkdirSync, openSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { digest, inFolder, malloc, MiB, noise, passthru } from './support/files.js'
import { run, runOk, type Running, start } from './support/run.js'
import { bdev, root, withServer } from './support/server.js'
import { hasTool, itWith } from './support/tools.js'

const tools = ['nbdfuse', 'losetup', 'mkfs.ext4', 'mount', 'umount', 'fstrim', 'e2fsck', 'fusermount3']

/** What has to be undone, last first, whatever happens before. */
class Undo {
  readonly #steps: [string, ...string[]][] = []

  add(...command: [string, ...string[]]): void {
    this.#steps.push(command)
  }

  /** Undoes the latest step now. */
  async last(): Promise<void> {
    const [command, ...args] = this.#steps.pop()!
    await runOk(command, args)
  }

  async all(): Promise<void> {
    const failures: unknown[] = []
    while (this.#steps.length > 0) await this.last().catch((failure: unknown) => failures.push(failure))
    if (failures.length > 0) throw new AggregateError(failures, 'not undone')
  }
}

async function undoing<T>(use: (undo: Undo) => Promise<T>): Promise<T> {
  const undo = new Undo()
  try {
    return await use(undo)
  } finally {
    await undo.all()
  }
}

async function loopDevice(undo: Undo, file: string): Promise<string> {
  const device = (await runOk('losetup', ['--find', '--show', file])).trim()
  undo.add('losetup', '--detach', device)
  return device
}

async function mount(undo: Undo, device: string, folder: string): Promise<void> {
  await runOk('mount', ['-t', 'ext4', device, folder])
  undo.add('umount', folder)
}

/** nbdfuse writes its process id when the file is there. */
async function mounted(nbdfuse: Running, pidFile: string): Promise<void> {
  const wait = `while [ ! -s ${pidFile} ]; do kill -0 ${nbdfuse.child.pid} || exit 1; sleep 0.05; done`
  const { status } = await run('sh', ['-c', wait], { timeoutMs: 15_000 })
  if (status !== 0) throw new Error(`nbdfuse: ended with\n${nbdfuse.output.stderr}`)
}

/** Why this machine cannot mount a file system, found by mounting one. */
async function whyUnable(): Promise<string> {
  if (!tools.every(hasTool)) return ''
  try {
    closeSync(openSync('/dev/fuse', 'r+'))
    await inFolder(folder =>
      undoing(async undo => {
        const [image, at] = [join(folder, 'image'), join(folder, 'mnt')]
        mkdirSync(at)
        writeFileSync(image, '')
        truncateSync(image, 8 * MiB)
        const device = await loopDevice(undo, image)
        await runOk('mkfs.ext4', ['-q', device])
        await mount(undo, device, at)
      }),
    )
    return ''
  } catch (failure) {
    return `no FUSE, loop device or mount: ${(failure as Error).message.replaceAll(/\s+/g, ' ').slice(0, 120)}`
  }
}

const unable = await whyUnable()

async function checksums(folder: string): Promise<string[]> {
  const names = readdirSync(folder)
    .filter(name => name.startsWith('file'))
    .sort()
  return Promise.all(names.map(name => digest(join(folder, name))))
}

describe('ext4', () => {
  itWith(
    tools,
    'on nbdfuse and a loop device keeps its files over fstrim and a second mount, and is clean',
    async () => {
      const calls = [malloc('Base0', 128 * MiB), passthru('Disk0', 'Base0')]
      await withServer({ calls }, async server => {
        await undoing(async undo => {
          const [file, at] = [join(server.folder, 'nbd'), join(server.folder, 'mnt')]
          writeFileSync(file, '')
          mkdirSync(at)
          const pidFile = join(server.folder, 'nbdfuse.pid')
          const nbdfuse = start('nbdfuse', ['--pidfile', pidFile, '--connections', '4', file, server.uri()])
          try {
            await mounted(nbdfuse, pidFile)
            undo.add('fusermount3', '-u', file)
            expect(statSync(file).size).toBe(128 * MiB)

            const device = await loopDevice(undo, file)
            await runOk('mkfs.ext4', ['-q', '-b', '4096', device])
            await mount(undo, device, at)
            for (let i = 0; i < 8; i++) writeFileSync(join(at, `file${i}`), noise(i, 4 * MiB + i))
            await runOk('sync', ['--file-system', at])
            const before = await checksums(at)
            expect(new Set(before).size).toBe(8)
            await runOk('rm', [join(at, 'file7')])
            await runOk('fstrim', [at])
            await undo.last()
            await runOk('blockdev', ['--flushbufs', device])

            await mount(undo, device, at)
            expect(await checksums(at)).toEqual(before.slice(0, 7))
            await undo.last()
            await runOk('e2fsck', ['-fn', device])
            type Stat = { bdevs: { num_unmap_ops: number; num_write_ops: number }[] }
            const [stat] = (await server.rpc<Stat>('bdev_get_iostat', { names: ['Base0'] })).bdevs
            expect(stat!.num_unmap_ops).toBeGreaterThan(0)
          } finally {
            await undo.all()
            nbdfuse.kill('SIGTERM')
            await nbdfuse.ended
          }
        })
      })
    },
    { unable },
  )

  itWith(
    [...tools, 'nbdinfo'],
    'can be made on `bdev serve --stdio`, started by nbdfuse itself',
    async () => {
      await inFolder(async folder => {
        const file = join(folder, 'nbd')
        writeFileSync(file, '')
        const pidFile = join(folder, 'nbdfuse.pid')
        const server = [bdev, 'serve', '-c', join(root, 'examples/quickstart.json'), '--stdio', '--export', 'Malloc0=']
        const nbdfuse = start('nbdfuse', ['--pidfile', pidFile, file, '--command', ...server])
        try {
          await mounted(nbdfuse, pidFile)
          await undoing(async undo => {
            undo.add('fusermount3', '-u', file)
            await runOk('mkfs.ext4', ['-q', '-F', file])
            await runOk('e2fsck', ['-fn', file])
          })
          expect((await nbdfuse.ended).status).toBe(0)
        } finally {
          nbdfuse.kill('SIGTERM')
          await nbdfuse.ended
        }
      })
    },
    { unable },
  )
})
