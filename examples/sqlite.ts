// SPDX-License-Identifier: Apache-2.0
// A database on a disk that breaks on command. The stack (a RAM disk under the module error) is served over NBD by this
// process; nbdfuse makes a file of it, without root and kernel modules; SQLite keeps its database in that file. In the middle
// of a transaction the disk fails one write. SQLite has to report it, roll back, and go on with a database that is whole.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { execFile } from 'node:child_process'
import { createHost } from '@bdevkit/core'
import errorModule from '@bdevkit/modules-error'
import malloc from '@bdevkit/modules-malloc'
import { NbdServer, nbdUri } from '@bdevkit/nbd'
import { registerHostMethods, RpcRegistry } from '@bdevkit/rpc'

const script = fileURLToPath(new URL('sqlite.py', new URL(`file://${process.argv[1] as string}`)))
/** Runs one step of sqlite.py. Not the Sync call: this process serves the disk meanwhile. */
const sqlite = async (...args: string[]): Promise<string> => (await promisify(execFile)('python3', [script, ...args])).stdout

const host = createHost()
for (const module of [malloc, errorModule]) host.use(module)
const registry = new RpcRegistry({ log: host.log })
registerHostMethods(registry, host)
await host.init()
registry.enterRuntime()
await registry.call('bdev_malloc_create', { name: 'Malloc0', num_blocks: 32_768, block_size: 512 })
await registry.call('bdev_error_create', { base_name: 'Malloc0' })

const folder = mkdtempSync(join(tmpdir(), 'bdevkit-sqlite-'))
const socket = join(folder, 'nbd.sock')
const mount = join(folder, 'disk')
const server = new NbdServer(host, { exports: [{ bdevName: 'EE_Malloc0', name: 'disk' }] })
await server.listen({ path: socket })

let fuse: ChildProcess | undefined
try {
  // A new database, copied to the beginning of the disk: SQLite takes its size from its own header.
  const fresh = join(folder, 'fresh.db')
  await sqlite('create', fresh)
  {
    await using disk = await host.open('EE_Malloc0', { write: true })
    await disk.write(new Uint8Array(readFileSync(fresh)), 0)
  }
  mkdirSync(mount)
  fuse = spawn('nbdfuse', [mount, nbdUri({ path: socket }, 'disk')], { stdio: 'inherit' })
  const file = join(mount, 'nbd')
  await mounted(file, fuse)

  console.log((await sqlite('insert', file, '1000')).trim())
  await registry.call('bdev_error_inject_error', { name: 'EE_Malloc0', io_type: 'write', error_type: 'failure', num: 1 })
  console.log((await sqlite('insert', file, '1000')).trim())
  console.log((await sqlite('check', file)).trim())
  console.log((await sqlite('insert', file, '500')).trim())
  console.log((await sqlite('check', file)).trim())
} finally {
  if (fuse !== undefined) {
    execFileSync('fusermount3', ['-u', mount])
    await new Promise(resolve => (fuse!.exitCode === null ? fuse!.once('exit', resolve) : resolve(null)))
  }
  await server.stop()
  await host.finish()
  rmSync(folder, { recursive: true, force: true })
}

/** Settles when nbdfuse shows the disk. */
async function mounted(file: string, child: ChildProcess): Promise<void> {
  while (statSync(file, { throwIfNoEntry: false }) === undefined) {
    if (child.exitCode !== null) throw new Error(`nbdfuse ended with status ${child.exitCode}; it needs /dev/fuse`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
