// SPDX-License-Identifier: Apache-2.0
import { otherCopy } from '../src/levels/near2.js'
import { Sequence, type ModelLevel } from './model.js'
import { BLOCK_BYTES } from './model-blocks.js'
import { Rig } from './support.js'

const atMost = (missing: number) => (there: readonly boolean[]) => there.filter(one => !one).length <= missing
const pairs = (there: readonly boolean[]): boolean => (there[0]! || there[1]!) && (there[2]! || there[3]!)

const blockOf = (bytes: Uint8Array, block: number): Uint8Array => bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)
const blocksOf = (bytes: Uint8Array): number[] => Array.from({ length: bytes.length / BLOCK_BYTES }, (_, block) => block)

/** Copies of every block on every member. */
const copies = (data: readonly Uint8Array[]): string | undefined => {
  const block = blocksOf(data[0]!).find(one => data.some(bytes => Buffer.compare(blockOf(bytes, one), blockOf(data[0]!, one)) !== 0))
  return block === undefined ? undefined : `block ${block} differs between members`
}

/** Strips of `stripBlocks`, two copies of each; the last one may be left over. */
const strips = (stripBlocks: number) => (data: readonly Uint8Array[]): string | undefined => {
  const rows = Math.floor(data[0]!.length / BLOCK_BYTES / stripBlocks)
  for (let position = 0; position < rows * data.length - 1; position += 2) {
    const place = { slot: position % data.length, row: Math.floor(position / data.length) }
    const other = otherCopy(place, data.length)
    const [one, two] = [place, other].map(({ slot, row }) => data[slot]!.subarray(row * stripBlocks * BLOCK_BYTES, (row + 1) * stripBlocks * BLOCK_BYTES))
    if (Buffer.compare(one!, two!) !== 0) return `strip ${position / 2} differs between slots ${place.slot} and ${other.slot}`
  }
  return undefined
}

/** The xor of all members is zero. */
const parity = (data: readonly Uint8Array[]): string | undefined => {
  const words = data.map(bytes => new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4))
  const at = words[0]!.findIndex((_, i) => words.reduce((sum, one) => sum ^ one[i]!, 0) !== 0)
  return at < 0 ? undefined : `parity does not fit in row ${Math.floor((at * 4) / BLOCK_BYTES)}`
}

/** Twice each byte of a word, in GF(2^8) with the polynomial 0x11d. */
const twice = (word: number): number => ((word & 0x7f7f_7f7f) << 1) ^ (((word >>> 7) & 0x0101_0101) * 0x1d)

/** P and Q of every row, where md's left-symmetric layout has them. */
const parities = (stripBlocks: number) => (data: readonly Uint8Array[]): string | undefined => {
  const words = data.map(bytes => new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4))
  const perStrip = (stripBlocks * BLOCK_BYTES) / 4
  for (let at = 0; at < words[0]!.length; at++) {
    const slotOfP = data.length - 1 - (Math.floor(at / perStrip) % data.length)
    let p = 0
    let q = 0
    for (let i = data.length - 1; i >= 2; i--) {
      const word = words[(slotOfP + i) % data.length]![at]!
      p ^= word
      q = twice(q) ^ word
    }
    const fits = p === (words[slotOfP]![at]! | 0) && q === (words[(slotOfP + 1) % data.length]![at]! | 0)
    if (!fits) return `parities do not fit in row ${Math.floor((at * 4) / BLOCK_BYTES)}`
  }
  return undefined
}

/** The levels under the model: a new level is one more line. */
export const modelLevels: readonly ModelLevel[] = [
  { level: 'raid1', numMembers: 2, worksWith: atMost(1), params: {}, writeUnitBlocks: 1, disagreement: copies },
  { level: 'raid1', numMembers: 3, worksWith: atMost(2), params: {}, writeUnitBlocks: 1, disagreement: copies },
  { level: 'raid10', numMembers: 4, worksWith: pairs, params: { strip_size_kb: 8 }, writeUnitBlocks: 1, disagreement: strips(2) },
  { level: 'raid10', numMembers: 3, worksWith: atMost(1), params: { strip_size_kb: 4 }, writeUnitBlocks: 1, disagreement: strips(1) },
  { level: 'raid5', numMembers: 3, worksWith: atMost(1), params: { strip_size_kb: 8 }, writeUnitBlocks: 1, disagreement: parity },
  {
    level: 'raid5', numMembers: 4, worksWith: atMost(1), params: { strip_size_kb: 8, journal: false }, writeUnitBlocks: 1,
    crashTakesRedundancy: true, disagreement: parity,
  },
  { level: 'raid6', numMembers: 4, worksWith: atMost(2), params: { strip_size_kb: 4 }, writeUnitBlocks: 1, disagreement: parities(1) },
  {
    level: 'raid6', numMembers: 4, worksWith: atMost(2), params: { strip_size_kb: 4, journal: false }, writeUnitBlocks: 1,
    crashTakesRedundancy: true, disagreement: parities(1),
  },
  { level: 'raid6', numMembers: 5, worksWith: atMost(2), params: { strip_size_kb: 8 }, writeUnitBlocks: 1, disagreement: parities(2) },
  { level: 'raid5f', numMembers: 4, worksWith: atMost(1), params: { strip_size_kb: 4 }, writeUnitBlocks: 3, crashTakesRedundancy: true, disagreement: parity },
  { level: 'raid0', numMembers: 3, worksWith: atMost(0), params: { strip_size_kb: 8 }, writeUnitBlocks: 1 },
  { level: 'concat', numMembers: 2, worksWith: atMost(0), params: { strip_size_kb: 4 }, writeUnitBlocks: 1 },
]

/** Sequences of one host: what one leaves behind the next one meets. */
const PER_HOST = 25

/**
 * Runs `count` sequences, fewer where `limitMs` has passed. A failure names its seed: RAID_MODEL_SEED runs that one alone.
 * Answers how many were run.
 */
export async function runSequences(level: ModelLevel, count: number, limitMs: number): Promise<number> {
  const only = process.env['RAID_MODEL_SEED']
  const first = Number(only ?? process.env['RAID_MODEL_FIRST'] ?? 1)
  const endMs = performance.now() + limitMs
  let done = 0
  let rig: Rig | undefined
  for (; done < (only === undefined ? count : 1) && performance.now() < endMs; done++) {
    if (rig === undefined) {
      rig = await Rig.start()
      // So that a rebuild takes several windows, and an array has several regions.
      await rig.rpc('bdev_raid_set_options', { process_window_size_kb: 16, dirty_region_size_kb: 16 })
    }
    const sequence = new Sequence(rig, level, first + done)
    try {
      await sequence.run()
    } catch (thrown) {
      // The host is left as it is: what hangs in it would hang its end.
      const which = `${level.level} of ${level.numMembers}, RAID_MODEL_SEED=${first + done}`
      throw new Error(`${which}: ${(thrown as Error).message}\n${sequence.story}\nlog:\n${rig.log.slice(-12).join('\n')}`, { cause: thrown })
    }
    rig.log.length = 0
    if ((done + 1) % PER_HOST !== 0) continue
    await rig.stop()
    rig = undefined
  }
  await rig?.stop()
  return done
}
