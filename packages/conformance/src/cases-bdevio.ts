// SPDX-License-Identifier: Apache-2.0
// The cases of SPDK's test/bdev/bdevio/bdevio.c under their own names, for the I/O types of this release.
import { ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import { check } from './failure.js'
import { endingOf, type Subject } from './subject.js'

/** One rule that a bdev must keep. */
export interface IoCase {
  readonly name: string
  /** Why there is such a rule, in a line. */
  readonly why?: string
  run(subject: Subject): Promise<void>
}

const KIB = 1024
const ZERO_BUFFER_BYTES = 1024 * KIB
/** Larger than one 128 KiB buffer of SPDK's pool. */
const LARGE_BYTES = 132 * KIB

/** Writes and reads back `numBlocks` at `offsetBlocks`, in the given pieces of bytes. */
async function writeRead(s: Subject, offsetBlocks: number, numBlocks: number, pieces?: readonly number[]): Promise<void> {
  for (const seed of [1, 2]) { // twice: memory that happens to hold the first data must not hide a lost write
    if (!(await s.write(offsetBlocks, numBlocks, seed, pieces))) return void (await s.read(offsetBlocks, numBlocks, pieces))
    await s.expect(offsetBlocks, s.data(offsetBlocks, numBlocks, seed), pieces)
  }
}

/** Zeroes what was written and reads it back; the blocks around stay. */
async function writeZeroesRead(s: Subject, numBlocks: number): Promise<void> {
  const edge = s.blocks(1)
  const written = await s.write(0, edge + numBlocks + edge, 3)
  if (!s.judge(IoType.WriteZeroes, await s.driver.writeZeroes(edge, numBlocks)) || !written) return
  await s.expect(edge, new Uint8Array(s.bytes(numBlocks)))
  await s.expect(0, s.data(0, edge, 3))
  await s.expect(edge + numBlocks, s.data(edge + numBlocks, edge, 3))
}

/** Submits READ and WRITE that must be refused with -EINVAL before they reach the module. */
async function refused(s: Subject, offsetBlocks: number, numBlocks: number, pieceBytes: number): Promise<void> {
  const scatter = s.scatter([pieceBytes])
  const read = await s.driver.read(scatter.iovs, offsetBlocks, numBlocks)
  const write = await s.driver.write(scatter.iovs, offsetBlocks, numBlocks)
  const wanted = s.supports(IoType.Write) ? [-ERRNO.EINVAL] : [-ERRNO.EINVAL, -ERRNO.ENOTSUP]
  const where = `${numBlocks} blocks at ${offsetBlocks} with a buffer of ${pieceBytes} bytes`
  const hint = 'the framework checks range and lengths: is the size that the bdev was registered with right?'
  check(read.rc === -ERRNO.EINVAL, `READ of ${where}: wanted -EINVAL, but it ${endingOf(read)}`, hint)
  check(wanted.includes(write.rc), `WRITE of ${where}: wanted -EINVAL, but it ${endingOf(write)}`, hint)
  check(scatter.gapsIntact(), 'a refused READ wrote to memory', 'this is a bug of the framework')
}

/** Pieces of one block each. */
const blockPieces = (s: Subject, numBlocks: number): number[] => new Array<number>(numBlocks).fill(s.bdev.blockSizeBytes)

export const bdevioCases: readonly IoCase[] = [
  {
    name: 'blockdev write read block',
    why: 'the least that a disk is: what is written is read',
    run: s => writeRead(s, 0, s.blocks(1)),
  },
  {
    name: 'blockdev write zeroes read block',
    why: 'zeroing reaches its blocks, and not their neighbours',
    run: s => writeZeroesRead(s, s.blocks(1)),
  },
  {
    name: 'blockdev write zeroes read no split',
    why: 'as much as one buffer of zeros, where zeroing is emulated',
    run: s => writeZeroesRead(s, s.blocksOf(ZERO_BUFFER_BYTES)),
  },
  {
    name: 'blockdev write zeroes read split',
    why: 'several buffers of zeros: each piece at its own place',
    run: s => writeZeroesRead(s, s.blocksOf(3 * ZERO_BUFFER_BYTES)),
  },
  {
    name: 'blockdev write zeroes read split partial',
    why: 'the last piece is shorter than the others',
    run: s => writeZeroesRead(s, s.blocksOf(3.5 * ZERO_BUFFER_BYTES)),
  },
  {
    name: 'blockdev reset',
    why: 'a disk works after a reset',
    async run(s) {
      s.judge(IoType.Reset, await s.driver.reset())
      await writeRead(s, 0, s.blocks(1))
    },
  },
  {
    name: 'blockdev write read 8 blocks',
    why: 'more than one block in one I/O',
    run: s => writeRead(s, 0, s.blocks(8)),
  },
  {
    name: 'blockdev write read size > 128k',
    why: 'longer than a buffer of a pool',
    run: s => writeRead(s, 0, s.blocksOf(LARGE_BYTES)),
  },
  {
    name: 'blockdev write read invalid size',
    why: 'no half blocks get through',
    run: s => refused(s, 0, s.blocks(1), s.bytes(s.blocks(1)) - 1),
  },
  {
    name: 'blockdev write read offset + nbytes == size of blockdev',
    why: 'the last block is there',
    run: s => writeRead(s, s.bdev.numBlocks - s.blocks(1), s.blocks(1)),
  },
  {
    name: 'blockdev write read offset + nbytes > size of blockdev',
    why: 'and none behind it',
    async run(s) {
      const unit = s.blocks(1)
      await refused(s, s.bdev.numBlocks, unit, s.bytes(unit))
      await refused(s, s.bdev.numBlocks - unit, 2 * unit, s.bytes(2 * unit))
    },
  },
  {
    name: 'blockdev write read max offset',
    why: 'offsets that overflow must not wrap to the beginning',
    async run(s) {
      const unit = s.blocks(1)
      await refused(s, Number.MAX_SAFE_INTEGER, unit, s.bytes(unit))
      await refused(s, 2 ** 64 - 2048, unit, s.bytes(unit))
    },
  },
  {
    name: 'blockdev write read 2 blocks on overlapped address offset',
    why: 'the later of two overlapping writes wins, where it lies',
    async run(s) {
      const unit = s.blocks(1)
      if (!(await s.write(0, 2 * unit, 4)) || !(await s.write(unit, 2 * unit, 5))) return
      await s.expect(0, s.data(0, unit, 4))
      await s.expect(unit, s.data(unit, 2 * unit, 5))
    },
  },
  {
    name: 'blockdev writev readv 8 blocks',
    why: 'each element of a scatter list is used, in order',
    run: s => writeRead(s, 0, s.blocks(8), blockPieces(s, s.blocks(8))),
  },
  {
    name: 'blockdev writev readv 30 x 1block',
    why: 'many elements, which lie in memory backwards',
    run: s => writeRead(s, 0, s.blocks(30), blockPieces(s, s.blocks(30))),
  },
  {
    name: 'blockdev writev readv block',
    why: 'a scatter list of one element',
    run: s => writeRead(s, 0, s.blocks(1), [s.bytes(s.blocks(1))]),
  },
  {
    name: 'blockdev writev readv size > 128k',
    why: 'one element that is longer than a buffer of a pool',
    run: s => writeRead(s, 0, s.blocksOf(LARGE_BYTES), [s.bytes(s.blocksOf(LARGE_BYTES))]),
  },
  {
    name: 'blockdev writev readv size > 128k in two iovs',
    why: 'elements of unequal length',
    run: s => writeRead(s, 0, s.blocksOf(LARGE_BYTES), [128 * KIB, s.bytes(s.blocksOf(LARGE_BYTES)) - 128 * KIB]),
  },
  {
    name: 'blockdev comparev',
    why: 'a difference of one bit is a miscompare, and a compare changes nothing',
    async run(s) {
      const numBlocks = s.blocks(8)
      const wanted = (await s.write(0, numBlocks, 6)) && s.keepsData ? s.data(0, numBlocks, 6) : await s.read(0, numBlocks)
      const scatter = s.scatter(blockPieces(s, numBlocks))
      scatter.set(wanted)
      const equal = await s.driver.compare(scatter.iovs, 0, numBlocks)
      // The framework makes COMPARE of READ where a module lacks it: that one counts, too.
      const made = equal.rc === 0 && equal.status === IoStatus.Success
      if (!made && !s.judge(IoType.Compare, equal)) return
      for (const at of [0, wanted.length >> 1, wanted.length - 1]) {
        const other = wanted.slice()
        other[at] = other[at]! ^ 1
        scatter.set(other)
        const outcome = await s.driver.compare(scatter.iovs, 0, numBlocks)
        check(outcome.status === IoStatus.Miscompare,
          `COMPARE with byte ${at} of ${wanted.length} changed: wanted Miscompare, but it ${endingOf(outcome)}`,
          'compare every byte of every element and complete with IoStatus.Miscompare')
        s.same(0, await s.read(0, numBlocks), wanted)
      }
    },
  },
  {
    name: 'blockdev comparev and writev',
    why: 'the write happens where the compare held, and only there',
    async run(s) {
      const numBlocks = s.bdev.acwuBlocks
      const before = (await s.write(0, numBlocks, 7)) && s.keepsData ? s.data(0, numBlocks, 7) : await s.read(0, numBlocks)
      const after = s.data(0, numBlocks, 8)
      const [compare, data] = [s.scatter(blockPieces(s, numBlocks)), s.scatter([s.bytes(numBlocks)])]
      compare.set(before)
      data.set(after)
      const equal = await s.driver.compareAndWrite(compare.iovs, data.iovs, 0, numBlocks)
      // As COMPARE: the framework makes it of others where a module lacks it.
      const made = equal.rc === 0 && equal.status === IoStatus.Success
      if (!made && !s.judge(IoType.CompareAndWrite, equal)) return
      await s.expect(0, after)
      if (!s.keepsData) return
      const differs = await s.driver.compareAndWrite(compare.iovs, data.iovs, 0, numBlocks)
      check(differs.status === IoStatus.Miscompare,
        `COMPARE_AND_WRITE of other data: wanted Miscompare, but it ${endingOf(differs)}`, 'compare every byte first, and write only then')
      await s.expect(0, after)
    },
  },
  {
    name: 'blockdev copy',
    why: 'the copy is the original, and the original stays',
    async run(s) {
      const n = s.blocksOf(LARGE_BYTES)
      const written = (await s.write(0, n, 9)) && (await s.write(2 * n, n, 10))
      const outcome = await s.driver.copy(2 * n, 0, n)
      const made = outcome.rc === 0 && outcome.status === IoStatus.Success
      if (!made && !s.judge(IoType.Copy, outcome)) return
      if (!written) return
      await s.expect(2 * n, s.data(0, n, 9))
      await s.expect(0, s.data(0, n, 9))
    },
  },
]
