// SPDX-License-Identifier: Apache-2.0
import { NESTING_DEPTH_MAX } from './limits.js'

/** A JSON value as plain JavaScript. */
export type Json = null | boolean | number | string | Json[] | JsonObject
/** A JSON object as plain JavaScript. */
export type JsonObject = { [name: string]: Json }

/** Member names and array indexes from the top value to a place inside it. */
export type JsonPath = readonly (string | number)[]

/** What is well-formed JSON and yet no request or configuration can use: it is reported by name, not lost in rounding. */
export interface JsonFlaw {
  readonly kind: 'duplicate-name' | 'unsafe-integer'
  readonly path: JsonPath
  /** The number as written, or the name that stands twice. */
  readonly text: string
  /** UTF-16 offset in the text. */
  readonly offset: number
}

/** Options of {@link parseJson}. */
export interface JsonParseOptions {
  /** Accept comments (`//` to the end of the line and C's block comments), as SPDK does in configuration files. Default false. */
  readonly comments?: boolean
  /** Values allowed, names and container ends counted as SPDK counts. Default: no limit. */
  readonly valuesMax?: number
  /** Containers inside one another. Default {@link NESTING_DEPTH_MAX}. */
  readonly depthMax?: number
}

/** Result of {@link parseJson}. */
export interface JsonDocument {
  readonly value: Json
  /** The decoded text; offsets count its UTF-16 units. */
  readonly text: string
  readonly flaws: readonly JsonFlaw[]
  /**
   * The member `id` of the top object (index 0) or of each element of the top array, as it was written, where it is a number:
   * an answer repeats it digit by digit, also beyond 2^53.
   */
  readonly idTexts: ReadonlyMap<number, string>
  /** Where each object and array starts. */
  readonly offsets: ReadonlyMap<object, number>
  /** Where the value of a member or element starts, by its container. */
  readonly memberOffsets: ReadonlyMap<object, ReadonlyMap<string | number, number>>
}

/** The text is no JSON. */
export class JsonSyntaxError extends Error {
  override readonly name = 'JsonSyntaxError'
  readonly code = 'BDEV_E_JSON'
  /** UTF-16 offset of the offending character; 0 for bytes that are not UTF-8. */
  readonly offset: number

  constructor(message: string, offset: number) {
    super(message)
    this.offset = offset
  }
}

