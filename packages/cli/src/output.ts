// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { isAbsolute, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LogLevel, LogSink } from '@bdevkit/core'
import type { LogControl } from '@bdevkit/rpc'

/** A failure that is no bug: its message says all, and the command ends with status 1. */
export class CliError extends Error {
  override readonly name: string = 'CliError'
}

/** The command line asks for what cannot be; the command ends with status 2. */
export class UsageError extends CliError {
  override readonly name = 'UsageError'
}

/** package.json of this package: the modules that the command ships with are among its dependencies. */
export const CLI_PACKAGE_JSON = fileURLToPath(new URL('../package.json', import.meta.url))

/** Version of this package. */
export function cliVersion(): string {
  return (JSON.parse(readFileSync(CLI_PACKAGE_JSON, 'utf8')) as { version: string }).version
}

/** Prints a line of the result. */
export function out(line: string): void {
  write(process.stdout, line)
}

/** Prints a line for people: an error, a log message, progress. */
export function err(line: string): void {
  write(process.stderr, line)
}

const guarded = new WeakSet<NodeJS.WriteStream>()

/** A reader that has gone (`bdev serve | head -1`) ends neither a server nor the stacks it holds. */
function write(stream: NodeJS.WriteStream, line: string): void {
  if (!guarded.has(stream)) {
    guarded.add(stream)
    stream.on('error', () => undefined)
  }
  stream.write(`${line}\n`)
}

/** Text of a failure. Only what is no failure but a bug shows its stack. */
export function failureText(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  const code = (thrown as { code?: unknown }).code
  const known = thrown instanceof CliError || (typeof code === 'string' && !code.startsWith('ERR_'))
  return known ? thrown.message : (thrown.stack ?? thrown.message)
}

/** Levels of `--log-level`, from few messages to many. */
export const LOG_LEVELS: readonly LogLevel[] = ['error', 'warn', 'notice', 'info', 'debug']

/** Messages that `control` wants printed to standard error. */
export function stderrSink(control: LogControl): LogSink {
  return (level, source, message) => {
    if (!control.prints(level, source)) return
    err(`${control.timestamps ? `[${new Date().toISOString()}] ` : ''}${level}: ${source}: ${message}`)
  }
}

/** A size as people write it, exact where it is a multiple of a unit: `64 MiB`, `1.5 GiB`, `512 B`. */
export function formatBytes(lengthBytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let unit = 0
  let size = lengthBytes
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024
    unit++
  }
  return `${Number.isInteger(size) ? size : size.toFixed(1)} ${units[unit]}`
}

/** Rows under each other, columns aligned, the last one as it is. */
export function formatTable(rows: readonly (readonly string[])[], indent = ''): string[] {
  const widths = rows.reduce<number[]>((max, row) => row.map((cell, i) => Math.max(max[i] ?? 0, cell.length)), [])
  return rows.map(row => indent + row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join('  '))
}

/** How the caller starts this command, for lines to copy: `./bdev` in a checkout, `npx bdev` in a project, else `bdev`. */
export function commandName(): string {
  const main = process.argv[1] ?? ''
  if (/[\\/]node_modules[\\/]/.test(main)) return 'npx bdev'
  const folder = fileURLToPath(new URL('..', import.meta.url))
  if (/[\\/]node_modules[\\/]/.test(folder)) return 'bdev'
  const launcher = relative(process.cwd(), join(folder, '../../bdev'))
  return launcher.startsWith('..') || isAbsolute(launcher) ? launcher : `./${launcher}`
}

/** `text` as one word of a POSIX shell. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
