// SPDX-License-Identifier: Apache-2.0
// The superblock that SPDK's raid module keeps in the first blocks of each member (module/bdev/raid/bdev_raid.h, version
// 1.0): bytes in, values out, and back. Little-endian, no padding.

/** Length of everything before the entries. */
export const SUPERBLOCK_HEADER_BYTES = 256
const ENTRY_BYTES = 64
const ENTRIES_MAX = 255
/** The longest there is. */
export const SUPERBLOCK_BYTES_MAX = SUPERBLOCK_HEADER_BYTES + ENTRIES_MAX * ENTRY_BYTES
/** Bytes of the name, its NUL among them. */
export const NAME_BYTES = 64
/** Room before the data of a member that has a superblock. */
export const DATA_OFFSET_BYTES_MIN = 1024 * 1024

const SIGNATURE = 'SPDKRAID'
const VERSION_MAJOR = 1
const VERSION_MINOR = 0
const NULL_UUID = '00000000-0000-0000-0000-000000000000'

/** What the superblock says of a member: `enum raid_bdev_sb_base_bdev_state`. */
export const EntryState = { Missing: 0, Configured: 1, Failed: 2, Spare: 3 } as const

/** One member as the superblock has it. */
export interface SuperblockEntry {
  uuid: string
  /** First block of the member's data. */
  dataOffsetBlocks: number
  /** Blocks of data. */
  dataSizeBlocks: number
  /** One of {@link EntryState}, or a later one. */
  state: number
  flags: number
  /** Its place in the array, from 0. */
  slot: number
}

/** A superblock. */
export interface Superblock {
  /** Minor version; one above ours is read all the same. */
  versionMinor: number
  flags: number
  /** UUID of the array. */
  uuid: string
  name: string
  raidSizeBlocks: number
  /** Block size without metadata. */
  blockSizeBytes: number
  /** SPDK's number of the level. */
  level: number
  /** 0 for raid1. */
  stripSizeBlocks: number
  state: number
  /** Grows with every write: of two superblocks the larger one counts. */
  seqNumber: number
  numMembers: number
  entries: SuperblockEntry[]
}

/** A superblock, or why there is none. `needBytes` asks for more of the disk. */
export type SuperblockResult = { readonly superblock: Superblock } | { readonly why: string } | { readonly needBytes: number }

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, index) => {
  let crc = index
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : 0x82f6_3b78)
  return crc
})

/** CRC-32C that starts at 0 and is not inverted, as the superblock has it; the four bytes at `skipAt` count as 0. */
export function superblockCrc(bytes: Uint8Array, skipAt = 16): number {
  let crc = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = i >= skipAt && i < skipAt + 4 ? 0 : bytes[i]!
    crc = CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8)
  }
  return crc >>> 0
}

/** Whether there may be a superblock: where not, nothing is said of it. */
export function hasSignature(bytes: Uint8Array): boolean {
  return bytes.length >= SUPERBLOCK_HEADER_BYTES && Buffer.from(bytes.subarray(0, 8)).toString('latin1') === SIGNATURE
}

/** Reads the first bytes of a member. What is refused here, SPDK refuses or would crash on. */
export function parseSuperblock(bytes: Uint8Array): SuperblockResult {
  if (!hasSignature(bytes)) return { why: 'no signature' }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const lengthBytes = view.getUint32(12, true)
  if (lengthBytes < SUPERBLOCK_HEADER_BYTES || lengthBytes > SUPERBLOCK_BYTES_MAX) return { why: `length ${lengthBytes}` }
  if (lengthBytes > bytes.length) return { needBytes: lengthBytes }
  const crc = view.getUint32(16, true)
  const wanted = superblockCrc(bytes.subarray(0, lengthBytes))
  if (crc !== wanted) return { why: `checksum ${hex32(crc)} instead of ${hex32(wanted)}` }
  const major = view.getUint16(8, true)
  if (major !== VERSION_MAJOR) return { why: `version ${major}.${view.getUint16(10, true)}` }
  const numEntries = bytes[255]!
  if (lengthBytes < SUPERBLOCK_HEADER_BYTES + numEntries * ENTRY_BYTES) return { why: `${numEntries} entries in ${lengthBytes} bytes` }
  return parseChecked(bytes, view, numEntries)
}

