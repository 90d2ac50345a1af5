// SPDX-License-Identifier: Apache-2.0
import { pathToFileURL } from 'node:url'
import { MODULE_BRAND, type BdevModule } from '@bdevkit/module-sdk'
import { EXPERIMENTAL_CAPABILITIES } from '@bdevkit/module-sdk/experimental'
import { SDK_VERSION, sdkLine } from '../sdk-version.js'
import { discoverModules, type Discovery, type DiscoverOptions, type ModuleOrigin } from './module-discovery.js'
import {
  ModuleErrorCode,
  ModuleLoadError,
  moduleFailure,
  shownError,
  shownPath,
  shownValue,
  type ModuleFailure,
} from './module-errors.js'
import { factsOf, negotiateModules, whoIs, type NegotiatedModule } from './module-negotiation.js'
import { isFile } from './package-json.js'
import { isVersion } from './sdk-range.js'

/** Where to look for modules, and what the host offers them. */
export interface LoadOptions extends DiscoverOptions {
  /** Version of the SDK that this host offers. Default: {@link SDK_VERSION}. */
  readonly sdkVersion?: string | undefined
  /** Experimental capabilities that this host offers, `name@version`. Default: those that the SDK describes. */
  readonly capabilities?: readonly string[] | undefined
  /** Default: `process.platform`. */
  readonly platform?: string | undefined
  /** How long all imports together may take. Default: {@link IMPORT_TIMEOUT_MS}. */
  readonly importTimeoutMs?: number | undefined
}

/** A module that passed all checks. Its `setup` was not called. */
export interface LoadedModule {
  /** The default export of its entry. */
  readonly value: BdevModule
  /** The manifest's `name`, which is also the name in its value. */
  readonly name: string
  /** `name` of its package.json. */
  readonly packageName: string
  /** `version` of its package.json. */
  readonly packageVersion: string
  /** SDK range of its package. */
  readonly sdkRange: string
  /** SDK `major.minor` that it was built against. */
  readonly sdk: string
  /** Experimental capabilities that its manifest asks for, `name@version`. */
  readonly requires: readonly string[]
  /** The imported file. */
  readonly file: string
  /** Path of its package.json. */
  readonly manifestFile: string
  /** How it was named. */
  readonly origin: ModuleOrigin
}

/** What {@link inspectModules} found. */
export interface ModuleInspection {
  /** Modules that passed every check. */
  readonly loaded: readonly LoadedModule[]
  /** Those that did not, and faults of lists. */
  readonly failures: readonly ModuleFailure[]
  /** What was looked at. */
  readonly discovery: Discovery
}

/** An import has no effect, so that it takes milliseconds; this bound is for a module that awaits at top level. */
export const IMPORT_TIMEOUT_MS = 10_000

/**
 * Finds, checks and imports modules.
 * @returns the modules in the order in which they start
 * @throws ModuleLoadError with all failing modules, where there is one: the host must then not start
 * @throws TypeError where `sdkVersion` is no semver version
 */
export async function loadModules(options: LoadOptions = {}): Promise<LoadedModule[]> {
  const { loaded, failures } = await inspectModules(options)
  if (failures.length > 0) throw new ModuleLoadError(failures)
  return [...loaded]
}

/**
 * As {@link loadModules}, but returns failures beside the modules that passed: for printing what was found. No import starts
 * before every package is negotiated; modules that passed are imported even where others did not, so that all faults show.
 */
export async function inspectModules(options: LoadOptions = {}): Promise<ModuleInspection> {
  const sdkVersion = options.sdkVersion ?? SDK_VERSION
  if (!isVersion(sdkVersion)) throw new TypeError(`sdkVersion ${shownValue(sdkVersion)} is no semver version`)
  const discovery = discoverModules(options)
  const { accepted, failures } = negotiateModules(discovery.candidates, {
    sdkVersion,
    capabilities: options.capabilities ?? EXPERIMENTAL_CAPABILITIES,
    platform: options.platform ?? process.platform,
  })
  const timeoutMs = options.importTimeoutMs ?? IMPORT_TIMEOUT_MS
  const results = await Promise.all(accepted.map(module => loadOne(module, sdkVersion, timeoutMs)))
  const loaded: LoadedModule[] = []
  const importFailures: ModuleFailure[] = []
  for (const result of results) {
    if ('code' in result) importFailures.push(result)
    else loaded.push(result)
  }
  return { loaded, failures: [...discovery.failures, ...failures, ...importFailures], discovery }
}

async function loadOne(module: NegotiatedModule, sdkVersion: string, timeoutMs: number): Promise<LoadedModule | ModuleFailure> {
  const { candidate, file } = module
  if (!isFile(file)) {
    const fix = candidate.local
      ? `build it first, e.g. "npm run build" in ${shownPath(candidate.folder)}`
      : `install ${candidate.packageName} again; where that does not help, its release lacks the file`
    return refuse(ModuleErrorCode.NotBuilt, module, 'is not built: the file of its entry does not exist', fix)
  }
  const imported = await importWithin(file, timeoutMs)
  if (imported === 'timeout') {
    const text = `did not finish its import in ${timeoutMs} ms: its code, or what it imports, awaits at top level`
    const fix = 'importing a module must have no effect; wait in moduleInit instead'
    return refuse(ModuleErrorCode.Import, module, text, fix, { need: `an import within ${timeoutMs} ms` })
  }
  if ('thrown' in imported) {
    const { thrown } = imported
    return refuse(ModuleErrorCode.Import, module, `cannot be imported: ${shownError(thrown)}`, importFix(thrown, module), {
      cause: thrown,
    })
  }
  return checkValue(module, imported.namespace, sdkVersion)
}

