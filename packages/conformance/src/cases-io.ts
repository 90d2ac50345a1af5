// SPDX-License-Identifier: Apache-2.0
// What bdevio.c has no case for: the other I/O types, borrowed memory, odd scatter lists, many I/Os at a time.
import { ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { IoCase } from './cases-bdevio.js'
import { check } from './failure.js'
import { endingOf, type Subject } from './subject.js'

const QUEUE_DEPTH = 32
const ROUNDS = 8

/** mulberry32: the same numbers on every run. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b_79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Cuts `lengthBytes` into pieces that do not end with blocks. */
function oddPieces(s: Subject, lengthBytes: number): number[] {
  const step = s.bdev.requiredAlignmentBytes
  const pieces: number[] = []
  let left = lengthBytes
  for (let n = 1; left > 0; n = n * 3 + 1) {
    const piece = Math.min(left, n * step)
    pieces.push(piece)
    left -= piece
  }
  return pieces
}

async function borrowRead(s: Subject, offsetBlocks: number, numBlocks: number, wanted: Uint8Array | undefined): Promise<void> {
  const found: Uint8Array[] = []
  const op = s.driver.start(`READ of ${numBlocks} blocks at ${offsetBlocks} without buffers`,
    (ch, cb, arg) => ch.readvBlocks([], 0, offsetBlocks, numBlocks, cb, arg),
    io => {
      for (let i = 0; i < io.iovCnt; i++) {
        const { buf, off, len } = io.iovs[i]!
        found.push(buf.slice(off, off + len))
      }
    })
  const outcome = await s.driver.end(op)
  if (!s.bdev.lendsReadBuffers) {
    check(outcome.rc === -ERRNO.EINVAL,
      `READ without buffers on a bdev that does not lend: wanted -EINVAL, but it ${endingOf(outcome)}`,
      'this is a bug of the framework')
    return
  }
  s.judge(IoType.Read, outcome)
  const bytes = Buffer.concat(found)
  check(bytes.length === s.bytes(numBlocks), `READ without buffers lent ${bytes.length} bytes instead of ${s.bytes(numBlocks)}`,
    'call io.lend for the whole range before io.complete, or register without lendsReadBuffers')
  if (wanted !== undefined) s.same(offsetBlocks, bytes, wanted)
}

export const ioCases: readonly IoCase[] = [
  {
    name: 'iovs that end inside blocks',
    why: 'network buffers end anywhere',
    async run(s) {
      const numBlocks = s.blocks(16)
      const pieces = oddPieces(s, s.bytes(numBlocks))
      for (const plain of [false, true]) {
        const seed = plain ? 11 : 12
        if (await s.write(3 * s.blocks(1), numBlocks, seed, pieces, plain)) {
          await s.expect(3 * s.blocks(1), s.data(3 * s.blocks(1), numBlocks, seed), pieces.toReversed(), plain)
        }
      }
    },
  },
  {
    name: 'buffers that begin at odd addresses',
    why: 'a submitter does not align its buffers for a device: a module that needs that calls io.getBuf',
    async run(s) {
      const at = 5 * s.blocks(1)
      const numBlocks = s.blocks(8)
      const data = s.data(at, numBlocks, 13)
      const from = s.scatter([1, data.length - 1], false, 1)
      from.set(data)
      const written = s.judge(IoType.Write, await s.driver.write(from.iovs, at, numBlocks))
      const into = s.scatter([3, data.length - 3], false, 1)
      s.judge(IoType.Read, await s.driver.read(into.iovs, at, numBlocks))
      check(from.gapsIntact() && into.gapsIntact(), 'memory beside the buffers was written to', 'element i takes iov.len bytes at iov.off')
      if (written) s.same(at, into.get(), data)
    },
  },
  {
    name: 'buffers of ordinary memory',
    why: 'any Uint8Array is legal; a module that looks at what memory it is breaks here',
    async run(s) {
      const numBlocks = s.blocksOf(64 * 1024)
      if (await s.write(0, numBlocks, 13, undefined, true)) await s.expect(0, s.data(0, numBlocks, 13), undefined, true)
    },
  },
  {
    name: 'read without buffers borrows the data of the bdev',
    why: 'the path without copies of the NBD server: right data, whole, and unchanged until it is freed',
    async run(s) {
      const largest = s.blocksOf(2 * 1024 * 1024)
      const written = await s.write(0, largest, 14)
      for (const numBlocks of [1, 8, s.blocksOf(132 * 1024), largest]) {
        await borrowRead(s, 0, numBlocks, written ? s.data(0, numBlocks, 14) : undefined)
      }
      if (await s.write(s.bdev.numBlocks - s.blocks(1), s.blocks(1), 15)) {
        await borrowRead(s, s.bdev.numBlocks - 1, 1, s.data(s.bdev.numBlocks - 1, 1, 15))
      }
    },
  },
  {
    name: 'unmap',
    why: 'deallocation stays within its range, and blocks can be written again',
    async run(s) {
      const n = s.blocks(8)
      const written = await s.write(0, 3 * n, 16)
      if (!s.judge(IoType.Unmap, await s.driver.unmap(n, n)) || !written) return
      await s.read(n, n)
      await s.expect(0, s.data(0, n, 16))
      await s.expect(2 * n, s.data(2 * n, n, 16))
      if (await s.write(n, n, 17)) await s.expect(n, s.data(n, n, 17))
      s.judge(IoType.Unmap, await s.driver.unmap(s.bdev.numBlocks - n, n))
      s.judge(IoType.Unmap, await s.driver.unmap(0, s.bdev.numBlocks))
    },
  },
  {
    name: 'copy onto overlapping blocks',
    why: 'source and target may overlap',
    async run(s) {
      const [n, shift] = [s.blocksOf(600 * 1024), s.blocks(3)]
      for (const [dst, src] of [[shift, 0], [0, shift]] as const) {
        const written = await s.write(0, n + shift, 21)
        const outcome = await s.driver.copy(dst, src, n)
        if (outcome.status !== IoStatus.Success && !s.judge(IoType.Copy, outcome)) return
        if (written) await s.expect(dst, s.data(src, n, 21))
      }
    },
  },
  {
    name: 'compare and write is atomic',
    why: 'locks of clusters are made of it: of many at a time exactly one wins',
    async run(s) {
      if (!s.keepsData) return
      const n = s.bdev.acwuBlocks
      if (!(await s.write(0, n, 0))) return
      // All want to follow the same data: one of them may.
      const seeds = Array.from({ length: 8 }, (_, i) => i + 1)
      const before = s.scatter([s.bytes(n)])
      before.set(s.data(0, n, 0))
      const outcomes = await Promise.all(seeds.map(seed => {
        const data = s.scatter([s.bytes(n)])
        data.set(s.data(0, n, seed))
        return s.driver.compareAndWrite(before.iovs, data.iovs, 0, n)
      }))
      const winners = seeds.filter((_, i) => outcomes[i]!.status === IoStatus.Success)
      const others = outcomes.filter(({ status }) => status === IoStatus.Miscompare)
      check(winners.length === 1 && others.length === 7,
        `of 8 COMPARE_AND_WRITE that wanted the same data before, ${winners.length} succeeded and ${others.length} miscompared`,
        'compare and write in one step, or leave the type to the framework')
      await s.expect(0, s.data(0, n, winners[0]!))
    },
  },
  {
    name: 'zcopy',
    why: 'lent memory is the data of the bdev, and gives it back',
    async run(s) {
      const n = s.blocks(8)
      const written = await s.write(0, n, 22)
      const wanted = s.data(0, n, 23)
      let lent = 0
      const read = await s.driver.zcopy(0, n, true, false, iovs => {
        const found = Buffer.concat(iovs.map(({ buf, off, len }) => buf.slice(off, off + len)))
        lent = found.length
        if (written && lent === s.bytes(n)) s.same(0, found, s.data(0, n, 22))
      })
      if (!s.judge(IoType.Zcopy, read)) return
      check(lent === s.bytes(n), `ZCOPY lent ${lent} bytes instead of ${s.bytes(n)}`, 'call io.lend for the whole range when io.zcopyStart is true')
      const write = await s.driver.zcopy(0, n, false, true, iovs => {
        let at = 0
        for (const { buf, off, len } of iovs) {
          buf.set(wanted.subarray(at, at + len), off)
          at += len
        }
      })
      if (s.judge(IoType.Zcopy, write)) await s.expect(0, wanted)
    },
  },
  {
    name: 'seek',
    why: 'holes and data are told apart, or everything counts as data',
    async run(s) {
      const n = s.blocks(8)
      const written = await s.write(n, n, 24)
      for (const from of [0, n, s.bdev.numBlocks - 1]) {
        for (const what of ['seekData', 'seekHole'] as const) {
          const { rc, status, at } = await s.driver.seek(what, from)
          check(rc === 0 && status === IoStatus.Success,
            `${what} from block ${from} ${endingOf({ rc, status })}`, 'answer with io.setSeekOffset, then complete')
          check(at === Infinity || (Number.isInteger(at) && at >= from && at < s.bdev.numBlocks),
            `${what} from block ${from} found block ${at} of ${s.bdev.numBlocks}`, 'answer a block at or after offsetBlocks, or Infinity')
        }
      }
      const data = await s.driver.seek('seekData', n)
      check(!written || !s.keepsData || data.at === n, `block ${n} was written, but seekData from there found ${data.at}`, 'written blocks are data')
    },
  },
  {
    name: 'flush',
    why: 'databases trust it: declared, it works; a write cache without it loses data',
    async run(s) {
      const n = s.blocks(8)
      const written = await s.write(0, n, 18)
      s.judge(IoType.Flush, await s.driver.flush(0, n))
      s.judge(IoType.Flush, await s.driver.flush(0, s.bdev.numBlocks))
      if (written) await s.expect(0, s.data(0, n, 18))
      check(!s.bdev.writeCache || s.supports(IoType.Flush), 'the bdev declares a write cache, but not FLUSH',
        'writeCache: true means that writes need a FLUSH to last; serve FLUSH or leave writeCache out')
    },
  },
  {
    name: 'abort',
    why: 'an I/O that was aborted ends once, and says whether it took place',
    async run(s) {
      if (!s.supports(IoType.Abort)) return void s.judge(IoType.Abort, await s.driver.abort({}))
      const none = await s.driver.abort({})
      check(none.status !== IoStatus.Success, 'ABORT of nothing succeeded', 'this is a bug of the framework')
      const n = s.blocks(8)
      const target = s.driver.startWrite(s.filled(0, n, 18).iovs, 0, n)
      let left = false
      const abort = await s.driver.abort(target, () => (left = target.callbacks === 0))
      const { status } = await s.driver.end(target)
      // Where the target had ended before there was nothing left to abort: that is success, too.
      check(abort.status !== IoStatus.Success || status !== IoStatus.Success || !left,
        'ABORT succeeded, and afterwards so did the WRITE that it aborted',
        'answer Failed where the target can no longer be stopped')
      if (await s.write(0, n, 19)) await s.expect(0, s.data(0, n, 19))
    },
  },
  {
    name: 'reset with I/O outstanding',
    why: 'after a reset nothing of before may still change the disk',
    async run(s) {
      const unit = s.blocks(1)
      const writes = Array.from({ length: QUEUE_DEPTH }, (_, i) => s.driver.startWrite(s.filled(i * unit, unit, 18).iovs, i * unit, unit))
      let missing = 0
      s.judge(IoType.Reset, await s.driver.reset(() => (missing = writes.filter(({ callbacks }) => callbacks === 0).length)))
      check(missing === 0, `RESET was answered while ${missing} of ${QUEUE_DEPTH} earlier I/Os were outstanding`,
        'complete everything outstanding first, then the RESET')
      for (const write of writes) {
        const outcome = await s.driver.end(write)
        if (outcome.status !== IoStatus.Aborted) s.judge(IoType.Write, outcome)
      }
      if (await s.write(0, unit, 20)) await s.expect(0, s.data(0, unit, 20))
    },
  },
  {
    name: 'many I/Os at a time, each with its own data',
    why: 'I/O in flight must not share what belongs to one',
    async run(s) {
      const next = random(0x5eed)
      const slotBlocks = s.blocks(4)
      const slots = Math.min(2 * QUEUE_DEPTH, Math.floor(s.bdev.numBlocks / slotBlocks))
      const seeds = new Array<number>(slots).fill(0)
      let seed = 100
      for (let round = 0; round < ROUNDS; round++) {
        await Promise.all(seeds.map(async (known, slot) => {
          if (next() < 0.4 && known !== 0) return s.expect(slot * slotBlocks, s.data(slot * slotBlocks, slotBlocks, known))
          const mine = ++seed
          const first = Math.max(1, Math.floor(next() * s.bytes(slotBlocks) / 512)) * 512
          const pieces = next() < 0.5 ? [s.bytes(slotBlocks)] : [first, s.bytes(slotBlocks) - first].filter(piece => piece > 0)
          if (await s.write(slot * slotBlocks, slotBlocks, mine, pieces)) seeds[slot] = mine
        }))
      }
      for (const [slot, known] of seeds.entries()) {
        if (known !== 0) await s.expect(slot * slotBlocks, s.data(slot * slotBlocks, slotBlocks, known))
      }
    },
  },
]