function parseChecked(bytes: Uint8Array, view: DataView, numEntries: number): SuperblockResult {
  const numMembers = bytes[136]!
  const nameEnd = bytes.subarray(40, 40 + NAME_BYTES).indexOf(0)
  if (nameEnd < 1) return { why: nameEnd < 0 ? `a name of more than ${NAME_BYTES - 1} bytes` : 'no name' }
  const superblock: Superblock = {
    versionMinor: view.getUint16(10, true),
    flags: view.getUint32(20, true),
    uuid: uuidText(bytes, 24),
    name: Buffer.from(bytes.subarray(40, 40 + nameEnd)).toString('utf8'),
    raidSizeBlocks: uint64(view, 104),
    blockSizeBytes: view.getUint32(112, true),
    level: view.getUint32(116, true),
    stripSizeBlocks: view.getUint32(120, true),
    state: view.getUint32(124, true),
    seqNumber: uint64(view, 128),
    numMembers,
    entries: [],
  }
  if (superblock.uuid === NULL_UUID) return { why: 'an array without a UUID' }
  if (numMembers === 0) return { why: 'no members' }
  if (superblock.blockSizeBytes === 0) return { why: 'block size 0' }
  if (!Number.isSafeInteger(superblock.raidSizeBlocks)) return { why: 'a size above 2^53-1 blocks' }
  if (!Number.isSafeInteger(superblock.seqNumber)) return { why: 'a sequence number above 2^53-1' }
  const slots = new Set<number>()
  const uuids = new Set<string>()
  for (let i = 0; i < numEntries; i++) {
    const entry = parseEntry(bytes, view, SUPERBLOCK_HEADER_BYTES + i * ENTRY_BYTES)
    const why = entryRefusal(entry, numMembers, slots, uuids)
    if (why !== undefined) return { why: `entry ${i}: ${why}` }
    superblock.entries.push(entry)
  }
  const described = new Set(superblock.entries.map(({ slot }) => slot))
  if (described.size !== numMembers) return { why: `entries for ${described.size} of ${numMembers} slots` }
  return { superblock }
}

function parseEntry(bytes: Uint8Array, view: DataView, at: number): SuperblockEntry {
  return {
    uuid: uuidText(bytes, at),
    dataOffsetBlocks: uint64(view, at + 16),
    dataSizeBlocks: uint64(view, at + 24),
    state: view.getUint32(at + 32, true),
    flags: view.getUint32(at + 36, true),
    slot: bytes[at + 40]!,
  }
}

function entryRefusal(entry: SuperblockEntry, numMembers: number, slots: Set<number>, uuids: Set<string>): string | undefined {
  if (entry.slot >= numMembers) return `slot ${entry.slot} of ${numMembers}`
  if (!Number.isSafeInteger(entry.dataOffsetBlocks + entry.dataSizeBlocks)) return 'data beyond 2^53-1 blocks'
  if (entry.uuid === NULL_UUID) return entry.state === EntryState.Configured ? 'a member without a UUID' : undefined
  if (uuids.has(entry.uuid)) return `UUID ${entry.uuid} twice`
  uuids.add(entry.uuid)
  if (entry.state !== EntryState.Configured) return undefined
  if (slots.has(entry.slot)) return `slot ${entry.slot} twice`
  slots.add(entry.slot)
  return undefined
}

/** The bytes of a superblock, its checksum among them. */
export function encodeSuperblock(superblock: Superblock): Uint8Array {
  const bytes = new Uint8Array(SUPERBLOCK_HEADER_BYTES + superblock.entries.length * ENTRY_BYTES)
  const view = new DataView(bytes.buffer)
  bytes.set(Buffer.from(SIGNATURE, 'latin1'))
  view.setUint16(8, VERSION_MAJOR, true)
  view.setUint16(10, VERSION_MINOR, true)
  view.setUint32(12, bytes.length, true)
  view.setUint32(20, superblock.flags, true)
  bytes.set(uuidBytes(superblock.uuid), 24)
  bytes.set(Buffer.from(superblock.name, 'utf8').subarray(0, NAME_BYTES - 1), 40)
  view.setBigUint64(104, BigInt(superblock.raidSizeBlocks), true)
  view.setUint32(112, superblock.blockSizeBytes, true)
  view.setUint32(116, superblock.level, true)
  view.setUint32(120, superblock.stripSizeBlocks, true)
  view.setUint32(124, superblock.state, true)
  view.setBigUint64(128, BigInt(superblock.seqNumber), true)
  bytes[136] = superblock.numMembers
  bytes[255] = superblock.entries.length
  for (const [i, entry] of superblock.entries.entries()) {
    const at = SUPERBLOCK_HEADER_BYTES + i * ENTRY_BYTES
    bytes.set(uuidBytes(entry.uuid), at)
    view.setBigUint64(at + 16, BigInt(entry.dataOffsetBlocks), true)
    view.setBigUint64(at + 24, BigInt(entry.dataSizeBlocks), true)
    view.setUint32(at + 32, entry.state, true)
    view.setUint32(at + 36, entry.flags, true)
    bytes[at + 40] = entry.slot
  }
  view.setUint32(16, superblockCrc(bytes), true)
  return bytes
}

/** A number, infinite where it is above 2^53-1. */
function uint64(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true)
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Infinity : Number(value)
}

/** A UUID whose bytes stand in the order of its text. */
export function uuidText(bytes: Uint8Array, at: number): string {
  const hex = Buffer.from(bytes.subarray(at, at + 16)).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The 16 bytes of a UUID's text. */
export function uuidBytes(uuid: string): Uint8Array {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex')
}

function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`
}
