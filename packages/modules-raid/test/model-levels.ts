// SPDX-License-Identifier: Apache-2.0
import { Sequence, type ModelLevel } from './model.js'
import { Rig } from './support.js'

const atMost = (missing: number) => (there: readonly boolean[]) => there.filter(one => !one).length <= missing
const pairs = (there: readonly boolean[]): boolean => (there[0]! || there[1]!) && (there[2]! || there[3]!)

/** The levels under the model: a new level is one more line. */
export const modelLevels: readonly ModelLevel[] = [
  { level: 'raid1', numMembers: 2, worksWith: atMost(1), params: {}, writeUnitBlocks: 1, writeHole: false },
  { level: 'raid1', numMembers: 3, worksWith: atMost(2), params: {}, writeUnitBlocks: 1, writeHole: false },
  { level: 'raid10', numMembers: 4, worksWith: pairs, params: { strip_size_kb: 8 }, writeUnitBlocks: 1, writeHole: false },
  { level: 'raid10', numMembers: 3, worksWith: atMost(1), params: { strip_size_kb: 4 }, writeUnitBlocks: 1, writeHole: false },
  { level: 'raid5', numMembers: 3, worksWith: atMost(1), params: { strip_size_kb: 8 }, writeUnitBlocks: 1, writeHole: false, stripeBlocks: 4 },
  { level: 'raid5f', numMembers: 4, worksWith: atMost(1), params: { strip_size_kb: 4 }, writeUnitBlocks: 3, writeHole: true },
  { level: 'raid0', numMembers: 3, worksWith: atMost(0), params: { strip_size_kb: 8 }, writeUnitBlocks: 1, writeHole: false },
  { level: 'concat', numMembers: 2, worksWith: atMost(0), params: { strip_size_kb: 4 }, writeUnitBlocks: 1, writeHole: false },
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
      // So that a rebuild takes several windows.
      await rig.rpc('bdev_raid_set_options', { process_window_size_kb: 16 })
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
