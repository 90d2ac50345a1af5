// SPDX-License-Identifier: Apache-2.0
import { BdevError } from '@bdevkit/module-sdk'
import type { ModuleOrigin } from './module-discovery.js'

/** Every reason for which a module package is refused. A code keeps its meaning for ever; `docs/modules.md` explains each. */
export const ModuleErrorCode = {
  /** A list of modules is unusable: `modules` of a stack file, a module spec, or the package.json whose dependencies are read. */
  List: 'BDEV_E_MODULE_LIST',
  /** A package or folder that was named explicitly is not there. */
  NotFound: 'BDEV_E_MODULE_NOT_FOUND',
  /** Check 1: no readable package.json, no `bdevModule`, one that breaks the schema, or an entry that `exports` does not hold. */
  Manifest: 'BDEV_E_MODULE_MANIFEST',
  /** Check 2: the SDK range is missing, or does not fix one major (below 1.0: one minor). */
  SdkRange: 'BDEV_E_MODULE_SDK_RANGE',
  /** Check 3: the SDK that this core offers is outside of the range. */
  Sdk: 'BDEV_E_MODULE_SDK',
  /** Check 4: `platforms` does not hold this platform. */
  Platform: 'BDEV_E_MODULE_PLATFORM',
  /** Check 4: this host does not offer all of `requires`. */
  Capability: 'BDEV_E_MODULE_CAPABILITY',
  /** Check 5: another package gives a module of the same name. */
  NameTaken: 'BDEV_E_MODULE_NAME_TAKEN',
  /** Check 6: the file that `exports` names for the entry does not exist; most often the package was not built. */
  NotBuilt: 'BDEV_E_MODULE_NOT_BUILT',
  /** Check 6: the import threw, or did not settle in time. */
  Import: 'BDEV_E_MODULE_IMPORT',
  /** Check 6: the default export is not a value made by `defineBdevModule`. */
  Export: 'BDEV_E_MODULE_EXPORT',
  /** Check 6: the value was built against another SDK major (below 1.0: another minor). */
  Abi: 'BDEV_E_MODULE_ABI',
  /** Check 7: the value's `name` is not the manifest's. */
  NameMismatch: 'BDEV_E_MODULE_NAME_MISMATCH',
} as const
/** One of {@link (ModuleErrorCode:variable)}. */
export type ModuleErrorCode = (typeof ModuleErrorCode)[keyof typeof ModuleErrorCode]

/** Why one module was refused: the text for people, and the same facts as fields. */
export interface ModuleFailure {
  /** Which check failed. */
  readonly code: ModuleErrorCode
  /** Several lines, the first of which starts with `code`. */
  readonly message: string
  /** How the module was named; absent where the failure is about a list and not about one module. */
  readonly origin?: ModuleOrigin
  /** The manifest's `name`, where it has one. */
  readonly module?: string
  /** `name` of its package.json. */
  readonly packageName?: string
  /** `version` of its package.json. */
  readonly packageVersion?: string
  /** The module's package.json. */
  readonly manifestFile?: string
  /** The entry's file; in failures of a list, the list's file. */
  readonly file?: string
  /** What the module, or the rule it breaks, asks for. */
  readonly need?: string
  /** What is there instead. */
  readonly have?: string
  /** The parts of `need` that are not there. */
  readonly missing?: readonly string[]
  /** What was thrown, where something was. */
  readonly cause?: unknown
}

/** Modules were refused. Holds every failing one, so that all can be mended in one go; nothing was set up. */
export class ModuleLoadError extends BdevError {
  /** One for each module or list refused; the first gives the error its code and cause. */
  readonly failures: readonly ModuleFailure[]

  constructor(failures: readonly ModuleFailure[]) {
    super(failures[0].code, failures.map(failure => failure.message).join('\n\n'), { cause: failures[0].cause })
    this.name = 'ModuleLoadError'
    this.failures = failures
  }
}

/** Fields of a {@link ModuleFailure} besides its code and message; undefined ones are left out. */
export type FailureFacts = { readonly [K in keyof Omit<ModuleFailure, 'code' | 'message'>]: ModuleFailure[K] | undefined }

/** Makes a failure of `CODE: head` and indented `label: text` lines. */
export function moduleFailure(
  code: ModuleErrorCode,
  head: string,
  lines: readonly (readonly [label: string, text: string])[],
  facts: FailureFacts,
): ModuleFailure {
  const known = Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined))
  return { ...known, code, message: [`${code}: ${head}`, ...lines.map(([label, text]) => `  ${label}: ${text}`)].join('\n') }
}

const SHOWN_LENGTH_MAX = 200
const PATH_LENGTH_MAX = 4096

/** Text from a foreign file, safe to print on one line: control and direction characters are escaped, long text is cut. */
export function shown(text: string, lengthMax = SHOWN_LENGTH_MAX): string {
  const cut = text.length > lengthMax ? `${text.slice(0, lengthMax)}…` : text
  return cut.replace(
    /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** A path as {@link shown}, uncut where the system would take it. */
export function shownPath(path: string): string {
  return shown(path, PATH_LENGTH_MAX)
}

/** Any parsed JSON value or thrown thing in a few words. */
export function shownValue(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `"${shown(value)}"`
    case 'object':
      return value === null ? 'null' : Array.isArray(value) ? 'a list' : 'an object'
    case 'function':
    case 'symbol':
    case 'undefined':
      return typeof value
    default:
      return shown(String(value))
  }
}

/** First line of what was thrown. Survives values whose getters throw. */
export function shownError(error: unknown): string {
  try {
    if (typeof error === 'object' && error !== null && 'message' in error) {
      return shown(String(error.message).split('\n', 1)[0], 500)
    }
    return shownValue(error)
  } catch {
    return 'a value that cannot be printed'
  }
}
