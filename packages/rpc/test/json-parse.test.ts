// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { JsonSyntaxError, lineAndColumn, parseJson, pathText } from '../src/json-parse.js'

const failureOf = (source: string | Uint8Array, options = {}): JsonSyntaxError => {
  try {
    parseJson(source, options)
  } catch (error) {
    expect(error).toBeInstanceOf(JsonSyntaxError)
    return error as JsonSyntaxError
  }
  throw new Error('it parsed')
}

describe('parseJson', () => {
  it('reads what JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.boolean(), (value, indent) => {
        const json = JSON.stringify(value, undefined, indent ? 2 : 0)
        const { value: parsed, flaws } = parseJson(Buffer.from(json))
        expect(parsed).toEqual(JSON.parse(json))
        expect(flaws.every(flaw => flaw.kind === 'unsafe-integer')).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  it('accepts exactly what JSON.parse accepts', () => {
    const token = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '"\\u00e9"',
      '1',
      '-0.5e1',
      '01',
      'true',
      'null',
      ' ',
      '\n',
      '"\\x"',
      '.',
    )
    fc.assert(
      fc.property(fc.array(token, { maxLength: 8 }), tokens => {
        const json = tokens.join('')
        let expected: unknown
        try {
          expected = JSON.parse(json)
        } catch {
          return void failureOf(json)
        }
        expect(parseJson(json).value).toEqual(expected)
      }),
      { numRuns: 2_000 },
    )
  })

  it('takes integral exponent and fraction forms for integers', () => {
    expect(parseJson('[1e3, 2048.0, 5E+1, -0, 0.5]').value).toEqual([1000, 2048, 50, 0, 0.5])
    expect(parseJson('[1e3, 2048.0]').flaws).toEqual([])
  })

  it('names an integer beyond 2^53-1 instead of rounding it in silence', () => {
    const { flaws } = parseJson('{"params":{"num_blocks":[9007199254740991,9007199254740992,18446744073709551615,1e400]}}')
    expect(flaws.map(({ kind, path, text }) => `${kind} ${pathText(path)} ${text}`)).toEqual([
      'unsafe-integer params.num_blocks[1] 9007199254740992',
      'unsafe-integer params.num_blocks[2] 18446744073709551615',
      'unsafe-integer params.num_blocks[3] 1e400',
    ])
  })

  it('names a name that stands twice', () => {
    const { flaws } = parseJson('{"a":1,"b":{"c":1,"c":2},"\\u0061":3}')
    expect(flaws.map(({ kind, path, offset }) => [kind, pathText(path), offset])).toEqual([
      ['duplicate-name', 'b.c', 18],
      ['duplicate-name', 'a', 25],
    ])
  })

  it('keeps the digits of ids, and only of ids', () => {
    expect([...parseJson('{"id":12345678901234567890,"params":{"id":7}}').idTexts]).toEqual([[0, '12345678901234567890']])
    expect([...parseJson('[{"id":1.0},{"id":"x"},{"a":{"id":3}},{"id":1e3}]').idTexts]).toEqual([
      [0, '1.0'],
      [3, '1e3'],
    ])
  })

  it('makes "__proto__" a plain member', () => {
    const { value } = parseJson('{"__proto__":{"polluted":1}}')
    expect(Object.keys(value as object)).toEqual(['__proto__'])
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
  })

  it('accepts comments only where asked', () => {
    const source = '// first\n{ /* "a": 0, */ "a": 1 // last\r\n} /**/'
    expect(parseJson(source, { comments: true }).value).toEqual({ a: 1 })
    expect(failureOf(source).message).toBe('wanted a value, found "/"')
    expect(failureOf('{}/* open', { comments: true }).message).toContain("wanted the end '*/'")
  })

  it.each([
    ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'wanted UTF-8'],
    ['an overlong sequence', Buffer.from([0x22, 0xc0, 0x80, 0x22]), 'wanted UTF-8'],
    ['half a surrogate pair', '"\\ud800x"', 'wanted the second half of a surrogate pair'],
    ['a lone low surrogate', '"\\udc00"', 'wanted the second half of a surrogate pair'],
    ['a trailing comma', '[1,]', 'wanted a value, found "]"'],
    ['text after the value', '{} {}', 'wanted the end, found "{"'],
    ['an open string', '"abc', 'wanted the end of a string, found the end of the text'],
    ['nothing', '', 'wanted a value, found the end of the text'],
    ['a byte order mark', '\ufeff{}', 'wanted a value'],
  ])('refuses %s', (_name, source, message) => {
    expect(failureOf(source).message).toContain(message)
  })

  it('bounds nesting and the number of values', () => {
    expect(parseJson('['.repeat(64) + ']'.repeat(64)).value).toBeDefined()
    expect(failureOf('['.repeat(65) + ']'.repeat(65)).message).toContain('at most 64 containers')
    // SPDK counts the container, its end, and each name besides the values.
    expect(parseJson('{"a":1}', { valuesMax: 4 }).value).toEqual({ a: 1 })
    expect(failureOf('{"a":1}', { valuesMax: 3 }).message).toContain('at most 3 values')
  })

  it('knows line and column of a failure', () => {
    const source = '{\n  "a": 1,\n  "b": x\n}'
    expect(lineAndColumn(source, failureOf(source).offset)).toEqual({ line: 3, column: 8 })
    expect(lineAndColumn(source, 0)).toEqual({ line: 1, column: 1 })
    expect(lineAndColumn(source, 2)).toEqual({ line: 2, column: 1 })
  })
})
