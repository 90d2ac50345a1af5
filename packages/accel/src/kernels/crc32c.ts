// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78; RFC 3720 appendix B.4). AssemblyScript, as index.ts.
//
// Short runs and tails use slicing by 16: sixteen tables of 256 words say what a byte does to the register when k bytes
// follow it. Long runs fold: the message is cut into blocks of 64 bytes = 16 words, and the register is spread over all
// 16. A word w at position p has the effect of the word Z64(w) at p + 64, where Z64 pushes 64 zero bytes through the
// register. Z64 is linear, so it is the XOR of one table per nibble of w, and a table of 16 bytes is what one byte
// shuffle looks up in 16 lanes at once. WebAssembly has no carry-less multiplication; this is its stand-in.

const POLY: u32 = 0x82f63b78
/** Slicing tables: 16 x 256 words. */
const SLICES: usize = 0
/** Folding tables: 8 nibbles x 4 result bytes x 16 entries, right behind. */
const FOLD: usize = 16 * 256 * 4
/** From here on folding is the faster way. */
const FOLD_MIN: usize = 384

// @ts-ignore: decorator
@inline
function slice(tab: usize, k: usize, v: u32): u32 {
  return load<u32>(tab + SLICES + (k << 10) + (<usize>v << 2))
}

/** Fills the tables at `tab`. */
export function crc32cInit(tab: usize): void {
  for (let i: u32 = 0; i < 256; i++) {
    let c = i
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ POLY : c >>> 1
    store<u32>(tab + (<usize>i << 2), c)
  }
  for (let t: usize = 1; t < 16; t++) {
    for (let i: u32 = 0; i < 256; i++) {
      const p = slice(tab, t - 1, i)
      store<u32>(tab + (t << 10) + (<usize>i << 2), (p >>> 8) ^ slice(tab, 0, p & 255))
    }
  }
  for (let j: usize = 0; j < 8; j++) {
    for (let nibble: u32 = 0; nibble < 16; nibble++) {
      let w = nibble << (<u32>j << 2)
      for (let k = 0; k < 64; k++) w = (w >>> 8) ^ slice(tab, 0, w & 255)
      for (let o: usize = 0; o < 4; o++) {
        store<u8>(tab + FOLD + (((j << 2) + o) << 4) + nibble, <u8>(w >>> (<u32>o << 3)))
      }
    }
  }
}

/** Sixteen bytes, given as words of which the first has the register mixed in. */
// @ts-ignore: decorator
@inline
function step16(tab: usize, a: u32, b: u32, c: u32, d: u32): u32 {
  return (
    slice(tab, 15, a & 255) ^ slice(tab, 14, (a >>> 8) & 255) ^ slice(tab, 13, (a >>> 16) & 255) ^ slice(tab, 12, a >>> 24) ^
    slice(tab, 11, b & 255) ^ slice(tab, 10, (b >>> 8) & 255) ^ slice(tab, 9, (b >>> 16) & 255) ^ slice(tab, 8, b >>> 24) ^
    slice(tab, 7, c & 255) ^ slice(tab, 6, (c >>> 8) & 255) ^ slice(tab, 5, (c >>> 16) & 255) ^ slice(tab, 4, c >>> 24) ^
    slice(tab, 3, d & 255) ^ slice(tab, 2, (d >>> 8) & 255) ^ slice(tab, 1, (d >>> 16) & 255) ^ slice(tab, 0, d >>> 24)
  )
}

function step16v(tab: usize, crc: u32, v: v128): u32 {
  return step16(
    tab,
    <u32>i32x4.extract_lane(v, 0) ^ crc,
    <u32>i32x4.extract_lane(v, 1),
    <u32>i32x4.extract_lane(v, 2),
    <u32>i32x4.extract_lane(v, 3),
  )
}

function sliced(tab: usize, crc: u32, p: usize, n: usize): u32 {
  const end = p + n
  const wideEnd = p + (n & ~15)
  while (p < wideEnd) {
    crc = step16(tab, load<u32>(p) ^ crc, load<u32>(p, 4), load<u32>(p, 8), load<u32>(p, 12))
    p += 16
  }
  while (p < end) {
    crc = (crc >>> 8) ^ slice(tab, 0, (crc ^ <u32>load<u8>(p)) & 255)
    p++
  }
  return crc
}

/** Bytes of one word kind side by side: a0 b0 c0 d0 a1 … for the words a, b, c, d of a vector; its own inverse. */
// @ts-ignore: decorator
@inline
function gather(v: v128): v128 {
  return v128.swizzle(v, i8x16(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15))
}

