// SPDX-License-Identifier: Apache-2.0
// oxlint-disable-next-line typescript/triple-slash-reference -- the one way to types that tests of other folders see too
/// <reference path="./semver.d.ts" />
import semver, { type Range, type SemVer } from 'semver'
import { sdkLine } from '../sdk-version.js'
import { ownValue } from './manifest-schema.js'
import type { ModuleCandidate } from './module-discovery.js'
import { shown } from './module-errors.js'
import { findPackageJson, findPnpPackageJson, readPackageJson, realPath } from './package-json.js'

/** The package that modules import. */
export const SDK_PACKAGE = '@bdevkit/module-sdk'

const RANGE_LENGTH_MAX = 256

/** The SDK range of a module package, and the key of its package.json that holds it; or what is wrong with it. */
export type SdkRange =
  | { readonly range: string; readonly key: string }
  | { readonly problem: string; readonly fix: string; readonly key: string; readonly have?: string }

/**
 * Reads a package's SDK range: `dependencies`, or `bdevModule.sdk` of a package without that dependency. A range that only a
 * workspace or a folder gives (`workspace:`, `file:`, …) is read as what the SDK found on disk would be published as.
 * @param offered SDK version of the host, for the advice
 */
export function readSdkRange(candidate: ModuleCandidate, offered: string): SdkRange {
  const dependency = ownValue(ownValue(candidate.packageJson, 'dependencies'), SDK_PACKAGE)
  const stated = ownValue(ownValue(candidate.packageJson, 'bdevModule'), 'sdk')
  if (typeof dependency !== 'string') {
    if (typeof stated === 'string') return { range: stated, key: 'bdevModule.sdk' }
    const peer = ownValue(ownValue(candidate.packageJson, 'peerDependencies'), SDK_PACKAGE) !== undefined
    const range = `"^${offered}"`
    const add = `"${SDK_PACKAGE}": ${range} to its dependencies, or "sdk": ${range} to bdevModule where the SDK is bundled`
    return {
      problem: 'names no module-sdk range',
      fix: peer ? `move "${SDK_PACKAGE}" from its peerDependencies to its dependencies` : `add ${add}`,
      key: 'dependencies',
    }
  }
  const local = /^(workspace|file|link|portal|catalog):(.*)$/s.exec(dependency)
  if (local === null) {
    if (stated === undefined || stated === dependency) return { range: dependency, key: 'dependencies' }
    return {
      problem: `asks for module-sdk "${shown(dependency)}" in dependencies and "${shown(String(stated))}" in bdevModule.sdk`,
      fix: 'remove bdevModule.sdk; it is for packages without the dependency',
      key: 'bdevModule.sdk',
      have: String(stated),
    }
  }
  if (typeof stated === 'string') return { range: stated, key: 'bdevModule.sdk' }
  const range = local[1] === 'workspace' ? local[2] : '^'
  if (!['', '*', '^', '~'].includes(range)) return { range, key: 'dependencies' }
  const found = sdkOnDisk(candidate.folder)
  if (found === undefined) {
    return {
      problem: `asks for module-sdk "${shown(dependency)}", but no ${SDK_PACKAGE} is installed for it`,
      fix: `install the dependencies of ${candidate.packageName}`,
      key: 'dependencies',
      have: dependency,
    }
  }
  return { range: `${range === '*' ? '' : range}${found}`, key: 'dependencies' }
}

function sdkOnDisk(folder: string): string | undefined {
  for (const dir of new Set([folder, realPath(folder)])) {
    const file = findPackageJson(SDK_PACKAGE, dir) ?? findPnpPackageJson(SDK_PACKAGE, dir)
    const read = file === undefined ? undefined : readPackageJson(file)
    const version = read !== undefined && 'value' in read ? ownValue(read.value, 'version') : undefined
    if (typeof version === 'string' && version.length <= RANGE_LENGTH_MAX && semver.valid(version) !== null) return version
  }
  return undefined
}

/**
 * The one line of compatible SDK releases (see `sdkLine`) that a range accepts: `^1.2.0`, `1.x` and `>=1.2.0 <2` give `'1'`.
 * @returns undefined for what is no range (`latest`), and for a range that accepts two lines (`*`, `>=1`, `^1 || ^2`, `0.x`)
 */
export function rangeLine(range: string): string | undefined {
  if (range.length > RANGE_LENGTH_MAX) return undefined
  try {
    const parsed: Range = new semver.Range(range)
    const lowest = semver.minVersion(parsed)
    if (lowest === null) return undefined
    const line = lineOf(lowest)
    const next = lowest.major === 0 ? `0.${lowest.minor + 1}.0` : `${lowest.major + 1}.0.0`
    if (parsed.intersects(new semver.Range(`>=${next}`))) return undefined
    // A prerelease of another line is accepted only where a bound names one: <2.0.0-beta.3, =2.0.0-0.
    for (const { semver: bound, operator } of parsed.set.flat()) {
      const isBefore = operator === '<' && bound.prerelease.join('.') === '0' // <2.0.0-0, as semver writes <2
      if (bound.prerelease.length > 0 && !isBefore && lineOf(bound) !== line) return undefined
    }
    return line
  } catch {
    return undefined
  }
}

/**
 * Whether a host that offers `sdkVersion` meets `range`, which fixes one line. A prerelease of the SDK counts as its place in
 * the order says, so that modules can be tried on it.
 */
export function offersRange(sdkVersion: string, range: string): boolean {
  return rangeLine(range) === sdkLine(sdkVersion) && semver.satisfies(sdkVersion, range, { includePrerelease: true })
}

/**
 * The lowest SDK release that a range accepts.
 * @throws TypeError it is no range, or accepts no release.
 */
export function lowestSdkVersion(range: string): string {
  const lowest = semver.minVersion(new semver.Range(range))
  if (lowest === null) throw new TypeError(`"${shown(range)}" accepts no release`)
  return lowest.version
}

/** Whether `range` accepts only releases older than `sdkVersion`. */
export function isOlder(range: string, sdkVersion: string): boolean {
  return semver.gtr(sdkVersion, range, { includePrerelease: true })
}

/** Whether `text` is a semver version, written as semver prints it. */
export function isVersion(text: string): boolean {
  return semver.valid(text) === text
}

function lineOf(version: SemVer): string {
  return sdkLine(`${version.major}.${version.minor}`) ?? ''
}
