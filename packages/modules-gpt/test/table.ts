// SPDX-License-Identifier: Apache-2.0
import { crc32 } from 'node:zlib'
import type { GptDisk } from '../src/gpt-table.js'

/** The first bytes of a disk: protective MBR, header, entries. */
export function buildTable(disk: GptDisk, entries: { index: number; start: number; end: number }[]): Uint8Array {
  const size = disk.blockSizeBytes
  const bytes = new Uint8Array(Math.max(32 * 1024, 2 * size + 16_384))
  const view = new DataView(bytes.buffer)
  bytes.set([0x55, 0xaa], 510)
  bytes[450] = 0xee
  view.setUint32(454, 1, true)
  view.setUint32(458, disk.numBlocks - 1, true)
  bytes.set(new TextEncoder().encode('EFI PART'), size)
  view.setUint32(size + 8, 0x1_0000, true)
  view.setUint32(size + 12, 92, true)
  view.setBigUint64(size + 24, 1n, true)
  view.setBigUint64(size + 32, BigInt(disk.numBlocks - 1), true)
  view.setBigUint64(size + 40, 34n, true)
  view.setBigUint64(size + 48, BigInt(disk.numBlocks - 34), true)
  view.setBigUint64(size + 72, 2n, true)
  view.setUint32(size + 80, 128, true)
  view.setUint32(size + 84, 128, true)
  for (const { index, start, end } of entries) {
    const at = 2 * size + index * 128
    bytes.set([0x4e, 0x99, 0x27, 0x65, 0x5a, 0x2c, 0xec, 0x4e, 0x96, 0x13, 0x8f, 0x59, 0x44, 0x07, 0x4e, 0x8b], at)
    bytes[at] = 0x4e
    bytes[at + 16] = index + 1
    view.setBigUint64(at + 32, BigInt(start), true)
    view.setBigUint64(at + 40, BigInt(end), true)
  }
  resum(bytes, size)
  return bytes
}

/** Puts both checksums right. */
export function resum(bytes: Uint8Array, size = 512): void {
  const view = new DataView(bytes.buffer)
  view.setUint32(size + 88, crc32(bytes.subarray(2 * size, 2 * size + 16_384)), true)
  view.setUint32(size + 16, 0, true)
  const length = Math.min(view.getUint32(size + 12, true), size)
  view.setUint32(size + 16, crc32(bytes.subarray(size, size + length)), true)
}
