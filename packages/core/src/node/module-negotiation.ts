// SPDX-License-Identifier: Apache-2.0
import type { ModuleManifest } from '@bdevkit/module-sdk'
import { sdkLine } from '../sdk-version.js'
import { manifestProblem, ownValue } from './manifest-schema.js'
import { manifestName, type ModuleCandidate } from './module-discovery.js'
import { ModuleErrorCode, moduleFailure, shown, shownPath, type FailureFacts, type ModuleFailure } from './module-errors.js'
import { resolveEntry } from './package-json.js'
import { isOlder, offersRange, rangeLine, readSdkRange } from './sdk-range.js'

/** What a host offers to modules. */
export interface HostOffer {
  /** Version of `@bdevkit/module-sdk`. */
  readonly sdkVersion: string
  /** Experimental capabilities, `name@version`. */
  readonly capabilities: readonly string[]
  /** As `process.platform`. */
  readonly platform: string
}

/** A module package that may be imported. */
export interface NegotiatedModule {
  /** The package. */
  readonly candidate: ModuleCandidate
  /** Its manifest, checked against the schema. */
  readonly manifest: ModuleManifest
  /** SDK range that the host meets. */
  readonly sdkRange: string
  /** Path of the entry. Not looked at yet. */
  readonly file: string
}

/** Result of {@link negotiateModules}. */
export interface Negotiation {
  /** Those that passed, in the order of `candidates`. */
  readonly accepted: readonly NegotiatedModule[]
  /** One for each that did not. */
  readonly failures: readonly ModuleFailure[]
}

/**
 * Checks 1 to 5 of every candidate: manifest, SDK range, SDK version, platform and capabilities, name. Runs no code of a
 * module. A module fails by the first check it does not meet; the others go on.
 */
export function negotiateModules(candidates: readonly ModuleCandidate[], offer: HostOffer): Negotiation {
  const accepted: NegotiatedModule[] = []
  const failures: ModuleFailure[] = []
  const holders = new Map<string, ModuleCandidate>()
  for (const candidate of candidates) {
    const result = checkPackage(candidate, offer)
    const taken = 'code' in result && result.code === ModuleErrorCode.Manifest ? undefined : nameTaken(candidate, holders)
    if ('code' in result) failures.push(result)
    else if (taken !== undefined) failures.push(taken)
    else accepted.push(result)
  }
  return { accepted, failures }
}

/** `module "name" (package version)`, as every refusal starts. */
export function whoIs(candidate: ModuleCandidate): string {
  return `module "${shown(manifestName(candidate) ?? '?')}" (${candidate.packageName} ${candidate.packageVersion})`
}

/** Fields of a failure that tell which module it is about. */
export function factsOf(candidate: ModuleCandidate): FailureFacts {
  const { origin, packageName, packageVersion, manifestFile } = candidate
  return { origin, module: manifestName(candidate), packageName, packageVersion, manifestFile }
}

function checkPackage(candidate: ModuleCandidate, offer: HostOffer): NegotiatedModule | ModuleFailure {
  const manifest = ownValue(candidate.packageJson, 'bdevModule')
  const refused = checkManifest(candidate, manifest)
  if (refused !== undefined) return refused
  const checked = manifest as ModuleManifest
  const entry = resolveEntry(candidate.folder, ownValue(candidate.packageJson, 'exports'), checked.entry)
  if ('problem' in entry) {
    return moduleFailure(
      ModuleErrorCode.Manifest,
      `${whoIs(candidate)} has a bad manifest: ${entry.problem}.`,
      [at(candidate, 'exports'), ['fix', `write e.g. "exports": { "${shown(checked.entry)}": "./dist/index.js" }`]],
      { ...factsOf(candidate), need: checked.entry },
    )
  }
  const sdkRange = checkSdk(candidate, offer)
  if (typeof sdkRange !== 'string') return sdkRange
  return checkNeeds(candidate, checked, offer) ?? { candidate, manifest: checked, sdkRange, file: entry.value }
}

/** Check 1, without the entry. */
function checkManifest(candidate: ModuleCandidate, manifest: unknown): ModuleFailure | undefined {
  const problem = manifestProblem(manifest)
  if (problem === undefined) return undefined
  return moduleFailure(
    ModuleErrorCode.Manifest,
    `${whoIs(candidate)} has a bad manifest: ${problem.text}${problem.newer === true ? ', this host reads 1' : ''}.`,
    [
      at(candidate, problem.key === '' ? 'bdevModule' : `bdevModule.${problem.key}`),
      ['fix', problem.newer === true ? 'upgrade @bdevkit/core' : 'see @bdevkit/module-sdk/schema/bdev-module.schema.json'],
    ],
    { ...factsOf(candidate), need: problem.need, have: problem.have },
  )
}

