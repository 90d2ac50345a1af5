// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** A project outside of the workspace, in a folder of its own. */
export class ForeignProject {
  readonly dir = realpathSync(mkdtempSync(join(tmpdir(), 'bdev-foreign-')))

  constructor(packageJson: object = { name: 'app', private: true }) {
    this.writeJson('package.json', packageJson)
  }

  path(...parts: string[]): string {
    return join(this.dir, ...parts)
  }

  write(file: string, text: string): string {
    const path = this.path(file)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    return path
  }

  writeJson(file: string, value: unknown): string {
    return this.write(file, JSON.stringify(value))
  }

  link(target: string, file: string): void {
    mkdirSync(dirname(this.path(file)), { recursive: true })
    symlinkSync(this.path(target), this.path(file), 'dir')
  }

  /** Writes a module package; what is not given is right for a host that offers SDK 1.4.2. Returns its folder. */
  addModule(folder: string, options: ModuleFixture = {}): string {
    const name = options.name ?? 'ram'
    const packageName = options.packageName ?? `bdev-module-${name}`
    const sdkRange = options.sdkRange === undefined ? '^1.2.0' : options.sdkRange
    this.writeJson(`${folder}/package.json`, {
      name: packageName,
      version: '2.1.0',
      type: 'module',
      exports: { '.': './dist/index.js' },
      ...(sdkRange === null ? {} : { dependencies: { '@bdevkit/module-sdk': sdkRange } }),
      bdevModule: { manifestVersion: 1, name, entry: '.', ...options.manifest },
      ...options.packageJson,
    })
    if (options.code === null) return this.path(folder)
    this.write(`${folder}/dist/index.js`, options.code ?? moduleCode(options.valueName ?? name, options.sdk))
    return this.path(folder)
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true })
  }
}

export interface ModuleFixture {
  name?: string
  packageName?: string
  /** null: no dependency on the SDK. */
  sdkRange?: string | null
  /** More fields of `bdevModule`. */
  manifest?: object
  /** More fields of package.json. */
  packageJson?: object
  /** Literal in the value. */
  sdk?: string
  /** `name` in the value, where it is not the manifest's. */
  valueName?: string
  /** The entry's code; null: not built. */
  code?: string | null
}

/** What a bundled module looks like: the brand is a string key, no import of the SDK. */
export function moduleCode(name: string, sdk = '1.2'): string {
  return `export default Object.freeze({ name: '${name}', sdk: '${sdk}', setup() { return {} }, '@bdevkit/bdev-module': 1 })\n`
}
