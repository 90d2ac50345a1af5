// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CreateError } from './errors.js'
import { namesFor, renamer, type ModuleNames } from './names.js'

/** Kinds of modules, each with a template that ships with this package. */
export const KINDS = ['bdev', 'vbdev'] as const
/** A bdev of its own, or one that stacks on others. */
export type Kind = (typeof KINDS)[number]

/** What to make, and where. */
export interface ProjectOptions {
  /** The folder; made where it does not exist, else it must be empty. */
  readonly folder: string
  /** Name of the module: `my-disk`. */
  readonly name: string
  /** npm scope of the package, with or without `@`. */
  readonly scope?: string | undefined
  /** Default `bdev`. Ignored where `template` is given. */
  readonly kind?: Kind | undefined
  /** Folder of another template: any module project whose package is called `bdev-module-<word>`; the word is replaced. */
  readonly template?: string | undefined
}

/** Stands in a template for a UUID that each project has to have for itself. */
const UUID_TO_REPLACE = '00000000-0000-4000-8000-000000000000'
const LEFT_OUT = new Set(['node_modules', 'dist', 'out', '.git', 'package-lock.json', 'pnpm-lock.yaml', 'yarn.lock'])
/** What may be in a folder that counts as empty. */
const HARMLESS = new Set(['.git', '.DS_Store'])

/**
 * Copies a template under a new name. Runs nothing and needs no network.
 * @returns the names that the module has from now on
 * @throws CreateError the folder is in use, the template is none, or the name is not possible. Nothing is written then.
 */
export function createProject(options: ProjectOptions): ModuleNames {
  const { folder, kind = 'bdev' } = options
  const names = namesFor(options.name, options.scope)
  const template = options.template ?? fileURLToPath(new URL(`templates/${kind}`, import.meta.url))
  const old = namesOf(template)
  refuseUsed(folder)
  const rename = renamer(old, names)
  const uuid = randomUUID()
  for (const file of filesOf(template)) {
    const target = join(folder, rename(file).replace(/(^|\/)_gitignore$/, '$1.gitignore'))
    const text = readFileSync(join(template, file), 'utf8')
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, rename(text).replaceAll(UUID_TO_REPLACE, uuid))
  }
  return names
}

/** The names that a template carries, as its package.json says. */
function namesOf(template: string): ModuleNames {
  const file = join(template, 'package.json')
  let name: unknown
  try {
    name = (JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown }).name
  } catch (cause) {
    throw new CreateError(`${template} is no template: ${(cause as Error).message}`, { cause })
  }
  const parts = typeof name === 'string' ? /^(?:@([^/]+)\/)?bdev-module-(.+)$/.exec(name) : null
  if (parts === null) {
    const found = `its package is called ${JSON.stringify(name)}`
    throw new CreateError(`${template} is no template: wanted the name bdev-module-<word>, which is replaced, but ${found}`)
  }
  return namesFor(parts[2] as string, parts[1])
}

function refuseUsed(folder: string): void {
  if (!existsSync(folder)) return
  const shown = relative('.', folder) || '.'
  if (!statSync(folder).isDirectory()) throw new CreateError(`${shown} is a file; choose another name, or move it away`)
  const used = readdirSync(folder).filter(name => !HARMLESS.has(name))
  if (used.length === 0) return
  const some = used.slice(0, 3).join(', ') + (used.length > 3 ? ', …' : '')
  throw new CreateError(`${shown} is not empty (${some}), and nothing is ever overwritten; choose another name, or empty it`)
}

/** Paths of a template's files below its folder. */
function* filesOf(template: string, folder = ''): Generator<string> {
  for (const entry of readdirSync(join(template, folder), { withFileTypes: true })) {
    if (LEFT_OUT.has(entry.name)) continue
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) yield* filesOf(template, path)
    else if (entry.isFile()) yield path
  }
}

/** Folder and name for what the caller typed: `my-disk`, `modules/my-disk`, `.`. */
export function placeOf(typed: string): { folder: string; name: string } {
  const folder = resolve(typed)
  return { folder, name: basename(folder) }
}
