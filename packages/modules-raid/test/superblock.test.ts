// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeSuperblock, EntryState, parseSuperblock, superblockCrc, SUPERBLOCK_BYTES_MAX, type Superblock } from '../src/superblock.js'

const formats = new URL('../../../compat/formats/raid/', import.meta.url)
const golden = JSON.parse(readFileSync(new URL('manifest.json', formats), 'utf8')) as Record<string, { superblock_hex: Record<string, string> }>
const images = Object.values(golden).flatMap(({ superblock_hex }) => Object.entries(superblock_hex))

function parsed(bytes: Uint8Array): Superblock {
  const result = parseSuperblock(bytes)
  if (!('superblock' in result)) throw new Error(JSON.stringify(result))
  return result.superblock
}

const sample = (): Superblock => parsed(Buffer.from(images[0]![1], 'hex'))

/** Bytes of a superblock in which `change` has lied, with a good checksum. */
function lied(change: (bytes: Buffer) => void): Uint8Array {
  const bytes = Buffer.from(images[0]![1], 'hex')
  change(bytes)
  const length = Math.min(bytes.length, bytes.readUInt32LE(12))
  bytes.writeUInt32LE(superblockCrc(bytes.subarray(0, length)), 16)
  return bytes
}

describe('superblock', () => {
  it.each(images)('of %s, written by a real SPDK, is read and written again byte for byte', (_name, hex) => {
    const bytes = Buffer.from(hex, 'hex')
    const again = encodeSuperblock(parsed(bytes))
    expect(Buffer.from(again).toString('hex')).toBe(bytes.subarray(0, again.length).toString('hex'))
    expect(bytes.subarray(again.length).every(byte => byte === 0)).toBe(true)
  })

  it.each<[string, (bytes: Buffer) => void, string]>([
    ['signature', b => b.write('spdkraid', 0), 'signature'],
    ['major version', b => b.writeUInt16LE(2, 8), 'version 2.0'],
    ['length below the header', b => b.writeUInt32LE(255, 12), 'length 255'],
    ['length above the most', b => b.writeUInt32LE(SUPERBLOCK_BYTES_MAX + 1, 12), `length ${SUPERBLOCK_BYTES_MAX + 1}`],
    ['length that holds no entries', b => b.writeUInt32LE(256, 12), '2 entries in 256 bytes'],
    ['UUID of zeros', b => b.fill(0, 24, 40), 'without a UUID'],
    ['name without an end', b => b.fill(0x61, 40, 104), 'a name of more than 63 bytes'],
    ['no name', b => b.fill(0, 40, 104), 'no name'],
    ['size beyond 2^53', b => b.writeBigUInt64LE(1n << 53n, 104), 'a size above'],
    ['block size 0', b => b.writeUInt32LE(0, 112), 'block size 0'],
    ['sequence number beyond 2^53', b => b.writeBigUInt64LE(0xffff_ffff_ffff_ffffn, 128), 'a sequence number above'],
    ['no members', b => b.writeUInt8(0, 136), 'no members'],
    ['more members than entries', b => b.writeUInt8(3, 136), 'entries for 2 of 3 slots'],
    ['more entries than bytes', b => b.writeUInt8(200, 255), '200 entries in 384 bytes'],
    ['slot beyond the members', b => b.writeUInt8(2, 256 + 40), 'slot 2 of 2'],
    ['slot twice', b => b.writeUInt8(1, 256 + 40), 'slot 1 twice'],
    ['member UUID twice', b => b.copy(b, 320, 256, 272), 'twice'],
    ['member without a UUID', b => b.fill(0, 256, 272), 'a member without a UUID'],
    ['data beyond 2^53', b => b.writeBigUInt64LE(0xffff_ffff_ffff_ffffn, 256 + 16), 'data beyond'],
  ])('that lies about its %s is refused', (_what, change, why) => {
    const result = parseSuperblock(lied(change))
    expect(result).toEqual({ why: expect.stringContaining(why) as string })
  })

  it('asks for the rest of a long one', () => {
    const long = sample()
    long.numMembers = 255
    long.entries = Array.from({ length: 255 }, (_, slot) => ({ ...long.entries[0]!, slot, uuid: `00000000-0000-4000-8000-${slot.toString(16).padStart(12, '0')}` }))
    const bytes = encodeSuperblock(long)
    expect(bytes.length).toBe(SUPERBLOCK_BYTES_MAX)
    expect(parseSuperblock(bytes.subarray(0, 4096))).toEqual({ needBytes: bytes.length })
    expect(parsed(bytes)).toEqual(long)
  })

  it('with a newer minor version, with unknown states and flags is read all the same', () => {
    const bytes = lied(b => {
      b.writeUInt16LE(7, 10)
      b.writeUInt32LE(9, 256 + 32)
      b.writeUInt32LE(5, 256 + 36)
    })
    expect(parsed(bytes)).toMatchObject({ versionMinor: 7, entries: [{ state: 9, flags: 5 }, { state: EntryState.Configured }] })
  })

  it('any value comes back as it was written', () => {
    const uuid = fc.uuid({ version: 4 })
    const superblocks = fc.uniqueArray(uuid, { minLength: 1, maxLength: 16 }).chain(uuids => fc.record({
      versionMinor: fc.constant(0),
      flags: fc.nat(),
      uuid,
      name: fc.string({ minLength: 1, maxLength: 15 }).filter(name => !name.includes('\0')),
      raidSizeBlocks: fc.maxSafeNat(),
      blockSizeBytes: fc.integer({ min: 1, max: 0xffff_ffff }),
      level: fc.integer({ min: 0, max: 0xffff_ffff }),
      stripSizeBlocks: fc.integer({ min: 0, max: 0xffff_ffff }),
      state: fc.nat(),
      seqNumber: fc.maxSafeNat(),
      numMembers: fc.constant(uuids.length),
      entries: fc.tuple(...uuids.map((one, slot) => fc.record({
        uuid: fc.constant(one), dataOffsetBlocks: fc.nat(), dataSizeBlocks: fc.nat(), state: fc.nat({ max: 3 }), flags: fc.nat(), slot: fc.constant(slot),
      }))),
    }))
    fc.assert(fc.property(superblocks, superblock => {
      expect(parsed(encodeSuperblock(superblock))).toEqual(superblock)
    }))
  })

  it('no bytes throw, and none that were changed pass: 100,000 inputs', () => {
    let state = 0x5eed
    const random = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
      return (state >>> 8) % below
    }
    const bytes = Buffer.from(images[0]![1], 'hex')
    const length = bytes.readUInt32LE(12)
    for (let round = 0; round < 100_000; round++) {
      const fuzzed = Buffer.from(bytes)
      const mended = random(2) === 0
      for (let n = random(4); n >= 0; n--) fuzzed[random(length)] = random(256)
      if (random(8) === 0) fuzzed.fill(random(256), random(length))
      const now = fuzzed.readUInt32LE(12)
      if (mended && now <= fuzzed.length) fuzzed.writeUInt32LE(superblockCrc(fuzzed.subarray(0, now)), 16)
      const result = parseSuperblock(random(16) === 0 ? fuzzed.subarray(0, random(600)) : fuzzed)
      if ('superblock' in result) accepted(result.superblock, fuzzed, mended, bytes)
    }
  })
})

/** What was let through is what the bytes say, and holds together. */
function accepted(superblock: Superblock, fuzzed: Buffer, mended: boolean, original: Buffer): void {
  if (!mended && !fuzzed.subarray(0, 384).equals(original.subarray(0, 384))) throw new Error(`bytes with a bad checksum pass: ${fuzzed.toString('hex')}`)
  const { numMembers, entries } = superblock
  const sound = superblock.name.length > 0 && numMembers > 0 && Number.isSafeInteger(superblock.raidSizeBlocks) &&
    entries.every(({ slot, dataOffsetBlocks, dataSizeBlocks }) => slot < numMembers && Number.isSafeInteger(dataOffsetBlocks + dataSizeBlocks)) &&
    new Set(entries.map(({ slot }) => slot)).size === numMembers
  if (!sound) throw new Error(`not sound: ${fuzzed.toString('hex')}`)
}
