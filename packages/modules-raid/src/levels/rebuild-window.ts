// SPDX-License-Identifier: Apache-2.0
// How members are made anew: control plane, one window at a time.
import type { RebuildJob } from '../window-job.js'
import { copiesBefore, otherCopy } from './near2.js'

/** Every member has the same: any other one is read. @throws BdevError EIO. */
export async function copyWindow(job: RebuildJob, offsetBlocks: number, numBlocks: number): Promise<void> {
  await job.readAny(offsetBlocks, numBlocks)
  await job.writeTarget(offsetBlocks, numBlocks)
}

/** On the members a stripe is one row of strips, and each of them is the xor of the others. @throws BdevError EIO. */
export async function xorWindow(job: RebuildJob, offsetBlocks: number, numBlocks: number): Promise<void> {
  const dataMembers = job.numMembers - 1
  await job.readXor(offsetBlocks / dataMembers, numBlocks / dataMembers)
  await job.writeTarget(offsetBlocks / dataMembers, numBlocks / dataMembers)
}

/** What the target has of the window is read strip by strip where the other copies are. @throws BdevError EIO. */
export async function copyStrips(job: RebuildJob, offsetBlocks: number, numBlocks: number): Promise<void> {
  const { members, stripSizeBlocks } = job.raid
  const { slot } = job.target
  const [first, end] = [offsetBlocks, offsetBlocks + numBlocks].map(at => copiesBefore(at, slot, stripSizeBlocks, members.length))
  if (end === first) return
  const strips = Array.from({ length: (end - first) / stripSizeBlocks }, (_, i) => {
    const place = otherCopy({ slot, row: first / stripSizeBlocks + i }, members.length)
    return { member: members[place.slot], offsetBlocks: place.row * stripSizeBlocks, numBlocks: stripSizeBlocks }
  })
  await job.readParts(strips)
  await job.writeTarget(first, end - first)
}
