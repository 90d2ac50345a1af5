// SPDX-License-Identifier: Apache-2.0
import { IoType } from '@bdevkit/module-sdk'
import { journalRoomBytes } from '../journal/journal-room.js'
import { leftSymmetric5 } from '../parity/geometry.js'
import type { RaidLevel } from './level.js'
import { OWN_LEVEL_NUMBERS } from './numbers.js'
import { parityLevel } from './parity-level.js'

/** Strips and their parity, in md's default layout; I/O of any size. SPDK has none. */
export const raid5: RaidLevel = {
  ...parityLevel(leftSymmetric5),
  name: 'raid5',
  aliases: ['5'],
  number: OWN_LEVEL_NUMBERS.raid5,
  membersMin: 3,
  canResize: true,
  rangeTypes: [IoType.Flush],
  journal: 'always',
  dataOffsetBytes: journalRoomBytes,
}
