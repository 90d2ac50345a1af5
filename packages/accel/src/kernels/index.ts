// SPDX-License-Identifier: Apache-2.0
// The kernels, in AssemblyScript (not TypeScript: `usize` and `v128` are its types). They see one thing only, memory 0,
// and trust their arguments: accel.ts has checked each range. Pointers are offsets into that memory, sizes are bytes.

/** memmove. */
export function copy(dst: usize, src: usize, n: usize): void {
  memory.copy(dst, src, n)
}

export function fill(dst: usize, value: i32, n: usize): void {
  memory.fill(dst, <u8>value, n)
}

const PAGE: usize = 4096

/**
 * Zeroes a range that was used, but writes to no page that reads as zero already: such a page may never have been
 * touched, and reading it leaves it without memory of its own while a write would make it resident.
 */
export function zeroSparse(dst: usize, n: usize): void {
  const end = dst + n
  while (dst < end) {
    let next = (dst + PAGE) & ~(PAGE - 1)
    if (next > end) next = end
    if (!isZero(dst, next - dst)) memory.fill(dst, 0, next - dst)
    dst = next
  }
}

/** Index of the first byte that differs; n when none does. */
export function compare(a: usize, b: usize, n: usize): usize {
  let i: usize = 0
  const wide = n & ~63
  while (i < wide) {
    const p = a + i
    const q = b + i
    const d01 = v128.or(v128.xor(v128.load(p), v128.load(q)), v128.xor(v128.load(p, 16), v128.load(q, 16)))
    const d23 = v128.or(v128.xor(v128.load(p, 32), v128.load(q, 32)), v128.xor(v128.load(p, 48), v128.load(q, 48)))
    if (v128.any_true(v128.or(d01, d23))) break
    i += 64
  }
  while (i + 8 <= n) {
    const d = load<u64>(a + i) ^ load<u64>(b + i)
    if (d != 0) return i + (<usize>ctz(d) >> 3)
    i += 8
  }
  while (i < n) {
    if (load<u8>(a + i) != load<u8>(b + i)) return i
    i++
  }
  return n
}

export function isZero(p: usize, n: usize): bool {
  const end = p + n
  const wideEnd = p + (n & ~63)
  while (p < wideEnd) {
    const acc = v128.or(v128.or(v128.load(p), v128.load(p, 16)), v128.or(v128.load(p, 32), v128.load(p, 48)))
    if (v128.any_true(acc)) return false
    p += 64
  }
  while (p + 8 <= end) {
    if (load<u64>(p) != 0) return false
    p += 8
  }
  while (p < end) {
    if (load<u8>(p) != 0) return false
    p++
  }
  return true
}

/** dst = a ^ b. dst may be a or b; any other overlap is the caller's mistake (so in xor3 and xor4). */
export function xor2(dst: usize, a: usize, b: usize, n: usize): void {
  let i: usize = 0
  const wide = n & ~63
  while (i < wide) {
    const d = dst + i
    const p = a + i
    const q = b + i
    v128.store(d, v128.xor(v128.load(p), v128.load(q)))
    v128.store(d, v128.xor(v128.load(p, 16), v128.load(q, 16)), 16)
    v128.store(d, v128.xor(v128.load(p, 32), v128.load(q, 32)), 32)
    v128.store(d, v128.xor(v128.load(p, 48), v128.load(q, 48)), 48)
    i += 64
  }
  while (i + 8 <= n) {
    store<u64>(dst + i, load<u64>(a + i) ^ load<u64>(b + i))
    i += 8
  }
  while (i < n) {
    store<u8>(dst + i, load<u8>(a + i) ^ load<u8>(b + i))
    i++
  }
}

/** dst = a ^ b ^ c. */
export function xor3(dst: usize, a: usize, b: usize, c: usize, n: usize): void {
  let i: usize = 0
  const wide = n & ~31
  while (i < wide) {
    v128.store(dst + i, v128.xor(v128.xor(v128.load(a + i), v128.load(b + i)), v128.load(c + i)))
    v128.store(dst + i, v128.xor(v128.xor(v128.load(a + i, 16), v128.load(b + i, 16)), v128.load(c + i, 16)), 16)
    i += 32
  }
  while (i < n) {
    store<u8>(dst + i, load<u8>(a + i) ^ load<u8>(b + i) ^ load<u8>(c + i))
    i++
  }
}

/** dst = a ^ b ^ c ^ e. */
export function xor4(dst: usize, a: usize, b: usize, c: usize, e: usize, n: usize): void {
  let i: usize = 0
  const wide = n & ~31
  while (i < wide) {
    const lo = v128.xor(v128.xor(v128.load(a + i), v128.load(b + i)), v128.xor(v128.load(c + i), v128.load(e + i)))
    const hi = v128.xor(
      v128.xor(v128.load(a + i, 16), v128.load(b + i, 16)),
      v128.xor(v128.load(c + i, 16), v128.load(e + i, 16)),
    )
    v128.store(dst + i, lo)
    v128.store(dst + i, hi, 16)
    i += 32
  }
  while (i < n) {
    store<u8>(dst + i, load<u8>(a + i) ^ load<u8>(b + i) ^ load<u8>(c + i) ^ load<u8>(e + i))
    i++
  }
}

export * from './crc16'
export * from './crc32c'
export * from './crc64'
export * from './gf256'
export * from './guard'
export * from './xts'
