// SPDX-License-Identifier: Apache-2.0
// Compares the public surface of the package in the working directory with its reports, etc/*.api.md: one report for each
// entry of package.json#exports that has types. `--update` writes them. A changed report is a changed line under review.
// Members marked @internal serve packages of this repository alone: they are in the published types, not in the reports.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CompilerState, Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor'

const update = process.argv.includes('--update')
const folder = process.cwd()
const pkg = JSON.parse(readFileSync('package.json', 'utf8'))
const name = basename(pkg.name)
/** Their reports stay clean: nothing undocumented, nothing exported by accident. Elsewhere that is a warning. */
const clean = ['module-sdk', 'core'].includes(name)
const publicTypes = 'temp/types'
for (const made of ['etc', 'temp/reports']) mkdirSync(made, { recursive: true })
rmSync(publicTypes, { recursive: true, force: true })
const tsc = join(dirname(dirname(fileURLToPath(import.meta.url))), 'node_modules/.bin/tsc')
execFileSync(tsc, ['-p', '.', '--emitDeclarationOnly', '--stripInternal', '--outDir', publicTypes], { stdio: 'inherit' })

let failed = false
const fail = message => {
  failed = true
  console.error(`${pkg.name}: ${message}`)
}
const complain = message => (clean ? fail(message) : console.log(`${pkg.name}: warning: ${message}`))

/** Members of exported classes that show the doc comment of the interface that they implement, as editors do: `Class.member`. */
function documentedByInterface(exported, checker) {
  const found = new Set()
  for (const symbol of exported) {
    for (const member of symbol.valueDeclaration === undefined ? [] : (symbol.members?.values() ?? [])) {
      if (member.getDocumentationComment(checker).length > 0) found.add(`${symbol.name}.${member.name}`)
    }
  }
  return found
}

/** The report without the mark `(undocumented)` at those members. */
function withoutInherited(report, documented) {
  const lines = report.split('\n')
  let owner = ''
  return lines
    .filter((line, i) => {
      owner = /^export (?:abstract )?class (\w+)/.exec(line)?.[1] ?? owner
      const member = /^ +(?:(?:readonly|get|set) )*(\w+)/.exec(lines[i + 1] ?? '')?.[1]
      return line !== '    // (undocumented)' || !documented.has(`${owner}.${member}`)
    })
    .join('\n')
}

/** Names that the package exports, of any entry: what one entry exports and another names is not forgotten. */
const exportedNames = new Set()

for (const [key, { types } = {}] of Object.entries(pkg.exports)) {
  if (types === undefined) continue
  const entry = resolve(types.replace('./dist', publicTypes))
  if (!existsSync(entry)) {
    fail(`package.json names ${types}, but src/ makes none`)
    continue
  }
  const report = `${[name, ...key.split('/').slice(1)].join('-')}.api.md`
  const config = ExtractorConfig.prepare({
    packageJsonFullPath: join(folder, 'package.json'),
    configObjectFullPath: join(folder, 'package.json'),
    configObject: {
      projectFolder: folder,
      mainEntryPointFilePath: entry,
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
          files: [entry],
        },
      },
      newlineKind: 'lf',
      apiReport: {
        enabled: true,
        reportFileName: report,
        reportFolder: join(folder, 'temp/reports'),
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
  })
  const compilerState = CompilerState.create(config)
  const checker = compilerState.program.getTypeChecker()
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(compilerState.program.getSourceFile(entry)))
  const alias = 0x20_0000 // ts.SymbolFlags.Alias
  const symbols = exported.map(symbol => (symbol.flags & alias ? checker.getAliasedSymbol(symbol) : symbol))
  for (const symbol of symbols) exportedNames.add(symbol.name)
  const forgotten = []
  const result = Extractor.invoke(config, {
    compilerState,
    localBuild: true, // reports are compared below
    messageCallback(message) {
      if (message.messageId.startsWith('console-')) message.handled = true
      if (message.messageId !== 'ae-forgotten-export') return
      message.handled = true
      const symbol = /symbol "(\w+)"/.exec(message.text)?.[1]
      if (!exportedNames.has(symbol)) forgotten.push(`  ${message.sourceFilePath}:${message.sourceFileLine}: ${symbol}`)
    },
  })
  if (result.errorCount > 0) fail(`etc/${report}: the entry ${types} has errors (above)`)
  const made = withoutInherited(readFileSync(join('temp', report), 'utf8'), documentedByInterface(symbols, checker))
  const accepted = join('etc', report)
  if (!existsSync(accepted) || readFileSync(accepted, 'utf8') !== made) {
    if (update) {
      writeFileSync(accepted, made)
      console.log(`${pkg.name}: ${accepted} written`)
    } else fail(`${accepted} is stale: the API changed; to accept that: npm run api:update`)
  }
  const lines = made.split('\n')
  const undocumented = lines.flatMap((line, i) => (lines[i - 1]?.includes('(undocumented)') ? [`  ${accepted}:${i + 1}: ${line.trim()}`] : []))
  if (undocumented.length > 0) complain([`${accepted}: ${undocumented.length} declarations lack a doc comment`, ...(clean ? undocumented : [])].join('\n'))
  if (forgotten.length > 0) complain([`${accepted} names types that no entry exports; export them, or mark what names them @internal:`, ...forgotten].join('\n'))
}
process.exit(failed ? 1 : 0)