type Imported = { readonly namespace: unknown } | { readonly thrown: unknown } | 'timeout'

async function importWithin(file: string, timeoutMs: number): Promise<Imported> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<'timeout'>(resolve => {
    timer = setTimeout(resolve, timeoutMs, 'timeout')
  })
  const importing: Promise<Imported> = import(/* @vite-ignore */ pathToFileURL(file).href).then(
    namespace => ({ namespace }),
    (thrown: unknown) => ({ thrown }),
  )
  try {
    return await Promise.race([importing, timeout])
  } finally {
    clearTimeout(timer)
  }
}

/** Checks 6 and 7 of what was imported. Each field is read once: the value may be anything. */
function checkValue(module: NegotiatedModule, namespace: unknown, sdkVersion: string): LoadedModule | ModuleFailure {
  const { candidate, manifest, file, sdkRange } = module
  let brand: unknown, name: unknown, sdk: unknown, setup: unknown, wrapped: unknown
  let value: unknown
  try {
    value = (namespace as { default?: unknown }).default
    if (typeof value === 'object' && value !== null) {
      ;({ [MODULE_BRAND]: brand, name, sdk, setup, default: wrapped } = value as Record<string, unknown>)
    }
    if (brand === undefined && typeof wrapped === 'object' && wrapped !== null) wrapped = MODULE_BRAND in wrapped
  } catch (thrown) {
    const text = `default-exports a value that cannot be read: ${shownError(thrown)}`
    return refuse(ModuleErrorCode.Export, module, text, EXPORT_FIX, { cause: thrown })
  }
  if (typeof brand === 'number' && brand !== 1) {
    const text = `default-exports a module value of shape ${brand}, but this host knows 1`
    return refuse(ModuleErrorCode.Export, module, text, 'upgrade @bdevkit/core', { need: String(brand), have: '1' })
  }
  if (brand !== 1 || typeof name !== 'string' || typeof sdk !== 'string' || typeof setup !== 'function') {
    const fix = wrapped === true ? 'build it as an ES module; its default export is wrapped as CommonJS' : EXPORT_FIX
    const have = shownValue(value)
    return refuse(ModuleErrorCode.Export, module, 'does not default-export a value made by defineBdevModule()', fix, { have })
  }
  const offered = minorOf(sdkVersion)
  const line = /^\d+\.\d+$/.test(sdk) ? sdkLine(sdk) : undefined
  if (line === undefined) {
    const text = `has sdk ${shownValue(sdk)}, but must have "major.minor"`
    const fix = `write e.g. sdk: '${offered}' where it calls defineBdevModule()`
    return refuse(ModuleErrorCode.Export, module, text, fix, { need: 'major.minor', have: sdk })
  }
  if (line !== sdkLine(sdkVersion)) {
    const text = `was built against module-sdk ${sdk}, but this host offers ${offered}`
    const fix = 'its package.json asks for another SDK than its build was made with; rebuild it'
    return refuse(ModuleErrorCode.Abi, module, text, fix, { need: sdk, have: offered })
  }
  if (name !== manifest.name) {
    const fix = 'write one name in defineBdevModule() and in bdevModule of its package.json'
    return refuse(ModuleErrorCode.NameMismatch, module, `calls itself ${shownValue(name)} in code`, fix, {
      need: manifest.name,
      have: name,
    })
  }
  const { packageName, packageVersion, manifestFile, origin } = candidate
  const requires = manifest.requires ?? []
  return { value: value as BdevModule, name, packageName, packageVersion, sdkRange, sdk, requires, file, manifestFile, origin }
}

const EXPORT_FIX = 'write "export default defineBdevModule({ … })" in its entry'

function refuse(
  code: ModuleErrorCode,
  module: NegotiatedModule,
  text: string,
  fix: string,
  facts: Pick<ModuleFailure, 'need' | 'have' | 'cause'> = {},
): ModuleFailure {
  return moduleFailure(
    code,
    `${whoIs(module.candidate)} ${text}.`,
    [['file', shownPath(module.file)], ['fix', fix]],
    { ...factsOf(module.candidate), file: module.file, ...facts },
  )
}

function importFix(thrown: unknown, module: NegotiatedModule): string {
  let code: unknown
  try {
    code = (thrown as { code?: unknown } | null | undefined)?.code
  } catch {
    code = undefined
  }
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
    ? `install the dependencies of ${module.candidate.packageName}, or build it again`
    : `report it to the author of ${module.candidate.packageName}; importing a module must have no effect`
}

function minorOf(sdkVersion: string): string {
  return sdkVersion.split('.', 2).join('.')
}
