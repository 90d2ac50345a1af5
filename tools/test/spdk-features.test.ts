// SPDX-License-Identifier: Apache-2.0
// docs/spdk-features.md: every feature has a row, and what is called done has a test that is there.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { read, root } from '../repository.js'

const page = read('docs/spdk-features.md')
const features = page.split('\n').filter(line => /^\| F\d{3} \|/.test(line)).map(line => line.split(/(?<!\\)\|/).map(cell => cell.trim()))
const range = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, i) => `F${String(from + i).padStart(3, '0')}`)
const STATES = ['done', 'partly', 'open', 'no', 'contract only']

/** Tests that a cell names, as a file below `packages/` and a part of a title. */
function testsOf(cell: string): { file: string; title: string }[] {
  return [...cell.matchAll(/`([^`]+\.ts)`(?:: (.*?))?(?=, `|$)/g)].map(([, file, title]) => ({ file: file!, title: (title ?? '').replaceAll('\\|', '|') }))
}

function missing(cell: string): string[] {
  return testsOf(cell).flatMap(({ file, title }) => {
    const path = join(root, 'packages', file)
    if (!existsSync(path)) return [`no file ${file}`]
    return readFileSync(path, 'utf8').includes(title) ? [] : [`${file} has no "${title}"`]
  })
}

describe('docs/spdk-features.md', () => {
  it('has one row for each feature, in order, with a state', () => {
    expect(features.map(cells => cells[1])).toEqual([...range(1, 100), ...range(177, 204)])
    expect(features.map(cells => cells.at(-3)).filter(state => !STATES.includes(state!))).toEqual([])
  })

  it('calls nothing done that has no test', () => {
    const untested = features.filter(cells => cells.at(-3) === 'done' && testsOf(cells.at(-2)!).length === 0)
    expect(untested.map(cells => cells[1])).toEqual([])
  })

  it('names only tests that are there', () => {
    const cells = page.split('\n').filter(line => line.startsWith('| ')).map(line => line.split(/(?<!\\)\|/).at(-2)!.trim())
    expect(cells.flatMap(missing)).toEqual([])
  })
})
