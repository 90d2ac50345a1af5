// SPDX-License-Identifier: Apache-2.0
// GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d) and the generator 2, as Linux md and ISA-L have it for
// RAID-6. Doubling is a shift and a conditional XOR; a product by any constant is two look-ups of nibbles, 16 bytes at once.

/** The low byte of the polynomial: what a carry out of bit 7 comes back as. */
const POLYNOMIAL: i32 = 0x1d

// @ts-ignore: decorator
@inline
function double16(v: v128): v128 {
  return v128.xor(i8x16.shl(v, 1), v128.and(i8x16.shr_s(v, 7), i8x16.splat(<i8>POLYNOMIAL)))
}

// @ts-ignore: decorator
@inline
function double1(byte: u32): u32 {
  return ((byte << 1) ^ (byte & 0x80 ? POLYNOMIAL : 0)) & 0xff
}

/** q = 2q + d: one step of Horner's rule for the second parity. */
export function gfDoubleXor(q: usize, d: usize, n: usize): void {
  let i: usize = 0
  const wide = n & ~15
  while (i < wide) {
    v128.store(q + i, v128.xor(double16(v128.load(q + i)), v128.load(d + i)))
    i += 16
  }
  while (i < n) {
    store<u8>(q + i, double1(load<u8>(q + i)) ^ load<u8>(d + i))
    i++
  }
}

/** p += d and q = 2q + d: both parities in one pass over the data. */
export function gfParities(p: usize, q: usize, d: usize, n: usize): void {
  let i: usize = 0
  const wide = n & ~31
  while (i < wide) {
    const d0 = v128.load(d + i)
    const d1 = v128.load(d + i, 16)
    v128.store(p + i, v128.xor(v128.load(p + i), d0))
    v128.store(p + i, v128.xor(v128.load(p + i, 16), d1), 16)
    v128.store(q + i, v128.xor(double16(v128.load(q + i)), d0))
    v128.store(q + i, v128.xor(double16(v128.load(q + i, 16)), d1), 16)
    i += 32
  }
  while (i < n) {
    const byte = load<u8>(d + i)
    store<u8>(p + i, load<u8>(p + i) ^ byte)
    store<u8>(q + i, double1(load<u8>(q + i)) ^ byte)
    i++
  }
}

/** dst += c · src. `tables` has room for 32 bytes: the products of c with each low and each high nibble. */
export function gfMulXor(tables: usize, dst: usize, src: usize, c: u32, n: usize): void {
  for (let half: usize = 0; half < 2; half++) {
    for (let nibble: u32 = 0; nibble < 16; nibble++) {
      let product: u32 = 0
      let power = c
      for (let bits = half == 0 ? nibble : nibble << 4; bits != 0; bits >>= 1) {
        if (bits & 1) product ^= power
        power = double1(power)
      }
      store<u8>(tables + half * 16 + nibble, product)
    }
  }
  const low = v128.load(tables)
  const high = v128.load(tables, 16)
  const nibbleMask = i8x16.splat(0x0f)
  let i: usize = 0
  const wide = n & ~15
  while (i < wide) {
    const s = v128.load(src + i)
    const product = v128.xor(i8x16.swizzle(low, v128.and(s, nibbleMask)), i8x16.swizzle(high, i8x16.shr_u(s, 4)))
    v128.store(dst + i, v128.xor(v128.load(dst + i), product))
    i += 16
  }
  while (i < n) {
    const s: u32 = load<u8>(src + i)
    store<u8>(dst + i, load<u8>(dst + i) ^ load<u8>(tables + (s & 15)) ^ load<u8>(tables + 16 + (s >> 4)))
    i++
  }
}
