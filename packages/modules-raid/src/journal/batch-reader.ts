// SPDX-License-Identifier: Apache-2.0
// A batch of the journal as it lies in the ring of one member, read: bytes that may be anything.
import { uuidText } from '../superblock.js'
import {
  BATCH_CRC_SEED, CRC_AT, ENTRY_BYTES, HEADER_BYTES, headerBlocksOf, INVOLVED_AT, INVOLVED_BYTES, SIGNATURE, TRANSACTIONS_MAX, VERSION,
  type Crc32c, type JournalEpoch,
} from './batch-codec.js'

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
  if (view.getUint32(CRC_AT, true) !== crc32c(BATCH_CRC_SEED, header, 0, headerBytes)) return undefined
  const { epoch } = wanted
  const ours = uuidText(bytes, 16) === epoch.raidUuid && get64(view, 40) === epoch.number && Buffer.compare(bytes.subarray(32, 40), epoch.nonce) === 0
  if (!ours) return undefined
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

/** Exact up to 2^53, and above that no safe integer. */
function get64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true)
}
