// SPDX-License-Identifier: Apache-2.0
// Lints the package in the working directory: oxlint with its type-aware rules, then tsc over its tests (the build checks src/).
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = name => join(root, 'node_modules/.bin', name)

let failed = 0
const run = (command, args) => {
  if (spawnSync(command, args, { stdio: 'inherit' }).status !== 0) failed = 1
}
run(bin('oxlint'), ['-c', join(root, 'oxlint.config.mjs'), '--type-aware', '--no-error-on-unmatched-pattern', '.'])
const tests = existsSync('src') ? 'test' : '.'
const sources = readdirSync(tests, { recursive: true }).filter(file => file.endsWith('.ts') && !file.includes('node_modules'))
if (sources.length > 0) run(bin('tsc'), ['--noEmit', '-p', tests])
process.exit(failed)
