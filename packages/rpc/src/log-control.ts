// SPDX-License-Identifier: Apache-2.0
import type { LogLevel } from '@bdevkit/core'

/** SPDK's names of the levels, from few messages to many. */
export const LOG_LEVEL_NAMES = ['ERROR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG'] as const
/** One of {@link LOG_LEVEL_NAMES}. */
export type LogLevelName = (typeof LOG_LEVEL_NAMES)[number]

const LEVELS: readonly LogLevel[] = ['error', 'warn', 'notice', 'info', 'debug']

/**
 * Which messages are printed, for the application's log to ask and for `log_*` methods to set. A flag is a source of messages,
 * a module or a part of the framework: while it is set, all messages of that source are printed.
 */
export class LogControl {
  /** Messages of this level and the more serious ones are printed. */
  printLevel: LogLevel
  /** Kept for SPDK's sake: there it rules the system's log, which nothing here writes to. */
  level: LogLevel = 'notice'
  /** Whether each line starts with its time. */
  timestamps = false
  readonly #flags = new Map<string, boolean>()

  constructor(printLevel: LogLevel = 'notice') {
    this.printLevel = printLevel
  }

  /** Whether a message is to be printed. */
  prints(level: LogLevel, source: string): boolean {
    return LEVELS.indexOf(level) <= LEVELS.indexOf(this.printLevel) || this.#flags.get(source) === true
  }

  /** Sources and whether all their messages are printed, by name. */
  get flags(): Record<string, boolean> {
    return Object.fromEntries([...this.#flags].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** Adds sources. */
  addSources(names: Iterable<string>): void {
    for (const name of names) if (!this.#flags.has(name)) this.#flags.set(name, false)
  }

  /** Sets one flag, or every flag with `all`; false where there is no such source. */
  setFlag(name: string, on: boolean): boolean {
    if (name === 'all') for (const source of this.#flags.keys()) this.#flags.set(source, on)
    else if (!this.#flags.has(name)) return false
    else this.#flags.set(name, on)
    return true
  }
}

/** SPDK's name of a level. */
export function logLevelName(level: LogLevel): LogLevelName {
  return LOG_LEVEL_NAMES[LEVELS.indexOf(level)] as LogLevelName
}

/** The level of SPDK's name. */
export function logLevelOf(name: LogLevelName): LogLevel {
  return LEVELS[LOG_LEVEL_NAMES.indexOf(name)] as LogLevel
}
