// SPDX-License-Identifier: Apache-2.0
// `npm test`: build, lint, API reports, then one vitest run over every package, tests/ and tools/. `--deep` runs the long
// tests (*.deep.test.ts) instead. Other arguments go to vitest: `npm test -- nbd` runs what has "nbd" in its path.
import { performance } from 'node:perf_hooks'
import { run } from './bootstrap.mjs'

const args = process.argv.slice(2)
const deep = args.includes('--deep')
const filters = args.filter(arg => arg !== '--deep')

async function step(title, command, ...rest) {
  console.log(`\n== ${title}: ${[command, ...rest].join(' ')}`)
  const startMs = performance.now()
  const status = await run(command, rest)
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  console.log(`== ${title} ${status === 0 ? 'passed' : `failed with status ${status}`} after ${seconds} s`)
  return status === 0
}

const nx = target => ['pnpm', 'exec', 'nx', 'run-many', '-t', target]
const failed = []
if (!(await step('build', ...nx('build')))) process.exit(1)
if (!deep) {
  for (const target of ['lint', 'api']) if (!(await step(target, ...nx(target)))) failed.push(target)
}

console.log(`\n== ${deep ? 'deep tests' : 'tests'}`)
const status = await run('vitest', ['run', '--config', deep ? 'vitest.deep.config.ts' : 'vitest.config.ts', ...filters])
if (failed.length > 0) console.log(`failed before the tests: ${failed.join(', ')} (see above; npm run ${failed[0]} repeats it)`)
process.exit(status !== 0 ? status : failed.length)
