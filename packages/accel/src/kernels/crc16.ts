// SPDX-License-Identifier: Apache-2.0
// CRC-16 of T10 DIF (polynomial 0x8bb7, most significant bit first; SBC-4, 4.22.4). AssemblyScript, as index.ts.
//
// Slicing by 8: table k says what a byte does to the register when k bytes follow it.

const POLY: u32 = 0x8bb7

// @ts-ignore: decorator
@inline
function slice(tab: usize, k: usize, byte: u32): u32 {
  return <u32>load<u16>(tab + (k << 9) + (<usize>byte << 1))
}

/** Fills the tables at `tab`: 8 x 256 half words. */
export function crc16Init(tab: usize): void {
  for (let i: u32 = 0; i < 256; i++) {
    let crc = i << 8
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ POLY : crc << 1
    store<u16>(tab + (<usize>i << 1), <u16>crc)
  }
  for (let k: usize = 1; k < 8; k++) {
    for (let i: u32 = 0; i < 256; i++) {
      const crc = slice(tab, k - 1, i)
      store<u16>(tab + (k << 9) + (<usize>i << 1), <u16>((crc << 8) ^ slice(tab, 0, crc >>> 8)))
    }
  }
}

/** Raw update of the register: T10 DIF inverts nothing. */
export function crc16(tab: usize, crc: u32, p: usize, n: usize): u32 {
  const end = p + n
  const wideEnd = p + (n & ~7)
  while (p < wideEnd) {
    const a = load<u32>(p)
    const b = load<u32>(p, 4)
    crc =
      slice(tab, 7, (a & 255) ^ (crc >>> 8)) ^ slice(tab, 6, ((a >>> 8) & 255) ^ (crc & 255)) ^
      slice(tab, 5, (a >>> 16) & 255) ^ slice(tab, 4, a >>> 24) ^
      slice(tab, 3, b & 255) ^ slice(tab, 2, (b >>> 8) & 255) ^ slice(tab, 1, (b >>> 16) & 255) ^ slice(tab, 0, b >>> 24)
    p += 8
  }
  while (p < end) {
    crc = ((crc << 8) & 0xff00) ^ slice(tab, 0, (crc >>> 8) ^ <u32>load<u8>(p))
    p++
  }
  return crc
}
