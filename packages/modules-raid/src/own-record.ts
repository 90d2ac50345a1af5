// SPDX-License-Identifier: Apache-2.0
// Records of our own, between SPDK's superblock (16,576 bytes at most) and the data (from 1 MiB on). SPDK neither reads nor
// writes there. A record is bound to the array, and to the superblock's sequence number when it was written: where either
// differs, the array has changed since, and the record counts for nothing.
import { superblockCrc, uuidBytes, uuidText } from './superblock.js'

/** Where records of each kind begin on a member, and how long they are, in bytes. */
export const RECORD_PLACES = {
  /** How far a rebuild has come, on the member that is being rebuilt. */
  rebuild: { kind: 1, offsetBytes: 64 * 1024, lengthBytes: 4096 },
  /** Regions that may differ between members, in two copies that are written in turn. */
  dirtyMapA: { kind: 2, offsetBytes: 72 * 1024, lengthBytes: 4096 },
  dirtyMapB: { kind: 2, offsetBytes: 136 * 1024, lengthBytes: 4096 },
  /** Where the journal of the member begins, in two copies that are written in turn. */
  journalA: { kind: 3, offsetBytes: 208 * 1024, lengthBytes: 4096 },
  journalB: { kind: 3, offsetBytes: 216 * 1024, lengthBytes: 4096 },
  /** What `bdev_raid_create` was told and SPDK's superblock has no field for. */
  config: { kind: 4, offsetBytes: 224 * 1024, lengthBytes: 4096 },
} as const
/** The ring of the journal: from here to the data. */
export const JOURNAL_RING_BYTES_AT = 512 * 1024
/** A kind of record. */
export type RecordKind = keyof typeof RECORD_PLACES

const SIGNATURE = 'BDEVKITR'
const VERSION = 1
/** Length of what comes before the payload. */
export const RECORD_HEADER_BYTES = 48
const CRC_AT = 16

/** What every record says. */
export interface RecordBinding {
  /** UUID of the array. */
  readonly raidUuid: string
  /** Sequence number of its superblock. */
  readonly seqNumber: number
}

/** The bytes of a record. */
export function encodeRecord(kind: RecordKind, { raidUuid, seqNumber }: RecordBinding, payload: Uint8Array): Uint8Array {
  const place = RECORD_PLACES[kind]
  const bytes = new Uint8Array(place.lengthBytes)
  const view = new DataView(bytes.buffer)
  bytes.set(Buffer.from(SIGNATURE, 'latin1'))
  view.setUint16(8, VERSION, true)
  view.setUint16(10, place.kind, true)
  view.setUint32(12, payload.length, true)
  bytes.set(uuidBytes(raidUuid), 24)
  view.setBigUint64(40, BigInt(seqNumber), true)
  bytes.set(payload, RECORD_HEADER_BYTES)
  view.setUint32(CRC_AT, superblockCrc(bytes, CRC_AT), true)
  return bytes
}

/** The payload of a record that is whole and bound to `binding`; `undefined` for anything else. */
export function decodeRecord(kind: RecordKind, { raidUuid, seqNumber }: RecordBinding, bytes: Uint8Array): Uint8Array | undefined {
  const record = openRecord(kind, raidUuid, bytes)
  return record?.seqNumber === seqNumber ? record.payload : undefined
}

/** A record that is whole and of this array, whatever sequence number it was written with. */
export function openRecord(kind: RecordKind, raidUuid: string, bytes: Uint8Array): { seqNumber: number; payload: Uint8Array } | undefined {
  const place = RECORD_PLACES[kind]
  if (bytes.length < place.lengthBytes || Buffer.from(bytes.subarray(0, 8)).toString('latin1') !== SIGNATURE) return undefined
  const record = bytes.subarray(0, place.lengthBytes)
  const view = new DataView(record.buffer, record.byteOffset, record.length)
  const payloadBytes = view.getUint32(12, true)
  const sound = view.getUint16(8, true) === VERSION && view.getUint16(10, true) === place.kind &&
    payloadBytes <= place.lengthBytes - RECORD_HEADER_BYTES && view.getUint32(CRC_AT, true) === superblockCrc(record, CRC_AT)
  if (!sound || uuidText(record, 24) !== raidUuid) return undefined
  const seqNumber = Number(view.getBigUint64(40, true))
  return Number.isSafeInteger(seqNumber) ? { seqNumber, payload: record.slice(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + payloadBytes) } : undefined
}

/** How far a rebuild has come. */
export interface RebuildProgress {
  /** UUID of the member that is being rebuilt. */
  readonly targetUuid: string
  /** Blocks of the array that are done. */
  readonly offsetBlocks: number
}

export function encodeProgress({ targetUuid, offsetBlocks }: RebuildProgress): Uint8Array {
  const payload = new Uint8Array(24)
  payload.set(uuidBytes(targetUuid))
  new DataView(payload.buffer).setBigUint64(16, BigInt(offsetBlocks), true)
  return payload
}

/** `undefined` for what is no progress. */
export function decodeProgress(payload: Uint8Array | undefined): RebuildProgress | undefined {
  if (payload?.length !== 24) return undefined
  const offsetBlocks = Number(new DataView(payload.buffer, payload.byteOffset).getBigUint64(16, true))
  return Number.isSafeInteger(offsetBlocks) ? { targetUuid: uuidText(payload, 0), offsetBlocks } : undefined
}
