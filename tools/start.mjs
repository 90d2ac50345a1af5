// SPDX-License-Identifier: Apache-2.0
// `npm start`: installs, builds, then becomes `bdev serve` on the demo stack. The server runs in this process, and
// package.json starts it with `exec`: a shell in between would die of the signal and leave the server behind.
// Arguments of ours go before those of the caller: `npm start -- --help`.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { install, root, run } from './bootstrap.mjs'

await install()
console.log('bdevkit: building (nx run-many -t build)')
const status = await run('pnpm', ['exec', 'nx', 'run-many', '-t', 'build'])
if (status !== 0) process.exit(status)

process.chdir(root)
const main = join(root, 'packages/cli/dist/main.js')
const demo = ['serve', '-c', 'examples/quickstart.json', '--nbd', 'unix:nbd.sock', '-r', 'bdev.sock']
process.argv = [process.argv[0], main, ...demo, ...process.argv.slice(2)]
await import(pathToFileURL(main).href)
