// SPDX-License-Identifier: Apache-2.0
// Runs other people's programs: bounded in time and output, and none outlives the test process.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** What a program has printed, cut here: a test that prints more is broken. */
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024

export interface RunOptions {
  /** Killed after this; default 25 000. */
  timeoutMs?: number
  cwd?: string
  /** Beside the environment of the test. */
  env?: Record<string, string>
}

export interface RunResult {
  /** Exit status; 128 where a signal ended it. */
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** A program that runs. */
export interface Running {
  readonly child: ChildProcess
  /** What it has printed so far. */
  readonly output: { readonly stdout: string; readonly stderr: string }
  /** Settles when it has ended and all of its output is there. */
  readonly ended: Promise<RunResult>
  /** Ends it and everything that it has started. */
  kill(signal?: NodeJS.Signals): void
}

const groups = new Set<number>()
process.once('exit', () => {
  for (const pid of groups) killGroup(pid, 'SIGKILL')
})

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // It has ended.
  }
}

interface StartOptions extends RunOptions {
  /** `raw`: standard input and output are pipes that the caller uses. */
  stdio?: 'captured' | 'raw'
}

/** Starts a program in a process group of its own. Debian keeps mkfs and its like in /usr/sbin, off the path of a user. */
export function start(command: string, args: readonly string[], options: StartOptions = {}): Running {
  const { cwd, env = {}, stdio = 'captured' } = options
  const child = spawn(command, args, {
    cwd,
    stdio: [stdio === 'raw' ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    detached: true,
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, LC_ALL: 'C', ...env },
  })
  const { pid } = child
  if (pid !== undefined) groups.add(pid)
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    if (name === 'stdout' && stdio === 'raw') continue
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      output[name] = (output[name] + text).slice(-OUTPUT_BYTES_MAX)
    })
  }
  const ended = once(child, 'close').then(([code, signal]) => {
    if (pid !== undefined) groups.delete(pid)
    return {
      status: (code as number | null) ?? 128,
      stdout: output.stdout,
      stderr: output.stderr + (signal ? `\n${signal}` : ''),
    }
  })
  return {
    child,
    output,
    ended,
    kill: (signal = 'SIGKILL') => void (pid !== undefined && killGroup(pid, signal)),
  }
}

/** Runs a program to its end. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const running = start(command, args, options)
  const { timeoutMs = 25_000 } = options
  let late = false
  const timer = setTimeout(() => {
    late = true
    running.kill()
  }, timeoutMs)
  const result = await running.ended.finally(() => clearTimeout(timer))
  if (!late) return result
  throw new Error(`${describe(command, args)}: wanted an end within ${timeoutMs} ms\n${result.stdout}\n${result.stderr}`)
}

/** Runs a program that has to succeed; its standard output. */
export async function runOk(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { status, stdout, stderr } = await run(command, args, options)
  if (status === 0) return stdout
  throw new Error(`${describe(command, args)}: exit status ${status}\n${stdout}\n${stderr}`)
}

function describe(command: string, args: readonly string[]): string {
  return [command, ...args].join(' ')
}
