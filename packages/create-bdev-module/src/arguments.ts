// SPDX-License-Identifier: Apache-2.0
import { parseArgs } from 'node:util'
import { CreateError } from './errors.js'
import { KINDS, type Kind } from './project.js'

/** The command line, understood. */
export interface Arguments {
  readonly folder: string | undefined
  readonly name: string | undefined
  readonly kind: Kind | undefined
  readonly scope: string | undefined
  readonly template: string | undefined
  readonly install: boolean
  readonly git: boolean | undefined
  readonly yes: boolean
  readonly help: boolean
  readonly version: boolean
}

export const HELP = `\
Makes a project for a bdev module: code, tests, a stack to serve, and what it takes to publish it.

usage: npm create bdev-module [folder] -- [options]
       npx create-bdev-module [folder] [options]

  folder             where to make it; its last part is the name, as in my-disk, modules/my-disk or .
  --kind KIND        bdev: makes bdevs of its own (default)
                     vbdev: stands on other bdevs and changes what goes through
  --name NAME        name of the module, where it is not the folder's
  --scope SCOPE      @SCOPE/bdev-module-NAME instead of bdev-module-NAME
  --template FOLDER  copy this project instead: any module whose package is called bdev-module-<word>
  --no-install       do not install the dependencies
  --git, --no-git    make a git repository, or do not; default: ask, and with --yes make one outside of any other
  -y, --yes          ask nothing
  -h, --help         print this help
  -V, --version      print the version

my-disk becomes the package bdev-module-my-disk with the module my_disk, whose RPC methods are called bdev_my_disk_….
Exit status: 0 done, 1 failed (standard error says why and what to do), 2 wrong command line.`

/**
 * Reads the command line.
 * @param env npm keeps options that stand before "--" for itself and passes them on as npm_config_…
 * @throws CreateError with `usage`
 */
export function readArguments(args: readonly string[], env: NodeJS.ProcessEnv): Arguments {
  const { values, positionals } = parsed(args)
  if (positionals.length > 1) {
    // npm takes "--kind vbdev" for a flag of its own and a word of ours.
    const eaten = ['kind', 'name', 'scope', 'template'].find(option => env[`npm_config_${option}`] === 'true')
    if (eaten !== undefined) {
      const [folder, value] = positionals
      const write = `npm create bdev-module ${folder} -- --${eaten} ${value}`
      throw new CreateError(`npm keeps options for itself that do not stand behind "--"; write ${write}`, { usage: true })
    }
    throw new CreateError(`wanted one folder, found ${positionals.map(word => `"${word}"`).join(' and ')}`, { usage: true })
  }
  const kind = values.kind ?? env['npm_config_kind']
  if (kind !== undefined && !(KINDS as readonly string[]).includes(kind)) {
    throw new CreateError(`--kind: wanted ${KINDS.join(' or ')}, found "${kind}"`, { usage: true })
  }
  return {
    folder: positionals[0],
    name: values.name,
    kind: kind as Kind | undefined,
    scope: values.scope,
    template: values.template ?? env['npm_config_template'],
    install: values.install ?? true,
    git: values.git,
    yes: values.yes ?? false,
    help: values.help ?? false,
    version: values.version ?? false,
  }
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      allowNegative: true,
      options: {
        kind: { type: 'string' },
        name: { type: 'string' },
        scope: { type: 'string' },
        template: { type: 'string' },
        install: { type: 'boolean' },
        git: { type: 'boolean' },
        yes: { type: 'boolean', short: 'y' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'V' },
      },
    })
  } catch (cause) {
    throw new CreateError((cause as Error).message, { usage: true, cause })
  }
}
