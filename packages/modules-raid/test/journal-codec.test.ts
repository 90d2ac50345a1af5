// SPDX-License-Identifier: Apache-2.0
// Batches and records of the journal as bytes, and where they lie in a ring. No array.
import { describe, expect, it } from 'vitest'
import {
  BATCH_CRC_SEED, BatchHeader, HEADER_BYTES_MAX, headerBlocksOf, INVOLVED_BYTES, TRANSACTIONS_MAX, type JournalEpoch,
} from '../src/journal/batch-codec.js'
import { decodeBatch, type WantedBatch } from '../src/journal/batch-reader.js'
import { decodeConfig, decodeJournalRecord, encodeConfig, encodeJournalRecord, newNonce } from '../src/journal/journal-record.js'
import { JournalRing } from '../src/journal/journal-ring.js'
import { randomFrom } from './model.js'

const BLOCK_BYTES = 512
const epoch: JournalEpoch = { raidUuid: '01234567-89ab-4cde-8f01-23456789abcd', number: 7, nonce: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) }
const wanted: WantedBatch = {
  epoch, slot: 2, previousSeq: 40, position: 100, ringBlocks: 1024, blockSizeBytes: BLOCK_BYTES, dataSizeBlocks: 5000, numMembers: 12,
}

/** CRC-32C, bit by bit. */
function crc32c(seed: number, buf: Uint8Array, off: number, lengthBytes: number): number {
  let crc = seed
  for (let i = off; i < off + lengthBytes; i++) {
    crc ^= buf[i]!
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : 0x82f6_3b78)
  }
  return crc >>> 0
}

function involved(...slots: number[]): Uint8Array {
  const bits = new Uint8Array(INVOLVED_BYTES)
  for (const slot of slots) bits[slot >> 3] = bits[slot >> 3]! | (1 << (slot & 7))
  return bits
}

/** The header of a batch of `count` transactions, three blocks each. */
function header(count: number, previousSeq = 40): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES_MAX)
  const batch = new BatchHeader(bytes, 0, BLOCK_BYTES, crc32c)
  batch.begin(epoch, 2)
  batch.clear()
  for (let i = 0; i < count; i++) {
    batch.add(count - 1 - i, 1000 + 10 * i, 3, 0xdead_beef, involved(0, 2, 11))
  }
  batch.seal(42, previousSeq, 100)
  return bytes
}

describe('the header of a batch', () => {
  it.each([1, 2, TRANSACTIONS_MAX])('of %i transactions reads back', count => {
    const batch = decodeBatch(header(count), wanted, crc32c)!
    const first = headerBlocksOf(count, BLOCK_BYTES)
    expect(batch).toMatchObject({ seq: 42, numBlocks: first + 3 * count })
    expect(batch.parts.map(({ index, offsetBlocks, ringBlock }) => [index, offsetBlocks, ringBlock]))
      .toEqual(Array.from({ length: count }, (_, i) => [count - 1 - i, 1000 + 10 * i, 100 + first + 3 * i]))
    for (const { slots, crc, numBlocks } of batch.parts) expect([slots, crc, numBlocks]).toEqual([[0, 2, 11], 0xdead_beef, 3])
  })

  it('says how long it will be before it is written', () => {
    const batch = new BatchHeader(new Uint8Array(HEADER_BYTES_MAX), 0, BLOCK_BYTES, crc32c)
    batch.begin(epoch, 0)
    for (let i = 0; i < TRANSACTIONS_MAX; i++) {
      const with1 = batch.numBlocksWith(5)
      batch.add(i, 0, 5, 0, involved(0))
      expect(batch.numBlocks).toBe(with1)
    }
    expect(batch.headerBlocks).toBe(HEADER_BYTES_MAX / BLOCK_BYTES)
  })

  it.each<[string, Partial<WantedBatch>]>([
    ['another array', { epoch: { ...epoch, raidUuid: '01234567-89ab-4cde-8f01-23456789abce' } }],
    ['another assembly', { epoch: { ...epoch, number: 8 } }],
    ['a user who knows everything but the nonce', { epoch: { ...epoch, nonce: new Uint8Array(8) } }],
    ['another slot', { slot: 0 }],
    ['an earlier lap of the ring', { previousSeq: 41 }],
    ['another place of the ring', { position: 99 }],
    ['a longer ring', { ringBlocks: 103 }],
    ['a larger member', { dataSizeBlocks: 1002 }],
    ['an array of more members', { numMembers: 11 }],
  ])('does not count where it is of %s', (_what, other) => {
    expect(decodeBatch(header(1), wanted, crc32c)).toBeDefined()
    expect(decodeBatch(header(1), { ...wanted, ...other }, crc32c)).toBeUndefined()
  })

  it('does not count where its number is not above that of the batch before', () => {
    expect(decodeBatch(header(1, 42), { ...wanted, previousSeq: 42 }, crc32c)).toBeUndefined()
  })

  it('does not count with one bit changed, nor cut short', () => {
    const good = header(3)
    for (let at = 0; at < 128 + 3 * 64; at++) {
      const bytes = good.slice()
      bytes[at] = bytes[at]! ^ (1 << (at & 7))
      expect(decodeBatch(bytes, wanted, crc32c), `byte ${at}`).toBeUndefined()
    }
    for (const length of [0, 7, 127, 128, 319]) expect(decodeBatch(good.subarray(0, length), wanted, crc32c)).toBeUndefined()
  })

  // The checksum passes whatever the bytes say: an attacker can compute it.
  it('no bytes throw, and none lead out of the ring or the data: 100,000 inputs with a checksum that fits', { timeout: 60_000 }, () => {
    const random = randomFrom(9)
    let accepted = 0
    for (let n = 0; n < 100_000; n++) {
      const count = 1 + random(3)
      const bytes = new Uint8Array(HEADER_BYTES_MAX)
      const view = new DataView(bytes.buffer)
      const good = goodHeaders[count - 1]!
      bytes.set(good)
      for (let changes = random(4); changes >= 0; changes--) {
        const at = 8 + random(128 + count * 64 - 8)
        if (random(2) === 0) bytes[at] = random(256)
        else view.setUint32(at & ~3, [0, 1, 0xffff_ffff, 0x7fff_ffff, 5000, 1023, random(0x7fff_ffff)][random(7)]!, true)
      }
      const batch = decodeBatch(bytes, wanted, () => view.getUint32(12, true))
      if (batch === undefined) continue
      accepted++
      const whole = batch.seq > 40 && Number.isSafeInteger(batch.seq) && 100 + batch.numBlocks <= 1024
      const sound = whole && batch.parts.every(({ offsetBlocks, numBlocks, ringBlock, slots }) =>
        numBlocks > 0 && offsetBlocks + numBlocks <= 5000 && ringBlock + numBlocks <= 100 + batch.numBlocks && slots.every(slot => slot < 12))
      if (!sound) throw new Error(`input ${n}: ${JSON.stringify(batch)}`)
    }
    expect(accepted).toBeGreaterThan(1000)
  })
  const goodHeaders = [header(1), header(2), header(3)]

  it('checksums begin with ones: zeros have one, too', () => {
    expect(crc32c(BATCH_CRC_SEED, new Uint8Array(512), 0, 512)).not.toBe(0)
  })
})

