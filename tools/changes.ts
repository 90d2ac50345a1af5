// SPDX-License-Identifier: Apache-2.0
// What a change of the contract needs: a change note of the right size. `compat/api` holds the reports of the last release;
// `npm run release:version` renews them.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { read, root } from './repository.js'

/** Sizes of a change, from small to large. */
export const SIZES = ['none', 'patch', 'minor', 'major'] as const
export type Size = (typeof SIZES)[number]

/** Declarations of an API report, without what is not part of them. */
function linesOf(report: string): string[] {
  const code = /```ts\n([^]*?)```/.exec(report)?.[1] ?? report
  return code.split('\n').map(line => line.trim()).filter(line => line !== '' && !line.startsWith('//'))
}

/**
 * How large a change of an API report is: `major` where a line is gone or changed, `minor` where lines were only added. A
 * person may call it larger: a changed order, thread, unit or meaning leaves no trace here.
 * @param released report of the last release, undefined where there was none
 * @param version of the package: before 1.0 a minor may break
 */
export function sizeOfChange(released: string | undefined, current: string, version: string): Size {
  const before = linesOf(released ?? '')
  const after = linesOf(current)
  const left = new Map<string, number>()
  for (const line of after) left.set(line, (left.get(line) ?? 0) + 1)
  let gone = 0
  for (const line of before) {
    const count = left.get(line) ?? 0
    if (count === 0) gone++
    else left.set(line, count - 1)
  }
  if (gone === 0 && after.length === before.length) return 'none'
  return gone > 0 && !version.startsWith('0.') ? 'major' : 'minor'
}

/** The largest size that a change note gives a package. */
export function announced(packageName: string, notes: readonly string[]): Size {
  const sizes = notes.flatMap(note => {
    const head = /^---\n([^]*?)\n---/.exec(note)?.[1] ?? ''
    return head.split('\n').flatMap(line => {
      const match = /^['"]?([^'"]+)['"]?:\s*(\w+)$/.exec(line.trim())
      return match?.[1] === packageName ? [match[2] as Size] : []
    })
  })
  return sizes.reduce<Size>((largest, size) => (SIZES.indexOf(size) > SIZES.indexOf(largest) ? size : largest), 'none')
}

/** The change notes of this checkout. */
export const notes = (): string[] =>
  readdirSync(join(root, '.changeset')).filter(file => file.endsWith('.md') && file !== 'README.md').map(file => read(`.changeset/${file}`))

/** Reports of the contract, by their path from the root. */
export const contractReports = (): string[] =>
  readdirSync(join(root, 'packages/module-sdk/etc')).filter(file => file.endsWith('.api.md')).map(file => `packages/module-sdk/etc/${file}`)

/** The report of the last release. */
export function releasedReport(report: string): string | undefined {
  const file = `compat/api/${report.split('/').at(-1)!}`
  return existsSync(join(root, file)) ? read(file) : undefined
}
