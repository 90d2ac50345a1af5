// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { IMPORT_TIMEOUT_MS, MODULE_MANIFEST_SCHEMA, ModuleErrorCode, SDK_VERSION } from '../../src/node/index.js'

const page = readFileSync(new URL('../../../../docs/modules.md', import.meta.url), 'utf8')

describe('docs/modules.md', () => {
  it('explains each code in the table of checks, and no other', () => {
    const codes = [...page.matchAll(/^\| [–\d] \| .* \| `(BDEV_E_\w+)` \|$/gm)].map(match => match[1])
    expect(codes.sort()).toEqual(Object.values(ModuleErrorCode).sort())
  })

  it('has a row for each field of the manifest, and no other', () => {
    const fields = [...page.matchAll(/^\| `(\$?\w+)` \| (?:required|optional): /gm)].map(match => match[1])
    expect(fields.sort()).toEqual(Object.keys(MODULE_MANIFEST_SCHEMA.properties).sort())
  })

  it('states the SDK and the bound that this core has', () => {
    expect(page).toContain(`"@bdevkit/module-sdk": "^${SDK_VERSION}"`)
    expect(page).toContain(`within ${IMPORT_TIMEOUT_MS / 1000} seconds`)
  })
})

it('each refusal has a test on its text', () => {
  const tests = ['module-discovery', 'module-refusals'].map(name => readFileSync(new URL(`${name}.test.ts`, import.meta.url), 'utf8'))
  const untested = Object.values(ModuleErrorCode).filter(code => !tests.some(text => text.includes(`${code}: `)))
  expect(untested).toEqual([])
})
