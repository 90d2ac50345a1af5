// SPDX-License-Identifier: Apache-2.0
// Modules that are typed by the SDK of another day: they must type-check on today's host, and today's modules on theirs.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const lines = readdirSync(join(root, 'compat/modules')).filter(name => name.startsWith('sdk-'))

/** Compiles `code` beside `old/`, the types of another SDK. Returns what the compiler says. */
function compile(name: string, oldTypes: string, code: string, change: (text: string) => string = text => text): string[] {
  const folder = join(root, 'tests/temp/contract-types', name.replace(/\W+/g, '-')) // a dot would make it a file for tsc
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  cpSync(oldTypes, join(folder, 'old'), { recursive: true })
  for (const file of readdirSync(join(folder, 'old'))) {
    const path = join(folder, 'old', file)
    writeFileSync(path, change(readFileSync(path, 'utf8')))
  }
  writeFileSync(join(folder, 'tsconfig.json'), '{ "extends": "../../../../tsconfig.test.json" }\n')
  writeFileSync(join(folder, 'a.ts'), code)
  const tsc = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', folder, '--pretty', 'false'], { cwd: folder, encoding: 'utf8' })
  return tsc.stdout.split('\n').filter(line => line !== '')
}

const both = `
import type * as Now from '@bdevkit/module-sdk'
import type * as Old from './old/index.js'
import type { Host } from '@bdevkit/core'

/** Compiles where every \`From\` can stand for a \`To\`. */
type Fits<From extends To, To> = From

// An old module on the host of today: the host takes its value and its tables, and gives it hosts, bdevs and I/O.
export type OldModule = [
  Fits<Old.BdevModule, Parameters<Host['use']>[0]>, Fits<Old.BdevFnTable, Now.BdevFnTable>, Fits<Old.BdevSpec, Now.BdevSpec>,
  Fits<Now.BdevHost, Old.BdevHost>, Fits<Now.Bdev, Old.Bdev>, Fits<Now.BdevIo, Old.BdevIo>, Fits<Now.DescChannel, Old.DescChannel>,
]
// A module of today on an old host: what it gives must be known there; what it gets may lack only what is new.
export type NewModule = [Fits<Now.BdevModule, Old.BdevModule>, Fits<Now.BdevFnTable, Old.BdevFnTable>, Fits<Now.BdevModuleInstance, Old.BdevModuleInstance>]
`

describe.each(lines)('modules of %s', line => {
  const types = join(root, 'compat/modules', line, 'types')

  it('type-check on the host of today, and the other way round', { timeout: 60_000 }, () => {
    expect(compile(`${line}-same`, types, both)).toEqual([])
  })

  it.each([
    ['a hook that now needs another argument', 'submitRequest(channelCtx: Ch, io: BdevIo<IoCtx>): void', 'submitRequest(channelCtx: Ch, io: BdevIo<IoCtx>, now: Date): void'],
    ['a method of the host that is gone', 'unregisterBdev(name: string): Promise<void>', 'gone(name: string): void; unregisterBdev(name: string): Promise<void>'],
    ['another type of a field', 'readonly numRetries: number', 'readonly numRetries: bigint'],
  ])('would not with %s', { timeout: 60_000 }, (what, from, to) => {
    let changed = 0
    const said = compile(`${line}-${what}`, types, both, text => {
      if (text.includes(from)) changed++
      return text.replace(from, to)
    })
    expect(changed).toBe(1)
    expect(said.join('\n')).toMatch(/does not satisfy the constraint/)
  })
})
