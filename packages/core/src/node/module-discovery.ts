// SPDX-License-Identifier: Apache-2.0
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { ownValue } from './manifest-schema.js'
import { ModuleErrorCode, moduleFailure, shown, shownPath, shownValue, type ModuleFailure } from './module-errors.js'
import { neededModuleNames } from './needed-modules.js'
import {
  findPackageJson,
  findPnpPackageJson,
  isFile,
  isFolder,
  readPackageJson,
  realPath,
  upward,
  type PackageJson,
} from './package-json.js'

/** How a module was found: in a stack file's `modules`, by `--module`, in the nearest package.json, or in the host program's. */
export type ModuleOrigin = 'stack-file' | 'command-line' | 'dependency' | 'builtin'

/** Where to look for module packages. */
export interface DiscoverOptions {
  /** The stack file and its top-level `modules`; package names and folders in it are resolved from the file's folder. */
  readonly stackFile?: { readonly path: string; readonly modules?: readonly string[] | undefined } | undefined
  /** Values of `--module`: package names and folders (`.`, `./x`, `../x`, absolute), resolved from `cwd`. */
  readonly specs?: readonly string[] | undefined
  /** Folder whose nearest package.json is asked for dependencies. Default: the working directory. */
  readonly cwd?: string | undefined
  /** package.json of the host program, whose dependencies are the modules it ships with. */
  readonly builtinPackageJson?: string | undefined
  /** `--no-discover`: only the stack file's `modules` and `specs` count. */
  readonly noDiscover?: boolean | undefined
  /**
   * Module names that the stack file's calls need. Where the stack file has `modules`, a package that is found and not named
   * is taken only if its module is in here (or follows from `methods`) and no named package gives it.
   */
  readonly neededNames?: ReadonlySet<string> | undefined
  /** RPC methods of the stack file: adds to `neededNames` what they need among the modules that are there. */
  readonly methods?: Iterable<string> | undefined
}

/** A package that says it holds a module. Nothing of it is checked yet. */
export interface ModuleCandidate {
  /** How it was named. */
  readonly origin: ModuleOrigin
  /** `name` of its package.json, or the name it was found by. Safe to print. */
  readonly packageName: string
  /** `version` of its package.json, `?` where it has none. Safe to print. */
  readonly packageVersion: string
  /** Path of its package. */
  readonly folder: string
  /** Path of its package.json. */
  readonly manifestFile: string
  /** The parsed package.json. */
  readonly packageJson: PackageJson
  /** Named by its folder, or linked from outside of any node_modules: a package under development, not a release. */
  readonly local: boolean
}

/** What {@link discoverModules} found. */
export interface Discovery {
  /** In the order in which modules start. */
  readonly candidates: readonly ModuleCandidate[]
  /** Lists and packages that could not be read. */
  readonly failures: readonly ModuleFailure[]
  /** The lists that were read, for "no module foo (looked in …)". */
  readonly lookedIn: readonly string[]
  /** Packages that a list of dependencies names and that are not installed. */
  readonly notInstalled: readonly string[]
}

const PACKAGE_NAME = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/i
const PACKAGE_NAME_LENGTH_MAX = 214

/**
 * Finds module packages, in this order: the stack file's `modules` and then `specs`, as written; then the dependencies and
 * optional dependencies of the package.json nearest to `cwd`, and then of `builtinPackageJson`, each sorted by package name.
 * Reads package.json files only: runs no code and no process, follows no transitive dependency, looks in no global folder.
 *
 * A package found twice counts once, at its first place. A named module replaces a found one of the same name, and a
 * dependency replaces a builtin of the same package.
 * @returns all candidates and all failures; never throws for what a file holds
 */
