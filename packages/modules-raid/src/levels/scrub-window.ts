// SPDX-License-Identifier: Apache-2.0
// How redundancy is compared with the data: control plane, one window at a time.
import type { Row, ScrubJob } from '../scrub-job.js'
import type { Piece } from '../window-job.js'

/** Where one of several copies begins: in the row of a slot. */
export interface CopyAt {
  readonly slot: number
  readonly block: number
}

/** Blocks that have to be written. */
interface Run {
  readonly block: number
  numBlocks: number
  /** Index of the copy that they are taken from; of parity: its slot. */
  readonly from: number
}

/** Every member has the same. @throws BdevError. */
export async function scrubCopies(job: ScrubJob, offsetBlocks: number, numBlocks: number, repair: boolean): Promise<number> {
  await job.readRows(offsetBlocks, numBlocks)
  return settleCopies(job, job.rows.map((_, slot) => ({ slot, block: 0 })), numBlocks, repair)
}

/** Each strip is on two members, as raid10 has it. The window begins where a turn of the layout does. @throws BdevError. */
export async function scrubStrips(job: ScrubJob, offsetBlocks: number, numBlocks: number, repair: boolean): Promise<number> {
  const { stripSizeBlocks } = job.raid
  const first = (2 * offsetBlocks) / stripSizeBlocks
  const end = first + (2 * numBlocks) / stripSizeBlocks
  const firstRow = Math.floor(first / job.numMembers)
  await job.readRows(firstRow * stripSizeBlocks, (Math.ceil(end / job.numMembers) - firstRow) * stripSizeBlocks)
  const copyAt = (position: number): CopyAt =>
    ({ slot: position % job.numMembers, block: (Math.floor(position / job.numMembers) - firstRow) * stripSizeBlocks })
  let mismatches = 0
  for (let position = first; position < end; position += 2) {
    mismatches += await settleCopies(job, [copyAt(position), copyAt(position + 1)], stripSizeBlocks, repair)
  }
  return mismatches
}

/**
 * Compares `numBlocks` blocks of copies whose rows are read; the first one that could be read counts, block by block, and where
 * `repair` says so the others get what it has. Answers how many blocks of others differ from it. @throws BdevError EIO.
 */
export async function settleCopies(job: ScrubJob, copies: readonly CopyAt[], numBlocks: number, repair: boolean): Promise<number> {
  const there = copies.filter(({ slot }) => job.rows[slot] !== null)
  let mismatches = 0
  for (let i = 1; i < there.length; i++) mismatches += await settleCopy(job, there, i, numBlocks, repair)
  const first = there[0]
  if (first === undefined || job.rows[first.slot]!.bad === null) return mismatches
  // What the first one lacks it gets from the first of the others that has it.
  const runs: Run[] = []
  for (let block = 0; block < numBlocks; block++) {
    if (!isBad(job, first, block)) continue
    const from = there.findIndex(copy => !isBad(job, copy, block))
    if (from < 0) job.lost++
    else extend(runs, block, from)
  }
  if (repair) await writeRuns(job, there, first, runs)
  return mismatches
}

/** Settles copy `i`. Answers how many of its blocks differ. */
async function settleCopy(job: ScrubJob, copies: readonly CopyAt[], i: number, numBlocks: number, repair: boolean): Promise<number> {
  const runs: Run[] = []
  let mismatches = 0
  let block = 0
  const clean = copies.slice(0, i + 1).every(({ slot }) => job.rows[slot]!.bad === null)
  while (block < numBlocks) {
    if (clean) {
      block = firstDifference(job, copies[0], copies[i], block, numBlocks)
      if (block === numBlocks) break
    }
    const from = clean ? 0 : copies.findIndex((copy, index) => index < i && !isBad(job, copy, block))
    if (from >= 0 && isBad(job, copies[i], block)) extend(runs, block, from)
    else if (from >= 0 && (clean || firstDifference(job, copies[from], copies[i], block, block + 1) === block)) {
      mismatches++
      extend(runs, block, from)
    }
    block++
  }
  if (repair) await writeRuns(job, copies, copies[i], runs)
  return mismatches
}

