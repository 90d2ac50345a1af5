// SPDX-License-Identifier: Apache-2.0
// The code fences of a Markdown text, and the commands inside its `sh` fences.

export interface Fence {
  readonly file: string
  /** Line of the opening fence, counted from 1. */
  readonly line: number
  /** The word after the backticks; empty where there is none. */
  readonly language: string
  readonly code: string
}

export function fencesOf(file: string, markdown: string): Fence[] {
  const fences: Fence[] = []
  let open: { line: number; indent: string; marks: string; language: string; code: string[] } | undefined
  markdown.split('\n').forEach((text, i) => {
    const mark = /^(\s*)(`{3,})\s*(\S*)/.exec(text)
    if (open === undefined) {
      if (mark) open = { line: i + 1, indent: mark[1] ?? '', marks: mark[2] ?? '', language: mark[3] ?? '', code: [] }
    } else if (mark && mark[2] === open.marks && mark[3] === '') {
      fences.push({ file, line: open.line, language: open.language, code: open.code.join('\n') })
      open = undefined
    } else {
      open.code.push(text.startsWith(open.indent) ? text.slice(open.indent.length) : text)
    }
  })
  if (open !== undefined) throw new Error(`${file}:${open.line}: this fence is never closed`)
  return fences
}

/** The commands of a shell text, each as its words; quoted text becomes one word, comments and assignments are gone. */
export function commandsOf(shell: string): string[][] {
  const joined = shell.replace(/\\\n/g, ' ')
  const tokens = /(#.*$)|(\|\||&&|[|;&\n])|((?:'[^']*'|"[^"]*"|\\.|[^\s'"|;&])+)/gm
  const commands: string[][] = [[]]
  for (const [, , separator, word] of joined.matchAll(tokens)) {
    if (separator !== undefined) commands.push([])
    else if (word !== undefined) commands.at(-1)?.push(word)
  }
  return commands
    .map(words => words.slice(words.findIndex(word => !/^\w+=/.test(word) && word !== '$' && word !== 'sudo')))
    .filter(words => words.length > 0)
}
