// SPDX-License-Identifier: Apache-2.0
// Builds the package in the working directory: esbuild for JavaScript, tsc for types.
// Every key of package.json#exports that points into dist/ is an entry, and so is src/main.ts, which bin/ starts; chunks
// are shared, so that two entries of one package see the same classes.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const pkg = JSON.parse(readFileSync('package.json', 'utf8'))
const outputs = new Set(
  [...Object.values(pkg.exports ?? {}).map(target => target.default ?? target), './dist/main.js'].filter(
    file => typeof file === 'string' && file.startsWith('./dist/'),
  ),
)
const source = file => file.replace('./dist/', 'src/').replace(/\.js$/, '.ts')
const entryPoints = [...outputs].map(source).filter(file => existsSync(file))

execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', '.', '--emitDeclarationOnly', '--outDir', 'dist'], { stdio: 'inherit' })
const result = await build({
  entryPoints,
  outdir: 'dist',
  outbase: 'src',
  bundle: true,
  splitting: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node20',
  sourcemap: true,
  sourcesContent: true, // src/ is not published: a map without it only costs
  metafile: true,
  logLevel: 'warning',
})
// Written over, not wiped first: a test that runs beside a build always finds a whole package.
const kept = new Set(Object.keys(result.metafile.outputs).map(file => relative('dist', file)))
for (const file of readdirSync('dist', { recursive: true })) {
  const orphaned = file.endsWith('.d.ts') && !existsSync(join('src', file.replace(/\.d\.ts$/, '.ts')))
  if (orphaned || (/\.js(\.map)?$/.test(file) && !kept.has(file))) rmSync(join('dist', file))
}