/** The first block from `block` on, below `end`, in which two copies differ; `end` where there is none. */
function firstDifference(job: ScrubJob, a: CopyAt, b: CopyAt, block: number, end: number): number {
  const { host: { accel }, blockSizeBytes, mdSizeBytes } = job.raid
  const one = job.rows[a.slot]!
  const other = job.rows[b.slot]!
  const numBlocks = end - block
  const [from, to] = [a.block + block, b.block + block]
  const at = accel.compare(one.buf, one.off + from * blockSizeBytes, other.buf, other.off + to * blockSizeBytes, numBlocks * blockSizeBytes)
  const first = at < 0 ? end : block + Math.floor(at / blockSizeBytes)
  if (one.md === undefined || other.md === undefined) return first
  const mdAt = accel.compare(one.md.buf, one.md.off + from * mdSizeBytes, other.md.buf, other.md.off + to * mdSizeBytes, numBlocks * mdSizeBytes)
  return mdAt < 0 ? first : Math.min(first, block + Math.floor(mdAt / mdSizeBytes))
}

function isBad(job: ScrubJob, { slot, block: base }: CopyAt, block: number): boolean {
  return job.rows[slot]!.bad?.has(base + block) === true
}

function extend(runs: Run[], block: number, from: number): void {
  const last = runs.at(-1)
  if (last !== undefined && last.from === from && last.block + last.numBlocks === block) last.numBlocks++
  else runs.push({ block, numBlocks: 1, from })
}

async function writeRuns(job: ScrubJob, copies: readonly CopyAt[], to: CopyAt, runs: readonly Run[]): Promise<void> {
  for (const { block, numBlocks, from } of runs) {
    const source = copies[from]
    await job.write(to.slot, to.block + block, numBlocks, job.rows[source.slot]!, source.block + block)
  }
}

/**
 * One row of strips in which each is the xor of the others: the xor of all is zero. `parityOf` tells the slot of the parity for a
 * block of the members. Only parity is written, and what could not be read. @throws BdevError.
 */
export async function scrubXor(job: ScrubJob, rowBlock: number, numBlocks: number, repair: boolean, parityOf: (block: number) => number): Promise<number> {
  await job.readRows(rowBlock, numBlocks)
  const rows = job.rows as Row[]
  const sum = job.xor(rows, 2 * job.numMembers, numBlocks)
  const runs: Run[] = []
  let mismatches = 0
  for (let block = 0; block < numBlocks; block++) {
    const parity = parityOf(rowBlock + block)
    const bad = rows.findIndex(row => row.bad?.has(block) === true)
    if (bad < 0) {
      if (isZero(job, sum, block)) continue
      mismatches++
      extend(runs, block, parity)
      continue
    }
    const alone = rows.every((row, slot) => slot === bad || row.bad?.has(block) !== true)
    // What could not be read counts as zeros: the sum is what is missing.
    if (!alone || (bad !== parity && !job.parityTrusted)) job.lost++
    else if (repair) await job.write(bad, block, 1, sum, block)
  }
  if (!repair) return mismatches
  for (const run of runs) {
    const pieces = [pieceAt(job, rows[run.from], run.block), pieceAt(job, sum, run.block)]
    await job.write(run.from, run.block, run.numBlocks, job.xor(pieces, 2 * job.numMembers + 1, run.numBlocks), 0)
  }
  return mismatches
}

/** A piece from a block on. */
function pieceAt(job: ScrubJob, { buf, off, md }: Piece, block: number): Piece {
  const { blockSizeBytes, mdSizeBytes } = job.raid
  return { buf, off: off + block * blockSizeBytes, lender: null, ...(md !== undefined && { md: { buf: md.buf, off: md.off + block * mdSizeBytes } }) }
}

function isZero(job: ScrubJob, { buf, off, md }: Piece, block: number): boolean {
  const { host: { accel }, blockSizeBytes, mdSizeBytes } = job.raid
  if (!accel.isZero(buf, off + block * blockSizeBytes, blockSizeBytes)) return false
  return md === undefined || accel.isZero(md.buf, md.off + block * mdSizeBytes, mdSizeBytes)
}
