// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { read, repositoryFiles } from '../repository.js'
import { LINE_LENGTH_MAX, SOURCE_LINES_MAX, describeFinding, isText, tidy } from '../tidy.js'

const spdx = '// SPDX-License-Identifier: Apache-2.0\n'

describe('tidy', () => {
  it('finds nothing in the repository', () => {
    const text = repositoryFiles().filter(isText)
    expect(text.length).toBeGreaterThan(50)
    expect(text.flatMap(file => tidy(file, read(file))).map(describeFinding)).toEqual([])
  })

  // The words stand in two halves, so that the rules do not find them in this file.
  it.each([
    ['a machine path in docs', 'docs/a.md', `see ${'/wor'}k/x`],
    ['a temporary path in code', 'packages/core/src/a.ts', `${spdx}const a = '${'/tm'}p/x'`],
    ['work put off', 'packages/core/src/a.ts', `${spdx}// ${'TOD'}O later`],
    ['an ignored type error', 'packages/core/src/a.ts', `${spdx}// @ts-${'ignore'}`],
    ['an enum', 'packages/core/src/a.ts', `${spdx}export const ${'enu'}m A { B }`],
    ['an unseeded random number', 'packages/core/test/a.test.ts', `${spdx}Math.${'rando'}m()`],
    ['a library that prints', 'packages/rpc/src/a.ts', `${spdx}${'consol'}e.log(1)`],
    ['a library that exits', 'packages/rpc/src/a.ts', `${spdx}process.${'exi'}t(1)`],
    ['wall time in core', 'packages/core/src/a.ts', `${spdx}Date.${'no'}w()`],
    ['a test that runs alone', 'packages/core/test/a.test.ts', `${spdx}it.${'onl'}y('x', f)`],
    ['a suite that is off', 'tests/interop/a.test.ts', `${spdx}describe.${'ski'}p('x', f)`],
    ['a sleep in a test', 'tests/interop/a.test.ts', `${spdx}await new Promise(r => ${'setTimeou'}t(r, 10))`],
    ['a missing licence line', 'packages/core/src/a.ts', 'export const a = 1'],
    ['a long line', 'packages/core/src/a.ts', `${spdx}// ${'x'.repeat(LINE_LENGTH_MAX)}`],
    ['a long file', 'packages/core/src/a.ts', spdx + '\n'.repeat(SOURCE_LINES_MAX)],
  ])('refuses %s', (_what, file, content) => {
    expect(tidy(file, content)).toHaveLength(1)
  })

  it.each([
    ['printing in the CLI', 'packages/cli/src/a.ts', `${spdx}${'consol'}e.log(1)`],
    ['a conditional skip', 'tests/interop/a.test.ts', `${spdx}it.skipIf(missing)('x', f)`],
    ['what gives its reason', 'tests/interop/a.test.ts', `${spdx}// tidy: idle time is what it measures\nslee${'p('}9)`],
    ['a deadline in a test', 'tests/interop/a.test.ts', `${spdx}setTimeout(() => child.kill(), 1000)`],
  ])('allows %s', (_what, file, content) => {
    expect(tidy(file, content)).toEqual([])
  })
})

describe('tidy on the data plane', () => {
  const check = (body: string) => tidy('packages/core/src/io/a.ts', `${spdx}// data plane\n${body}`)

  it.each([
    ['await', 'export async function f(p: Promise<void>) {\n  await p\n}', 3],
    ['a closure', 'export function f(io: { cb: () => void }): void {\n  io.cb = () => undefined\n}', 4],
    ['an array method', 'export function f(a: number[]): number[] {\n  return a.map(g)\n}', 4],
    ['spread', 'export function f(a: number[]): number[] {\n  return [...a]\n}', 4],
    ['a new view', 'export function f(a: Uint8Array): Uint8Array {\n  return a.subarray(1)\n}', 4],
  ])('refuses %s and names its line', (_what, body, line) => {
    expect(check(body)[0]?.line).toBe(line)
  })

  it('sees code, not types, comments or strings', () => {
    expect(check('export class A {\n  /** The function table. */\n  b = 1\n  /**\n   * await\n   */\n  c = 1\n}')).toEqual([])
    expect(check('export function f(cb: (n: number) => void): void {\n  // await … =>\n  cb("=> await".length)\n}')).toEqual([])
  })

  it('allows what is bound once per object', () => {
    expect(check('export class A {\n  readonly #bound = (): void => this.f()\n  f(): void {}\n}')).toEqual([])
  })

  it('allows what a comment calls cold', () => {
    expect(check('export function f(a: number[]): number[] {\n  return a.map(g) // cold: at registration\n}')).toEqual([])
    expect(check('export function f(a: number[]): number[] {\n  // cold: at registration\n  return a.map(g)\n}')).toEqual([])
  })
})