/** Checks 2 and 3; returns the range. */
function checkSdk(candidate: ModuleCandidate, offer: HostOffer): string | ModuleFailure {
  const { sdkVersion } = offer
  const read = readSdkRange(candidate, sdkVersion)
  if ('problem' in read) {
    return moduleFailure(
      ModuleErrorCode.SdkRange,
      `${whoIs(candidate)} ${read.problem}.`,
      [at(candidate, read.key), ['fix', read.fix]],
      { ...factsOf(candidate), need: 'a range that fixes the major version', have: read.have },
    )
  }
  const { range } = read
  if (rangeLine(range) === undefined) {
    const beforeOne = sdkVersion.startsWith('0.') ? ' (below 1.0 each minor counts as a major)' : ''
    return moduleFailure(
      ModuleErrorCode.SdkRange,
      `${whoIs(candidate)} asks for module-sdk "${shown(range)}", which does not fix the major version.`,
      [at(candidate, read.key), ['fix', `write e.g. "^${sdkVersion}"${beforeOne}`]],
      { ...factsOf(candidate), need: 'a range that fixes the major version', have: range },
    )
  }
  if (offersRange(sdkVersion, range)) return range
  return moduleFailure(
    ModuleErrorCode.Sdk,
    `${whoIs(candidate)} needs module-sdk ${shown(range)}, but this host offers ${sdkVersion}.`,
    [
      at(candidate, read.key),
      [
        'fix',
        isOlder(range, sdkVersion)
          ? `install a release of ${candidate.packageName} built for module-sdk ${sdkLine(sdkVersion)}.x`
          : `upgrade @bdevkit/core to one that offers module-sdk ${shown(range)}`,
      ],
    ],
    { ...factsOf(candidate), need: range, have: sdkVersion },
  )
}

/** Check 4. */
function checkNeeds(candidate: ModuleCandidate, manifest: ModuleManifest, offer: HostOffer): ModuleFailure | undefined {
  if (manifest.platforms !== undefined && !manifest.platforms.includes(offer.platform)) {
    return moduleFailure(
      ModuleErrorCode.Platform,
      `${whoIs(candidate)} runs on ${manifest.platforms.join(', ')}, but this host runs on ${offer.platform}.`,
      [at(candidate, 'bdevModule.platforms'), ['fix', 'remove it from the modules of this host']],
      { ...factsOf(candidate), need: manifest.platforms.join(', '), have: offer.platform },
    )
  }
  const requires = manifest.requires ?? []
  const missing = requires.filter(capability => !offer.capabilities.includes(capability))
  if (missing.length === 0) return undefined
  const offers = offer.capabilities.length === 0 ? 'no experimental capability' : offer.capabilities.join(', ')
  return moduleFailure(
    ModuleErrorCode.Capability,
    `${whoIs(candidate)} requires ${missing.map(capability => `"${capability}"`).join(', ')}, which this host does not offer.`,
    [at(candidate, 'bdevModule.requires'), ['host offers', offers]],
    { ...factsOf(candidate), need: requires.join(', '), have: offer.capabilities.join(', '), missing },
  )
}

/** Check 5. The first candidate of a name holds it, whether or not it fails later checks, so that both faults show at once. */
function nameTaken(candidate: ModuleCandidate, holders: Map<string, ModuleCandidate>): ModuleFailure | undefined {
  const name = manifestName(candidate) ?? ''
  const holder = holders.get(name)
  if (holder === undefined) {
    holders.set(name, candidate)
    return undefined
  }
  const packages = [holder, candidate].map(({ packageName, packageVersion }) => `${packageName} ${packageVersion}`)
  const isNamed = candidate.origin === 'stack-file' || candidate.origin === 'command-line'
  return moduleFailure(
    ModuleErrorCode.NameTaken,
    `module name "${name}" is given by two packages: ${packages.join(' and ')}.`,
    [
      at(holder, 'bdevModule.name'),
      at(candidate, 'bdevModule.name'),
      ['fix', isNamed ? 'name only one of them' : 'remove one of them, or name the wanted one with --module'],
    ],
    { ...factsOf(candidate), need: name, have: packages[0] },
  )
}

function at(candidate: ModuleCandidate, key: string): readonly ['manifest', string] {
  return ['manifest', `${shownPath(candidate.manifestFile)}#${shown(key)}`]
}
