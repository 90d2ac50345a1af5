// SPDX-License-Identifier: Apache-2.0
// AES-XTS but for AES itself (IEEE 1619): the numbers of data units as tweak inputs, and the whitening with their stream.

/**
 * Tweak inputs of `units` data units from number `hi·2^32 + lo` on, 16 bytes each. The number n is written little-endian,
 * as the two 64-bit words: 0 and 3: (0, n); 1: (n, ~n without its highest bit); 2: (n, 0).
 */
export function xtsTweaks(dst: usize, lo: u32, hi: u32, units: u32, mode: i32): void {
  let n = (<u64>hi << 32) | <u64>lo
  for (let i: u32 = 0; i < units; i++) {
    if (mode == 1) {
      store<u64>(dst, n)
      store<u64>(dst, ~n & 0x7fff_ffff_ffff_ffff, 8)
    } else if (mode == 2) {
      store<u64>(dst, n)
      store<u64>(dst, 0, 8)
    } else {
      store<u64>(dst, 0)
      store<u64>(dst, n, 8)
    }
    dst += 16
    n++
  }
}

/**
 * dst = src ^ stream, for `units` data units of `unitBytes`, a multiple of 16. The stream of each unit starts with its 16
 * bytes at `tweaks` and doubles in GF(2^128) from cipher block to cipher block; it is kept at `stream` for the way back.
 * `tweaks` is left at what would come next, so that a unit may go on in a later call. dst may be src.
 */
export function xtsXor(dst: usize, src: usize, stream: usize, tweaks: usize, unitBytes: usize, units: u32): void {
  for (let unit: u32 = 0; unit < units; unit++) {
    let lo = load<u64>(tweaks)
    let hi = load<u64>(tweaks, 8)
    const end = dst + unitBytes
    while (dst < end) {
      const t = i64x2.replace_lane(i64x2.splat(lo), 1, hi)
      v128.store(stream, t)
      v128.store(dst, v128.xor(v128.load(src), t))
      const carry = <u64>(<i64>hi >> 63) & 0x87
      hi = (hi << 1) | (lo >>> 63)
      lo = (lo << 1) ^ carry
      dst += 16
      src += 16
      stream += 16
    }
    store<u64>(tweaks, lo)
    store<u64>(tweaks, hi, 8)
    tweaks += 16
  }
}
