// SPDX-License-Identifier: Apache-2.0
import type { BdevFnTable } from '@bdevkit/module-sdk'
import type { RaidBdev } from '../raid-bdev.js'
import type { RaidChannel } from '../raid-channel.js'
import { raidFnTable } from '../raid-fn.js'
import type { RaidIo } from '../raid-io.js'
import { concat } from './concat.js'
import type { RaidLevel } from './level.js'
import { raid0 } from './raid0.js'
import { raid1 } from './raid1.js'
import { raid10 } from './raid10.js'
import { raid5 } from './raid5.js'
import { raid5f } from './raid5f.js'
import { raid6 } from './raid6.js'

/** A level and the function table of its arrays. */
export interface RaidLevelEntry {
  readonly level: RaidLevel
  readonly fn: BdevFnTable<RaidBdev, RaidChannel, RaidIo>
}

/** Every level, in the order in which the RPC names them. */
export const levels: readonly RaidLevel[] = [raid0, raid1, raid10, raid5, raid6, raid5f, concat]

/** By the number on disk. */
export const levelsByNumber: ReadonlyMap<number, RaidLevelEntry> = new Map(levels.map(level => [level.number, { level, fn: raidFnTable(level) }]))

/** By each spelling, in lower case. */
export const levelsByName: ReadonlyMap<string, RaidLevel> = new Map(levels.flatMap(level => [level.name, ...level.aliases].map(name => [name, level] as const)))
