// SPDX-License-Identifier: Apache-2.0
// Lint rules, and who may import whom: `module-sdk <- accel <- core <- rpc <- nbd <- cli`, modules know module-sdk alone.
// tools/test/packages.test.ts holds package.json to the same table.
import { readFileSync } from 'node:fs'

const directions = JSON.parse(readFileSync(new URL('tools/import-directions.json', import.meta.url), 'utf8'))

const everywhere = [
  { regex: '^@bdevkit/[^/]+/(src|dist)(/|$)', message: 'only what package.json#exports names is public: import the package' },
  { regex: '^(\\.\\./)+(packages/)?[a-z-]+/src/', message: 'another package is imported by its name, never by path' },
]
const restrict = (files, ...patterns) => ({
  files,
  rules: { 'no-restricted-imports': ['error', { patterns: [...everywhere, ...patterns] }] },
})

const mayImport = (folder, names) => ({
  group: ['@bdevkit/**', ...names.flatMap(name => [`!@bdevkit/${name}`, `!@bdevkit/${name}/**`])],
  message: `${folder} may import ${names.length === 0 ? 'no other package of ours' : names.join(', ')}, nothing else of ours`,
})

const noNode = { regex: '^node:', message: 'core runs without Node: what needs node: lives in core/src/node/' }

// Inside core: thread <- channel, io <- bdev, descriptor <- examine <- module <- node. A channel owns its I/Os, and an I/O
// is nothing without its channel (docs/decisions/0003).
const ranks = [['thread'], ['channel', 'io'], ['bdev', 'descriptor'], ['examine'], ['module'], ['node']]
const coreFolders = ranks.flatMap((folders, rank) =>
  folders.map(folder => {
    const above = ranks.slice(rank + 1).flat()
    const order = {
      regex: `^\\.\\./(${above.join('|')})/`,
      message: `core/src/${folder} may not import what stands on it: ${above.join(', ')}`,
      // The final classes of the data plane name each other; at run time only functions go down.
      allowTypeImports: true,
    }
    const patterns = folder === 'node' ? [] : [noNode, order]
    return restrict([`packages/core/src/${folder}/**`], mayImport('core', directions.core.source), ...patterns)
  }),
)

export default {
  plugins: ['typescript', 'unicorn', 'oxc', 'import', 'vitest'],
  categories: { correctness: 'error' },
  // kernels: AssemblyScript, another language
  ignorePatterns: ['**/dist/**', '**/temp/**', 'compat/**', 'packages/accel/src/kernels/**'],
  rules: {
    eqeqeq: ['error', 'always', { null: 'ignore' }],
    'no-var': 'error',
    'prefer-const': 'error',
    'import/no-default-export': 'error',
    'typescript/await-thenable': 'error',
    'typescript/consistent-type-imports': 'error',
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/only-throw-error': 'error',
    'typescript/prefer-promise-reject-errors': 'error',
    'vitest/no-disabled-tests': 'error',
    'vitest/no-focused-tests': 'error',
    // Function tables use method syntax on purpose, and errors print what they were given.
    'typescript/unbound-method': 'off',
    'typescript/restrict-template-expressions': 'off',
    'typescript/no-base-to-string': 'off',
    'unicorn/no-useless-spread': 'off',
    // Preallocated rings and tables, parsers of control characters, helpers that assert, `a && b()`: all meant.
    'unicorn/no-new-array': 'off',
    'no-control-regex': 'off',
    'no-unused-expressions': ['error', { allowShortCircuit: true, allowTernary: true }],
    'typescript/triple-slash-reference': 'off',
    'require-yield': 'off',
    'vitest/no-standalone-expect': ['error', { additionalTestBlockFunctions: ['itWith'] }],
    'vitest/expect-expect': 'off',
    'vitest/valid-expect': ['error', { maxArgs: 2 }],
    'vitest/no-conditional-expect': 'off',
  },
  overrides: [
    {
      files: ['**/*.config.{ts,mjs}', 'packages/modules-*/src/index.ts', '**/test/**', '{tests,bench,examples,templates}/**'],
      rules: { 'import/no-default-export': 'off' },
    },
    // Code made at run time stands for packages that the compiler has not seen together.
    { files: ['bench/**'], rules: { 'typescript/no-implied-eval': 'off' } },
    ...Object.entries(directions).flatMap(([folder, { source, tests }]) => [
      restrict([`packages/${folder}/src/**`], mayImport(folder, source), ...(folder === 'core' ? [noNode] : [])),
      restrict([`packages/${folder}/test/**`], mayImport(`tests of ${folder}`, [...source, ...tests])),
    ]),
    ...coreFolders,
    restrict(['packages/module-sdk/src/**'], { regex: '^[^.]', message: 'module-sdk imports nothing but its own files' }),
  ],
}
