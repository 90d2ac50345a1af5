// SPDX-License-Identifier: Apache-2.0
// Copies templates/ into dist/templates as `npm create bdev-module` hands it out: without what building leaves behind, with
// the ranges that `workspace:` stands for. npm never packs a .gitignore and obeys it: here it is called _gitignore.
import { cpSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const to = fileURLToPath(new URL('dist/templates', import.meta.url))
const made = new Set(['node_modules', 'dist', 'out', '.nx', 'temp'])
const json = file => JSON.parse(readFileSync(file, 'utf8'))

const versions = new Map(
  readdirSync(join(root, 'packages')).map(folder => {
    const { name, version } = json(join(root, 'packages', folder, 'package.json'))
    return [name, version]
  }),
)
const published = (name, range) => (range.startsWith('workspace:') ? range.slice('workspace:'.length) + versions.get(name) : range)

rmSync(to, { recursive: true, force: true })
for (const kind of ['bdev', 'vbdev']) {
  const folder = join(to, kind)
  cpSync(join(root, 'templates', kind), folder, { recursive: true, filter: file => !made.has(basename(file)) })
  renameSync(join(folder, '.gitignore'), join(folder, '_gitignore'))
  const manifest = json(join(folder, 'package.json'))
  for (const key of ['dependencies', 'devDependencies']) {
    for (const [name, range] of Object.entries(manifest[key])) manifest[key][name] = published(name, range)
  }
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}
