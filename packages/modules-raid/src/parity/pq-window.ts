// SPDX-License-Identifier: Apache-2.0
// How members with two parities are made anew, and their parities compared with the data: control plane, one window at a time.
import { BdevError } from '@bdevkit/module-sdk'
import type { Iov } from '@bdevkit/module-sdk'
import type { Row, ScrubJob } from '../scrub-job.js'
import type { Piece, RebuildJob, WindowJob } from '../window-job.js'
import type { ParityGeometry } from './geometry.js'
import { solveData } from './gf-solve.js'

/** Memory beside that of members: the first indices are theirs, see `WindowJob.memory`. */
const Memory = { P: 0, Q: 1 }
const memoryOf = (job: WindowJob, which: number): number => 2 * job.numMembers + which

/** A stripe, or some of its rows, by role: where the bytes of each strip are, or go to. */
class StripeView {
  readonly #job: WindowJob
  readonly #geometry: ParityGeometry
  readonly numData: number
  readonly strips: Iov[]
  /** By role. */
  readonly slots: number[] = []
  lengthBytes = 0

  constructor(job: WindowJob, geometry: ParityGeometry) {
    this.#job = job
    this.#geometry = geometry
    this.numData = job.numMembers - geometry.numParity
    this.strips = job.raid.host.allocIovs(job.numMembers)
  }

  /** Looks at `numBlocks` blocks of one stripe. `pieces` are by slot, and begin at block `rowsAt` of the members. */
  lookAt(pieces: readonly Piece[], rowsAt: number, block: number, numBlocks: number): void {
    const { blockSizeBytes, stripSizeBlocks } = this.#job.raid
    const stripe = Math.floor(block / stripSizeBlocks)
    this.lengthBytes = numBlocks * blockSizeBytes
    for (let role = 0; role < this.strips.length; role++) {
      const slot = this.#geometry.slotOf(stripe, role, this.#job.numMembers)
      const { buf, off } = pieces[slot]
      this.slots[role] = slot
      Object.assign(this.strips[role], { buf, off: off + (block - rowsAt) * blockSizeBytes, len: this.lengthBytes })
    }
  }

  /** Makes the strips of lost slots, two at most, from the others. */
  solve(lost: readonly number[], scratch: Piece): void {
    const { accel } = this.#job.raid.host
    const { numData, strips, lengthBytes } = this
    const roles = lost.map(slot => this.slots.indexOf(slot)).toSorted((a, b) => a - b)
    const [x = -1, y = -1] = roles.filter(role => role < numData)
    if (x >= 0) solveData(accel, strips, numData, x, y, roles.includes(numData), lengthBytes)
    // Both are made at once; one that is there may be the member's own memory, which stays as it is.
    const p = roles.includes(numData) ? strips[numData] : scratch
    const q = strips[numData + 1]
    if (roles.includes(numData + 1)) accel.pqInto(p.buf, p.off, q.buf, q.off, strips, numData, lengthBytes)
    else if (roles.includes(numData)) accel.xorInto(p.buf, p.off, strips, numData, lengthBytes)
  }
}

/**
 * Makes the target anew, also without one more member: one that is missing, or cannot be read.
 * @throws BdevError EIO more of them cannot be read.
 */
export async function pqWindow(job: RebuildJob, geometry: ParityGeometry, rowsAt: number, numBlocks: number): Promise<void> {
  const { raid, target, numMembers } = job
  const results = await Promise.allSettled(raid.members.map(member =>
    member === target || !member.inSync
      ? Promise.reject(new BdevError('EIO', `slot ${member.slot} has nothing to read`))
      : job.read(member, rowsAt, numBlocks, member.slot)))
  const pieces: Piece[] = []
  const lost: number[] = []
  for (const [slot, result] of results.entries()) {
    if (result.status === 'rejected') lost.push(slot)
    // A piece that is lent must not be written to: what is lost goes to memory of its own.
    pieces.push(result.status === 'fulfilled' ? result.value : job.memory(numMembers + slot, numBlocks))
  }
  try {
    if (lost.length > geometry.numParity) throw new BdevError('EIO', `${raid.who}: slots ${lost.join(', ')} cannot be read, ${raid.level.name} makes up for ${geometry.numParity}`)
    const view = new StripeView(job, geometry)
    const { stripSizeBlocks } = raid
    const scratch = job.memory(memoryOf(job, Memory.P), stripSizeBlocks)
    for (let block = rowsAt; block < rowsAt + numBlocks; block += stripSizeBlocks) {
      view.lookAt(pieces, rowsAt, block, stripSizeBlocks)
      view.solve(lost, scratch)
    }
  } finally {
    for (const { lender } of pieces) lender?.free()
  }
  job.hand(pieces[target.slot])
  await job.writeTarget(rowsAt, numBlocks)
}

