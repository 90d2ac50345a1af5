// SPDX-License-Identifier: Apache-2.0
import { readFileSync, realpathSync, statSync } from 'node:fs'
import Module from 'node:module'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { shown, shownError, shownValue } from './module-errors.js'

/** Larger files are refused before they are read. npm's own largest are below 1 MB. */
export const PACKAGE_JSON_BYTES_MAX = 4 * 1024 * 1024

/** A parsed package.json. Its values have any type: read them with `ownValue`. */
export type PackageJson = Readonly<Record<string, unknown>>

/** A value, or why there is none. */
export type Read<T> = { readonly value: T } | { readonly problem: string; readonly cause?: unknown }

/** Reads one package.json. Never throws, whatever the file holds. */
export function readPackageJson(file: string): Read<PackageJson> {
  try {
    const stat = statSync(file)
    if (!stat.isFile()) return { problem: 'is not a file' } // a FIFO would block the read
    if (stat.size > PACKAGE_JSON_BYTES_MAX) {
      return { problem: `has ${stat.size} bytes, more than the ${PACKAGE_JSON_BYTES_MAX} that are read` }
    }
    const value: unknown = JSON.parse(readFileSync(file, 'utf8').replace(/^\ufeff/, ''))
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return { problem: `holds ${shownValue(value)}, but must hold an object` }
    }
    return { value: value as PackageJson }
  } catch (error) {
    return { problem: `cannot be read: ${shownError(error)}`, cause: error }
  }
}

/** True where `path` exists and is a folder. */
export function isFolder(path: string): boolean {
  return statOf(path)?.isDirectory() === true
}

/** True where `path` exists and is a file. */
export function isFile(path: string): boolean {
  return statOf(path)?.isFile() === true
}

/** The path without symbolic links, or itself where it does not exist: the identity of a package found twice. */
export function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/** `dir` and every folder above it. */
export function* upward(dir: string): Generator<string> {
  for (let at = dir; ; at = dirname(at)) {
    yield at
    if (dirname(at) === at) return
  }
}

/**
 * The package.json of an installed package: `<dir>/node_modules/<name>/package.json`, from `fromDir` upward, then from its real
 * path (a pnpm store). Not by `require.resolve`, which fails where the author did not export `./package.json`, and which also
 * looks in global folders.
 */
export function findPackageJson(name: string, fromDir: string): string | undefined {
  for (const start of new Set([fromDir, realPath(fromDir)])) {
    for (const dir of upward(start)) {
      if (basename(dir) === 'node_modules') continue
      const file = join(dir, 'node_modules', name, 'package.json')
      if (isFile(file)) return file
    }
  }
  return undefined
}

/** What Yarn Plug'n'Play adds to `node:module`; see https://yarnpkg.com/advanced/pnpapi. */
interface PnpApi {
  resolveToUnqualified(request: string, issuer: string): string | null
}

/** As {@link findPackageJson} under Yarn Plug'n'Play, which has no node_modules; undefined without it. */
export function findPnpPackageJson(name: string, fromDir: string): string | undefined {
  try {
    const { findPnpApi } = Module as { findPnpApi?: (path: string) => PnpApi | null }
    const folder = findPnpApi?.(`${fromDir}/`)?.resolveToUnqualified(name, `${fromDir}/`)
    return typeof folder === 'string' ? join(folder, 'package.json') : undefined
  } catch {
    return undefined // Yarn throws for a package that is not a dependency of the issuer
  }
}

const CONDITIONS: ReadonlySet<string> = new Set(['node', 'import', 'default'])
const CONDITION_DEPTH_MAX = 16

/**
 * The file that `exports` of a package gives an importer for `entry`, by Node's rules
 * (https://nodejs.org/api/packages.html#conditional-exports) with the conditions `node`, `import` and `default`; but `entry` is
 * a key, never a match of a pattern. The file need not exist. It always lies in `folder`.
 */
export function resolveEntry(folder: string, exports: unknown, entry: string): Read<string> {
  const missing = { problem: `entry "${shown(entry)}" is not a key of its "exports"` }
  if (exports === undefined) return { problem: `entry "${shown(entry)}" needs "exports", which it does not have` }
  let target: unknown
  if (typeof exports === 'object' && exports !== null && !Array.isArray(exports)) {
    const keys = Object.keys(exports)
    const subpaths = keys.filter(key => key.startsWith('.')).length
    if (subpaths > 0 && subpaths < keys.length) return { problem: 'its "exports" mixes subpaths and conditions' }
    if (subpaths > 0) {
      if (!Object.hasOwn(exports, entry)) return missing
      target = (exports as Record<string, unknown>)[entry]
    } else {
      if (entry !== '.') return missing
      target = exports
    }
  } else {
    if (entry !== '.') return missing
    target = exports
  }
  const found = targetOf(target, 0)
  if (typeof found !== 'string') return { problem: `its "exports" gives no file for "${shown(entry)}" to an import on Node` }
  const outside = `its "exports" leads "${shown(entry)}" to "${shown(found)}", outside of the package`
  return inFolder(folder, found) ?? { problem: outside }
}

/** First string that the conditions allow; null where they forbid the entry. */
function targetOf(target: unknown, depth: number): string | null | undefined {
  if (typeof target === 'string' || target === null) return target
  if (typeof target !== 'object' || depth >= CONDITION_DEPTH_MAX) return undefined
  if (Array.isArray(target)) {
    for (const choice of target) {
      const found = targetOf(choice, depth + 1)
      if (typeof found === 'string' && found.startsWith('./')) return found // others are skipped here, and only here
    }
    return undefined
  }
  for (const [condition, choice] of Object.entries(target as object)) {
    if (!CONDITIONS.has(condition)) continue
    const found = targetOf(choice, depth + 1)
    if (found !== undefined) return found
  }
  return undefined
}

/** Resolves a target as a URL, as Node does, and refuses whatever leaves the package. */
function inFolder(folder: string, target: string): Read<string> | undefined {
  if (!target.startsWith('./') || /[\\?#\0]/.test(target) || /(^|\/)node_modules(\/|$)/i.test(target)) return undefined
  try {
    const base = pathToFileURL(`${folder}/`).href
    const url = new URL(target, base)
    if (!url.href.startsWith(base) || url.href === base) return undefined
    return { value: fileURLToPath(url) }
  } catch {
    return undefined // encoded slashes and the like
  }
}

function statOf(path: string) {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined // ENOTDIR, ENAMETOOLONG, a NUL in the path
  }
}
