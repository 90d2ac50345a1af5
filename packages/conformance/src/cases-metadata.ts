// SPDX-License-Identifier: Apache-2.0
// Metadata and protection information, where a bdev declares them.
import { DifFlag, DifType, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { IoCase } from './cases-bdevio.js'
import { Driver, type Outcome } from './driver.js'
import { check } from './failure.js'
import { firstDifference, pattern } from './memory.js'
import { endingOf, type Subject } from './subject.js'

const hasSeparate = (s: Subject): boolean => s.bdev.mdSizeBytes > 0 && !s.bdev.mdInterleave

/** Separate metadata of blocks, with the protection information of their place. */
function metadata(s: Subject, offsetBlocks: number, data: Uint8Array, seed: number): Uint8Array {
  const { mdSizeBytes, difType, blockSizeBytes } = s.bdev
  const numBlocks = data.length / blockSizeBytes
  const bytes = pattern(offsetBlocks * mdSizeBytes, numBlocks * mdSizeBytes, seed)
  if (difType === DifType.Disable) return bytes
  const context = s.host.accel.dif.context(s.bdev)
  context.initRefTag = offsetBlocks >>> 0
  s.host.accel.dif.dixGenerate(context, [{ buf: data, off: 0, len: data.length }], 1, bytes, 0, numBlocks)
  return bytes
}

function writeWithMd(s: Subject, offsetBlocks: number, data: Uint8Array, md: Uint8Array): Promise<Outcome> {
  const scatter = s.scatter([100, data.length - 100])
  scatter.set(data)
  return s.driver.end(s.driver.start(`WRITE with metadata at ${offsetBlocks}`, (ch, cb, op) =>
    ch.writevBlocksWithMd(scatter.iovs, 2, md, 0, offsetBlocks, data.length / s.bdev.blockSizeBytes, cb, op)))
}

async function readWithMd(s: Subject, offsetBlocks: number, numBlocks: number): Promise<{ data: Uint8Array; md: Uint8Array }> {
  const scatter = s.scatter([s.bytes(numBlocks) - 100, 100])
  const room = new Uint8Array(numBlocks * s.bdev.mdSizeBytes + 2).fill(0x77)
  s.judge(IoType.Read, await s.driver.end(s.driver.start(`READ with metadata at ${offsetBlocks}`, (ch, cb, op) =>
    ch.readvBlocksWithMd(scatter.iovs, 2, room, 1, offsetBlocks, numBlocks, cb, op))))
  check(room[0] === 0x77 && room.at(-1) === 0x77, 'READ wrote to memory beside the metadata buffer', 'numBlocks * mdSizeBytes bytes belong at mdOff of mdBuf')
  return { data: scatter.get(), md: room.subarray(1, -1) }
}

async function separate(s: Subject): Promise<void> {
  if (!hasSeparate(s) || !s.keepsData || !s.supports(IoType.Write)) return
  const numBlocks = s.blocks(8)
  const at = s.blocks(3)
  const data = s.data(at, numBlocks, 51)
  const md = metadata(s, at, data, 52)
  const sent = md.slice()
  s.judge(IoType.Write, await writeWithMd(s, at, data, md))
  check(firstDifference(md, sent) === -1, 'WRITE changed the metadata that it was given', 'the submitter owns it; transform it in a buffer of your own')
  const found = await readWithMd(s, at, numBlocks)
  s.same(at, found.data, data)
  check(firstDifference(found.md, md) === -1, 'READ returned other metadata than was written', 'mdBuf and mdOff are the metadata of the I/O\'s blocks')
  // Without metadata, that of the blocks stays; what is next to them stays, too.
  const rest = await readWithMd(s, at + numBlocks, s.blocks(1))
  check(firstDifference(rest.md, md.subarray(0, rest.md.length)) !== -1, 'the metadata of other blocks was written',
    'offsetBlocks * mdSizeBytes is where it belongs')
  const compare = (against: Uint8Array): Promise<Outcome> => {
    const scatter = s.scatter([data.length])
    scatter.set(data)
    return s.driver.end(s.driver.start('COMPARE with metadata', (ch, cb, op) =>
      ch.comparevBlocksWithMd(scatter.iovs, 1, against, 0, at, numBlocks, cb, op)))
  }
  const same = await compare(md)
  check(same.status === IoStatus.Success, `COMPARE with the metadata that was written ${endingOf(same)}`, 'compare mdBuf with the metadata of the blocks')
  const other = md.slice()
  other[other.length - 1]! ^= 1
  const differs = await compare(other)
  check(differs.status !== IoStatus.Success, 'COMPARE with other metadata succeeded', 'compare mdBuf with the metadata of the blocks, to the last')
}

async function misfit(s: Subject): Promise<void> {
  if ((s.bdev.difCheckFlags & DifFlag.GuardCheck) === 0 || !s.supports(IoType.Write)) return
  const numBlocks = s.blocks(4)
  const data = s.data(0, numBlocks, 53)
  const md = hasSeparate(s) ? metadata(s, 0, data, 54) : null
  const write = async (): Promise<Outcome> => {
    if (md !== null) return writeWithMd(s, 0, data, md)
    const scatter = s.scatter([data.length])
    scatter.set(data)
    return s.driver.write(scatter.iovs, 0, numBlocks)
  }
  s.judge(IoType.Write, await write())
  data[Math.floor(s.bytes(numBlocks) / 2) + 1]! ^= 8
  const bad = await write()
  check(bad.status !== IoStatus.Success, 'a WRITE of data that its guard does not fit succeeded', 'check what difCheckFlags says, before anything is written')
  if (s.keepsData) await s.expect(0, s.data(0, numBlocks, 53))
}

async function hidden(s: Subject): Promise<void> {
  if (!s.bdev.mdInterleave || !s.supports(IoType.Write)) return
  const { dataBlockSizeBytes, name } = s.bdev
  const driver = new Driver(s.host, name, s.driver.limitMs, true)
  try {
    const numBlocks = s.blocks(8)
    const at = s.blocks(5)
    const data = pattern(0, numBlocks * dataBlockSizeBytes, 55)
    const scatter = s.scatter([700, data.length - 700])
    scatter.set(data)
    s.judge(IoType.Write, await driver.write(scatter.iovs, at, numBlocks))
    const found = s.scatter([data.length - 300, 300])
    s.judge(IoType.Read, await driver.read(found.iovs, at, numBlocks))
    const right = s.keepsData ? data : new Uint8Array(data.length)
    check(firstDifference(found.get(), right) === -1, 'data written without its metadata was not read back', 'this is a bug of the framework')
    const whole = await s.read(at, numBlocks)
    const context = s.host.accel.dif.context(s.bdev)
    context.initRefTag = at
    const fits = s.bdev.difType === DifType.Disable || s.host.accel.dif.verify(context, [{ buf: whole, off: 0, len: whole.length }], 1, numBlocks)
    check(fits, 'blocks have other protection information than they are declared to have', 'declare in the geometry what the blocks hold')
  } finally {
    driver.close()
  }
}

export const metadataCases: readonly IoCase[] = [
  {
    name: 'separate metadata stays with its blocks',
    why: 'metadata that belongs to another block is worse than none',
    run: separate,
  },
  {
    name: 'data that does not fit its protection information is refused',
    why: 'whoever declares a check is relied upon to make it',
    run: misfit,
  },
  {
    name: 'interleaved metadata is inserted and stripped',
    why: 'most users of a disk know blocks without metadata only',
    run: hidden,
  },
]
