// SPDX-License-Identifier: Apache-2.0
// The applications of examples/, as a reader starts them.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { expect, it } from 'vitest'
import { inFolder } from '../interop/support/files.js'
import { run } from '../interop/support/run.js'
import { itWith } from '../interop/support/tools.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const example = (name: string) => run(process.execPath, [join(root, 'tools/run.mjs'), `examples/${name}.ts`], { cwd: root })

it('library.ts holds a disk in its own process', async () => {
  const { status, stdout } = await example('library')
  expect(stdout).toMatch(/^Top0 on Malloc0: 1048576 bytes\nhello, block device\n(given up: \w+|ended before the abort)\n$/)
  expect(status).toBe(0)
})

itWith(['nbdfuse', 'fusermount3', 'python3'], 'sqlite.ts fails one write of a database in the middle of a transaction', async () => {
  const { status, stdout } = await example('sqlite')
  expect(stdout).toBe(`\
1000 rows are in
SQLite reports: disk I/O error
integrity: ok, 1000 rows
500 rows are in
integrity: ok, 1500 rows
`)
  expect(status).toBe(0)
})

itWith(['qemu-io'], 'bundle.ts is a server in one file, that runs where nothing is installed', async () => {
  await inFolder(async folder => {
    const outfile = join(folder, 'bundle.mjs')
    await build({ entryPoints: [join(root, 'examples/bundle.ts')], outfile, bundle: true, platform: 'node', format: 'esm', logLevel: 'error' })
    expect(readdirSync(folder)).toEqual(['bundle.mjs'])
    expect(statSync(outfile).size).toBeLessThan(2 * 1024 * 1024)
    const server = spawn(process.execPath, ['bundle.mjs', 'nbd.sock'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      const { value } = await createInterface({ input: server.stdout })[Symbol.asyncIterator]().next()
      expect(value).toBe('ready: nbd+unix:///Top0?socket=nbd.sock')
      const commands = ['-c', 'write -P 0xab 4096 1M', '-c', 'read -P 0xab 4096 1M', 'nbd+unix:///Top0?socket=nbd.sock']
      const { stdout, status } = await run('qemu-io', ['-f', 'raw', ...commands], { cwd: folder })
      expect(stdout).toContain('read 1048576/1048576 bytes')
      expect(status).toBe(0)
      const ended = new Promise(resolve => void server.once('exit', resolve))
      server.kill('SIGTERM')
      expect(await ended).toBe(0)
    } finally {
      server.kill('SIGKILL')
    }
  })
})
