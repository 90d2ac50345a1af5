// SPDX-License-Identifier: Apache-2.0
// Compares the public surface of the package in the working directory with its reports, etc/*.api.md: one report for each
// entry of package.json#exports that has types. `--update` writes them. A changed report is a changed line under review.
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor'

const update = process.argv.includes('--update')
const folder = process.cwd()
const pkg = JSON.parse(readFileSync('package.json', 'utf8'))
const name = basename(pkg.name)
const undocumentedFails = name === 'module-sdk'
mkdirSync('etc', { recursive: true })

let failed = false
const fail = message => {
  failed = true
  console.error(`${pkg.name}: ${message}`)
}

for (const [key, { types } = {}] of Object.entries(pkg.exports)) {
  if (types === undefined) continue
  if (!existsSync(types)) {
    fail(`${types} is missing; run: npm run build`)
    continue
  }
  const report = `${[name, ...key.split('/').slice(1)].join('-')}.api.md`
  const result = Extractor.invoke(
    ExtractorConfig.prepare({
      packageJsonFullPath: join(folder, 'package.json'),
      configObjectFullPath: join(folder, 'package.json'),
      configObject: {
        projectFolder: folder,
        mainEntryPointFilePath: resolve(types),
        compiler: {
          // api-extractor carries a TypeScript of its own; it needs to know no more than this of the build.
          overrideTsconfig: {
            compilerOptions: {
              target: 'ES2022',
              lib: ['ES2023', 'ESNext.Disposable'],
              module: 'NodeNext',
              moduleResolution: 'NodeNext',
              types: ['node'],
              typeRoots: [resolve(folder, '../../node_modules/@types')],
              strict: true,
              skipLibCheck: true,
            },
            files: [resolve(types)],
          },
        },
        newlineKind: 'lf',
        apiReport: {
          enabled: true,
          reportFileName: report,
          reportFolder: join(folder, 'etc'),
          reportTempFolder: join(folder, 'temp'),
        },
        docModel: { enabled: false },
        dtsRollup: { enabled: false },
        tsdocMetadata: { enabled: false },
        messages: {
          extractorMessageReporting: {
            default: { logLevel: ExtractorLogLevel.Warning },
            // Every export is public: what is not yet stable has an entry of its own.
            'ae-missing-release-tag': { logLevel: ExtractorLogLevel.None },
            'ae-undocumented': { logLevel: ExtractorLogLevel.None },
            'ae-unresolved-link': { logLevel: ExtractorLogLevel.None },
          },
          tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
          compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
        },
      },
    }),
    {
      localBuild: update,
      messageCallback(message) {
        // The answer below says what to do; the tool's own advice names commands that are not ours.
        if (message.messageId.startsWith('console-')) message.handled = true
      },
    },
  )
  if (result.errorCount > 0) fail(`etc/${report}: the entry ${types} has errors (above)`)
  if (result.apiReportChanged && !update) fail(`etc/${report} is stale: the API changed; to accept that: npm run api:update`)
  if (result.apiReportChanged && update) console.log(`${pkg.name}: etc/${report} written`)
  if (!existsSync(join('etc', report))) continue
  const lines = readFileSync(join('etc', report), 'utf8').split('\n')
  const numbered = lines.map((line, i) => `  etc/${report}:${i + 1}: ${line.trim()}`)
  const undocumented = numbered.filter((_, i) => lines[i - 1]?.includes('(undocumented)'))
  if (undocumented.length === 0) continue
  const count = `etc/${report}: ${undocumented.length} declarations lack a doc comment`
  if (undocumentedFails) fail([count, ...undocumented].join('\n'))
  else console.log(`${pkg.name}: warning: ${count}`)
}
process.exit(failed ? 1 : 0)
