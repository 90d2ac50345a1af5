// SPDX-License-Identifier: Apache-2.0
// What docs/start.md and docs/recipes.md show is run as it stands there.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { transformSync } from 'esbuild'
import { expect, it } from 'vitest'
import { fencesOf, type Fence } from '../../tools/fences.js'
import { inFolder } from '../interop/support/files.js'
import { run } from '../interop/support/run.js'
import { bdev } from '../interop/support/server.js'

const docs = fileURLToPath(new URL('../../docs/', import.meta.url))
const fences = (page: string, language: string): Fence[] =>
  fencesOf(page, readFileSync(join(docs, page), 'utf8')).filter(fence => fence.language === language)

/** `npx @bdevkit/cli rpc …` and `npx bdev rpc …` of a page, as arguments of ours. */
const rpcCalls = (page: string): string[][] =>
  fences(page, 'sh').flatMap(({ code }) => [...code.matchAll(/^npx (?:@bdevkit\/cli|bdev) (rpc .*)$/gm)].map(match => match[1]!.split(' ')))

it.each(['start.md', 'recipes.md'])('the stack of %s is served, and the calls below it are answered', async page => {
  await inFolder(async folder => {
    writeFileSync(join(folder, 'stack.json'), fences(page, 'json')[0]!.code)
    const calls = rpcCalls(page)
    expect(calls).toHaveLength(1)
    const command = [bdev, ...calls[0]!].map(word => `'${word}'`).join(' ')
    const { status, stderr } = await run(bdev, ['serve', '-c', 'stack.json', '-r', 'bdev.sock', '--run', command], { cwd: folder })
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })
})

it('the code of recipes.md runs', async () => {
  const folder = fileURLToPath(new URL('../temp/recipes/', import.meta.url))
  mkdirSync(folder, { recursive: true })
  try {
    for (const { code, line } of fences('recipes.md', 'ts')) {
      const file = join(folder, `line-${line}.mjs`)
      writeFileSync(file, transformSync(code, { loader: 'ts', target: 'node20' }).code)
      const { status, stderr } = await run(process.execPath, [file], { cwd: folder })
      expect([line, status, stderr]).toEqual([line, 0, ''])
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
