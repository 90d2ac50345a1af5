// SPDX-License-Identifier: Apache-2.0
// Each kernel once more in plain TypeScript, as short as it can be said: what the tests compare the kernels with, and
// what runs for a few bytes outside memory 0, where moving them there would cost more than the work.
import type { Iov } from './accel.js'

export function copy(dst: Uint8Array, dstOff: number, src: Uint8Array, srcOff: number, lengthBytes: number): void {
  const bytes = src.slice(srcOff, srcOff + lengthBytes)
  for (let i = 0; i < lengthBytes; i++) dst[dstOff + i] = bytes[i]!
}

export function fill(dst: Uint8Array, off: number, value: number, lengthBytes: number): void {
  for (let i = 0; i < lengthBytes; i++) dst[off + i] = value
}

export function compare(a: Uint8Array, aOff: number, b: Uint8Array, bOff: number, lengthBytes: number): number {
  for (let i = 0; i < lengthBytes; i++) if (a[aOff + i] !== b[bOff + i]) return i
  return -1
}

export function isZero(buf: Uint8Array, off: number, lengthBytes: number): boolean {
  for (let i = 0; i < lengthBytes; i++) if (buf[off + i] !== 0) return false
  return true
}

export function xor(dst: Uint8Array, dstOff: number, src: Uint8Array, srcOff: number, lengthBytes: number): void {
  for (let i = 0; i < lengthBytes; i++) dst[dstOff + i]! ^= src[srcOff + i]!
}

export function xorInto(
  dst: Uint8Array,
  dstOff: number,
  sources: readonly Iov[],
  count: number,
  lengthBytes: number,
): void {
  for (let i = 0; i < lengthBytes; i++) {
    let sum = 0
    for (let k = 0; k < count; k++) sum ^= sources[k]!.buf[sources[k]!.off + i]!
    dst[dstOff + i] = sum
  }
}

/** The product in GF(2^8), polynomial 0x11d, bit by bit. */
export function gfMul(a: number, b: number): number {
  let product = 0
  for (let power = a; b > 0; b >>= 1) {
    if (b & 1) product ^= power
    power = power & 0x80 ? (power << 1) ^ 0x11d : power << 1
  }
  return product
}

export function gfMulXor(dst: Uint8Array, dstOff: number, src: Uint8Array, srcOff: number, c: number, lengthBytes: number): void {
  for (let i = 0; i < lengthBytes; i++) dst[dstOff + i]! ^= gfMul(src[srcOff + i]!, c)
}

/** The second parity: source i times 2 to the power of i. */
export function qInto(dst: Uint8Array, dstOff: number, sources: readonly Iov[], count: number, lengthBytes: number): void {
  for (let i = 0; i < lengthBytes; i++) {
    let sum = 0
    for (let k = 0, coefficient = 1; k < count; k++, coefficient = gfMul(coefficient, 2)) {
      sum ^= gfMul(sources[k]!.buf[sources[k]!.off + i]!, coefficient)
    }
    dst[dstOff + i] = sum
  }
}

/** Bit by bit, straight from the definition: reflected polynomial 0x82f63b78, no inversion before or after. */
export function crc32c(seed: number, buf: Uint8Array, off: number, lengthBytes: number): number {
  let crc = seed
  for (let i = 0; i < lengthBytes; i++) {
    crc ^= buf[off + i]!
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return crc >>> 0
}

/** Bit by bit: polynomial 0x8bb7, most significant bit first, no inversion. */
export function crc16T10dif(seed: number, buf: Uint8Array, off: number, lengthBytes: number): number {
  let crc = seed
  for (let i = 0; i < lengthBytes; i++) {
    crc ^= buf[off + i]! << 8
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x8bb7) & 0xffff : crc << 1
  }
  return crc
}

/** Bit by bit: reflected polynomial 0x9a6c9329ac4bc9b5, inverted before and after. The register in two halves. */
export function crc64Nvme(seed: bigint, buf: Uint8Array, off: number, lengthBytes: number): bigint {
  let high = ~Number(seed >> 32n)
  let low = ~Number(seed & 0xffff_ffffn)
  for (let i = 0; i < lengthBytes; i++) {
    low ^= buf[off + i]!
    for (let bit = 0; bit < 8; bit++) {
      const out = low & 1
      low = (low >>> 1) | (high << 31)
      high >>>= 1
      if (out === 0) continue
      high ^= 0x9a6c9329
      low ^= 0xac4bc9b5
    }
  }
  return (BigInt(~high >>> 0) << 32n) | BigInt(~low >>> 0)
}
