// SPDX-License-Identifier: Apache-2.0
// Commands as a stranger types them: in folders outside of the workspace, with nothing of it on the path.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))
const bins = join(root, 'tools/bin') // pnpm, which is no program of its own here

export type Manager = 'npm' | 'pnpm'

/** One Node and one registry. */
export class Machine {
  readonly #env: NodeJS.ProcessEnv

  /** @param node folder of another `node` than the one that runs the tests */
  constructor(npmrc: string, node?: string) {
    // What npm and pnpm tell their scripts about this repository is not for a stranger's.
    const clean = Object.entries(process.env).filter(([name]) => !/^(npm_|pnpm_|NODE_OPTIONS$|VITEST|NODE_ENV$)/i.test(name))
    const path = (process.env['PATH'] ?? '').split(delimiter).filter(folder => !folder.startsWith(join(root, 'node_modules')))
    this.#env = {
      ...Object.fromEntries(clean),
      NPM_CONFIG_USERCONFIG: npmrc,
      NPM_CONFIG_YES: 'true',
      NO_COLOR: '1',
      CI: 'true',
      PATH: [...(node === undefined ? [] : [node]), bins, ...path, '/usr/sbin'].join(delimiter),
    }
  }

  /** Runs a command; its output is in the failure where it does not end as wanted. */
  run(cwd: string, command: string, args: readonly string[], status = 0): string {
    const result = spawnSync(command, args, { cwd, env: this.#env, encoding: 'utf8', input: '' })
    const said = `$ ${command} ${args.join(' ')}\n${result.stdout}${result.stderr}`
    if (result.status !== status) throw new Error(`wanted status ${status}, found ${result.status}\n${said.slice(-6000)}`)
    return said
  }
}

/** A folder with a package.json of its own. */
export function emptyProject(folder: string): string {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "name": "app", "private": true, "type": "module" }\n')
  return folder
}

/** Packages below a node_modules, and the bytes of their files; a package that is linked counts once. */
export function weigh(folder: string): { packages: string[]; bytes: number } {
  const packages: string[] = []
  let bytes = 0
  const walk = (path: string): void => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const file = join(path, entry.name)
      if (entry.isDirectory()) walk(file)
      else if (entry.isFile()) {
        bytes += statSync(file).size
        const isPackage = /node_modules[\\/](@[^\\/]+[\\/])?[^\\/]+$/.test(dirname(file))
        if (entry.name === 'package.json' && isPackage) packages.push((JSON.parse(readFileSync(file, 'utf8')) as { name: string }).name)
      }
    }
  }
  walk(join(folder, 'node_modules'))
  return { packages, bytes }
}
