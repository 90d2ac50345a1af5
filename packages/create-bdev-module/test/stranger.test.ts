// SPDX-License-Identifier: Apache-2.0
// A new project under another name passes its own tests: with the dependencies of the template, which are those of this
// checkout. With packed ones, from a registry: tests/publish.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createProject, KINDS } from '../src/index.js'

let cwd: string
beforeAll(() => {
  cwd = realpathSync(mkdtempSync(join(tmpdir(), 'create-bdev-module-')))
})
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

it.each(KINDS)('a new %s passes its own tests and the check', { timeout: 180_000 }, kind => {
  const folder = join(cwd, kind)
  const template = fileURLToPath(new URL(`../../../templates/${kind}`, import.meta.url))
  createProject({ folder, name: `new-${kind}`, scope: 'acme', template })
  symlinkSync(join(template, 'node_modules'), join(folder, 'node_modules'))
  const test = spawnSync('npm', ['test'], { cwd: folder, encoding: 'utf8' })
  expect(test.stdout).toMatch(/^ℹ fail 0$/m)
  expect(Number(/^ℹ pass (\d+)$/m.exec(test.stdout)?.[1])).toBeGreaterThan(100)
  expect(test.status).toBe(0)
  const check = spawnSync('npm', ['run', 'check'], { cwd: folder, encoding: 'utf8' })
  expect(check.stdout).toContain('  ok      packed')
  expect(check.stdout).not.toMatch(/FAILED|skipped/)
  expect(check.status).toBe(0)
})
