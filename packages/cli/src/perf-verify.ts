// SPDX-License-Identifier: Apache-2.0
// data plane
import { performance } from 'node:perf_hooks'
import { issue, PerfOp, type PerfTask } from './perf-run.js'

// The verify workload: each task writes a range, reads it back, and compares. Task i of n owns the slots i, i + n, i + 2n, …,
// so that no two I/Os in flight touch one block, whatever the order in which they complete.

/**
 * Writes the next range of the task. Each block says which block it is and in which round it was written, in each of its
 * 32-bit words: one that lands elsewhere, comes back from an earlier round or is torn differs.
 */
export function startVerify(task: PerfTask): void {
  const run = task.run
  const step = run.tasks.length * run.ioBlocks
  let offsetBlocks = task.offsetBlocks + step
  if (task.generation === 0 || offsetBlocks + run.ioBlocks > run.slots * run.ioBlocks) {
    offsetBlocks = task.index * run.ioBlocks
    task.generation++
  }
  task.offsetBlocks = offsetBlocks
  fillPattern(task)
  task.op = PerfOp.Write
  if (run.latency !== null) task.startedMs = performance.now()
  issue(task)
}

/** Compares what was read back with what was written. */
export function checkVerified(task: PerfTask): void {
  const run = task.run
  const at = run.host.accel.compare(task.buf, task.off, task.buf, task.readOff, run.ioBytes)
  if (at >= 0) mismatch(task, at)
}

/** Word i of block b in round g: a mix of all three that no other triple is likely to have, little endian. */
function fillPattern(task: PerfTask): void {
  const run = task.run
  const buf = task.buf
  const blockBytes = run.channel.desc.blockSizeBytes
  let at = task.off
  for (let b = 0; b < run.ioBlocks; b++) {
    const lba = task.offsetBlocks + b
    const low = lba % 0x1_0000_0000
    const high = (lba - low) / 0x1_0000_0000
    let word = Math.imul(low ^ Math.imul(task.generation, 0x9e37_79b1), 0x85eb_ca6b) ^ high
    for (const end = at + blockBytes; at < end; at += 4) {
      word = (Math.imul(word, 1_664_525) + 1_013_904_223) | 0
      buf[at] = word
      buf[at + 1] = word >>> 8
      buf[at + 2] = word >>> 16
      buf[at + 3] = word >>> 24
    }
  }
}

function mismatch(task: PerfTask, at: number): void {
  const run = task.run
  const { bdev } = run.channel
  const { blockSizeBytes } = run.channel.desc
  const block = task.offsetBlocks + Math.floor(at / blockSizeBytes)
  const wanted = task.buf[task.off + at]!
  const found = task.buf[task.readOff + at]!
  run.fail(
    `verify: bdev "${bdev.name}", block ${block}, byte ${at % blockSizeBytes}, round ${task.generation}: ` +
      `wrote 0x${wanted.toString(16).padStart(2, '0')}, read 0x${found.toString(16).padStart(2, '0')}`,
  )
}
