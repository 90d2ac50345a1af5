// SPDX-License-Identifier: Apache-2.0
// `node tools/run.mjs FILE.ts [ARGUMENT…]` runs one TypeScript file on any Node: bundled beside itself, so that its imports
// resolve as they would from there; packages stay outside.
import { rmSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const [file, ...args] = process.argv.slice(2)
if (file === undefined) {
  console.error('usage: node tools/run.mjs FILE.ts [ARGUMENT…]')
  process.exit(2)
}
const outfile = join(dirname(resolve(file)), 'temp', `${basename(file, '.ts')}.${process.pid}.mjs`)
await build({ entryPoints: [file], outfile, bundle: true, packages: 'external', platform: 'node', format: 'esm', target: 'node20', logLevel: 'warning' })
process.argv = [process.argv[0], resolve(file), ...args]
try {
  await import(pathToFileURL(outfile).href)
} finally {
  rmSync(outfile, { force: true })
}
