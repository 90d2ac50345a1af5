// SPDX-License-Identifier: Apache-2.0
// Tests that need programs which a machine may lack. There they are skipped, with the reason in their name; a program that
// BDEVKIT_REQUIRE_TOOLS names (separated by blanks) must be there: then its tests fail.
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { it } from 'vitest'

const required = new Set((process.env.BDEVKIT_REQUIRE_TOOLS ?? '').split(/\s+/).filter(name => name !== ''))

/** Whether a program is on the path, or where Debian keeps those of the administrator. */
export function hasTool(name: string): boolean {
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].some(folder => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** Longest time of one test here. */
export const TEST_TIMEOUT_MS = 30_000

/** `it` for a test that needs programs. `unable` says why the machine cannot run it although it has them. */
export function itWith(
  tools: readonly string[],
  name: string,
  test: () => Promise<void>,
  options: { timeout?: number; unable?: string } = {},
): void {
  const { timeout = TEST_TIMEOUT_MS, unable = '' } = options
  const missing = tools.filter(tool => !hasTool(tool))
  const demanded = missing.filter(tool => required.has(tool))
  const reason = demanded.length > 0 ? '' : missing.length > 0 ? `not installed: ${missing.join(', ')}` : unable
  const body =
    demanded.length === 0
      ? test
      : () => Promise.reject(new Error(`not found, but in BDEVKIT_REQUIRE_TOOLS: ${demanded.join(', ')}`))
  it.skipIf(reason !== '')(`${name}${reason === '' ? '' : ` [skipped: ${reason}]`}`, body, timeout)
}
