// SPDX-License-Identifier: Apache-2.0
// How members are made anew: control plane, one window at a time.
import type { RebuildJob } from '../raid-process.js'

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
