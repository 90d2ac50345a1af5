// SPDX-License-Identifier: Apache-2.0
// What the model writes into a block, and reads there again.

export const BLOCK_BYTES = 4096

/** A block that says what it is, all over. */
export function stamp(buf: Uint8Array, index: number, at: number, version: number): void {
  const words = new Uint32Array(buf.buffer, buf.byteOffset + index * BLOCK_BYTES, BLOCK_BYTES / 4)
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(version * 4096 + at + 1, 0x9e37_79b1) + i
}

/** Which version a block is, whole; `undefined` for none. */
export function versionOf(buf: Uint8Array, index: number, at: number): number | undefined {
  const words = new Uint32Array(buf.buffer, buf.byteOffset + index * BLOCK_BYTES, BLOCK_BYTES / 4)
  const first = words[0]!
  if (words.every(word => word === 0)) return 0
  for (let i = 1; i < words.length; i++) if (words[i] !== (first + i) >>> 0) return undefined
  const key = Math.imul(first, INVERSE) >>> 0
  const version = (key - at - 1) / 4096
  return Number.isInteger(version) ? version : undefined
}

/** Inverse of the multiplier of `stamp`, modulo 2^32. */
const INVERSE = ((): number => {
  let inverse = 1
  for (let i = 0; i < 5; i++) inverse = Math.imul(inverse, 2 - Math.imul(0x9e37_79b1, inverse))
  return inverse
})()
