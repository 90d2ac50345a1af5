// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { dirname, join, relative } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { Effect } from './effects-probe.js'
import type { Finding } from './report.js'

/** As long as a host waits for the import of a module. */
const LIMIT_MS = 10_000
const SHOWN_MAX = 5

const WHERE: Readonly<Record<string, string>> = {
  timer: 'start pollers in moduleInit, with host.appThread.registerPoller',
  file: 'read and write files in moduleInit or in a handler',
  network: 'connect in moduleInit or in a handler',
  process: 'start what it needs in moduleInit',
  output: 'log through host.log',
  global: 'keep state in what setup() closes over: two hosts of one process must not see each other',
  listener: 'a module has no business with the events of the process',
  handle: 'open it in moduleInit, and close it in moduleFini',
}

/** Imports the entry in a fresh process and finds whatever that did besides. */
export async function checkImport(folder: string, file: string, limitMs = LIMIT_MS): Promise<Finding[]> {
  const main = join(dirname(fileURLToPath(import.meta.resolve('@bdevkit/conformance/package.json'))), 'dist/main.js')
  const child = spawn(process.execPath, [main, '--probe', file], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  let late = false
  const timer = setTimeout(() => {
    late = true
    child.kill('SIGKILL')
  }, limitMs)
  const [printed, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  clearTimeout(timer)
  if (late) {
    const message = `importing it did not end within ${limitMs / 1000} seconds: it awaits at top level`
    return [{ check: 'import', message, fix: 'wait in moduleInit instead' }]
  }
  const answer = printed.trimEnd().split('\n').at(-1) ?? ''
  let effects: readonly Effect[]
  let problem: string | undefined
  try {
    ;({ effects, problem } = JSON.parse(answer) as { effects: Effect[]; problem?: string })
  } catch {
    return [{ check: 'import', message: `importing it ended its process: ${errors.trim().split('\n').at(-1) ?? ''}` }]
  }
  if (problem !== undefined) return [{ check: 'import', message: `importing it alone fails: ${problem}` }]
  const shown = effects.slice(0, SHOWN_MAX).map(({ kind, what, at }): Finding => {
    const where = at === undefined ? '' : ` at ${relative(folder, at.replace(/^file:\/\//, '')) || at}`
    const fix = WHERE[kind]
    return { check: 'import', message: `importing it has an effect: ${what}${where}`, ...(fix !== undefined && { fix }) }
  })
  if (effects.length > SHOWN_MAX) shown.push({ check: 'import', message: `and ${effects.length - SHOWN_MAX} more effects` })
  return shown
}