/** What a member has to be given: blocks of its rows, and the memory that has them. */
interface Fix {
  readonly slot: number
  readonly block: number
  readonly from: Piece
  readonly fromBlock: number
}

/**
 * Compares both parities with the data, and where `repair` says so writes what differs, and what could not be read. Answers how
 * many blocks of parity differ. @throws BdevError.
 */
export async function scrubPq(job: ScrubJob, geometry: ParityGeometry, rowsAt: number, numBlocks: number, repair: boolean): Promise<number> {
  await job.readRows(rowsAt, numBlocks)
  const rows = job.rows as Row[]
  const { host: { accel }, stripSizeBlocks, blockSizeBytes } = job.raid
  const view = new StripeView(job, geometry)
  const parities = [job.memory(memoryOf(job, Memory.P), stripSizeBlocks), job.memory(memoryOf(job, Memory.Q), stripSizeBlocks)]
  const clean = rows.every(({ bad }) => bad === null)
  let mismatches = 0
  for (let first = rowsAt; first < rowsAt + numBlocks; first += stripSizeBlocks) {
    view.lookAt(rows, rowsAt, first, stripSizeBlocks)
    if (!clean) mismatches += await scrubBlocks(job, view, rowsAt, first, repair)
    else {
      const [p, q] = parities
      accel.pqInto(p.buf, p.off, q.buf, q.off, view.strips, view.numData, view.lengthBytes)
      for (const [i, made] of parities.entries()) {
        const found = view.strips[view.numData + i]
        const from = (at: number): number => accel.compare(found.buf, found.off + at, made.buf, made.off + at, view.lengthBytes - at)
        for (let at = 0, next = from(0); next >= 0; next = at < view.lengthBytes ? from(at) : -1) {
          const block = Math.floor((at + next) / blockSizeBytes)
          mismatches++
          at = (block + 1) * blockSizeBytes
          if (repair) await job.write(view.slots[view.numData + i], first - rowsAt + block, 1, made, block)
        }
      }
    }
  }
  return mismatches
}

/** Block by block, because some could not be read: what is left makes them, and what is left over is compared. */
async function scrubBlocks(job: ScrubJob, view: StripeView, rowsAt: number, first: number, repair: boolean): Promise<number> {
  const rows = job.rows as Row[]
  const { host: { accel }, stripSizeBlocks } = job.raid
  const own = rows.map((_, slot) => job.memory(memoryOf(job, 2 + slot), 1))
  const scratch = job.memory(memoryOf(job, Memory.P), 1)
  const other = job.memory(memoryOf(job, Memory.Q), 1)
  let mismatches = 0
  for (let block = first; block < first + stripSizeBlocks; block++) {
    const bad = rows.flatMap((row, slot) => (row.bad?.has(block - rowsAt) === true ? [slot] : []))
    view.lookAt(rows, rowsAt, block, 1)
    const roles = bad.map(slot => view.slots.indexOf(slot))
    if (bad.length > 2 || (!job.parityTrusted && roles.some(role => role < view.numData))) {
      job.lost++
      continue
    }
    const fixes: Fix[] = []
    for (const role of roles) {
      const { buf, off } = own[view.slots[role]]
      Object.assign(view.strips[role], { buf, off })
    }
    view.solve(bad, scratch)
    for (const slot of bad) fixes.push({ slot, block: block - rowsAt, from: own[slot], fromBlock: 0 })
    if (roles.every(role => role >= view.numData)) {
      // All data could be read: a parity that could, too, is compared.
      accel.pqInto(scratch.buf, scratch.off, other.buf, other.off, view.strips, view.numData, view.lengthBytes)
      for (const [i, made] of [scratch, other].entries()) {
        const role = view.numData + i
        const found = view.strips[role]
        if (roles.includes(role) || accel.compare(found.buf, found.off, made.buf, made.off, view.lengthBytes) < 0) continue
        mismatches++
        fixes.push({ slot: view.slots[role], block: block - rowsAt, from: made, fromBlock: 0 })
      }
    }
    if (repair) for (const { slot, block: at, from, fromBlock } of fixes) await job.write(slot, at, 1, from, fromBlock)
  }
  return mismatches
}