describe('a record', () => {
  const record = { epoch: 2 ** 40, generation: 3, doneSeq: 17, joinSeq: 12, tailSeq: 16, tailPosition: 99, nonce: newNonce() }

  it('reads back', () => expect(decodeJournalRecord(encodeJournalRecord(record))).toEqual(record))

  it('is none where it has another length, or numbers that are not safe', () => {
    expect(decodeJournalRecord(undefined)).toBeUndefined()
    expect(decodeJournalRecord(encodeJournalRecord(record).subarray(1))).toBeUndefined()
    for (let field = 0; field < 6; field++) {
      const bytes = encodeJournalRecord(record)
      bytes[field * 8 + 7] = 1
      expect(decodeJournalRecord(bytes), `field ${field}`).toBeUndefined()
    }
  })

  it('of the configuration reads back', () => {
    for (const journal of [true, false]) expect(decodeConfig(encodeConfig({ journal }))).toEqual({ journal })
    for (const bytes of [undefined, new Uint8Array(0), Uint8Array.of(2), Uint8Array.of(1, 1)]) expect(decodeConfig(bytes)).toBeUndefined()
  })
})

describe('a ring', () => {
  it('never gives away what is in use, and a reader finds every batch: 100 random lives', { timeout: 60_000 }, () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = randomFrom(seed)
      const ring = new JournalRing(20 + random(50))
      /** By block: the batch that lies there. */
      const blocks = new Map<number, number>()
      let live: { seq: number; position: number; numBlocks: number }[] = []
      let tail = { seq: 0, position: 0 }
      let marked = 0
      for (let seq = 1; seq < 150; seq++) {
        const numBlocks = 1 + random(12)
        const position = ring.placeOf(numBlocks)
        if (position < 0) {
          expect(ring.usedBlocks, 'refused where it is nearly empty').toBeGreaterThan(0)
          if (ring.markHead < 0) {
            ring.mark()
            marked = ring.lastSeq
          }
        } else {
          for (let block = position; block < position + numBlocks; block++) {
            if (live.some(one => one.seq === blocks.get(block))) throw new Error(`seed ${seed}: block ${block} is in use`)
            blocks.set(block, seq)
          }
          expect(position + numBlocks).toBeLessThanOrEqual(ring.numBlocks)
          ring.take(position, numBlocks, seq)
          live.push({ seq, position, numBlocks })
        }
        if (ring.markHead < 0 && random(4) === 0) {
          ring.mark()
          marked = ring.lastSeq
        } else if (ring.markHead >= 0 && random(3) === 0) {
          tail = { seq: ring.markSeq, position: ring.markHead }
          expect(ring.markSeq).toBe(marked)
          ring.release()
          live = live.filter(one => one.seq > marked)
        }
        if (walk(live, tail).join() !== live.map(one => one.seq).join()) throw new Error(`seed ${seed}: a reader finds ${walk(live, tail).join()}`)
      }
    }
  })

  /** As recovery does: from the tail on, the batch that follows. */
  function walk(live: readonly { seq: number; position: number; numBlocks: number }[], tail: { seq: number; position: number }): number[] {
    const found: number[] = []
    let at = tail.position
    let after = tail.seq
    for (;;) {
      const place = JournalRing.placesAfter(at)
      // Which one follows is in the header: the number of the batch before.
      const next = live.find(one => place.includes(one.position) && live.filter(({ seq }) => seq > after).at(0) === one)
      if (next === undefined) return found
      found.push(next.seq)
      after = next.seq
      at = next.position + next.numBlocks
    }
  }

  it('takes a batch as long as itself when it is empty, and at its start', () => {
    const ring = new JournalRing(8)
    expect(ring.placeOf(8)).toBe(0)
    ring.take(0, 8, 1)
    expect(ring.placeOf(1)).toBe(-1)
    ring.mark()
    ring.release()
    expect(ring.placeOf(3)).toBe(0)
    ring.take(0, 3, 2)
    expect(ring.placeOf(6)).toBe(-1)
    expect(ring.placeOf(5)).toBe(3)
  })
})
