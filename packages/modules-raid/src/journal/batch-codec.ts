// SPDX-License-Identifier: Apache-2.0
// data plane
// A batch of the journal as it lies in the ring of one member: bytes in, values out, and back. Little-endian.
//
//   header, whole blocks:  128 bytes, then 64 for each transaction that this member has a part in
//   payload:               what is to be written of each of them, in the same order, whole blocks
import { uuidBytes, uuidText } from '../superblock.js'

const HEADER_BYTES = 128
const ENTRY_BYTES = 64
/** Bitmap of slots, in an entry. */
const INVOLVED_AT = 16
export const INVOLVED_BYTES = 32
/** Transactions of a batch, at most: its header fits in 4096 bytes. */
export const TRANSACTIONS_MAX = 62
/** What has to be read to see a whole header. */
export const HEADER_BYTES_MAX = HEADER_BYTES + TRANSACTIONS_MAX * ENTRY_BYTES

const SIGNATURE = Buffer.from('BDEVKITJ', 'latin1')
const VERSION = 1
const CRC_AT = 12
const CRC_SEED = 0xffff_ffff

/** `Accel.crc32c`. */
export type Crc32c = (seed: number, buf: Uint8Array, off: number, lengthBytes: number) => number

/** What the journal's headers have alike from one assembly of the array to the next. */
export interface JournalEpoch {
  /** UUID of the array. */
  readonly raidUuid: string
  /** Grows with each assembly. */
  readonly number: number
  /** Random: what users write into the payload can never pass for a header. */
  readonly nonce: Uint8Array
}

/** Blocks of the header of a batch with `count` transactions. */
export function headerBlocksOf(count: number, blockSizeBytes: number): number {
  return Math.ceil((HEADER_BYTES + count * ENTRY_BYTES) / blockSizeBytes)
}

/** The header of a batch, in memory that is used again and again. */
export class BatchHeader {
  readonly #view: DataView
  readonly #bytes: Uint8Array
  readonly #crc32c: Crc32c
  readonly #blockSizeBytes: number
  count = 0
  /** Of its payload. */
  #payloadBlocks = 0

  constructor(buf: Uint8Array, off: number, blockSizeBytes: number, crc32c: Crc32c) {
    this.#bytes = buf.subarray(off, off + HEADER_BYTES_MAX) // cold: once for each member
    this.#view = new DataView(buf.buffer, buf.byteOffset + off, HEADER_BYTES_MAX)
    this.#blockSizeBytes = blockSizeBytes
    this.#crc32c = crc32c
  }

