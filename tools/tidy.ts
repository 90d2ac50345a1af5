// SPDX-License-Identifier: Apache-2.0
// House rules that no linter knows. A review comment that is written twice becomes a rule here: what is refused, where, and
// what to write instead.
import { SourceMap, type SourceMapPayload } from 'node:module'
import { transformSync } from 'esbuild'

export interface Finding {
  readonly file: string
  /** Counted from 1. */
  readonly line: number
  readonly text: string
  readonly rule: string
}

interface LineRule {
  readonly pattern: RegExp
  readonly in: (file: string) => boolean
  readonly instead: string
}

const isCode = (file: string): boolean => /\.(ts|mjs)$/.test(file)
const isTest = (file: string): boolean => /(^|\/)tests?\//.test(file)
const isSource = (file: string): boolean => /^packages\/[^/]+\/src\//.test(file)
const isSourceOf = (...folders: string[]) => (file: string) =>
  isSource(file) && folders.some(folder => file.startsWith(`packages/${folder}`))
// core/src/log.ts is where a host without a logger of its own prints.
const isLibrary = (file: string): boolean => isSource(file) && !isSourceOf('cli')(file) && file !== 'packages/core/src/log.ts'

// AssemblyScript: TypeScript's grammar, but its own rules and idioms.
const isKernel = (file: string): boolean => file.startsWith('packages/accel/src/kernels/')

/** Whether the rules read this file at all: what is built, they do not. */
export const isText = (file: string): boolean =>
  !file.startsWith('compat/modules/sdk-') && /\.(ts|mjs|js|json|md|sh|yml|yaml)$|^(bdev|\.ci\/run)$/.test(file) && file !== 'pnpm-lock.yaml'

/** No line holds more characters than this, but for one with a message: a text is searched for whole. */
export const LINE_LENGTH_MAX = 160
const MESSAGE = /`[^`]{60,}`|'[^']{60,}'/
/** A source file past this many lines is about more than one thing. */
export const SOURCE_LINES_MAX = 500

// Written with [brackets] where the rule would otherwise find itself.
const lineRules: readonly LineRule[] = [
  { pattern: /\/wor[k]\//, in: isText, instead: 'a path of one machine; use a path from the root of the repository' },
  {
    pattern: /\/tm[p]\//,
    in: file => isText(file) && !isTest(file),
    instead: 'a path of one machine; use os.tmpdir() or a relative path',
  },
  { pattern: /\b(TOD[O]|FIXM[E]|XX[X])\b/, in: isCode, instead: 'do it, or open an issue and name what is missing in the docs' },
  {
    pattern: /@ts-(ignor[e]|nochec[k])/,
    in: isCode,
    instead: '@ts-expect-error with the reason: it fails when it is no longer needed',
  },
  {
    pattern: /^\s*(export )?(declare )?(const )?enu[m] \w+/,
    in: isCode,
    instead: 'export const X = { … } as const, with a type of the same name',
  },
  { pattern: /\bMath\.rando[m]\(/, in: isCode, instead: 'node:crypto for ids, a seeded generator for everything else' },
  { pattern: /\bconsol[e]\./, in: isLibrary, instead: 'host.log: the application decides where logs go' },
  { pattern: /\bprocess\.exi[t]\(/, in: isLibrary, instead: 'throw: only the CLI ends the process' },
  {
    pattern: /\bDate\.no[w]\(/,
    in: isSourceOf('core', 'modules-'),
    instead: 'the clock of the thread: wall time jumps, and tests replace the clock',
  },
  {
    pattern: /\bset(Interva[l])\(/,
    in: isSourceOf('core', 'modules-'),
    instead: 'a poller: it ends with its thread and runs on a fake clock',
  },
  { pattern: /\bnew Buffer\(|\bBuffer\.allocUnsafeSlo[w]\(/, in: isCode, instead: 'Buffer.alloc, or memory of the DMA heap' },
  {
    pattern: /\b(it|test|describe|suite)(\.\w+)*\.(onl[y]|ski[p]|tod[o])\b/,
    in: isTest,
    instead: 'run it, or delete it; where a program is missing: it.skipIf(…), which BDEVKIT_REQUIRE_TOOLS turns into a failure',
  },
  {
    pattern: /\bslee[p]\(|\bsetTimeout\(\s*(r|res|resolve|done)\s*[,)]|timers\/promise[s]/,
    in: file => file.endsWith('.test.ts'),
    instead: 'wait for the event itself, or use a fake clock; where time itself is measured, say so: // tidy: <why>',
  },
]

/** What the data plane may not do per I/O; the code is matched after its types and comments are gone. */
const dataPlaneRules: readonly { pattern: RegExp; rule: string }[] = [
  { pattern: /\b(await|async)\b/, rule: 'promise' },
  // A class field is bound once per object, and so is what stands at column 0.
  { pattern: /^(?!  (static )?#?\w+ = [^;]*=>)\s.*(=>|\bfunction\b)/, rule: 'closure inside a function' },
  { pattern: /\.(map|filter|forEach|reduce|flatMap|concat)\(/, rule: 'array method that allocates or calls a closure' },
  { pattern: /\.\.\.\w/, rule: 'spread' },
  { pattern: /\.(subarray|slice)\(/, rule: 'a new view' },
]

/** Whether the line, or a comment line above it, gives a reason: `// cold: …`, `// tidy: …`. */
function excused(lines: readonly string[], index: number, word: 'cold' | 'tidy'): boolean {
  const reason = new RegExp(`// ${word}: \\S`)
  const above = lines[index - 1] ?? ''
  return reason.test(lines[index] ?? '') || (above.trim().startsWith('//') && reason.test(above))
}

