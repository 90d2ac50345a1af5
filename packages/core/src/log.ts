// SPDX-License-Identifier: Apache-2.0
import type { Logger } from '@bdevkit/module-sdk'

/** Severity of a message, as SPDK's log levels. */
export type LogLevel = 'error' | 'warn' | 'notice' | 'info' | 'debug'

/** Receives every message of a host. `source` is a module's name, or a part of the framework. */
export type LogSink = (level: LogLevel, source: string, message: string) => void

/** A logger that names its source. */
export function createLogger(sink: LogSink, source: string): Logger {
  return {
    error: message => sink('error', source, message),
    warn: message => sink('warn', source, message),
    notice: message => sink('notice', source, message),
    info: message => sink('info', source, message),
    debug: message => sink('debug', source, message),
  }
}

/** Writes errors, warnings and notices to the console's error stream. */
export const consoleSink: LogSink = (level, source, message) => {
  if (level === 'info' || level === 'debug') return
  console.error(`${level}: ${source}: ${message}`)
}

/** Text of anything thrown, with its stack where it has one. */
export function describeThrown(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.stack ?? `${thrown.name}: ${thrown.message}`
  return String(thrown)
}
