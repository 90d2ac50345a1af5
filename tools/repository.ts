// SPDX-License-Identifier: Apache-2.0
// What the repository checks read: its files, its packages, and who may import whom.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

const skipped = new Set(['node_modules', 'dist', 'cache', 'temp', '.git', '.nx', 'coverage', 'out'])

/** Every file of the checkout by its path from the root, without what tools generate. */
export function repositoryFiles(folder = ''): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter(entry => !skipped.has(entry.name) && !/\.(generated\.ts|sock|lock)$/.test(entry.name))
    .flatMap(entry => {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.isDirectory()) return repositoryFiles(path)
      return entry.isFile() ? [path] : []
    })
}

export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

export interface PackageJson {
  name: string
  private?: boolean
  license?: string
  files?: string[]
  engines?: { node?: string }
  repository?: { directory?: string }
  exports?: Record<string, unknown>
  scripts?: Record<string, string>
  dependencies?: Record<string, string>
  peerDependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
  devDependencies?: Record<string, string>
  bdevModule?: { manifestVersion: number; name: string; entry: string }
}

export interface Package {
  /** Name of its folder in packages/. */
  readonly folder: string
  readonly json: PackageJson
}

export const packages: readonly Package[] = readdirSync(join(root, 'packages'))
  .filter(folder => existsSync(join(root, 'packages', folder, 'package.json')))
  .map(folder => ({ folder, json: JSON.parse(read(`packages/${folder}/package.json`)) as PackageJson }))

export interface Direction {
  /** Packages of ours that src/ may import. */
  readonly source: readonly string[]
  /** What test/ may import besides. */
  readonly tests: readonly string[]
}

const directions = JSON.parse(read('tools/import-directions.json')) as Record<string, Direction>

/** The row of tools/import-directions.json for a package folder. */
export function directionOf(folder: string): Direction | undefined {
  return directions[folder.startsWith('modules-') ? 'modules-*' : folder]
}
