// SPDX-License-Identifier: Apache-2.0
// CRC-64/NVME (polynomial 0xad93d23594c93659, reflected; NVM command set specification, 64b CRC). AssemblyScript, as index.ts.
//
// Slicing by 4, as the tables of 8 would not fit into the heap's own page.

const POLY: u64 = 0x9a6c9329ac4bc9b5

// @ts-ignore: decorator
@inline
function slice(tab: usize, k: usize, byte: u32): u64 {
  return load<u64>(tab + (k << 11) + (<usize>byte << 3))
}

/** Fills the tables at `tab`: 4 x 256 words of 64 bits. */
export function crc64Init(tab: usize): void {
  for (let i: u64 = 0; i < 256; i++) {
    let crc = i
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ POLY : crc >> 1
    store<u64>(tab + (<usize>i << 3), crc)
  }
  for (let k: usize = 1; k < 4; k++) {
    for (let i: u32 = 0; i < 256; i++) {
      const crc = slice(tab, k - 1, i)
      store<u64>(tab + (k << 11) + (<usize>i << 3), (crc >> 8) ^ slice(tab, 0, <u32>(crc & 255)))
    }
  }
}

/** Raw update of the register: no inversion before or after. */
export function crc64(tab: usize, crc: u64, p: usize, n: usize): u64 {
  const end = p + n
  const wideEnd = p + (n & ~3)
  while (p < wideEnd) {
    const w = <u32>crc ^ load<u32>(p)
    crc = (crc >> 32) ^ slice(tab, 3, w & 255) ^ slice(tab, 2, (w >>> 8) & 255) ^ slice(tab, 1, (w >>> 16) & 255) ^ slice(tab, 0, w >>> 24)
    p += 4
  }
  while (p < end) {
    crc = (crc >> 8) ^ slice(tab, 0, (<u32>crc ^ <u32>load<u8>(p)) & 255)
    p++
  }
  return crc
}
