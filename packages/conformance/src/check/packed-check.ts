// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import type { PackageJson } from '@bdevkit/core/node'
import { entryOf, exportOf, filesOf } from './package-checks.js'
import type { Finding } from './report.js'

const MAP_BYTES_MAX = 16 * 1024 * 1024

/** The files that `npm pack` would pack, or why it does not say. Runs no script of the package and needs no network. */
export function packedFiles(folder: string): string[] | { problem: string } {
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts', '--offline']
  const { error, status, stdout, stderr } = spawnSync('npm', args, { cwd: folder, encoding: 'utf8', shell: process.platform === 'win32' })
  if (error !== undefined) return { problem: error.message }
  if (status !== 0) return { problem: stderr.trim() || `npm pack ended with status ${status}` }
  try {
    // npm 12 answers an object by package name, npm before it a list.
    const answer = Object.values(JSON.parse(stdout) as object)[0] as { files: { path: string }[] }
    return answer.files.map(({ path }) => path)
  } catch (thrown) {
    return { problem: `npm pack answered what cannot be read: ${(thrown as Error).message}` }
  }
}

/** Everything that package.json names has to be packed: entry, types, other exports, bin; and a README and a licence. */
export function checkPacked(folder: string, packageJson: PackageJson): Finding[] {
  const files = packedFiles(folder)
  if (!Array.isArray(files)) return [{ check: 'packed', message: `npm cannot pack it: ${files.problem}` }]
  const packed = new Set(files)
  const findings: Finding[] = []
  const { files: list, exports, bin } = packageJson
  const named = [...filesOf(exportOf(packageJson, entryOf(packageJson))), ...filesOf(exports), ...filesOf(bin)]
  for (const file of new Set(named.map(name => posix.normalize(name)))) {
    if (packed.has(file)) continue
    const why = existsSync(join(folder, file)) ? `"files" is ${JSON.stringify(list) ?? 'not there'}` : 'it does not exist'
    const fix = existsSync(join(folder, file)) ? `add "${file.split('/')[0]!}" to "files"` : 'build first, or correct the path'
    findings.push({ check: 'packed', message: `package.json names "${file}", which npm would not pack: ${why}`, fix })
  }
  if (!files.some(file => /^licen[cs]e(\.|$)/i.test(file))) {
    findings.push({ check: 'packed', message: 'no licence would be packed: nobody may use the module', fix: 'add a file LICENSE' })
  }
  findings.push(...files.filter(file => file.endsWith('.map')).flatMap(file => checkMap(folder, file, packed)))
  return findings
}

/** A map without its sources only costs. */
function checkMap(folder: string, file: string, packed: ReadonlySet<string>): Finding[] {
  const text = readFileSync(join(folder, file), 'utf8')
  if (text.length > MAP_BYTES_MAX) return []
  const { sources = [], sourcesContent } = JSON.parse(text) as { sources?: string[]; sourcesContent?: unknown[] }
  const missing = sources.filter((source, i) => {
    return typeof sourcesContent?.[i] !== 'string' && !packed.has(posix.join(posix.dirname(file), source))
  })
  if (missing.length === 0) return []
  const message = `"${file}" maps to "${missing[0]!}", which would not be packed: a map without sources only costs`
  return [{ check: 'packed', message, fix: 'set "sourceMap": false in tsconfig.json, or pack the sources, too' }]
}
