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

const nx = targets => ['pnpm', 'exec', 'nx', 'run-many', '-t', targets]
if (!(await step('build', ...nx('build')))) process.exit(1)
const checked = deep || (await step('lint and API reports', ...nx('lint,api')))

console.log(`\n== ${deep ? 'deep tests' : 'tests'}`)
const status = await run('vitest', ['run', '--config', deep ? 'vitest.deep.config.ts' : 'vitest.config.ts', ...filters])
if (!checked) console.log('lint or API reports failed before the tests, see above; to repeat them: npm run lint; npm run api')
process.exit(status !== 0 || checked ? status : 1)
