// SPDX-License-Identifier: Apache-2.0
// The GUID partition table (UEFI specification, chapter 5) as SPDK reads it (lib/bdev gpt): bytes in, values out.
import { crc32 } from 'node:zlib'

/** Partition type of SPDK's own partitions. */
export const SPDK_TYPE_GUID = '6527994e-2c5a-4eec-9613-8f5944074e8b'
/** The type that SPDK used before; its partitions are one block shorter than the table says. */
export const SPDK_OLD_TYPE_GUID = '7c5222bd-8f5d-4087-9c00-bf9843c7b58c'

/** How much SPDK reads from either end of the disk, in bytes (more where a block is larger). */
export const TABLE_BYTES = 32 * 1024

const SIGNATURE = 'EFI PART'
const HEADER_BYTES_MIN = 92
const ENTRY_BYTES = 128
const ENTRIES_MAX = 128
const UNUSED_GUID = '00000000-0000-0000-0000-000000000000'

/** One entry of a table. */
export interface GptPartition {
  /** Place in the table, from 0. */
  readonly index: number
  readonly typeGuid: string
  readonly uniqueGuid: string
  readonly startLba: number
  /** Last block, inclusive. */
  readonly endLba: number
  readonly name: string
}

/** A valid table. */
export interface GptTable {
  readonly diskGuid: string
  /** Entries in use whose range lies in the usable one. */
  readonly partitions: readonly GptPartition[]
}

/** Size of the disk that a table is on. */
export interface GptDisk {
  readonly blockSizeBytes: number
  readonly numBlocks: number
}

/** A table, or why there is none. */
export type GptResult = { readonly table: GptTable } | { readonly why: string }

/** Whether the first block holds a protective MBR: its signature and an entry of type EEh over the whole disk. */
export function hasProtectiveMbr(first: Uint8Array, disk: GptDisk): boolean {
  if (first.length < 512 || first[510] !== 0x55 || first[511] !== 0xaa) return false
  const view = viewOf(first)
  const all = Math.min(disk.numBlocks - 1, 0xffff_ffff)
  for (let at = 446; at < 510; at += 16) {
    const size = view.getUint32(at + 12, true)
    if (first[at + 4] === 0xee && view.getUint32(at + 8, true) === 1 && (size === all || size === 0xffff_ffff)) return true
  }
  return false
}

/** Reads the primary table from the first bytes of the disk. */
export function parsePrimary(first: Uint8Array, disk: GptDisk): GptResult {
  return parseTable(first, 0, 1, disk)
}

/** Reads the backup table from the last bytes of the disk, which begin at block `firstLba`. */
export function parseBackup(last: Uint8Array, firstLba: number, disk: GptDisk): GptResult {
  return parseTable(last, firstLba, disk.numBlocks - 1, disk)
}

function parseTable(bytes: Uint8Array, firstLba: number, headerLba: number, disk: GptDisk): GptResult {
  const at = (headerLba - firstLba) * disk.blockSizeBytes
  if (at < 0 || at + disk.blockSizeBytes > bytes.length) return { why: 'the disk is too small for a header' }
  const header = bytes.subarray(at, at + disk.blockSizeBytes)
  const view = viewOf(header)
  const headerBytes = view.getUint32(12, true)
  if (headerBytes < HEADER_BYTES_MIN || headerBytes > header.length) return { why: `header size ${headerBytes}` }
  const summed = header.slice(0, headerBytes)
  summed.fill(0, 16, 20)
  if (crc32(summed) !== view.getUint32(16, true)) return { why: 'checksum of the header' }
  if (String.fromCharCode(...header.subarray(0, 8)) !== SIGNATURE) return { why: 'signature' }
  if (lba(view, 24) !== headerLba) return { why: 'the header is not where it says' }
  const firstUsable = lba(view, 40)
  const lastUsable = lba(view, 48)
  if (!(firstUsable <= lastUsable && lastUsable < disk.numBlocks)) return { why: 'usable range beyond the disk' }
  if (firstUsable <= 1) return { why: 'usable range over the header' }

  const count = view.getUint32(80, true)
  const entryBytes = view.getUint32(84, true)
  if (count > ENTRIES_MAX) return { why: `${count} entries` }
  if (entryBytes !== ENTRY_BYTES) return { why: `entries of ${entryBytes} bytes` }
  const entriesAt = (lba(view, 72) - firstLba) * disk.blockSizeBytes
  const entriesBytes = count * ENTRY_BYTES
  if (!(entriesAt >= 0 && entriesAt + entriesBytes <= bytes.length)) return { why: 'entries outside of what SPDK reads' }
  const entries = bytes.subarray(entriesAt, entriesAt + entriesBytes)
  if (crc32(entries) !== view.getUint32(88, true)) return { why: 'checksum of the entries' }

  const partitions: GptPartition[] = []
  for (let index = 0; index < count; index++) {
    const partition = parseEntry(entries.subarray(index * ENTRY_BYTES, (index + 1) * ENTRY_BYTES), index)
    const { typeGuid, startLba, endLba } = partition
    if (typeGuid === UNUSED_GUID || startLba === 0) continue
    if (startLba >= firstUsable && endLba <= lastUsable && endLba >= startLba) partitions.push(partition)
  }
  return { table: { diskGuid: guid(header, 56), partitions } }
}

function parseEntry(entry: Uint8Array, index: number): GptPartition {
  const view = viewOf(entry)
  let end = 56
  while (end < ENTRY_BYTES && view.getUint16(end, true) !== 0) end += 2
  const name = new TextDecoder('utf-16le').decode(entry.subarray(56, end))
  return { index, typeGuid: guid(entry, 0), uniqueGuid: guid(entry, 16), startLba: lba(view, 32), endLba: lba(view, 40), name }
}

/** A block number; those beyond 2^53-1 are infinite, and so outside of every disk. */
function lba(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true)
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Infinity : Number(value)
}

/** A GUID: the first three fields little-endian, the last eight bytes in order (UEFI specification, appendix A). */
function guid(bytes: Uint8Array, at: number): string {
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
  const hex = order.map(i => bytes[at + i]!.toString(16).padStart(2, '0')).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