  /** cold: what all batches of an epoch have. */
  begin({ raidUuid, number, nonce }: JournalEpoch, slot: number): void {
    this.#bytes.fill(0)
    this.#bytes.set(SIGNATURE)
    this.#view.setUint16(8, VERSION, true)
    this.#bytes.set(uuidBytes(raidUuid), 16)
    this.#bytes.set(nonce, 32)
    put64(this.#view, 40, number)
    this.#view.setUint8(76, slot)
  }

  clear(): void {
    this.count = 0
    this.#payloadBlocks = 0
  }

  get headerBlocks(): number {
    return headerBlocksOf(this.count, this.#blockSizeBytes)
  }

  get numBlocks(): number {
    return this.headerBlocks + this.#payloadBlocks
  }

  /** Blocks of the batch with one more transaction of `numBlocks`. */
  numBlocksWith(numBlocks: number): number {
    return headerBlocksOf(this.count + 1, this.#blockSizeBytes) + this.#payloadBlocks + numBlocks
  }

  /**
   * One more transaction: its place in the batch of the whole array, where it will be written, from the start of the data, and
   * the slots that have a part in it.
   */
  add(index: number, offsetBlocks: number, numBlocks: number, crc: number, involved: Uint8Array): void {
    const at = HEADER_BYTES + this.count++ * ENTRY_BYTES
    put64(this.#view, at, offsetBlocks)
    this.#view.setUint32(at + 8, numBlocks, true)
    this.#view.setUint32(at + 12, crc, true)
    this.#bytes.set(involved, at + INVOLVED_AT)
    this.#view.setUint16(at + INVOLVED_AT + INVOLVED_BYTES, index, true)
    this.#payloadBlocks += numBlocks
  }

  /** Everything is added: where it will lie in the ring. */
  seal(seq: number, previousSeq: number, position: number): void {
    const view = this.#view
    view.setUint16(10, this.count, true)
    put64(view, 48, seq)
    put64(view, 56, previousSeq)
    view.setUint32(64, position, true)
    view.setUint32(68, this.numBlocks, true)
    view.setUint32(72, this.headerBlocks, true)
    view.setUint32(CRC_AT, 0, true)
    view.setUint32(CRC_AT, this.#crc32c(CRC_SEED, this.#bytes, 0, HEADER_BYTES + this.count * ENTRY_BYTES), true)
  }
}

/** One member's part of a transaction, as it was found. */
export interface LoggedPart {
  /** Its place in the batch of the whole array. */
  readonly index: number
  /** Where it is to be written, from the start of the data. */
  readonly offsetBlocks: number
  readonly numBlocks: number
  /** Where it lies, in blocks from the start of the ring. */
  readonly ringBlock: number
  readonly crc: number
  /** Slots that have a part in it, in ascending order. */
  readonly slots: readonly number[]
}

/** A batch, as it was found in the ring of one member. */
export interface LoggedBatch {
  readonly seq: number
  readonly numBlocks: number
  readonly parts: readonly LoggedPart[]
}

/** What a header must be to count. */
export interface WantedBatch {
  readonly epoch: JournalEpoch
  readonly slot: number
  /** `seq` of the batch before it in this ring. */
  readonly previousSeq: number
  /** Where it lies, and where the ring ends, in blocks. */
  readonly position: number
  readonly ringBlocks: number
  readonly blockSizeBytes: number
  /** Blocks of the member's data. */
  readonly dataSizeBlocks: number
  readonly numMembers: number
}

/** Reads what lies at a place of the ring. `undefined` where that is not the batch which is wanted. Never throws. */
export function decodeBatch(bytes: Uint8Array, wanted: WantedBatch, crc32c: Crc32c): LoggedBatch | undefined {
  if (bytes.length < HEADER_BYTES || Buffer.compare(bytes.subarray(0, 8), SIGNATURE) !== 0) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const count = view.getUint16(10, true)
  const headerBytes = HEADER_BYTES + count * ENTRY_BYTES
  if (view.getUint16(8, true) !== VERSION || count === 0 || count > TRANSACTIONS_MAX || headerBytes > bytes.length) return undefined
  const header = bytes.slice(0, headerBytes)
  header.fill(0, CRC_AT, CRC_AT + 4)
  if (view.getUint32(CRC_AT, true) !== crc32c(CRC_SEED, header, 0, headerBytes)) return undefined
  const { epoch } = wanted
  if (uuidText(bytes, 16) !== epoch.raidUuid || get64(view, 40) !== epoch.number || Buffer.compare(bytes.subarray(32, 40), epoch.nonce) !== 0) return undefined
  const seq = get64(view, 48)
  const numBlocks = view.getUint32(68, true)
  const headerBlocks = headerBlocksOf(count, wanted.blockSizeBytes)
  const fits = view.getUint8(76) === wanted.slot && get64(view, 56) === wanted.previousSeq && seq > wanted.previousSeq && Number.isSafeInteger(seq) &&
    view.getUint32(64, true) === wanted.position && view.getUint32(72, true) === headerBlocks && wanted.position + numBlocks <= wanted.ringBlocks
  if (!fits) return undefined
  const parts = decodeParts(view, count, headerBlocks, wanted)
  return parts?.endBlock === numBlocks ? { seq, numBlocks, parts: parts.parts } : undefined
}

function decodeParts(view: DataView, count: number, headerBlocks: number, wanted: WantedBatch): { parts: LoggedPart[]; endBlock: number } | undefined {
  const parts: LoggedPart[] = []
  let block = headerBlocks
  for (let i = 0; i < count; i++) {
    const at = HEADER_BYTES + i * ENTRY_BYTES
    const offsetBlocks = get64(view, at)
    const numBlocks = view.getUint32(at + 8, true)
    const index = view.getUint16(at + INVOLVED_AT + INVOLVED_BYTES, true)
    const slots = slotsOf(view, at + INVOLVED_AT)
    const sound = numBlocks > 0 && offsetBlocks + numBlocks <= wanted.dataSizeBlocks && index < TRANSACTIONS_MAX &&
      slots.includes(wanted.slot) && slots.at(-1)! < wanted.numMembers && !parts.some(part => part.index === index)
    if (!sound) return undefined
    parts.push({ index, offsetBlocks, numBlocks, ringBlock: wanted.position + block, crc: view.getUint32(at + 12, true), slots })
    block += numBlocks
  }
  return { parts, endBlock: block }
}

function slotsOf(view: DataView, at: number): number[] {
  const slots: number[] = []
  for (let slot = 0; slot < INVOLVED_BYTES * 8; slot++) if ((view.getUint8(at + (slot >> 3)) & (1 << (slot & 7))) !== 0) slots.push(slot)
  return slots
}

/** What a checksum of payload begins with. */
export const PAYLOAD_CRC_SEED = CRC_SEED

/** A safe integer, without a bigint. */
function put64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true)
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true)
}

/** Exact up to 2^53, and above that no safe integer. */
function get64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true)
}
