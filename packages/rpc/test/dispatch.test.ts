// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dispatch } from '../src/dispatch.js'
import { JsonSplitter, JsonSplitError } from '../src/json-splitter.js'
import { JsonSyntaxError } from '../src/json-parse.js'
import { deferred, echoRegistry } from './support.js'

const { registry } = echoRegistry()

/** The answer to one value, without its newline; `null` when nothing is sent. */
function answerTo(request: unknown, to = registry): Promise<string | null> {
  const bytes = Buffer.from(typeof request === 'string' ? request : JSON.stringify(request))
  return new Promise(resolve =>
    dispatch(to, bytes, text => {
      expect(text === undefined || text.endsWith('\n')).toBe(true)
      resolve(text === undefined ? null : text.slice(0, -1))
    }),
  )
}

const error = (id: string, code: number, message: string) =>
  `{"jsonrpc":"2.0","id":${id},"error":{"code":${code},"message":"${message}"}}`
const INVALID = error('null', -32600, 'Invalid request')

describe('a request', () => {
  it('is answered with its members in order', async () => {
    expect(await answerTo({ params: { a: 1, b: 2 }, method: 'sum', id: 9 })).toBe('{"jsonrpc":"2.0","id":9,"result":3}')
  })

  it.each([
    ['a number', '5'],
    ['a string', '"x"'],
    ['null', 'null'],
    ['another version', '{"jsonrpc":"1.0","id":1,"method":"later"}'],
    ['a version that is a number', '{"jsonrpc":2.0,"id":1,"method":"later"}'],
    ['no method', '{"jsonrpc":"2.0","id":1}'],
    ['a method that is no string', '{"id":1,"method":["later"]}'],
    ['an id that is an object', '{"id":{},"method":"later"}'],
    ['an id that is a boolean', '{"id":true,"method":"later"}'],
    ['a further member', '{"id":1,"method":"later","foo":1}'],
    ['a member named __proto__', '{"id":1,"method":"later","__proto__":{}}'],
    ['a member twice', '{"id":1,"id":1,"method":"later"}'],
    ['an empty array', '[]'],
  ])('that is %s is invalid, answered with id null', async (_name, request) => {
    expect(await answerTo(request)).toBe(INVALID)
  })

  it('with params that are a string is invalid under its own id', async () => {
    expect(await answerTo('{"id":1,"method":"echo","params":"x"}')).toBe(error('1', -32600, 'Invalid request'))
  })

  it('gets its id back as it was written', async () => {
    for (const id of ['1', '1.50', '1e3', '12345678901234567890', '-0', '"abc"', '""']) {
      expect(await answerTo(`{"id":${id},"method":"later"}`)).toBe(`{"jsonrpc":"2.0","id":${id},"result":"later"}`)
    }
    expect(await answerTo('{"id":"\\u00e9\\n\u{1f600}","method":"later"}')).toContain('"id":"\\u00E9\\n\\uD83D\\uDE00",')
  })

  it('without id, or with id null, is a notification: only errors are sent', async () => {
    expect(await answerTo('{"method":"later"}')).toBeNull()
    expect(await answerTo('{"id":null,"method":"later"}')).toBeNull()
    expect(await answerTo('{"method":"nope"}')).toBe(error('null', -32601, 'Method not found'))
    expect(await answerTo('{"method":"nodev"}')).toBe(error('null', -19, 'No such device'))
  })

  it('takes null params for none', async () => {
    expect(await answerTo('{"id":1,"method":"later","params":null}')).toContain('"result":"later"')
    expect(await answerTo('{"id":1,"method":"later","params":{}}')).toBe(error('1', -32602, 'later requires no parameters'))
  })

  it('answers true where a handler returns nothing, and an internal error where its result is no JSON', async () => {
    const { registry: own, log } = echoRegistry()
    own.register('nothing', { states: 'any' }, () => undefined)
    own.register('function', { states: 'any' }, () => () => undefined)
    own.register('bigint', { states: 'any' }, () => 1n)
    own.register('cycle', { states: 'any' }, () => {
      const cycle: { self?: object } = {}
      cycle.self = cycle
      return cycle
    })
    expect(await answerTo('{"id":1,"method":"nothing"}', own)).toContain('"result":true')
    for (const method of ['function', 'bigint', 'cycle']) {
      expect(await answerTo(`{"id":1,"method":"${method}"}`, own)).toBe(error('1', -32603, 'Internal error'))
    }
    expect(log.lines).toHaveLength(3)
  })
})

