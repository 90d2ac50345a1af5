// SPDX-License-Identifier: Apache-2.0
// `npm run release:dry` packs every package as it would be published, prints what is in it and how large it is, and holds the
// sizes to their limits. `--version` is the version step of a release: `changeset version`, then the reports of the contract
// go to compat/api, which the next change is compared with. `--publish` builds, checks, and publishes what npm lacks.
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { transformSync } from 'esbuild'
import { root, run } from './bootstrap.mjs'

/**
 * Bytes of JavaScript without comments and layout that a package may have: a promise to those who load it. Of core it is what an
 * application loads that brings its modules itself; `core/node`, the loader, comes on top. raid is seven levels, a journal and a
 * dirty map.
 */
export const CODE_BYTES_MAX = { 'module-sdk': 12_000, core: 250_000, 'modules-raid': 200_000, 'modules-*': 25_000 }

/** The limit of a package folder, undefined where it has none. */
export const codeLimit = folder => CODE_BYTES_MAX[folder] ?? (folder.startsWith('modules-') ? CODE_BYTES_MAX['modules-*'] : undefined)

/** Bytes of JavaScript in dist/, without comments and layout, templates and `core/node`. */
export function codeBytes(files) {
  const code = files.filter(({ path }) => /^dist\/(?!templates\/|node\/).*\.js$/.test(path))
  const printed = code.map(({ text }) => transformSync(text, { legalComments: 'none', minifyWhitespace: true }).code)
  return printed.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
}

/** The files of a tarball: ustar, with the long names of pax headers. */
export function untar(archive) {
  const tar = gunzipSync(archive)
  const files = []
  let longName
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0;) {
    const text = (from, length) => tar.toString('utf8', at + from, at + from + length).replace(/\0[^]*$/, '')
    const size = Number.parseInt(text(124, 12), 8)
    const body = tar.subarray(at + 512, at + 512 + size)
    const type = text(156, 1)
    const name = longName ?? [text(345, 155), text(0, 100)].filter(part => part !== '').join('/')
    longName = type === 'x' ? /\d+ path=([^\n]+)\n/.exec(body.toString('utf8'))?.[1] : undefined
    if (type === '0' || type === '') files.push({ path: name.replace(/^package\//, ''), size, text: body.toString('utf8') })
    at += 512 + Math.ceil(size / 512) * 512
  }
  return files
}

/** Packs packages as pnpm publishes them: `workspace:` ranges replaced, the licence of the root added. */
export function pack(folders) {
  const target = mkdtempSync(join(tmpdir(), 'bdevkit-pack-'))
  try {
    return folders.map(folder => {
      const cwd = join(root, 'packages', folder)
      const pnpm = join(root, 'node_modules/pnpm/bin/pnpm.cjs')
      const said = execFileSync(process.execPath, [pnpm, 'pack', '--json', '--pack-destination', target], { cwd, encoding: 'utf8' })
      const { filename } = JSON.parse(said.slice(said.indexOf('{')))
      const archive = readFileSync(filename)
      return { folder, archive, packedBytes: archive.length, files: untar(archive) }
    })
  } finally {
    rmSync(target, { recursive: true, force: true })
  }
}

const kilo = bytes => `${(bytes / 1000).toFixed(1)} kB`

function dry() {
  let failed = false
  const folders = readdirSync(join(root, 'packages'))
  console.log(['package', 'version', 'files', 'packed', 'unpacked', 'code', 'limit'].join('\t'))
  for (const { folder, packedBytes, files } of pack(folders)) {
    const { name, version } = JSON.parse(files.find(({ path }) => path === 'package.json').text)
    const limit = codeLimit(folder)
    const code = codeBytes(files)
    const all = files.reduce((sum, { size }) => sum + size, 0)
    console.log([name, version, files.length, kilo(packedBytes), kilo(all), kilo(code), limit === undefined ? '' : kilo(limit)].join('\t'))
    if (limit !== undefined && code > limit) {
      console.error(`${name}: ${kilo(code)} of code without comments and layout, but at most ${kilo(limit)}`)
      failed = true
    }
  }
  return failed ? 1 : 0
}

async function version() {
  const status = await run('changeset', ['version'])
  if (status !== 0) return status
  mkdirSync(join(root, 'compat/api'), { recursive: true })
  const etc = join(root, 'packages/module-sdk/etc')
  for (const file of readdirSync(etc)) copyFileSync(join(etc, file), join(root, 'compat/api', file))
  // The lockfile names no versions of workspace packages, but their ranges may have changed.
  return run('pnpm', ['install', '--lockfile-only'])
}

async function publish() {
  const steps = [['node', ['tools/check.mjs']], ['node', ['tools/release.mjs']], ['changeset', ['publish']]]
  for (const [command, args] of steps) {
    const status = await run(command, args)
    if (status !== 0) return status
  }
  return 0
}

if (process.argv[1] === join(root, 'tools/release.mjs')) {
  const [step] = process.argv.slice(2)
  if (step === undefined) process.exitCode = dry()
  else if (step === '--version') process.exitCode = await version()
  else if (step === '--publish') process.exitCode = await publish()
  else {
    console.error('usage: node tools/release.mjs [--version | --publish]')
    process.exitCode = 2
  }
}
