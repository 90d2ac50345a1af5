// SPDX-License-Identifier: Apache-2.0
// Writes compat/modules/sdk-<line>: modules as they are built today, each one file with the SDK bundled, and the types of the
// SDK that they were written on. Tests run them on the core of the day. Run it at the first release of an SDK line; before
// 1.0 the one line is called 0.x and may be replaced, later ones are never edited.
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/** What people stack most: a bdev that keeps data, one that forgets, one that forwards, one that must never forward blindly. */
const modules = ['malloc', 'null', 'passthru', 'crypto']

const root = fileURLToPath(new URL('..', import.meta.url))
const { version } = JSON.parse(readFileSync(join(root, 'packages/module-sdk/package.json'), 'utf8'))
const [major, minor] = version.split('.')
const target = join(root, 'compat/modules', major === '0' ? 'sdk-0.x' : `sdk-${major}.${minor}`)
if (major !== '0' && readdirSync(join(root, 'compat/modules')).includes(`sdk-${major}.${minor}`)) {
  console.error(`freeze-modules: ${target} is frozen; it is never written again`)
  process.exit(1)
}
rmSync(target, { recursive: true, force: true })
mkdirSync(join(target, 'types'), { recursive: true })
await build({
  entryPoints: Object.fromEntries(modules.map(name => [name, join(root, `packages/modules-${name}/src/index.ts`)])),
  outdir: target,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  banner: { js: `// SPDX-License-Identifier: Apache-2.0\n// Built with module-sdk ${version} by tools/freeze-modules.mjs.` },
  legalComments: 'none',
  logLevel: 'warning',
})
const types = join(root, 'packages/module-sdk/dist')
for (const file of readdirSync(types).filter(name => name.endsWith('.d.ts'))) copyFileSync(join(types, file), join(target, 'types', file))
console.log(`freeze-modules: ${modules.join(', ')} for module-sdk ${version} in ${target}`)
