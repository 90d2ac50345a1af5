// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { announced, contractReports, notes, releasedReport, sizeOfChange, SIZES } from '../changes.js'
import { packages, read, root, type PackageJson } from '../repository.js'

const report = (...lines: string[]): string => `## API Report\n\n\`\`\`ts\n\n// @public\n${lines.join('\n\n// @public\n')}\n\n\`\`\`\n`
const note = (size: string, name = '@bdevkit/module-sdk'): string => `---\n'${name}': ${size}\n'@bdevkit/core': minor\n---\n\nText\n`

describe('a change of the contract', () => {
  const sdk = packages.find(({ folder }) => folder === 'module-sdk')!

  it('has a change note of its size', () => {
    for (const file of contractReports()) {
      const needed = sizeOfChange(releasedReport(file), read(file), (sdk.json as { version?: string }).version!)
      const given = announced(sdk.json.name, notes())
      const hint = `${file} differs from the last release (compat/api): add a note that calls it ${needed} (.changeset/README.md)`
      expect(SIZES.indexOf(given), hint).toBeGreaterThanOrEqual(SIZES.indexOf(needed))
    }
  })

  it.each([
    ['nothing', ['a: number'], ['a: number'], '1.2.0', 'none'],
    ['an addition', ['a: number'], ['a: number', 'b?: string'], '1.2.0', 'minor'],
    ['a removal', ['a: number', 'b: string'], ['a: number'], '1.2.0', 'major'],
    ['another type', ['a: number'], ['a: bigint'], '1.2.0', 'major'],
    ['another order of the declarations', ['a: number', 'b: string'], ['b: string', 'a: number'], '1.2.0', 'none'],
    ['one of two equal lines gone', ['read(): void', 'read(): void'], ['read(): void'], '1.2.0', 'major'],
    ['a removal before 1.0', ['a: number', 'b: string'], ['a: number'], '0.3.0', 'minor'],
  ] as const)('%s is seen', (_what, before, after, version, size) => {
    expect(sizeOfChange(report(...before), report(...after), version)).toBe(size)
  })

  it('is everything where there was no release', () => {
    expect(sizeOfChange(undefined, report('a: number'), '0.1.0')).toBe('minor')
  })

  it('is announced by the largest of its notes', () => {
    expect(announced('@bdevkit/module-sdk', [note('patch'), note('minor')])).toBe('minor')
    expect(announced('@bdevkit/module-sdk', [note('minor', '@bdevkit/rpc')])).toBe('none')
  })
})

/** Versions after `changeset version` in a copy of the workspace's manifests. */
function versioned(change: Record<string, string>, versions: (name: string) => string): Map<string, string> {
  const copy = realpathSync(mkdtempSync(join(tmpdir(), 'bdevkit-versions-')))
  try {
    for (const file of ['package.json', 'pnpm-workspace.yaml']) cpSync(join(root, file), join(copy, file))
    mkdirSync(join(copy, '.changeset'))
    cpSync(join(root, '.changeset/config.json'), join(copy, '.changeset/config.json'))
    const head = Object.entries(change).map(([name, size]) => `'${name}': ${size}`)
    writeFileSync(join(copy, '.changeset/one.md'), `---\n${head.join('\n')}\n---\n\nText\n`)
    const folders = ['packages', 'templates'].flatMap(parent =>
      readdirSync(join(root, parent), { withFileTypes: true }).filter(entry => entry.isDirectory()).map(({ name }) => `${parent}/${name}`),
    )
    for (const folder of folders) {
      const json = JSON.parse(read(`${folder}/package.json`)) as PackageJson & { version: string }
      mkdirSync(join(copy, folder), { recursive: true })
      writeFileSync(join(copy, folder, 'package.json'), JSON.stringify({ ...json, version: versions(json.name) }, null, 2))
    }
    const git = (...args: string[]): void => void execFileSync('git', args, { cwd: copy, stdio: 'ignore' })
    git('init', '-q', '-b', 'main')
    git('-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-q', '--allow-empty', '-m', 'a')
    execFileSync(join(root, 'node_modules/.bin/changeset'), ['version'], { cwd: copy, stdio: 'pipe' })
    return new Map(folders.map(folder => {
      const { name, version } = JSON.parse(readFileSync(join(copy, folder, 'package.json'), 'utf8')) as { name: string; version: string }
      return [name, version]
    }))
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

describe('a release', () => {
  const modules = packages.filter(({ json }) => json.bdevModule !== undefined).map(({ json }) => json.name)

  it('with a minor of the SDK leaves the modules alone, whose ranges hold it, and takes core along, which offers it', { timeout: 60_000 }, () => {
    const after = versioned({ '@bdevkit/module-sdk': 'minor' }, () => '1.2.0')
    expect(after.get('@bdevkit/module-sdk')).toBe('1.3.0')
    expect(after.get('@bdevkit/core')).toBe('1.2.1')
    for (const name of modules) expect([name, after.get(name)]).toEqual([name, '1.2.0'])
    expect([...after.values()].filter(version => version.startsWith('2.'))).toEqual([])
  })

  it('before 1.0 with a minor of the SDK, which is a line of its own, makes patches of the modules', { timeout: 60_000 }, () => {
    const after = versioned({ '@bdevkit/module-sdk': 'minor' }, () => '0.4.0')
    expect(after.get('@bdevkit/module-sdk')).toBe('0.5.0')
    for (const name of modules) expect([name, after.get(name)]).toEqual([name, '0.4.1'])
  })

  it('of core leaves alone what its range still holds, and templates, which are no packages', { timeout: 60_000 }, () => {
    const after = versioned({ '@bdevkit/core': 'minor' }, () => '1.0.0')
    expect(after.get('@bdevkit/core')).toBe('1.1.0')
    expect(after.get('@bdevkit/cli')).toBe('1.0.0')
    expect(after.get('bdev-module-my-disk')).toBe('1.0.0')
  })
})
