// SPDX-License-Identifier: Apache-2.0
import { cancel, confirm, isCancel, select, text } from '@clack/prompts'
import type { Arguments } from './arguments.js'
import { CreateError } from './errors.js'
import { namesFor } from './names.js'
import type { Kind } from './project.js'

/** What a person may be asked for. */
export interface Answers {
  readonly folder: string
  readonly kind: Kind
  readonly scope: string
  readonly git: boolean
}

const reasonAgainst = (name: string, scope?: string): string | undefined => {
  try {
    namesFor(name, scope)
    return undefined
  } catch (thrown) {
    return (thrown as Error).message
  }
}

function answered<T>(answer: T): Exclude<T, symbol> {
  if (!isCancel(answer)) return answer as Exclude<T, symbol>
  cancel('nothing was made')
  throw new CreateError('cancelled')
}

/** Asks on the terminal for what the command line leaves open. */
export async function ask(given: Arguments, gitByDefault: boolean): Promise<Answers> {
  const folder = given.folder ?? given.name ?? answered(await text({
    message: 'Name of the module',
    placeholder: 'my-disk',
    defaultValue: 'my-disk',
    validate: value => (value === undefined || value === '' ? undefined : reasonAgainst(value)),
  }))
  const kind = given.kind ?? (given.template !== undefined ? 'bdev' : answered(await select<Kind>({
    message: 'What kind of bdev?',
    options: [
      { value: 'bdev', label: 'bdev', hint: 'makes bdevs of its own: a RAM disk, a file, a remote volume' },
      { value: 'vbdev', label: 'vbdev', hint: 'stands on other bdevs: encryption, caching, faults' },
    ],
  })))
  const scope = given.scope ?? answered(await text({
    message: 'npm scope (leave empty for none)',
    placeholder: 'none',
    defaultValue: '',
    validate: value => (value === undefined || value === '' ? undefined : reasonAgainst('a', value)),
  }))
  const git = given.git ?? (gitByDefault && answered(await confirm({ message: 'Make a git repository?', initialValue: true })))
  return { folder, kind, scope, git }
}