export function discoverModules(options: DiscoverOptions = {}): Discovery {
  const failures: ModuleFailure[] = []
  const lookedIn: string[] = []
  const notInstalled: string[] = []
  const cwd = resolve(options.cwd ?? process.cwd())

  const stackModules = options.stackFile?.modules
  const named: ModuleCandidate[] = []
  const take = (specs: unknown, list: SpecList): void => {
    lookedIn.push(list.who)
    for (const result of resolveSpecs(specs, list)) {
      if ('code' in result) failures.push(result)
      else named.push(result)
    }
  }
  if (options.stackFile !== undefined && stackModules !== undefined) {
    const file = resolve(options.stackFile.path)
    take(stackModules, { origin: 'stack-file', who: `stack file ${shownPath(file)}`, dir: dirname(file), file })
  }
  if (options.specs !== undefined && options.specs.length > 0) {
    take(options.specs, { origin: 'command-line', who: '--module', dir: cwd })
  }

  let found: ModuleCandidate[] = []
  const foundFailures: ModuleFailure[] = []
  if (options.noDiscover !== true) {
    const sources: [ModuleOrigin, string | undefined][] = [
      ['dependency', [...upward(cwd)].map(dir => join(dir, 'package.json')).find(isFile)],
      ['builtin', options.builtinPackageJson],
    ]
    for (const [origin, file] of sources) {
      if (file === undefined) continue
      lookedIn.push(`dependencies of ${shownPath(file)}`)
      readDependencies(origin, resolve(file), found, foundFailures, notInstalled)
    }
  }

  const namedNames = new Set(named.flatMap(candidate => manifestName(candidate) ?? []))
  if (stackModules !== undefined) {
    const known = [...named, ...found].flatMap(candidate => manifestName(candidate) ?? [])
    const needed = new Set([...(options.neededNames ?? []), ...neededModuleNames(options.methods ?? [], known)])
    for (const name of namedNames) needed.delete(name)
    found = found.filter(candidate => needed.has(manifestName(candidate) ?? ''))
    // An unreadable package has no name: it matters where something that is needed is still not there.
    for (const candidate of found) needed.delete(manifestName(candidate) ?? '')
    if (needed.size > 0) failures.push(...foundFailures)
  } else {
    failures.push(...foundFailures)
  }
  found = found.filter(candidate => !namedNames.has(manifestName(candidate) ?? ''))
  return { candidates: withoutTwins([...named, ...found]), failures, lookedIn, notInstalled }
}

/** One list of specs: who names them, and where they are resolved from. */
interface SpecList {
  readonly origin: ModuleOrigin
  readonly who: string
  readonly dir: string
  readonly file?: string
}

function resolveSpecs(specs: unknown, list: SpecList): (ModuleCandidate | ModuleFailure)[] {
  if (!Array.isArray(specs)) {
    return [
      moduleFailure(
        ModuleErrorCode.List,
        `${list.who}: "modules" is ${shownValue(specs)}, but must be a list of package names and folders.`,
        [['fix', 'write e.g. "modules": ["bdev-module-foo", "./my-module"]']],
        { origin: list.origin, file: list.file, need: 'a list of strings', have: shownValue(specs) },
      ),
    ]
  }
  return specs.map((spec: unknown) => resolveSpec(spec, list))
}

function resolveSpec(spec: unknown, list: SpecList): ModuleCandidate | ModuleFailure {
  const facts = { origin: list.origin, file: list.file }
  if (typeof spec === 'string' && isFolderSpec(spec)) return resolveFolder(spec, list)
  if (typeof spec !== 'string' || !isPackageName(spec)) {
    return moduleFailure(
      ModuleErrorCode.List,
      `${list.who} names module ${shownValue(spec)}, which is neither a package name nor a folder.`,
      [['fix', 'write a package name without a version, or a folder that starts with "./", "../" or "/"']],
      { ...facts, need: 'a package name or a folder', have: shownValue(spec) },
    )
  }
  const file = findPackageJson(spec, list.dir) ?? findPnpPackageJson(spec, list.dir)
  if (file === undefined) {
    const folder = isFile(join(list.dir, spec, 'package.json'))
    const install = `run "npm install ${spec}" in ${shownPath(list.dir)}`
    return moduleFailure(
      ModuleErrorCode.NotFound,
      `${list.who} names module package "${spec}", which is not installed.`,
      [
        ['looked in', `${shownPath(join(list.dir, 'node_modules'))} and in the folders above`],
        ['fix', folder ? `write "./${spec}" for the folder of that name, or ${install}` : install],
      ],
      { ...facts, packageName: spec, need: spec },
    )
  }
  return candidateOf(file, spec, list)
}

function resolveFolder(spec: string, list: SpecList): ModuleCandidate | ModuleFailure {
  const folder = resolve(list.dir, spec)
  const manifestFile = join(folder, 'package.json')
  if (!spec.includes('\0') && isFile(manifestFile)) return candidateOf(manifestFile, undefined, list)
  const exists = isFolder(folder)
  return moduleFailure(
    ModuleErrorCode.NotFound,
    `${list.who} names module folder "${shown(spec)}", which ${exists ? 'holds no package.json' : 'is no folder'}.`,
    [
      ['looked in', shownPath(folder)],
      ['fix', exists ? 'name the folder of a module package' : `correct the path; it is resolved from ${shownPath(list.dir)}`],
    ],
    { origin: list.origin, file: list.file, need: shownPath(manifestFile) },
  )
}