function checkDataPlane(file: string, lines: readonly string[]): Finding[] {
  const options = { loader: 'ts', target: 'es2022', sourcemap: 'external', sourcefile: file } as const
  const { code, map } = transformSync(lines.join('\n'), options)
  const sourceMap = new SourceMap(JSON.parse(map) as SourceMapPayload)
  return code.split('\n').flatMap((printed, i) => {
    // esbuild keeps the comments of class members.
    const bare = /^\s*(\/?\*|\/\/)/.test(printed) ? '' : printed.replace(/(["'`])(?:\\.|(?!\1).)*\1/g, '""')
    const broken = dataPlaneRules.filter(({ pattern }) => pattern.test(bare))
    if (broken.length === 0) return []
    const entry = sourceMap.findEntry(i, bare.search(/\S/))
    const line = 'originalLine' in entry ? entry.originalLine : 0
    if (excused(lines, line, 'cold')) return []
    const text = (lines[line] ?? printed).trim()
    const rule = `data plane: ${broken.map(({ rule }) => rule).join(', ')}; where it does not run per I/O, say so: // cold: <why>`
    return [{ file, line: line + 1, text, rule }]
  })
}

/** Everything that the house rules find in one file; `file` is its path from the root. */
export function tidy(file: string, content: string): Finding[] {
  const lines = content.split('\n')
  const at = (line: number, rule: string): Finding => ({ file, line, text: (lines[line - 1] ?? '').trim().slice(0, 100), rule })
  const findings = lineRules
    .filter(rule => rule.in(file) && !isKernel(file))
    .flatMap(({ pattern, instead }) => {
      const broken = (line: string, i: number): boolean => pattern.test(line) && !excused(lines, i, 'tidy')
      return lines.flatMap((line, i) => (broken(line, i) ? [at(i + 1, instead)] : []))
    })
  if (!isCode(file)) return findings

  const first = lines[0]?.startsWith('#!') ? 1 : 0
  if (lines[first] !== '// SPDX-License-Identifier: Apache-2.0') {
    findings.push(at(first + 1, 'line 1 is "// SPDX-License-Identifier: Apache-2.0"'))
  }
  lines.forEach((line, i) => {
    if (line.length > LINE_LENGTH_MAX && !MESSAGE.test(line)) findings.push(at(i + 1, `${line.length} characters; at most ${LINE_LENGTH_MAX}`))
  })
  if (isSource(file) && lines.length > SOURCE_LINES_MAX) {
    findings.push(at(lines.length, `${lines.length} lines; past ${SOURCE_LINES_MAX} ask what the file is about, and split it`))
  }
  if (lines[first + 1] === '// data plane') findings.push(...checkDataPlane(file, lines))
  return findings
}

export function describeFinding({ file, line, text, rule }: Finding): string {
  return `${file}:${line}: ${text}\n    ${rule}`
}
