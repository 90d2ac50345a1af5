// SPDX-License-Identifier: Apache-2.0
// What would be published: packed as pnpm does it, then looked at as a stranger's tools do.
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { beforeAll, describe, expect, it } from 'vitest'
import { codeBytes, codeLimit, pack } from '../release.mjs'
import { packages } from '../repository.js'

type Packed = ReturnType<typeof pack>[number]
const packed = new Map<string, Packed>()
beforeAll(() => {
  for (const one of pack(packages.map(({ folder }) => folder))) packed.set(one.folder, one)
}, 120_000)

/** What attw may say of a package that is for ES modules only, on purpose (docs/support.md). */
const MEANT = new Set(['CJSResolvesToESM', 'NoResolution'])

describe.each(packages)('what is published of $folder', ({ folder, json }) => {
  const files = () => packed.get(folder)!.files
  const text = (path: string): string => files().find(file => file.path === path)!.text

  it('holds a licence, a readme, the build, and nothing else', () => {
    const paths = files().map(({ path }) => path)
    expect(paths).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'package.json']))
    const meant = ['LICENSE', 'README.md', 'package.json', ...(json.files ?? [])]
    expect(paths.filter(path => !meant.some(entry => path === entry || path.startsWith(`${entry}/`)))).toEqual([])
    expect(paths.filter(path => /^(src|test|etc|node_modules|temp)\//.test(path))).toEqual([])
    expect(paths.filter(path => /\.test\.|tsbuildinfo|\.api\.md/.test(path) && !path.startsWith('dist/templates/'))).toEqual([])
  })

  it('names released versions of ours, and where it comes from', () => {
    const manifest = JSON.parse(text('package.json')) as { dependencies?: object; repository: { url: string }; license: string }
    expect(JSON.stringify(manifest)).not.toContain('workspace:')
    expect(manifest).toMatchObject({ license: 'Apache-2.0', repository: { url: expect.stringMatching(/^git\+https:/) as string } })
    for (const [name, range] of Object.entries(manifest.dependencies ?? {})) {
      if (name.startsWith('@bdevkit/')) expect([name, range]).toEqual([name, expect.stringMatching(/^\^?\d+\.\d+\.\d+$/) as string])
    }
  })

  it('keeps the doc comments of its types, and its sources in its maps', () => {
    const types = files().filter(({ path }) => path.endsWith('.d.ts') && !path.startsWith('dist/templates/'))
    if (json.exports?.['.'] !== undefined) expect(types.some(file => file.text.includes('/**'))).toBe(true)
    for (const map of files().filter(({ path }) => path.endsWith('.map'))) {
      const { sources, sourcesContent } = JSON.parse(map.text) as { sources: string[]; sourcesContent?: string[] }
      expect(sourcesContent?.length, map.path).toBe(sources.length)
    }
  })

  it('is no larger than promised', () => {
    const limit = codeLimit(folder)
    if (limit !== undefined) expect(codeBytes(files())).toBeLessThanOrEqual(limit)
  })

  it('satisfies publint', async () => {
    const { buffer, byteOffset, byteLength } = packed.get(folder)!.archive
    const tarball = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer
    const { messages, pkg } = await publint({ level: 'warning', pack: { tarball } })
    const said = messages.map(message => formatMessage(message, pkg, { color: false }))
    // A template is a package inside of a package, until it is copied.
    expect(said.filter(text => !text?.startsWith('./dist/templates/'))).toEqual([])
  })

  it('has types that every resolution of an ES module finds (attw)', async () => {
    const result = await checkPackage(createPackageFromTarballData(new Uint8Array(packed.get(folder)!.archive)))
    const problems = 'problems' in result ? result.problems : []
    expect(problems.filter(({ kind }) => !MEANT.has(kind))).toEqual([])
  })
})
