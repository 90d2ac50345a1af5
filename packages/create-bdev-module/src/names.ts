// SPDX-License-Identifier: Apache-2.0
import { CreateError } from './errors.js'

/** One word in the forms in which a module carries it. */
export interface ModuleNames {
  /** `my-disk`. */
  readonly kebab: string
  /** `my_disk`: the module, the infix of its RPC methods. */
  readonly snake: string
  /** `myDisk`. */
  readonly camel: string
  /** `MyDisk`. */
  readonly pascal: string
  /** `bdev-module-my-disk`, or `@scope/bdev-module-my-disk`. */
  readonly packageName: string
}

const PREFIX = 'bdev-module-'
/** As the manifest's schema has it. */
const MODULE_NAME_LENGTH_MAX = 32

/**
 * The names of a module.
 * @param name `my-disk`; `my_disk` and `bdev-module-my-disk` mean the same
 * @throws CreateError it cannot be the name of a package and of a module.
 */
export function namesFor(name: string, scope?: string): ModuleNames {
  const kebab = (name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name).replaceAll('_', '-')
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(kebab)) {
    const hint = 'lower-case letters and digits, words joined by "-", e.g. my-disk'
    throw new CreateError(`"${name}" cannot be the name of a module; write ${hint}`, { usage: true })
  }
  if (kebab.length > MODULE_NAME_LENGTH_MAX) {
    const found = `"${name}" has ${kebab.length}`
    throw new CreateError(`the name of a module has at most ${MODULE_NAME_LENGTH_MAX} characters, but ${found}`, { usage: true })
  }
  const at = scope === undefined || scope === '' ? '' : `@${scope.replace(/^@/, '')}/`
  if (at !== '' && !/^@[a-z0-9~-][a-z0-9._~-]*\/$/.test(at)) {
    throw new CreateError(`"${scope}" cannot be an npm scope; write lower-case letters, e.g. --scope acme`, { usage: true })
  }
  const camel = kebab.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
  const pascal = camel.charAt(0).toUpperCase() + camel.slice(1)
  return { kebab, snake: kebab.replaceAll('-', '_'), camel, pascal, packageName: `${at}${PREFIX}${kebab}` }
}

/** Replaces one module's names by another's, in one pass: a new name may contain the old one. */
export function renamer(from: ModuleNames, to: ModuleNames): (text: string) => string {
  const forms = ['packageName', 'kebab', 'snake', 'pascal', 'camel'] as const
  const found = new Map(forms.map(form => [from[form], to[form]]).reverse() as [string, string][])
  // Longest first: the package's name contains the word.
  const pattern = new RegExp([...found.keys()].sort((a, b) => b.length - a.length).join('|').replaceAll('.', '\\.'), 'g')
  return text => text.replace(pattern, word => found.get(word) ?? word)
}
