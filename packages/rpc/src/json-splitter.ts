// SPDX-License-Identifier: Apache-2.0
import { NESTING_DEPTH_MAX, REQUEST_BYTES_MAX } from './limits.js'

// What a byte means outside a string. Everything else there can be in no JSON text and is refused at once, so that a
// comment or a stray quote inside one never makes the splitter wait for an end that will not come.
const BAD = 0
const SPACE = 1
const OPEN = 2
const CLOSE = 3
const QUOTE = 4
const SEPARATOR = 5
const NUMBER = 6
const WORD = 7

const CLASS = new Uint8Array(256)
for (const char of ' \t\r\n') CLASS[char.charCodeAt(0)] = SPACE
for (const char of '{[') CLASS[char.charCodeAt(0)] = OPEN
for (const char of '}]') CLASS[char.charCodeAt(0)] = CLOSE
for (const char of ':,') CLASS[char.charCodeAt(0)] = SEPARATOR
for (const char of 'truefalsn') CLASS[char.charCodeAt(0)] = WORD
for (const char of '0123456789-+.eE') CLASS[char.charCodeAt(0)] = NUMBER // words, with their 'e', are compared letter by letter
CLASS[0x22] = QUOTE

const BACKSLASH = 0x5c
const INITIAL_BYTES = 4096
const WORDS: ReadonlyMap<number, string> = new Map([
  [0x74, 'true'],
  [0x66, 'false'],
  [0x6e, 'null'],
])

// Between two values, or inside one that is a container or string, a number, a word.
const BETWEEN = 0
const CONTAINER = 1
const IN_STRING = 2
const IN_NUMBER = 3
const IN_WORD = 4
const AFTER_EARLY_NUMBER = 5

/** The stream cannot be split any further: `message` says what was found and at which byte. */
export class JsonSplitError extends Error {
  override readonly name = 'JsonSplitError'
  readonly code = 'BDEV_E_JSON'
}

/** Bounds of a {@link JsonSplitter}; the defaults are those of a request. */
export interface JsonSplitterOptions {
  /** Bytes of one value together with the whitespace before it. */
  readonly valueBytesMax?: number
  /** Containers inside one another. */
  readonly depthMax?: number
}

/**
 * Cuts a byte stream into its top-level JSON values. SPDK's wire has no framing but JSON itself: values stand back to back
 * with any whitespace between. Each byte is looked at once, whatever the chunks, and at most `valueBytesMax` are kept.
 * The splitter finds ends; whether a value is well formed is for `parseJson` to say.
 */
export class JsonSplitter {
  readonly #valueBytesMax: number
  readonly #depthMax: number
  readonly #containers: Uint8Array
  #depth = 0
  #state = BETWEEN
  #escaped = false
  #kept: Buffer = Buffer.alloc(0)
  #keptBytes = 0
  #spaceBytes = 0
  #offsetBytes = 0
  #word = ''
  #failure: JsonSplitError | undefined

  constructor(options: JsonSplitterOptions = {}) {
    this.#valueBytesMax = options.valueBytesMax ?? REQUEST_BYTES_MAX
    this.#depthMax = options.depthMax ?? NESTING_DEPTH_MAX
    this.#containers = new Uint8Array(this.#depthMax)
  }

  /** True when an unfinished value is held. */
  get inValue(): boolean {
    return this.#state !== BETWEEN && this.#state !== AFTER_EARLY_NUMBER
  }

