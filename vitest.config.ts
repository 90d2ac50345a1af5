// SPDX-License-Identifier: Apache-2.0
// One run over the whole repository: every package is a project, so are tests/ and tools/.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { configDefaults, defineConfig } from 'vitest/config'

const root = fileURLToPath(new URL('.', import.meta.url))
const folders = [...readdirSync(`${root}/packages`).map(name => `packages/${name}`), 'tests', 'tools']

export function config(include: string, exclude: string[], testTimeout: number) {
  return defineConfig({
    root,
    test: {
      reporters: ['default'],
      passWithNoTests: true,
      // One worker a core: by default vitest leaves one idle, and on two cores that is half of them.
      maxWorkers: Math.max(2, availableParallelism()),
      projects: folders
        .filter(folder => existsSync(`${root}/${folder}/package.json`))
        .map(folder => ({
          extends: true as const,
          root: `${root}/${folder}`,
          test: {
            name: JSON.parse(readFileSync(`${root}/${folder}/package.json`, 'utf8')).name as string,
            include: [include],
            exclude: [...configDefaults.exclude, '**/dist/**', ...exclude],
            testTimeout,
          },
        })),
    },
  })
}

export default config('**/*.test.ts', ['**/*.deep.test.ts'], 10_000)
