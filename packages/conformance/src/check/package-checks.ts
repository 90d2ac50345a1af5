// SPDX-License-Identifier: Apache-2.0
// What package.json alone can get wrong, beyond what a host refuses.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { PackageJson } from '@bdevkit/core/node'
import type { Finding } from './report.js'

/** A member of a parsed JSON object; undefined where there is none. */
export const member = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined

/** The entry that the manifest names, or the usual one. */
export function entryOf(packageJson: PackageJson): string {
  const entry = member(packageJson['bdevModule'], 'entry')
  return typeof entry === 'string' ? entry : '.'
}

/** What `exports` say of a subpath; exports without subpaths are those of ".". */
export function exportOf(packageJson: PackageJson, subpath: string): unknown {
  const { exports } = packageJson
  const hasSubpaths = typeof exports === 'object' && exports !== null && Object.keys(exports).some(key => key.startsWith('.'))
  return hasSubpaths ? member(exports, subpath) : subpath === '.' ? exports : undefined
}

/** Every file that a value of `exports` names. */
export function filesOf(target: unknown): string[] {
  if (typeof target === 'string') return target.includes('*') ? [] : [target]
  return typeof target === 'object' && target !== null ? Object.values(target).flatMap(filesOf) : []
}

export function checkKeyword({ keywords }: PackageJson): Finding[] {
  if (Array.isArray(keywords) && keywords.includes('bdev-module')) return []
  const have = keywords === undefined ? 'has no "keywords"' : `has the keywords ${JSON.stringify(keywords)}`
  const message = `package.json ${have}, without "bdev-module", by which people find modules on npm`
  return [{ check: 'keyword', message, fix: 'write "keywords": ["bdev-module"]' }]
}

export function checkExports(folder: string, packageJson: PackageJson): Finding[] {
  const findings: Finding[] = []
  const entry = entryOf(packageJson)
  const target = exportOf(packageJson, entry)
  const types = typesOf(target)
  const file = filesOf(target)[0] ?? './dist/index.js'
  const wanted = file.replace(/\.(m?)js$/, '.d.$1ts')
  if (types === undefined) {
    const fix = `write "exports": { "${entry}": { "types": "${wanted}", "default": "${file}" } }`
    findings.push({ check: 'exports', message: `exports["${entry}"] gives no types, so that users of the module in code have none`, fix })
  } else if (types.late) {
    const message = `exports["${entry}"] has "types" behind another condition, which TypeScript then takes`
    findings.push({ check: 'exports', message, fix: 'move "types" to the front' })
  } else if (!existsSync(join(folder, types.file))) {
    const message = `exports["${entry}"].types is "${types.file}", which does not exist`
    findings.push({ check: 'exports', message, fix: 'set "declaration": true in tsconfig.json and build, or correct the path' })
  }
  if (exportOf(packageJson, './package.json') !== './package.json') {
    const message = 'exports hide ./package.json, which tools read'
    findings.push({ check: 'exports', message, fix: 'add "./package.json": "./package.json" to "exports"' })
  }
  return findings
}

function typesOf(target: unknown): { file: string; late: boolean } | undefined {
  if (typeof target !== 'object' || target === null) return undefined
  const conditions = Object.entries(target)
  const at = conditions.findIndex(([condition]) => condition === 'types')
  if (at >= 0) return { file: String(conditions[at]![1]), late: at > 0 }
  // { "import": { "types": …, "default": … } }
  return conditions.map(([, nested]) => typesOf(nested)).find(types => types !== undefined)
}
