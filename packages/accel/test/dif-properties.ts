// SPDX-License-Identifier: Apache-2.0
// Properties of protection information, for the quick run and for the long one.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { DifFlag, DifPiFormat, DifType } from '@bdevkit/module-sdk'
import type { DifContext, Iov } from '../src/index.js'
import * as reference from './dif-reference.js'
import { accel, heap } from './support.js'

const { dif } = accel
const AREA = 128 * 1024
const areas = [0, 1, 2].map(() => heap.alloc(AREA, 4096))

const anyFlags = fc.subarray([DifFlag.GuardCheck, DifFlag.ApptagCheck, DifFlag.ReftagCheck]).map(flags => flags.reduce((a, b) => a | b, 0))

/** A context of any format. Blocks of 512 bytes with a guard of 16 bits, of 4096 with the longer ones. */
const anyContext = fc
  .record({
    difPiFormat: fc.constantFrom(DifPiFormat.Guard16, DifPiFormat.Guard16, DifPiFormat.Guard32, DifPiFormat.Guard64),
    difType: fc.constantFrom(DifType.Type1, DifType.Type2, DifType.Type3, DifType.Disable),
    extraMd: fc.constantFrom(0, 8, 24, 56),
    dataUnits: fc.integer({ min: 1, max: 2 }),
    mdInterleave: fc.boolean(),
    difIsHeadOfMd: fc.boolean(),
    difCheckFlags: fc.oneof(anyFlags, fc.constant(DifFlag.GuardCheck | DifFlag.ReftagCheck)),
    appTag: fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.constant(0xffff)),
    appTagMask: fc.constantFrom(0xffff, 0x00ff, 0),
    initRefTag: fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.constantFrom(0, 0xffff_fffe, 0xffff_ffff)),
    remappedInitRefTag: fc.integer({ min: 0, max: 0xffff_ffff }),
  })
  .map(({ extraMd, dataUnits, initRefTag, remappedInitRefTag, ...rest }) => {
    const wide = rest.difPiFormat !== DifPiFormat.Guard16
    const mdSizeBytes = (wide ? 16 : 8) + extraMd
    const dataBytes = dataUnits * (wide ? 4096 : 512)
    const context = dif.context({ ...rest, mdSizeBytes, blockSizeBytes: dataBytes + (rest.mdInterleave ? mdSizeBytes : 0) })
    return Object.assign(context, { initRefTag, remappedInitRefTag })
  })

interface Case {
  readonly ctx: DifContext
  readonly numBlocks: number
  readonly seed: number
  readonly cuts: readonly number[]
  readonly otherCuts: readonly number[]
  readonly inHeap: boolean
}

const anyCuts = fc.array(fc.nat({ max: AREA }), { maxLength: 6 })
const anyCase: fc.Arbitrary<Case> = fc.record({
  ctx: anyContext,
  numBlocks: fc.integer({ min: 1, max: 4 }),
  seed: fc.integer(),
  cuts: anyCuts,
  otherCuts: anyCuts,
  inHeap: fc.boolean(),
})

function bytesFrom(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let x = seed | 1
  for (let i = 0; i < length; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    bytes[i] = x
  }
  return bytes
}