describe('a batch', () => {
  it('starts its elements in order and lists their answers as they complete', async () => {
    const { registry: own } = echoRegistry()
    const started: number[] = []
    const gates = [deferred<number>(), deferred<number>(), deferred<number>()]
    own.register(
      'wait',
      { states: 'any', params: { type: 'object', properties: { n: { type: 'integer' } } } },
      ({ n }: { n: number }) => {
        started.push(n)
        return gates[n]?.promise
      },
    )
    const answer = answerTo(
      [0, 1, 2].map(n => ({ id: n, method: 'wait', params: { n } })),
      own,
    )
    expect(started).toEqual([0, 1, 2])
    for (const n of [2, 0, 1]) {
      gates[n]?.resolve(n)
      await gates[n]?.promise
    }
    expect((JSON.parse((await answer) as string) as { id: number }[]).map(({ id }) => id)).toEqual([2, 0, 1])
  })

  it('answers an invalid element by itself, a nested array among them', async () => {
    expect(await answerTo('[1,[],{"id":1,"method":"later"}]')).toBe(
      `[${INVALID},${INVALID},{"jsonrpc":"2.0","id":1,"result":"later"}]`,
    )
  })

  it('of nothing but notifications is not answered', async () => {
    expect(await answerTo('[{"method":"later"},{"method":"sum","params":{"a":1,"b":2},"id":null}]')).toBeNull()
  })

  it('keeps the flaws of one element to that element', async () => {
    const doubled = '{"id":3,"method":"sum","params":{"a":1,"a":1,"b":2}}'
    const answer = await answerTo(`[{"id":1,"id":2,"method":"later"},${doubled},{"id":4,"method":"sum","params":{"a":1,"b":2}}]`)
    expect(answer).toBe(
      `[${INVALID},${error('3', -32603, 'spdk_json_decode_object failed')},{"jsonrpc":"2.0","id":4,"result":3}]`,
    )
  })
})

describe('dispatcher and splitter', () => {
  // Pieces of requests: random text reaches nothing but the first check.
  const plain = fc.constantFrom(1, 'x', null, 1e300, '__proto__', -0.5, true, [], {}, [[1]], { a: { a: 1 } }, '\ud800', 'é')
  const value = fc.oneof({ weight: 9, arbitrary: plain }, { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) })
  const params = fc.oneof(
    fc.dictionary(fc.constantFrom('a', 'b', 'c', '__proto__', 'constructor'), value),
    fc.array(value),
    value,
  )
  const request = fc.record(
    {
      jsonrpc: fc.constantFrom('2.0', '1.0', 2, null),
      id: fc.oneof(fc.integer(), fc.string(), fc.double(), fc.constantFrom(null, {}, true)),
      method: fc.oneof(fc.constantFrom('echo', 'sum', 'later', 'nodev', 'bug', 'nope', 'constructor'), fc.string(), fc.integer()),
      params,
    },
    { requiredKeys: [] },
  )
  const message = fc.oneof(request, fc.array(fc.oneof(request, value), { maxLength: 4 }), value)
  const damage = fc.tuple(fc.nat(), fc.constantFrom('', '"', '}', '[', ',', '\u0000', '\\', '9', '/*', 'null'), fc.nat(3))

  it('answer or close, and never do anything else, whatever they read', { timeout: 30_000 }, async () => {
    let answers = 0
    let runs = 0
    let pending = 0
    fc.assert(
      fc.property(fc.array(message, { maxLength: 3 }), fc.option(damage, { freq: 2 }), fc.nat(), (messages, harm, cut) => {
        let text = messages.map(one => JSON.stringify(one)).join('')
        if (harm !== null) {
          const [place, insert, remove] = harm
          const at = place % (text.length + 1)
          text = text.slice(0, at) + insert + text.slice(at + remove)
        }
        const bytes = Buffer.from(text)
        const splitter = new JsonSplitter()
        const onValue = (one: Uint8Array) => {
          pending++
          let ended = false
          try {
            dispatch(registry, one, answer => {
              if (ended) throw new Error('answered twice')
              ended = true
              pending--
              if (answer === undefined) return
              answers++
              if (!answer.endsWith('\n') || /[^ -~\n]/.test(answer)) throw new Error(`no line of ASCII: ${answer}`)
              for (const part of [JSON.parse(answer) as object].flat()) {
                const names = Object.keys(part).join()
                if (names !== 'jsonrpc,id,result' && names !== 'jsonrpc,id,error') throw new Error(answer)
              }
            })
          } catch (thrown) {
            pending--
            throw thrown
          }
        }
        runs++
        try {
          const at = cut % (bytes.length + 1)
          splitter.push(bytes.subarray(0, at), onValue)
          splitter.push(bytes.subarray(at), onValue)
          splitter.endNumber(onValue)
        } catch (thrown) {
          if (!(thrown instanceof JsonSplitError || thrown instanceof JsonSyntaxError)) throw thrown
          // Bytes nobody harmed are JSON, but for values that touch: 1 and 2 make 12, which is a number again.
          if (harm === null && !/[\d.e+-]{2}|[a-z"]\d|\d[a-z"]/.test(text)) throw thrown
        }
      }),
      { numRuns: 20_000 },
    )
    await answerTo('{"id":1,"method":"later"}')
    expect(runs).toBeGreaterThanOrEqual(20_000)
    expect(answers).toBeGreaterThan(5_000)
    expect(pending).toBe(0)
  })
})