// Both stop at the first place that does not match, so neither can backtrack into more than linear time.
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y
const PLAIN_STRING = /[^"\\\u0000-\u001f]*/y
const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', '/': '/', '"': '"', '\\': '\\' }

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Parses one JSON text strictly: UTF-8 only, no trailing comma, no text after the value, lone surrogates refused.
 * Duplicate names and integers beyond 2^53-1 are flaws of the document and left to the caller, for on the wire they are an
 * invalid request or parameter while other syntax closes the connection. Integral numbers in exponent or fraction form
 * (`1e3`, `2048.0`) are integers, as in SPDK.
 * @throws JsonSyntaxError naming what was expected and found, with the offset.
 */
export function parseJson(source: string | Uint8Array, options: JsonParseOptions = {}): JsonDocument {
  let text: string
  if (typeof source === 'string') text = source
  else {
    try {
      text = utf8.decode(source)
    } catch {
      throw new JsonSyntaxError('wanted UTF-8, found bytes that are none', 0)
    }
  }
  return new Parser(text, options).document()
}

class Parser {
  readonly #text: string
  readonly #comments: boolean
  readonly #valuesMax: number
  readonly #depthMax: number
  #at = 0
  #values = 0
  #depth = 0
  readonly #path: (string | number)[] = []
  readonly #flaws: JsonFlaw[] = []
  readonly #idTexts = new Map<number, string>()
  readonly #offsets = new Map<object, number>()
  readonly #memberOffsets = new Map<object, ReadonlyMap<string | number, number>>()

  constructor(text: string, options: JsonParseOptions) {
    this.#text = text
    this.#comments = options.comments ?? false
    this.#valuesMax = options.valuesMax ?? Infinity
    this.#depthMax = options.depthMax ?? NESTING_DEPTH_MAX
  }

  document(): JsonDocument {
    this.#skip()
    const value = this.#value()
    this.#skip()
    if (this.#at < this.#text.length) this.#expected('the end')
    return {
      value,
      text: this.#text,
      flaws: this.#flaws,
      idTexts: this.#idTexts,
      offsets: this.#offsets,
      memberOffsets: this.#memberOffsets,
    }
  }

  #value(): Json {
    this.#count()
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object()
      case '[':
        return this.#array()
      case '"':
        return this.#string()
      case 't':
        return this.#word('true', true)
      case 'f':
        return this.#word('false', false)
      case 'n':
        return this.#word('null', null)
      default:
        return this.#number()
    }
  }

  #object(): JsonObject {
    const object: JsonObject = {}
    const members = this.#enter(object)
    if (this.#text[this.#at] === '}') return this.#leave(object)
    for (;;) {
      const nameAt = this.#at
      if (this.#text[this.#at] !== '"') this.#expected('a name in double quotes')
      this.#count()
      const name = this.#string()
      this.#skip()
      this.#take(':')
      this.#skip()
      this.#path.push(name)
      if (members.has(name)) this.#flaw('duplicate-name', name, nameAt)
      else members.set(name, this.#at)
      const value = this.#value()
      this.#path.pop()
      if (name !== '__proto__') object[name] = value
      else Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true })
      this.#skip()
      if (this.#text[this.#at] === '}') return this.#leave(object)
      this.#take(',', "',' or '}'")
      this.#skip()
    }
  }

  #array(): Json[] {
    const array: Json[] = []
    const members = this.#enter(array)
    if (this.#text[this.#at] === ']') return this.#leave(array)
    for (;;) {
      this.#path.push(array.length)
      members.set(array.length, this.#at)
      const value = this.#value()
      this.#path.pop()
      array.push(value)
      this.#skip()
      if (this.#text[this.#at] === ']') return this.#leave(array)
      this.#take(',', "',' or ']'")
      this.#skip()
    }
  }

  #enter(container: object): Map<string | number, number> {
    if (++this.#depth > this.#depthMax) {
      throw new JsonSyntaxError(`wanted at most ${this.#depthMax} containers inside one another, found more`, this.#at)
    }
    this.#offsets.set(container, this.#at)
    const members = new Map<string | number, number>()
    this.#memberOffsets.set(container, members)
    this.#at++
    this.#skip()
    return members
  }

  #leave<T>(container: T): T {
    this.#depth--
    this.#at++
    this.#count()
    return container
  }

  #string(): string {
    let result = ''
    const start = this.#at++
    for (;;) {
      PLAIN_STRING.lastIndex = this.#at
      PLAIN_STRING.test(this.#text)
      const end = PLAIN_STRING.lastIndex
      result += this.#text.slice(this.#at, end)
      this.#at = end
      const char = this.#text[end]
      if (char === '"') {
        this.#at++
        return result
      }
      if (char === undefined) throw new JsonSyntaxError('wanted the end of a string, found the end of the text', start)
      if (char !== '\\') this.#expected('no control character in a string')
      result += this.#escape()
    }
  }

  #escape(): string {
    const char = this.#text[this.#at + 1] ?? ''
    const plain = ESCAPES[char]
    if (plain !== undefined) {
      this.#at += 2
      return plain
    }
    const unit = this.#hexUnit()
    if (unit < 0xd800 || unit > 0xdfff) return String.fromCharCode(unit)
    const low = unit < 0xdc00 && this.#text[this.#at] === '\\' ? this.#hexUnit() : 0
    if (low < 0xdc00 || low > 0xdfff) this.#expected('the second half of a surrogate pair')
    return String.fromCharCode(unit, low)
  }

  #hexUnit(): number {
    const digits = this.#text.slice(this.#at + 2, this.#at + 6)
    if (this.#text[this.#at + 1] !== 'u' || !/^[0-9a-fA-F]{4}$/.test(digits)) this.#expected('an escape of JSON')
    this.#at += 6
    return Number.parseInt(digits, 16)
  }

  #number(): number {
    NUMBER.lastIndex = this.#at
    if (!NUMBER.test(this.#text)) this.#expected('a value')
    const start = this.#at
    this.#at = NUMBER.lastIndex
    const text = this.#text.slice(start, this.#at)
    const number = Number(text)
    const path = this.#path
    if (path[path.length - 1] === 'id' && (path.length === 1 || (path.length === 2 && typeof path[0] === 'number'))) {
      this.#idTexts.set(path.length === 1 ? 0 : (path[0] as number), text)
    }
    // A double beyond 2^53 has no fraction: whatever was written there, the value is not what was meant.
    if (!Number.isSafeInteger(number) && (Number.isInteger(number) || !Number.isFinite(number))) {
      this.#flaw('unsafe-integer', text, start)
    }
    return number === 0 ? 0 : number // -0 is 0
  }

  #word<T extends Json>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#expected('a value')
    this.#at += word.length
    return value
  }

  #skip(): void {
    for (;;) {
      const char = this.#text[this.#at]
      if (char === ' ' || char === '\n' || char === '\t' || char === '\r') this.#at++
      else if (char === '/' && this.#comments) this.#comment()
      else return
    }
  }

  #comment(): void {
    const start = this.#at
    const kind = this.#text[start + 1]
    if (kind === '*') {
      const end = this.#text.indexOf('*/', start + 2)
      if (end < 0) throw new JsonSyntaxError("wanted the end '*/' of a comment, found the end of the text", start)
      this.#at = end + 2
    } else if (kind === '/') {
      while (this.#at < this.#text.length && this.#text[this.#at] !== '\n' && this.#text[this.#at] !== '\r') this.#at++
    } else {
      this.#expected('a value or a comment')
    }
  }

  #count(): void {
    if (++this.#values > this.#valuesMax) {
      throw new JsonSyntaxError(`wanted at most ${this.#valuesMax} values, found more`, this.#at)
    }
  }

  #flaw(kind: JsonFlaw['kind'], text: string, offset: number): void {
    this.#flaws.push({ kind, path: [...this.#path], text, offset })
  }

  #take(char: string, wanted = `'${char}'`): void {
    if (this.#text[this.#at] !== char) this.#expected(wanted)
    this.#at++
  }

  #expected(wanted: string): never {
    const char = this.#text[this.#at]
    const found = char === undefined ? 'the end of the text' : JSON.stringify(char)
    throw new JsonSyntaxError(`wanted ${wanted}, found ${found}`, this.#at)
  }
}

/** Line and column, both from 1, of a UTF-16 offset. */
export function lineAndColumn(text: string, offset: number): { line: number; column: number } {
  let line = 1
  let start = 0
  for (let at = text.indexOf('\n'); at >= 0 && at < offset; at = text.indexOf('\n', at + 1)) {
    line++
    start = at + 1
  }
  return { line, column: offset - start + 1 }
}

/** `params.base_bdevs[1]` for `['params', 'base_bdevs', 1]`. */
export function pathText(path: JsonPath): string {
  let text = ''
  for (const step of path) text += typeof step === 'number' ? `[${step}]` : text === '' ? step : `.${step}`
  return text
}
