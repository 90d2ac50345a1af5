// SPDX-License-Identifier: Apache-2.0
// Loads the module packages of bench/outside from a folder outside the workspace, where they find the SDK and nothing else.
import { cpSync, mkdirSync, mkdtempSync, realpathSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadModules } from '@bdevkit/core/node'

const here = dirname(fileURLToPath(import.meta.url))

/** The named packages, through the loader that `bdev serve` uses. */
export async function loadOutside(names) {
  const root = mkdtempSync(join(tmpdir(), 'bdevkit-bench-'))
  mkdirSync(join(root, 'node_modules/@bdevkit'), { recursive: true })
  const sdk = dirname(createRequire(import.meta.url).resolve('@bdevkit/module-sdk/package.json'))
  symlinkSync(realpathSync(sdk), join(root, 'node_modules/@bdevkit/module-sdk'))
  for (const name of names) cpSync(join(here, 'outside', name), join(root, name), { recursive: true })
  const loaded = await loadModules({ specs: names.map(name => `./${name}`), cwd: root, noDiscover: true })
  return loaded.map(module => module.value)
}
