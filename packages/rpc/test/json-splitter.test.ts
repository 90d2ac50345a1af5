// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { JsonSplitter, JsonSplitError } from '../src/json-splitter.js'

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8')

/** Values of a stream cut at the given places; numbers are ended after each chunk, as the server does. */
function split(stream: Uint8Array, cuts: readonly number[] = [], options = {}): string[] {
  const splitter = new JsonSplitter(options)
  const values: string[] = []
  let start = 0
  for (const end of [...cuts, stream.length]) {
    splitter.push(stream.subarray(start, end), value => values.push(text(value)))
    start = end
  }
  splitter.endNumber(value => values.push(text(value)))
  return values
}

function cutsOf(stream: Uint8Array, seed: number[]): number[] {
  return seed.map(place => place % (stream.length + 1)).sort((a, b) => a - b)
}

const failureOf = (stream: string | Uint8Array, options = {}): string => {
  try {
    split(typeof stream === 'string' ? Buffer.from(stream) : stream, [], options)
  } catch (error) {
    expect(error).toBeInstanceOf(JsonSplitError)
    return (error as Error).message
  }
  return 'no failure'
}

describe('JsonSplitter', () => {
  it('gives the same values however the stream is cut', () => {
    const container = fc.oneof(fc.array(fc.jsonValue()), fc.dictionary(fc.string(), fc.jsonValue()), fc.string())
    const space = fc.constantFrom('', ' ', '\n', '\r\n\t ')
    const stream = fc.array(fc.tuple(container, space))
    fc.assert(
      fc.property(stream, fc.array(fc.nat()), fc.boolean(), (parts, seed, indent) => {
        const texts = parts.map(([value]) => JSON.stringify(value, undefined, indent ? 2 : 0))
        const bytes = Buffer.from(parts.map(([, gap], index) => gap + texts[index]).join(''))
        expect(split(bytes, cutsOf(bytes, seed))).toEqual(texts)
      }),
      { numRuns: 200 },
    )
  })

  it('gives one-byte chunks the same values', () => {
    const bytes = Buffer.from('{"a":"}\\"{"}[1,[2]] true"x"null {"b":{}}')
    const cuts = Array.from(bytes.keys())
    expect(split(bytes, cuts)).toEqual(['{"a":"}\\"{"}', '[1,[2]]', 'true', '"x"', 'null', '{"b":{}}'])
  })

  it('delivers a bare number once, whether its end has come or not', () => {
    const values: string[] = []
    const splitter = new JsonSplitter()
    const onValue = (value: Uint8Array) => values.push(text(value))
    splitter.push(Buffer.from('12'), onValue)
    splitter.endNumber(onValue)
    expect(values).toEqual(['12'])
    splitter.push(Buffer.from('34 -'), onValue)
    splitter.endNumber(onValue)
    expect(values).toEqual(['12'])
    splitter.push(Buffer.from('5 {}'), onValue)
    expect(values).toEqual(['12', '-5', '{}'])
  })

  it('delivers the values before the first impossible byte, then refuses everything', () => {
    const values: string[] = []
    const splitter = new JsonSplitter()
    expect(() => splitter.push(Buffer.from('{"a":1} xyz'), value => values.push(text(value)))).toThrow(
      "byte 8 of the stream: wanted JSON, found 'x'",
    )
    expect(values).toEqual(['{"a":1}'])
    expect(() => splitter.push(Buffer.from('{}'), value => values.push(text(value)))).toThrow(JsonSplitError)
    expect(values).toHaveLength(1)
  })

  it.each([
    ['a comment', '{"id":1,/* don"t */"a":1}', "found '/'"],
    ['a bare word', '{"method":bdev}', "found 'b'"],
    ['a wrong word', 'nulk', "found 'k'"],
    ['a wrong bracket', '{"a":[1}', "found '}'"],
    ['a closing bracket at top level', ']', "found ']'"],
    ['a comma at top level', '{},{}', "found ','"],
    ['a plus at top level', '+1', "found '+'"],
    ['a newline in a string', '"a\nb"', 'found a control character in a string'],
    ['a byte that starts no JSON', '\u0000', 'found byte 0x00'],
  ])('refuses %s at its byte', (_name, stream, message) => {
    expect(failureOf(stream)).toContain(message)
  })

  it('refuses the container that is one too deep', () => {
    expect(split(Buffer.from('['.repeat(64) + ']'.repeat(64)))).toHaveLength(1)
    expect(failureOf('['.repeat(65))).toContain('nesting deeper than 64')
  })

  it('holds at most the limit, whitespace included', () => {
    const limit = { valueBytesMax: 16 }
    expect(split(Buffer.from('   "0123456789a"'), [3, 9], limit)).toEqual(['"0123456789a"'])
    expect(failureOf('    "0123456789a"', limit)).toContain('more than 16 bytes without a complete value')
    expect(failureOf(' '.repeat(17), limit)).toContain('more than 16 bytes')
    expect(split(Buffer.from(`${' '.repeat(14)}{}${' '.repeat(14)}{}`), [], limit)).toEqual(['{}', '{}'])
  })

  it('takes hostile bytes in linear time, one byte at a time', () => {
    const limit = { valueBytesMax: 2 ** 18 }
    const hostile = [' '.repeat(2 ** 18), `"${'\\"'.repeat(2 ** 17 - 1)}`, `[${'1,'.repeat(2 ** 17 - 1)}`]
    for (const stream of hostile) {
      const bytes = Buffer.from(stream)
      const splitter = new JsonSplitter(limit)
      const start = performance.now()
      for (let at = 0; at < bytes.length; at++) splitter.push(bytes.subarray(at, at + 1), () => undefined)
      expect(performance.now() - start).toBeLessThan(2_000)
    }
  })

  it('never throws anything but JsonSplitError, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat()), (bytes, seed) => {
        try {
          split(bytes, cutsOf(bytes, seed))
        } catch (error) {
          expect(error).toBeInstanceOf(JsonSplitError)
        }
      }),
      { numRuns: 1_000 },
    )
  })
})
