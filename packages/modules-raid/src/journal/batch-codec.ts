// SPDX-License-Identifier: Apache-2.0
// data plane
// A batch of the journal as it lies in the ring of one member, written. Little-endian.
//
//   header, whole blocks:  128 bytes, then 64 for each transaction that this member has a part in
//   payload:               what is to be written of each of them, in the same order, whole blocks
import { uuidBytes } from '../superblock.js'

export const HEADER_BYTES = 128
export const ENTRY_BYTES = 64
/** Bitmap of slots, in an entry. */
export const INVOLVED_AT = 16
export const INVOLVED_BYTES = 32
/** Transactions of a batch, at most: its header fits in 4096 bytes. */
export const TRANSACTIONS_MAX = 62
/** What has to be read to see a whole header. */
export const HEADER_BYTES_MAX = HEADER_BYTES + TRANSACTIONS_MAX * ENTRY_BYTES

export const SIGNATURE = Buffer.from('BDEVKITJ', 'latin1')
export const VERSION = 1
export const CRC_AT = 12

/** What checksums of headers and payload begin with: zeros have one, too. */
export const BATCH_CRC_SEED = 0xffff_ffff

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
    view.setUint32(CRC_AT, this.#crc32c(BATCH_CRC_SEED, this.#bytes, 0, HEADER_BYTES + this.count * ENTRY_BYTES), true)
  }
}

/** A safe integer, without a bigint. */
function put64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true)
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true)
}
