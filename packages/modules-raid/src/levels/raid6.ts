// SPDX-License-Identifier: Apache-2.0
import { IoType } from '@bdevkit/module-sdk'
import { journalRoomBytes } from '../journal/journal-room.js'
import { leftSymmetric6 } from '../parity/geometry.js'
import type { RaidLevel } from './level.js'
import { OWN_LEVEL_NUMBERS } from './numbers.js'
import { parityLevel } from './parity-level.js'

/** Strips and two parities, in md's default layout; I/O of any size; any two members may be missing. SPDK has none. */
export const raid6: RaidLevel = {
  ...parityLevel(leftSymmetric6),
  name: 'raid6',
  aliases: ['6'],
  number: OWN_LEVEL_NUMBERS.raid6,
  membersMin: 4,
  canResize: true,
  rangeTypes: [IoType.Flush],
  journal: 'always',
  dataOffsetBytes: journalRoomBytes,
}
