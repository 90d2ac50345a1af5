// SPDX-License-Identifier: Apache-2.0
import type { BdevHost, DmaBuffer, Iov } from '@bdevkit/module-sdk'

const GAP_BYTES = 64
const GAP_BYTE = 0xa5

/** `lengthBytes` of data that tells where it belongs: each word depends on its byte address on the bdev and on `seed`. */
export function pattern(startByte: number, lengthBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(lengthBytes / 4) * 4)
  const words = new Uint32Array(bytes.buffer)
  const first = Math.floor(startByte / 4)
  for (let i = 0; i < words.length; i++) {
    const word = Math.imul(((first + i) >>> 0) ^ Math.imul(seed, 0x85eb_ca6b), 0x9e37_79b1)
    words[i] = word ^ (word >>> 15)
  }
  return bytes.subarray(0, lengthBytes)
}

/** Index of the first byte that differs, -1 where both are equal. */
export function firstDifference(a: Uint8Array, b: Uint8Array): number {
  if (Buffer.compare(a, b) === 0) return -1
  const shared = Math.min(a.length, b.length)
  for (let i = 0; i < shared; i++) if (a[i] !== b[i]) return i
  return a.length === b.length ? -1 : shared
}

/**
 * A scatter list whose pieces lie in memory in reverse order, with gaps between them that nobody may write: a module that
 * takes the first element for the whole buffer, or runs over an element's end, is seen.
 */
export class Scatter {
  readonly iovs: Iov[]
  readonly lengthBytes: number
  readonly #memory: Uint8Array
  readonly #start: number
  readonly #memoryBytes: number
  readonly #release: () => void

  /**
   * @param alignBytes alignment of each piece, a power of two
   * @param plain ordinary JavaScript memory instead of the DMA heap: legal everywhere
   */
  constructor(host: BdevHost, pieces: readonly number[], alignBytes: number, plain: boolean) {
    const align = Math.max(alignBytes, 1)
    const up = (n: number): number => Math.ceil(n / align) * align
    this.lengthBytes = pieces.reduce((sum, piece) => sum + piece, 0)
    this.#memoryBytes = pieces.reduce((sum, piece) => sum + up(piece) + up(GAP_BYTES), up(GAP_BYTES))
    if (plain) {
      this.#memory = new Uint8Array(this.#memoryBytes)
      this.#start = 0
      this.#release = () => {}
    } else {
      const buffer = allocate(host, this.#memoryBytes, Math.max(align, 64))
      this.#memory = buffer.buf
      this.#start = buffer.off
      this.#release = () => host.dma.free(buffer)
    }
    this.#memory.fill(GAP_BYTE, this.#start, this.#start + this.#memoryBytes)
    this.iovs = host.allocIovs(pieces.length)
    let at = this.#start + this.#memoryBytes
    pieces.forEach((piece, i) => {
      at -= up(piece) + up(GAP_BYTES)
      const iov = this.iovs[i]!
      iov.buf = this.#memory
      iov.off = at
      iov.len = piece
    })
  }

  /** Scatters `bytes` over the pieces. */
  set(bytes: Uint8Array): void {
    let from = 0
    for (const { buf, off, len } of this.iovs) {
      buf.set(bytes.subarray(from, from + len), off)
      from += len
    }
  }

  /** The pieces in a row. */
  get(): Uint8Array {
    const bytes = new Uint8Array(this.lengthBytes)
    let to = 0
    for (const { buf, off, len } of this.iovs) {
      bytes.set(buf.subarray(off, off + len), to)
      to += len
    }
    return bytes
  }

  /** Whether no byte outside of the pieces has changed. */
  gapsIntact(): boolean {
    let at = this.#start + this.#memoryBytes
    for (const { off, len } of this.iovs) { // the first element is the last in memory
      for (let i = off + len; i < at; i++) if (this.#memory[i] !== GAP_BYTE) return false
      at = off
    }
    for (let i = this.#start; i < at; i++) if (this.#memory[i] !== GAP_BYTE) return false
    return true
  }

  /** Gives the memory back. */
  release(): void {
    this.#release()
  }
}

function allocate(host: BdevHost, lengthBytes: number, alignBytes: number): DmaBuffer {
  const buffer = host.dma.alloc(lengthBytes, alignBytes)
  if (buffer === undefined) throw new Error(`conformance kit: the DMA heap has no ${lengthBytes} bytes left`)
  return buffer
}
