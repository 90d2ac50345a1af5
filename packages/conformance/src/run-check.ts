// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { checkModulePackage } from './check/check-package.js'
import { CHECKS, type CheckReport } from './check/report.js'

const HELP = `\
Finds what is wrong with a bdev module package before others do. Build it first.

usage: bdev-module-check [folder] [options]

  folder        of the package; default: the working directory
  --fix         write the parameter tables of README.md anew
  --lowest      also install, build and test a copy with the lowest SDK of the range; needs the registry
  --json        print the report as JSON
  -h, --help    print this help

checks:
${Object.entries(CHECKS).map(([name, text]) => `  ${name.padEnd(12)}  ${text}`).join('\n')}

Exit status: 0 nothing found, 1 something found, 2 wrong command line.`

const out = (line: string): void => void process.stdout.write(`${line}\n`)
const err = (line: string): void => void process.stderr.write(`${line}\n`)

/** `bdev-module-check` without `node` and the file's name. @returns the exit status */
export async function runCheck(args: readonly string[]): Promise<number> {
  let parsed
  try {
    const flag = { type: 'boolean' } as const
    const options = { fix: flag, lowest: flag, json: flag, help: { ...flag, short: 'h' } } as const
    parsed = parseArgs({ args: [...args], allowPositionals: true, options })
  } catch (thrown) {
    return usage((thrown as Error).message)
  }
  const { values, positionals } = parsed
  if (values.help === true) return out(HELP), 0
  if (positionals.length > 1) return usage(`wanted one folder, found ${positionals.join(' and ')}`)
  const folder = positionals[0] ?? '.'
  if (!existsSync(join(folder, 'package.json'))) {
    err(`bdev-module-check: ${folder} holds no package.json; name the folder of a module package`)
    return 1
  }
  const report = await checkModulePackage(folder, { fix: values.fix ?? false, lowest: values.lowest ?? false })
  if (values.json === true) out(JSON.stringify({ ...report, verdicts: Object.fromEntries(report.verdicts) }, null, 2))
  else print(report)
  return report.ok ? 0 : 1
}

function usage(message: string): number {
  err(`bdev-module-check: ${message}\n(add --help to see how it is used)`)
  return 2
}

const MARKS = { ok: 'ok      ', failed: 'FAILED  ', skipped: 'skipped ', fixed: 'fixed   ' } as const

function print({ subject, verdicts, findings }: CheckReport): void {
  out(subject)
  for (const [check, verdict] of verdicts) {
    out(`  ${MARKS[verdict]}${check.padEnd(8)} ${CHECKS[check]}`)
    for (const { message, fix } of findings.filter(finding => finding.check === check)) {
      for (const line of message.split('\n')) out(`            ${line}`)
      if (fix !== undefined) out(`            fix: ${fix}`)
    }
  }
}
