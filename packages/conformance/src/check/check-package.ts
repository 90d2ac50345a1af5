// SPDX-License-Identifier: Apache-2.0
import { resolve } from 'node:path'
import { inspectModules, type ModuleInspection } from '@bdevkit/core/node'
import { checkImport } from './effects-check.js'
import { checkLowest } from './lowest-check.js'
import { checkExports, checkKeyword } from './package-checks.js'
import { checkPacked } from './packed-check.js'
import { CHECKS, type CheckName, type CheckReport, type Finding, type Verdict } from './report.js'
import { checkReadme, checkRpc, checkSdkLiteral } from './value-checks.js'

/** Options of {@link checkModulePackage}. */
export interface CheckOptions {
  /** Write the parameter tables of README.md anew. Default false: they are compared. */
  fix?: boolean
  /** Install, build and test a copy with the lowest SDK of the range, too. Needs the registry. Default false. */
  lowest?: boolean
  /** Run these checks alone. Default: all, but `lowest` only where it is asked for. */
  only?: readonly CheckName[]
}

/**
 * Finds what is wrong with a module package before others do: `bdev-module-check` as a function. Offline but for `lowest`.
 * @param folder of the package, built and with its dependencies installed
 */
export async function checkModulePackage(folder: string, options: CheckOptions = {}): Promise<CheckReport> {
  const path = resolve(folder)
  const all = Object.keys(CHECKS) as CheckName[]
  const asked = options.only ?? all.filter(check => check !== 'lowest' || options.lowest === true)
  const inspection = await inspectModules({ specs: [path], cwd: path, noDiscover: true })
  const candidate = inspection.discovery.candidates[0]
  const module = inspection.loaded[0]
  const verdicts = new Map<CheckName, Verdict>(asked.map(check => [check, 'skipped']))
  const findings: Finding[] = []
  const judge = async (check: CheckName, find: () => readonly Finding[] | Promise<readonly Finding[]>): Promise<void> => {
    if (!verdicts.has(check)) return
    const found = await find()
    verdicts.set(check, found.length === 0 ? 'ok' : 'failed')
    findings.push(...found)
  }
  await judge('load', () => refusals(inspection))
  if (module !== undefined) await judge('sdk', () => checkSdkLiteral(path, module))
  if (candidate !== undefined) {
    await judge('exports', () => checkExports(path, candidate.packageJson))
    await judge('keyword', () => checkKeyword(candidate.packageJson))
  }
  if (module !== undefined) {
    await judge('rpc', () => checkRpc(module))
    await judge('import', () => checkImport(path, module.file))
    let fixed = false
    await judge('readme', () => {
      const readme = checkReadme(module, options.fix ?? false)
      fixed = readme.fixed
      return readme.findings
    })
    if (fixed) verdicts.set('readme', 'fixed')
  }
  if (candidate !== undefined) await judge('packed', () => checkPacked(path, candidate.packageJson))
  // An install and a whole test run: not for a package that is known to be wrong.
  if (module !== undefined && findings.length === 0) await judge('lowest', () => checkLowest(path, module.sdkRange))
  const subject = candidate === undefined ? path : `${candidate.packageName}@${candidate.packageVersion}`
  return { subject, ok: findings.length === 0, verdicts, findings }
}

/** What a host says of the package, in its own words; the file and fix lines become ours. */
function refusals({ failures }: ModuleInspection): Finding[] {
  return failures.map(({ message }) => {
    const lines = message.split('\n')
    const fix = lines.find(line => line.startsWith('  fix: '))?.slice('  fix: '.length)
    const said = lines.filter(line => !line.startsWith('  fix: ')).join('\n')
    return { check: 'load', message: said, ...(fix !== undefined && { fix }) }
  })
}
