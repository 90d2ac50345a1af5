// SPDX-License-Identifier: Apache-2.0
// Where the journal of a member begins, as its record has it: bytes in, values out, and back.

/** What the record of a member says of its ring. */
export interface JournalRecord {
  /** Grows with each assembly: rings of an older one count for nothing. */
  readonly epoch: number
  /** Grows with each record: of the two copies the larger one counts. */
  readonly generation: number
  /** Every batch up to this one is in place on all members, and flushed. */
  readonly doneSeq: number
  /** The member came with this batch: those before it have no part of it, whatever they say of its slot. */
  readonly joinSeq: number
  /** `seq` of the last batch before the tail, in this ring. */
  readonly tailSeq: number
  /** Where the first batch lies, in blocks from the start of the ring (or at that start, where it did not fit). */
  readonly tailPosition: number
  /** In every header of the epoch. */
  readonly nonce: Uint8Array
}

const NUMBERS = ['epoch', 'generation', 'doneSeq', 'joinSeq', 'tailSeq', 'tailPosition'] as const
const NONCE_BYTES = 8
const RECORD_BYTES = NUMBERS.length * 8 + NONCE_BYTES

export function newNonce(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(NONCE_BYTES))
}

export function encodeJournalRecord(record: JournalRecord): Uint8Array {
  const payload = new Uint8Array(RECORD_BYTES)
  const view = new DataView(payload.buffer)
  for (const [i, name] of NUMBERS.entries()) view.setBigUint64(i * 8, BigInt(record[name]), true)
  payload.set(record.nonce, NUMBERS.length * 8)
  return payload
}

/** `undefined` for what is no record. */
export function decodeJournalRecord(payload: Uint8Array | undefined): JournalRecord | undefined {
  if (payload?.length !== RECORD_BYTES) return undefined
  const view = new DataView(payload.buffer, payload.byteOffset)
  const values = NUMBERS.map((name, i) => [name, Number(view.getBigUint64(i * 8, true))] as const)
  if (!values.every(([, value]) => Number.isSafeInteger(value))) return undefined
  return { ...(Object.fromEntries(values) as Record<(typeof NUMBERS)[number], number>), nonce: payload.slice(NUMBERS.length * 8) }
}

/** What `bdev_raid_create` was told and the superblock cannot say. */
export interface RaidConfigRecord {
  /** Whether every write goes through the journal; if not, those of a degraded array do. */
  readonly journal: boolean
}

export function encodeConfig({ journal }: RaidConfigRecord): Uint8Array {
  return Uint8Array.of(journal ? 1 : 0)
}

/** `undefined` for what is none. */
export function decodeConfig(payload: Uint8Array | undefined): RaidConfigRecord | undefined {
  return payload?.length === 1 && payload[0]! <= 1 ? { journal: payload[0] === 1 } : undefined
}
