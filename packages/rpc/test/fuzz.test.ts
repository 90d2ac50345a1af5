// SPDX-License-Identifier: Apache-2.0
// Bytes that nobody meant, for the splitter and the dispatcher: nothing is thrown that is not theirs, every value is answered once.
// BDEVKIT_FUZZ_INPUTS says how many inputs; BDEVKIT_FUZZ_SEED repeats a run.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dispatch } from '../src/dispatch.js'
import { JsonSyntaxError } from '../src/json-parse.js'
import { JsonSplitError, JsonSplitter } from '../src/json-splitter.js'
import { echoRegistry } from './support.js'

const INPUTS = Number(process.env['BDEVKIT_FUZZ_INPUTS'] ?? 4000)
const seed = process.env['BDEVKIT_FUZZ_SEED']
const options = (share: number): fc.Parameters<any> => ({
  numRuns: Math.max(1, Math.round(INPUTS * share)),
  ...(seed === undefined ? {} : { seed: Number(seed) }),
})

/** Pieces of requests, so that mutations get past the first byte. */
const PIECES = [
  ...[
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    '\\u00e9',
    '\\ud800',
    'null',
    'true',
    '1',
    '-',
    '1e3',
    '1e999',
    '9007199254740993',
    ' ',
    '\n',
  ],
  ...[
    '"jsonrpc":"2.0"',
    '"id":1',
    '"id":"x"',
    '"id":{}',
    '"method":"echo"',
    '"method":"sum"',
    '"method":"bug"',
    '"method":"later"',
  ],
  ...[
    '"params":{"a":1,"b":2}',
    '"params":[1]',
    '"params":{"__proto__":1}',
    '"a":1,"a":2',
    '/* c */',
    '\u0000',
    '{"jsonrpc":"2.0","id":1,"method":"echo"}',
  ],
]
const soup = fc
  .array(fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...PIECES) }, fc.string({ maxLength: 8 })), { maxLength: 24 })
  .map(parts => parts.join(''))
const json = fc.jsonValue({ maxDepth: 4 }).map(value => JSON.stringify(value))
const envelope = fc
  .record(
    {
      jsonrpc: fc.constantFrom('2.0', '1.0', 2),
      id: fc.oneof(fc.integer(), fc.string(), fc.constantFrom(null, true, 1.5)),
      method: fc.oneof(fc.constantFrom('echo', 'sum', 'later', 'nodev', 'bug'), fc.string()),
      params: fc.jsonValue({ maxDepth: 3 }),
    },
    { requiredKeys: [] },
  )
  .map(value => JSON.stringify(value))
const text = fc.oneof(
  soup,
  json,
  envelope,
  fc.array(envelope, { maxLength: 4 }).map(all => `[${all.join(',')}]`),
)
const bytes = fc.oneof(
  text.map(value => new Uint8Array(Buffer.from(value))),
  fc.uint8Array({ maxLength: 64 }),
)

/** The values of a stream that comes in these chunks; undefined for one that the splitter refuses. */
function split(chunks: readonly Uint8Array[]): string[] | undefined {
  const splitter = new JsonSplitter({ valueBytesMax: 4096 })
  const values: string[] = []
  try {
    for (const chunk of chunks) splitter.push(chunk, value => void values.push(Buffer.from(value).toString('latin1')))
    return values
  } catch (thrown) {
    if (!(thrown instanceof JsonSplitError)) throw thrown
    return undefined
  }
}

describe('whatever comes', () => {
  it('is cut the same way however it is chunked, or refused', () => {
    fc.assert(
      fc.property(bytes, fc.array(fc.nat(64), { maxLength: 6 }), (stream, cuts) => {
        const chunks: Uint8Array[] = []
        let at = 0
        for (const length of cuts) {
          chunks.push(stream.subarray(at, at + length))
          at += length
        }
        chunks.push(stream.subarray(at))
        expect(split(chunks)).toEqual(split([stream]))
      }),
      options(0.5),
    )
  })

  it('is answered once per value, with one line of JSON, or found to be no JSON', async () => {
    const { registry } = echoRegistry()
    let open = 0
    await fc.assert(
      fc.asyncProperty(bytes, async stream => {
        const answers: (string | undefined)[] = []
        const values: Uint8Array[] = []
        try {
          new JsonSplitter().push(stream, value => void values.push(Uint8Array.from(value)))
        } catch (thrown) {
          if (!(thrown instanceof JsonSplitError)) throw thrown
        }
        let parsed = 0
        for (const value of values) {
          open++
          try {
            dispatch(registry, value, answer => {
              open--
              answers.push(answer)
            })
            parsed++
          } catch (thrown) {
            if (!(thrown instanceof JsonSyntaxError)) throw thrown
            open--
          }
        }
        // 'later' takes two turns of the microtask queue.
        for (let turn = 0; turn < 8; turn++) await Promise.resolve()
        expect(answers).toHaveLength(parsed)
        for (const answer of answers) {
          if (answer === undefined) continue
          expect(answer.endsWith('\n')).toBe(true)
          expect(() => JSON.parse(answer) as unknown).not.toThrow()
        }
      }),
      options(0.5),
    )
    expect(open).toBe(0)
  }, 600_000)
})
