// SPDX-License-Identifier: Apache-2.0
import { IoType } from '@bdevkit/module-sdk'
import { leftAsymmetric } from '../parity/geometry.js'
import type { RaidLevel } from './level.js'
import { parityLevel } from './parity-level.js'

/** Strips and their parity, which turns from member to member; whole stripes are written. SPDK's `raid5f.c`. */
export const raid5f: RaidLevel = {
  ...parityLevel(leftAsymmetric),
  name: 'raid5f',
  aliases: ['5f'],
  number: 95,
  membersMin: 3,
  canResize: false,
  // Zeros are written: while the array is degraded they have to go through the journal, too.
  rangeTypes: [IoType.Flush],
  journal: 'degraded',
}