/** `bytes` in a scatter list cut at `cuts`, some elements empty; each lies apart from the one before, unless `inHeap`. */
function scatter(bytes: Uint8Array, cuts: readonly number[], inHeap: boolean, area: number): Iov[] {
  const at = [0, ...cuts.map(cut => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  const base = areas[area]!
  if (inHeap) heap.u8.set(bytes, base)
  return at.slice(1).map((end, i) => {
    const start = at[i]!
    if (inHeap) return { buf: heap.u8, off: base + start, len: end - start }
    return { buf: Buffer.concat([Buffer.alloc(3), bytes.subarray(start, end)]), off: 3, len: end - start }
  })
}

const gather = (iovs: readonly Iov[]): Uint8Array => Buffer.concat(iovs.map(({ buf, off, len }) => buf.subarray(off, off + len)))

/** The data and the metadata of each block, as views. */
function blocksOf(ctx: DifContext, bytes: Uint8Array, md: Uint8Array, numBlocks: number): [Uint8Array, Uint8Array][] {
  return Array.from({ length: numBlocks }, (_, i) => {
    const block = bytes.subarray(i * ctx.blockSizeBytes, (i + 1) * ctx.blockSizeBytes)
    if (ctx.mdInterleave) return [block.subarray(0, ctx.dataBytes), block.subarray(ctx.dataBytes)]
    return [block, md.subarray(i * ctx.mdSizeBytes, (i + 1) * ctx.mdSizeBytes)]
  })
}

/** Blocks with correct protection information, made by the reference. */
function protectedBlocks({ ctx, numBlocks, seed }: Case): { bytes: Uint8Array; md: Uint8Array; blocks: [Uint8Array, Uint8Array][] } {
  const bytes = bytesFrom(seed, numBlocks * ctx.blockSizeBytes)
  const md = ctx.mdInterleave ? new Uint8Array(0) : bytesFrom(seed + 1, numBlocks * ctx.mdSizeBytes)
  const blocks = blocksOf(ctx, bytes, md, numBlocks)
  blocks.forEach(([data, meta], i) => reference.generate(ctx, data, meta, i))
  return { bytes, md, blocks }
}

/** Metadata in the heap or beside it. */
function place(md: Uint8Array, inHeap: boolean): [Uint8Array, number] {
  if (!inHeap) return [Buffer.concat([Buffer.alloc(5), md]), 5]
  heap.u8.set(md, areas[2]!)
  return [heap.u8, areas[2]!]
}

const verdict = (ctx: DifContext, ok: boolean): reference.Verdict | null => (ok ? null : { ...ctx.error })
const first = (verdicts: readonly (reference.Verdict | null)[]): reference.Verdict | null => verdicts.find(v => v !== null) ?? null

/** What the service says of blocks. */
function verify({ ctx, numBlocks, cuts, inHeap }: Case, bytes: Uint8Array, md: Uint8Array): reference.Verdict | null {
  const iovs = scatter(bytes, cuts, inHeap, 0)
  if (ctx.mdInterleave) return verdict(ctx, dif.verify(ctx, iovs, iovs.length, numBlocks))
  const [mdBuf, mdOff] = place(md, inHeap)
  return verdict(ctx, dif.dixVerify(ctx, iovs, iovs.length, mdBuf, mdOff, numBlocks))
}

export const properties: Record<string, fc.IPropertyWithHooks<[Case]> | fc.IPropertyWithHooks<[Case, number]>> = {
  'generate writes what the reference writes, whatever the cuts': fc.property(anyCase, c => {
    const { ctx, numBlocks, seed, cuts, inHeap } = c
    const want = protectedBlocks(c)
    const raw = bytesFrom(seed, numBlocks * ctx.blockSizeBytes)
    const iovs = scatter(raw, cuts, inHeap, 0)
    if (ctx.mdInterleave) {
      dif.generate(ctx, iovs, iovs.length, numBlocks)
    } else {
      const [mdBuf, mdOff] = place(bytesFrom(seed + 1, numBlocks * ctx.mdSizeBytes), inHeap)
      dif.dixGenerate(ctx, iovs, iovs.length, mdBuf, mdOff, numBlocks)
      assert.equal(Buffer.compare(mdBuf.subarray(mdOff, mdOff + want.md.length), want.md), 0)
    }
    assert.equal(Buffer.compare(gather(iovs), want.bytes), 0)
  }),

  'a flipped bit is found wherever the guard or a checked tag covers it': fc.property(anyCase, fc.nat(), (c, dice) => {
    const { ctx } = c
    const { bytes, md, blocks } = protectedBlocks(c)
    const untouched = first(blocks.map(([data, meta], i) => reference.verify(ctx, data, meta, i)))
    assert.deepEqual(verify(c, bytes, md), untouched)
    // Every second time in metadata, which is small.
    const [data, meta] = blocks[(dice >> 1) % blocks.length]!
    const flipped = dice % 2 === 0 ? data : meta
    const bit = (dice >> 5) % (flipped.length * 8)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    const want = first(blocks.map(([data, meta], i) => reference.verify(ctx, data, meta, i)))
    assert.deepEqual(verify(c, bytes, md), want)
    const guarded = ctx.difType !== DifType.Disable && (ctx.difCheckFlags & DifFlag.GuardCheck) !== 0
    const ignores = ctx.appTag === 0xffff && (ctx.difCheckFlags & DifFlag.ApptagCheck) !== 0
    if (guarded && flipped === data && !ignores && untouched === null) assert.notEqual(want, null)
  }),

  'inserting gives what the reference gives, and stripping gives the data back': fc.property(anyCase, c => {
    const { ctx, numBlocks, seed, cuts, otherCuts, inHeap } = c
    if (!ctx.mdInterleave) return
    const data = bytesFrom(seed, numBlocks * ctx.dataBytes)
    const want = new Uint8Array(numBlocks * ctx.blockSizeBytes)
    const blocks = blocksOf(ctx, want, want, numBlocks)
    blocks.forEach(([to, meta], i) => {
      to.set(data.subarray(i * ctx.dataBytes, (i + 1) * ctx.dataBytes))
      reference.generate(ctx, to, meta, i)
    })
    const src = scatter(data, cuts, inHeap, 0)
    const dst = scatter(bytesFrom(seed + 1, want.length), otherCuts, inHeap, 1)
    dif.generateCopy(ctx, dst, dst.length, src, src.length, numBlocks)
    assert.equal(Buffer.compare(gather(dst), want), 0)
    assert.equal(Buffer.compare(gather(src), data), 0)
    const back = scatter(bytesFrom(seed + 2, data.length), cuts, inHeap, 0)
    const before = gather(back)
    const bad = first(blocks.map(([to, meta], i) => reference.verify(ctx, to, meta, i)))
    assert.deepEqual(verdict(ctx, dif.verifyCopy(ctx, back, back.length, dst, dst.length, numBlocks)), bad)
    assert.equal(Buffer.compare(gather(back), bad === null ? data : before), 0)
  }),

  'remapping moves reference tags as the reference does, and stops where one is wrong': fc.property(anyCase, fc.nat(), (c, wrong) => {
    const { ctx, numBlocks, cuts, inHeap } = c
    const { bytes, md, blocks } = protectedBlocks(c)
    if (wrong % 3 === 0) reference.piOf(ctx, blocks[wrong % numBlocks]![1]).fill(wrong)
    const iovs = scatter(bytes, cuts, inHeap, 0)
    const [mdBuf, mdOff] = place(md, inHeap)
    const ok = ctx.mdInterleave ? dif.remapRefTag(ctx, iovs, iovs.length, numBlocks) : dif.dixRemapRefTag(ctx, mdBuf, mdOff, numBlocks)
    let want: reference.Verdict | null = null
    for (let i = 0; i < numBlocks && want === null; i++) want = reference.remap(ctx, blocks[i]![1], i)
    assert.deepEqual(verdict(ctx, ok), want)
    assert.equal(Buffer.compare(gather(iovs), bytes), 0)
    assert.equal(Buffer.compare(mdBuf.subarray(mdOff, mdOff + md.length), md), 0)
  }),
}
