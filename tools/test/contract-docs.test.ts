// SPDX-License-Identifier: Apache-2.0
// Names in documents about the contract are names of the contract.
import { describe, expect, it } from 'vitest'
import { MODULE_MANIFEST_SCHEMA } from '@bdevkit/core/node'
import { manifestPage } from '../manifest-page.mjs'
import { read } from '../repository.js'

const api = ['module-sdk/etc/module-sdk', 'core/etc/core'].map(report => read(`packages/${report}.api.md`)).join('\n')
const known = new Set(api.match(/[A-Za-z_]\w*/g))

describe('docs/port-from-spdk.md', () => {
  const rows = read('docs/port-from-spdk.md').split('\n').filter(line => /^\| (`|[a-z—])/.test(line) && !line.startsWith('| ---'))

  it('is a table of every part of the contract', () => {
    expect(rows.length).toBeGreaterThan(120)
  })

  it('names on its right side only what the contract has', () => {
    const unknown = rows.flatMap(row => {
      const right = row.split(' | ').slice(1).join(' | ')
      const names = [...right.matchAll(/`([^`]+)`/g)].flatMap(match => match[1]!.replace(/@bdevkit\/core/, '').match(/[A-Za-z_]\w+/g) ?? [])
      return names.filter(name => !known.has(name) && !words.has(name)).map(name => `${name}: ${row}`)
    })
    expect(unknown).toEqual([])
  })

  it('has every hook, function, and field that a module gives', () => {
    const members = (name: string): string[] => {
      const body = new RegExp(`export interface ${name}[^{]*\\{([^]*?)\\n\\}`).exec(api)![1]!
      return [...body.matchAll(/^ {4}(?:readonly )?(\w+)\??[(:<]/gm)].map(match => match[1]!)
    }
    const text = read('docs/port-from-spdk.md')
    const given = ['BdevModuleInstance', 'BdevFnTable', 'BdevGeometry', 'BdevLimits', 'BdevSpec']
    const all = [...given, 'BdevIo', 'DescChannel', 'BdevDesc', 'BdevHost'].flatMap(members)
    const missing = all.filter(member => !new RegExp(`\\b${member}\\b`).test(text) && !own.has(member))
    expect(missing, 'add a row to docs/port-from-spdk.md for each; what SPDK has not, to the list `own` here').toEqual([])
  })
})

/** Words of the right side that are no names of the contract. */
const words = new Set(
  'export default schema Uint8Array host io desc channel device thread poller base part max use'.split(' '),
)
/** What SPDK has no counterpart of. */
const own = new Set(['sdk', 'readBlocks', 'allocIovs', 'accel', 'dma', 'log', 'iobuf', 'offload', 'write'])

it('docs/manifest.md is what its schema says (node tools/manifest-page.mjs)', () => {
  expect(read('docs/manifest.md')).toBe(manifestPage(MODULE_MANIFEST_SCHEMA))
})
