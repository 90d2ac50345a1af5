// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { err } from './output.js'

/** Words for systemd's `Type=notify`. */
export type SystemdState = 'READY=1' | 'STOPPING=1'

const TIMEOUT_MS = 5000

/**
 * Tells systemd, where it asks to be told. Node has no datagram sockets of the Unix kind, so that its own program does it: the unit needs
 * `NotifyAccess=all`. A failure is said and changes nothing.
 */
export function notifySystemd(state: SystemdState, status: string): Promise<void> {
  if (process.env['NOTIFY_SOCKET'] === undefined) return Promise.resolve()
  return new Promise(resolve => {
    const args = [`--pid=${process.pid}`, `--status=${status}`, state]
    execFile('systemd-notify', args, { timeout: TIMEOUT_MS }, error => {
      if (error !== null) err(`bdev: cannot tell systemd ${state}: ${error.message.trim()}; it needs systemd-notify on PATH`)
      resolve()
    })
  })
}