/** A package that was named, so that it has to be a module. */
function candidateOf(manifestFile: string, name: string | undefined, list: SpecList): ModuleCandidate | ModuleFailure {
  const read = readCandidate(list.origin, manifestFile, name, name === undefined)
  if ('code' in read || Object.hasOwn(read.packageJson, 'bdevModule')) return read
  return moduleFailure(
    ModuleErrorCode.Manifest,
    `${list.who} names package ${read.packageName} ${read.packageVersion}, which has no "bdevModule" manifest.`,
    [
      ['manifest', shownPath(manifestFile)],
      ['fix', 'name a module package; its author adds "bdevModule": { "manifestVersion": 1, "name": "…", "entry": "." }'],
    ],
    { origin: list.origin, packageName: read.packageName, packageVersion: read.packageVersion, manifestFile, need: 'bdevModule' },
  )
}

function readCandidate(
  origin: ModuleOrigin,
  manifestFile: string,
  name: string | undefined,
  byFolder: boolean,
): ModuleCandidate | ModuleFailure {
  const read = readPackageJson(manifestFile)
  const folder = dirname(manifestFile)
  if ('problem' in read) {
    const who = name === undefined ? `the package in ${shownPath(folder)}` : `package "${name}"`
    return moduleFailure(
      ModuleErrorCode.Manifest,
      `the package.json of ${who} ${read.problem}.`,
      [
        ['manifest', shownPath(manifestFile)],
        ['fix', byFolder ? 'correct the file' : 'install the package again, or remove it from the dependencies'],
      ],
      { origin, packageName: name, manifestFile, cause: read.cause },
    )
  }
  const { value: packageJson } = read
  return {
    origin,
    packageName: printable(ownValue(packageJson, 'name')) ?? name ?? '?',
    packageVersion: printable(ownValue(packageJson, 'version')) ?? '?',
    folder,
    manifestFile,
    packageJson,
    local: byFolder || !/[\\/]node_modules[\\/]/.test(realPath(manifestFile)),
  }
}

function readDependencies(
  origin: ModuleOrigin,
  file: string,
  found: ModuleCandidate[],
  failures: ModuleFailure[],
  notInstalled: string[],
): void {
  const read = readPackageJson(file)
  if ('problem' in read) {
    failures.push(
      moduleFailure(
        ModuleErrorCode.List,
        `the package.json whose dependencies name modules ${read.problem}.`,
        [
          ['file', shownPath(file)],
          ['fix', 'correct the file, or name the modules with --module and pass --no-discover'],
        ],
        { origin, file, cause: read.cause },
      ),
    )
    return
  }
  const names = new Set(
    ['dependencies', 'optionalDependencies'].flatMap(key => {
      const list = ownValue(read.value, key)
      return typeof list === 'object' && list !== null && !Array.isArray(list) ? Object.keys(list) : []
    }),
  )
  for (const name of [...names].filter(isPackageName).sort()) {
    const manifestFile = findPackageJson(name, dirname(file))
    if (manifestFile === undefined) {
      notInstalled.push(name)
      continue
    }
    const candidate = readCandidate(origin, manifestFile, name, false)
    if ('code' in candidate) failures.push(candidate)
    else if (Object.hasOwn(candidate.packageJson, 'bdevModule')) found.push(candidate)
  }
}

/** Drops a package that was found before, and a builtin that the application depends on itself. */
function withoutTwins(candidates: readonly ModuleCandidate[]): ModuleCandidate[] {
  const files = new Set<string>()
  const dependencies = new Set<string>()
  return candidates.filter(candidate => {
    const file = realPath(candidate.manifestFile)
    if (files.has(file)) return false
    files.add(file)
    if (candidate.origin === 'dependency') dependencies.add(candidate.packageName)
    return candidate.origin !== 'builtin' || !dependencies.has(candidate.packageName)
  })
}

/** The manifest's `name`, unchecked but for its type. */
export function manifestName(candidate: ModuleCandidate): string | undefined {
  const name = ownValue(ownValue(candidate.packageJson, 'bdevModule'), 'name')
  return typeof name === 'string' ? name : undefined
}

function printable(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? shown(value) : undefined
}

function isFolderSpec(spec: string): boolean {
  return spec === '.' || spec === '..' || /^\.{1,2}[\\/]/.test(spec) || isAbsolute(spec)
}

function isPackageName(name: string): boolean {
  return name.length <= PACKAGE_NAME_LENGTH_MAX && PACKAGE_NAME.test(name)
}
