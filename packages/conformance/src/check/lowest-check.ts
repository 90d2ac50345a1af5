// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { lowestSdkVersion } from '@bdevkit/core/node'
import { member } from './package-checks.js'
import type { Finding } from './report.js'

const LEFT_OUT = new Set(['node_modules', 'dist', 'out', '.git', 'package-lock.json', 'pnpm-lock.yaml', 'yarn.lock'])
const TEXT_MAX = 3000

/**
 * Copies the package, installs it with the lowest SDK that its range allows, and runs its `test` script, which builds. Needs
 * the registry. The host in the tests is today's: the oldest contract for the module, the newest core around it.
 */
export function checkLowest(folder: string, range: string): Finding[] {
  const lowest = lowestSdkVersion(range)
  const copy = realpathSync(mkdtempSync(join(tmpdir(), 'bdev-module-check-')))
  try {
    cpSync(folder, copy, { recursive: true, filter: file => file === folder || !LEFT_OUT.has(basename(file)) })
    const manifest = join(copy, 'package.json')
    const json = JSON.parse(readFileSync(manifest, 'utf8')) as { dependencies: Record<string, string> }
    if (typeof member(member(json, 'scripts'), 'test') !== 'string') {
      return [{ check: 'lowest', message: 'package.json has no script "test"', fix: 'write one that builds and runs the conformance kit' }]
    }
    json.dependencies['@bdevkit/module-sdk'] = lowest
    writeFileSync(manifest, JSON.stringify(json, null, 2))
    for (const args of [['install', '--no-audit', '--no-fund'], ['test']]) {
      const { error, status, stdout, stderr } = spawnSync('npm', args, { cwd: copy, encoding: 'utf8', shell: process.platform === 'win32' })
      if (error === undefined && status === 0) continue
      const said = error?.message ?? `${stdout}${stderr}`.trim().slice(-TEXT_MAX)
      const message = `with module-sdk ${lowest}, the lowest of "${range}", "npm ${args[0] as string}" fails:\n${said}`
      return [{ check: 'lowest', message, fix: `use what ${lowest} offers, or raise the range of @bdevkit/module-sdk in dependencies` }]
    }
    return []
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}
