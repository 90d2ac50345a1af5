// SPDX-License-Identifier: Apache-2.0
import { SDK_VERSION, type ModuleOrigin } from '@bdevkit/core/node'
import { readConfigFile } from '@bdevkit/rpc'
import { err, formatTable, out } from './output.js'
import { findModules, type ModuleOptions } from './stack.js'

/** Options of `bdev modules`. */
export interface ModulesOptions extends ModuleOptions {
  json?: boolean
}

const ORIGINS: Readonly<Record<ModuleOrigin, string>> = {
  'stack-file': 'stack file',
  'command-line': '--module',
  dependency: 'dependency',
  builtin: 'ships with bdev',
}

/** `bdev modules`: what is found and where, in the order in which modules start, and every refusal. */
export async function listModules(options: ModulesOptions): Promise<number> {
  const config = options.config === undefined ? undefined : await readConfigFile(options.config)
  const { loaded, failures, discovery } = await findModules(options, config)
  if (options.json === true) {
    const { lookedIn, notInstalled } = discovery
    const listing = { sdk: SDK_VERSION, modules: loaded, refused: failures, lookedIn, notInstalled }
    // Neither a module's code nor what its import threw is a fact to print.
    out(JSON.stringify(listing, (key, value: unknown) => (key === 'value' || key === 'cause' ? undefined : value), 2))
    return failures.length > 0 ? 1 : 0
  }
  if (loaded.length > 0) {
    const head = ['module', 'package', 'version', 'sdk', 'range', 'found by', 'file']
    const rows = loaded.map(m => [m.name, m.packageName, m.packageVersion, m.sdk, m.sdkRange, ORIGINS[m.origin], m.file])
    for (const line of formatTable([head, ...rows])) out(line)
  } else {
    out(`no module found (looked in ${discovery.lookedIn.join(', ') || 'nothing: name one with --module'})`)
  }
  for (const name of discovery.notInstalled) err(`not installed: ${name} (named as a dependency; it may be no module)`)
  if (failures.length === 0) return 0
  const count = failures.length === 1 ? 'a module is' : `${failures.length} modules are`
  err(`\n${count} refused, so that "bdev serve" would not start:\n\n${failures.map(({ message }) => message).join('\n\n')}`)
  return 1
}
