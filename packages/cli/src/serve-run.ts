// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { isatty } from 'node:tty'
import { CliError, err } from './output.js'

const TERMINATE_TIMEOUT_MS = 5000

/** The command of `--run`. */
export interface RunningCommand {
  /** Its exit status; 128 and the number of the signal that ended it, as a shell has it. */
  readonly ended: Promise<number>
  /** Hands a signal of ours on; the command is killed where it does not end. */
  stop(signal: string): void
}

// A shell that has a trap waits for what it runs before it heeds the signal: the command takes its leave, and is the last one.
const TRAPS = "trap 'exit 129' HUP\ntrap 'exit 130' INT\ntrap 'exit 143' TERM\n"

/** Starts `command` in a shell with `variables` beside our own environment. */
export function runCommand(command: string, variables: Readonly<Record<string, string>>): RunningCommand {
  // On a terminal the command stays in the foreground group: it may read keys, and Ctrl-C reaches it as it reaches us.
  // Elsewhere it leads a group of its own, so that a signal for us also reaches what the shell has started.
  const detached = !isatty(0)
  const child = spawn('/bin/sh', ['-c', TRAPS + command], { stdio: 'inherit', env: { ...process.env, ...variables }, detached })
  const kill = (signal: NodeJS.Signals): void => {
    if (child.pid === undefined || (!detached && (child.exitCode !== null || child.signalCode !== null))) return
    try {
      process.kill(detached ? -child.pid : child.pid, signal)
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ESRCH') throw thrown
    }
  }
  const killAtExit = (): void => kill('SIGKILL')
  process.once('exit', killAtExit)
  let timer: NodeJS.Timeout | undefined
  let stopped = false
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', cause => reject(new CliError(`--run: cannot start /bin/sh: ${cause.message}`, { cause })))
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal as NodeJS.Signals]))
  }).finally(() => {
    clearTimeout(timer)
    // What a command leaves in the background is its own affair, but not where it was told to end.
    if (stopped && detached) kill('SIGKILL')
    process.off('exit', killAtExit)
  })
  return {
    ended,
    stop(signal) {
      stopped = true
      const typed = signal === 'SIGINT' && !detached
      if (!typed) kill(signal in constants.signals ? (signal as NodeJS.Signals) : 'SIGTERM')
      timer = setTimeout(() => {
        err(`bdev: --run: the command did not end within ${TERMINATE_TIMEOUT_MS / 1000} s of ${signal}: killed`)
        kill('SIGKILL')
      }, TERMINATE_TIMEOUT_MS)
    },
  }
}
