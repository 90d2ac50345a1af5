// SPDX-License-Identifier: Apache-2.0
// What is wrong with a module's value although a host would load it.
import { createRequire } from 'node:module'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { LoadedModule } from '@bdevkit/core/node'
import type { RpcMethodSpec } from '@bdevkit/module-sdk'
import { RpcRegistry } from '@bdevkit/rpc'
import { textOf } from '../failure.js'
import { parameterTables } from '../parameter-tables.js'
import type { Finding } from './report.js'

const quiet = { error() {}, warn() {}, notice() {}, info() {}, debug() {} }

/** Version of the SDK that a build of the package in `folder` sees; undefined where none is installed. */
export function installedSdk(folder: string): string | undefined {
  try {
    const file = createRequire(join(folder, 'package.json')).resolve('@bdevkit/module-sdk/package.json')
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
  } catch {
    return undefined
  }
}

/** A bundled module has no SDK beside it: then there is nothing to compare with. */
export function checkSdkLiteral(folder: string, { name, sdk }: LoadedModule): Finding[] {
  const installed = installedSdk(folder)
  const minor = installed?.split('.', 2).join('.')
  if (minor === undefined || minor === sdk) return []
  const message = `module "${name}" says sdk: '${sdk}', but it is built with module-sdk ${installed as string}`
  return [{ check: 'sdk', message, fix: `write sdk: '${minor}' where it calls defineBdevModule(), and build again` }]
}

export function checkRpc({ name, value }: LoadedModule): Finding[] {
  const findings: Finding[] = []
  const registry = new RpcRegistry({ log: quiet })
  for (const [method, spec] of Object.entries((value.rpc ?? {}) as Record<string, RpcMethodSpec>)) {
    if (!method.startsWith(`bdev_${name}_`)) {
      const message = `RPC method "${method}" does not carry the name of its module: a host that lacks it cannot say which to install`
      findings.push({ check: 'rpc', message, fix: `call it bdev_${name}_…` })
    }
    try {
      registry.register(method, spec, () => null)
    } catch (thrown) {
      const fix = 'write a JSON Schema, draft-07'
      findings.push({ check: 'rpc', message: `the schema of RPC method "${method}" is not sound: ${textOf(thrown)}`, fix })
    }
    if (spec.params !== undefined && spec.params['additionalProperties'] !== false) {
      const message = `the schema of RPC method "${method}" lets unknown parameters through, so that a typo passes in silence`
      findings.push({ check: 'rpc', message, fix: 'write additionalProperties: false' })
    }
  }
  return findings
}

/** @param fix writes the tables anew instead of finding fault with them */
export function checkReadme({ value, name, manifestFile }: LoadedModule, fix: boolean): { findings: Finding[]; fixed: boolean } {
  const file = join(dirname(manifestFile), 'README.md')
  const wanted = parameterTables(value)
  const found = existsSync(file) ? readFileSync(file, 'utf8') : undefined
  if (found?.includes(wanted) === true) return { findings: [], fixed: false }
  if (fix) {
    writeFileSync(file, withTables(found ?? `# ${name}\n`, wanted))
    return { findings: [], fixed: true }
  }
  const message = found === undefined ? 'there is no README.md' : `README.md ${firstMissing(found, wanted)}`
  return { findings: [{ check: 'readme', message, fix: 'run bdev-module-check --fix, which writes the tables' }], fixed: false }
}

function firstMissing(readme: string, wanted: string): string {
  const lines = new Set(readme.split('\n'))
  const missing = wanted.split('\n').find(line => line !== '' && !lines.has(line))
  return missing === undefined ? 'has the tables of the RPC schemas in another order' : `lacks this line of the RPC schemas: ${missing}`
}

const METHOD_HEADING = /^### `bdev_/m

/** The README with the tables in the place of the old ones; where there are none, at the end. */
function withTables(readme: string, tables: string): string {
  const start = METHOD_HEADING.exec(readme)?.index
  if (start === undefined) return `${readme.trimEnd()}\n\n## RPC methods\n\n${tables}`
  const next = /^##? /m.exec(readme.slice(start))?.index
  const rest = next === undefined ? '' : `\n${readme.slice(start + next)}`
  return `${readme.slice(0, start)}${tables}${rest}`
}
