// SPDX-License-Identifier: Apache-2.0
import type { LogSink } from '@bdevkit/core'
import type { LogControl } from '@bdevkit/rpc'
import { destination, pino } from 'pino'

/** Messages that `control` wants printed, one JSON object a line on standard error: `--log-format json`. */
export function jsonSink(control: LogControl): LogSink {
  const logger = pino(
    {
      // What is printed is the control's choice; the logger takes all.
      level: 'debug',
      customLevels: { notice: 35 },
      base: { pid: process.pid },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: label => ({ level: label }) },
    },
    // At once: the last message before an end is the one that matters.
    destination({ fd: 2, sync: true }),
  )
  return (level, source, message) => {
    if (control.prints(level, source)) logger[level]({ source }, message)
  }
}