  /**
   * Takes the next bytes and calls `onValue` for every value they complete, in order. The bytes of a value belong to the
   * callee only during the call.
   * @throws JsonSplitError at the first byte no JSON text can have there, at a value that is too long or nested too deeply.
   * Values found before it have been delivered; after it the splitter refuses everything.
   */
  push(chunk: Uint8Array, onValue: (value: Uint8Array) => void): void {
    if (this.#failure !== undefined) throw this.#failure
    let start = 0 // first byte of the current value inside this chunk
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number
      if (this.#spaceBytes + this.#keptBytes + at + 1 - start > this.#valueBytesMax && this.inValue) this.#failTooLong(at)
      switch (this.#state) {
        case IN_STRING:
          if (this.#escaped) this.#escaped = false
          else if (byte === BACKSLASH) this.#escaped = true
          else if (byte === 0x22) {
            if (this.#depth > 0) this.#state = CONTAINER
            else start = this.#deliver(chunk, start, at + 1, onValue)
          } else if (byte < 0x20) this.#fail(at, 'a control character in a string')
          break
        case CONTAINER:
          this.#insideContainer(byte, at)
          if (this.#depth === 0) start = this.#deliver(chunk, start, at + 1, onValue)
          break
        case IN_NUMBER:
          if (CLASS[byte] === NUMBER) break
          this.#deliver(chunk, start, at, onValue)
          start = this.#begin(byte, at)
          break
        case IN_WORD:
          if (byte !== this.#word.charCodeAt(0)) this.#fail(at, describe(byte))
          this.#word = this.#word.slice(1)
          if (this.#word === '') start = this.#deliver(chunk, start, at + 1, onValue)
          break
        case AFTER_EARLY_NUMBER:
          if (CLASS[byte] === NUMBER) break
          this.#state = BETWEEN
          start = this.#begin(byte, at)
          break
        default:
          start = this.#begin(byte, at)
      }
    }
    if (this.inValue) this.#keep(chunk, start, chunk.length)
    this.#offsetBytes += chunk.length
  }

  /**
   * Delivers a number that stands at top level and may still grow: unlike every other value it has no last byte of its own.
   * A peer that sent it and waits gets its answer; further digits are swallowed, so the number is delivered once.
   */
  endNumber(onValue: (value: Uint8Array) => void): void {
    const last = this.#keptBytes > 0 ? (this.#kept[this.#keptBytes - 1] as number) : 0
    if (this.#state !== IN_NUMBER || last < 0x30 || last > 0x39) return
    this.#deliver(new Uint8Array(0), 0, 0, onValue)
    this.#state = AFTER_EARLY_NUMBER
  }

  /** Opens a value or counts whitespace; returns where the value starts in the chunk. */
  #begin(byte: number, at: number): number {
    switch (CLASS[byte]) {
      case SPACE:
        this.#spaceBytes++
        if (this.#spaceBytes > this.#valueBytesMax) this.#failTooLong(at)
        return at
      case OPEN:
        this.#state = CONTAINER
        this.#open(byte, at)
        return at
      case QUOTE:
        this.#state = IN_STRING
        return at
      case NUMBER:
        if (byte !== 0x2d && (byte < 0x30 || byte > 0x39)) this.#fail(at, describe(byte))
        this.#state = IN_NUMBER
        return at
      default: {
        const word = WORDS.get(byte)
        if (word === undefined) this.#fail(at, describe(byte))
        this.#state = IN_WORD
        this.#word = word.slice(1)
        return at
      }
    }
  }

  #insideContainer(byte: number, at: number): void {
    switch (CLASS[byte]) {
      case BAD:
        return this.#fail(at, describe(byte))
      case OPEN:
        return this.#open(byte, at)
      case CLOSE:
        // '[' + 2 = ']' and '{' + 2 = '}' in ASCII.
        if ((this.#containers[this.#depth - 1] as number) + 2 !== byte) this.#fail(at, describe(byte))
        this.#depth--
        return
      case QUOTE:
        this.#state = IN_STRING
        return
      default:
    }
  }

  #open(byte: number, at: number): void {
    if (this.#depth === this.#depthMax) this.#fail(at, `nesting deeper than ${this.#depthMax}`)
    this.#containers[this.#depth++] = byte
  }

  /** Hands out the value that ends before `end`; returns where the next one may start. */
  #deliver(chunk: Uint8Array, start: number, end: number, onValue: (value: Uint8Array) => void): number {
    this.#state = BETWEEN
    this.#spaceBytes = 0
    if (this.#keptBytes === 0) {
      onValue(chunk.subarray(start, end))
      return end
    }
    this.#keep(chunk, start, end)
    const value = this.#kept.subarray(0, this.#keptBytes)
    this.#keptBytes = 0
    this.#kept = Buffer.alloc(0)
    onValue(value)
    return end
  }

  #keep(chunk: Uint8Array, start: number, end: number): void {
    const needed = this.#keptBytes + end - start
    if (needed > this.#kept.length) {
      const grown = Buffer.allocUnsafe(Math.max(INITIAL_BYTES, needed, Math.min(this.#kept.length * 2, this.#valueBytesMax)))
      grown.set(this.#kept.subarray(0, this.#keptBytes))
      this.#kept = grown
    }
    this.#kept.set(chunk.subarray(start, end), this.#keptBytes)
    this.#keptBytes = needed
  }

  #failTooLong(at: number): never {
    this.#fail(at, `more than ${this.#valueBytesMax} bytes without a complete value`)
  }

  #fail(at: number, found: string): never {
    this.#failure = new JsonSplitError(`byte ${this.#offsetBytes + at} of the stream: wanted JSON, found ${found}`)
    this.#kept = Buffer.alloc(0)
    this.#keptBytes = 0
    throw this.#failure
  }
}

function describe(byte: number): string {
  return byte > 0x20 && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `byte 0x${byte.toString(16).padStart(2, '0')}`
}
