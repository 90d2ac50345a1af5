// SPDX-License-Identifier: Apache-2.0
import type { Logger } from '@bdevkit/module-sdk'

/** Errors and warnings to standard error, the rest nowhere. */
export const stderrLog: Logger = {
  error: message => void process.stderr.write(`rpc: error: ${message}\n`),
  warn: message => void process.stderr.write(`rpc: warning: ${message}\n`),
  notice: () => undefined,
  info: () => undefined,
  debug: () => undefined,
}

/** `text` without control characters and no longer than `lengthMax`: for words of a peer that go into a log line. */
export function printable(text: string, lengthMax = 80): string {
  const shown = JSON.stringify(text.length > lengthMax ? `${text.slice(0, lengthMax)}…` : text)
  return shown.slice(1, -1)
}
