// SPDX-License-Identifier: Apache-2.0
// Module packages as their authors publish them: plain JavaScript in a project that knows nothing of this repository.
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './server.js'

export interface ForeignModule {
  /** Folder of the package. */
  folder: string
  packageName: string
  /** Name of the module. */
  name: string
  /** Range of `@bdevkit/module-sdk` in its dependencies; default `^0.1.0`. */
  sdkRange?: string
  /** `index.js`, without the import of the SDK. */
  source: string
}

/** Puts a copy of the SDK, as published, where packages below `project` find it. */
export function installSdk(project: string): void {
  const from = join(root, 'packages/module-sdk')
  const to = join(project, 'node_modules/@bdevkit/module-sdk')
  for (const part of ['package.json', 'dist', 'schema']) cpSync(join(from, part), join(to, part), { recursive: true })
}

/** Writes a module package. */
export function writeModule({ folder, packageName, name, sdkRange = '^0.1.0', source }: ForeignModule): void {
  mkdirSync(folder, { recursive: true })
  const manifest = {
    name: packageName,
    version: '2.1.0',
    type: 'module',
    keywords: ['bdev-module'],
    exports: { '.': './index.js' },
    dependencies: { '@bdevkit/module-sdk': sdkRange },
    bdevModule: { manifestVersion: 1, name, entry: '.' },
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest, null, 2))
  writeFileSync(
    join(folder, 'index.js'),
    `import { BdevError, defineBdevModule, IoStatus, IoType, method } from '@bdevkit/module-sdk'\n${source}`,
  )
}
