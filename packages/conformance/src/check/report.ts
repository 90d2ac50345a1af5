// SPDX-License-Identifier: Apache-2.0

/** The checks of `bdev-module-check`, in their order, and what each holds a package to. */
export const CHECKS = {
  load: 'a host would load it: manifest, SDK range, build, default export, names',
  sdk: 'the literal `sdk` in the code is the SDK that it is built with',
  exports: 'exports give types, and ./package.json',
  keyword: 'the keyword "bdev-module", by which people find modules on npm',
  rpc: 'RPC methods carry the name of the module, and their schemas are sound',
  import: 'importing it has no effect',
  readme: 'the parameter tables of README.md are those of the RPC schemas',
  packed: 'what npm packs holds all files that package.json names',
  lowest: 'it builds and passes its tests on the lowest SDK of its range',
} as const
/** Name of one check. */
export type CheckName = keyof typeof CHECKS

/** One thing that is wrong with a module package. */
export interface Finding {
  readonly check: CheckName
  /** Who, what is wanted, what is there. */
  readonly message: string
  /** What to write or do instead; absent where the message says it. */
  readonly fix?: string
}

/** What {@link CheckReport} says of one check. `skipped` where an earlier one failed that it needs. */
export type Verdict = 'ok' | 'failed' | 'skipped' | 'fixed'

/** The result of `checkModulePackage`. */
export interface CheckReport {
  /** `name@version` of the package, or its folder. */
  readonly subject: string
  /** True where nothing is wrong. */
  readonly ok: boolean
  readonly verdicts: ReadonlyMap<CheckName, Verdict>
  readonly findings: readonly Finding[]
}