// @ts-ignore: decorator
@inline
function unpackLow32(a: v128, b: v128): v128 {
  return v128.shuffle<i32>(a, b, 0, 4, 1, 5)
}

// @ts-ignore: decorator
@inline
function unpackHigh32(a: v128, b: v128): v128 {
  return v128.shuffle<i32>(a, b, 2, 6, 3, 7)
}

/** Result byte `o` of Z64 for 16 words given as their eight nibbles. */
// @ts-ignore: decorator
@inline
function fold(
  t: usize, o: usize,
  n0: v128, n1: v128, n2: v128, n3: v128, n4: v128, n5: v128, n6: v128, n7: v128,
): v128 {
  const p = t + (o << 4)
  const x01 = v128.xor(v128.swizzle(v128.load(p), n0), v128.swizzle(v128.load(p, 64), n1))
  const x23 = v128.xor(v128.swizzle(v128.load(p, 128), n2), v128.swizzle(v128.load(p, 192), n3))
  const x45 = v128.xor(v128.swizzle(v128.load(p, 256), n4), v128.swizzle(v128.load(p, 320), n5))
  const x67 = v128.xor(v128.swizzle(v128.load(p, 384), n6), v128.swizzle(v128.load(p, 448), n7))
  return v128.xor(v128.xor(x01, x23), v128.xor(x45, x67))
}

/** Raw update of the register: no inversion before or after. */
export function crc32c(tab: usize, crc: u32, p: usize, n: usize): u32 {
  if (n < FOLD_MIN) return sliced(tab, crc, p, n)
  const end = p + n
  const wideEnd = p + (n & ~63)
  const t = tab + FOLD
  const low = i8x16.splat(15)
  // Planes b0..b3: byte 0..3 of each of the 16 words. The register enters by the first word.
  let b0 = i32x4.splat(0)
  let b1 = b0
  let b2 = b0
  let b3 = b0
  let first = i32x4(crc, 0, 0, 0)
  while (p < wideEnd) {
    const v0 = gather(v128.xor(v128.load(p), first))
    const v1 = gather(v128.load(p, 16))
    const v2 = gather(v128.load(p, 32))
    const v3 = gather(v128.load(p, 48))
    first = i32x4.splat(0)
    const l01 = unpackLow32(v0, v1)
    const h01 = unpackHigh32(v0, v1)
    const l23 = unpackLow32(v2, v3)
    const h23 = unpackHigh32(v2, v3)
    const n0 = v128.and(b0, low)
    const n1 = i8x16.shr_u(b0, 4)
    const n2 = v128.and(b1, low)
    const n3 = i8x16.shr_u(b1, 4)
    const n4 = v128.and(b2, low)
    const n5 = i8x16.shr_u(b2, 4)
    const n6 = v128.and(b3, low)
    const n7 = i8x16.shr_u(b3, 4)
    b0 = v128.xor(fold(t, 0, n0, n1, n2, n3, n4, n5, n6, n7), v128.shuffle<i64>(l01, l23, 0, 2))
    b1 = v128.xor(fold(t, 1, n0, n1, n2, n3, n4, n5, n6, n7), v128.shuffle<i64>(l01, l23, 1, 3))
    b2 = v128.xor(fold(t, 2, n0, n1, n2, n3, n4, n5, n6, n7), v128.shuffle<i64>(h01, h23, 0, 2))
    b3 = v128.xor(fold(t, 3, n0, n1, n2, n3, n4, n5, n6, n7), v128.shuffle<i64>(h01, h23, 1, 3))
    p += 64
  }
  // Back from planes to words: the same steps in reverse.
  const l01 = v128.shuffle<i64>(b0, b1, 0, 2)
  const l23 = v128.shuffle<i64>(b0, b1, 1, 3)
  const h01 = v128.shuffle<i64>(b2, b3, 0, 2)
  const h23 = v128.shuffle<i64>(b2, b3, 1, 3)
  crc = step16v(tab, 0, gather(v128.shuffle<i32>(l01, h01, 0, 2, 4, 6)))
  crc = step16v(tab, crc, gather(v128.shuffle<i32>(l01, h01, 1, 3, 5, 7)))
  crc = step16v(tab, crc, gather(v128.shuffle<i32>(l23, h23, 0, 2, 4, 6)))
  crc = step16v(tab, crc, gather(v128.shuffle<i32>(l23, h23, 1, 3, 5, 7)))
  return sliced(tab, crc, p, end - p)
}
