// SPDX-License-Identifier: Apache-2.0
// data plane
import type { Dif as SdkDif, DifContext as SdkDifContext, DifContextSpec } from '@bdevkit/module-sdk'
import { DIF_APPTAG_IGNORE, DIF_REFTAG_IGNORE, DifErrorType, DifFlag, DifType } from '@bdevkit/module-sdk'
import type { Accel, Iov } from './accel.js'
import { DifContext } from './dif-context.js'
import type { ForeignBuffers } from './foreign.js'
import { IovCursor } from './iov-cursor.js'
import { GUARD_OUT } from './layout.js'
import type { Kernels } from './wasm.js'

const Work = { Generate: 0, Verify: 1, Remap: 2 } as const

/**
 * Protection information over scatter lists: see the contract. Guards are computed by a kernel and stay in memory 0 as a disk
 * has them, so that they are copied and compared byte by byte, whatever their size.
 */
export class Dif implements SdkDif {
  private readonly at: IovCursor
  private readonly other: IovCursor
  /** Protection information of a block that has it cut in two. */
  private readonly gathered = new Uint8Array(16)
  /** Where the protection information of the present block is. */
  private pi: Uint8Array
  private piAt = 0

  /** @internal */
  constructor(
    private readonly accel: Accel,
    private readonly u8: Uint8Array,
    private readonly kernels: Kernels,
    private readonly foreign: ForeignBuffers,
  ) {
    this.at = new IovCursor(accel)
    this.other = new IovCursor(accel)
    this.pi = this.gathered
  }

  context(spec: DifContextSpec): DifContext {
    return new DifContext(spec)
  }

  generate(context: SdkDifContext, iovs: readonly Iov[], iovCnt: number, numBlocks: number): void {
    this.each('dif.generate', Work.Generate, context as DifContext, iovs, iovCnt, numBlocks)
  }

  verify(context: SdkDifContext, iovs: readonly Iov[], iovCnt: number, numBlocks: number): boolean {
    return this.each('dif.verify', Work.Verify, context as DifContext, iovs, iovCnt, numBlocks)
  }

  remapRefTag(context: SdkDifContext, iovs: readonly Iov[], iovCnt: number, numBlocks: number): boolean {
    if ((context.difCheckFlags & DifFlag.ReftagCheck) === 0) return true
    return this.each('dif.remapRefTag', Work.Remap, context as DifContext, iovs, iovCnt, numBlocks)
  }

  generateCopy(context: SdkDifContext, dst: readonly Iov[], dstCnt: number, src: readonly Iov[], srcCnt: number, numBlocks: number): void {
    const { dataBytes, blockSizeBytes, mdSizeBytes } = context as DifContext
    const { at, other } = this
    at.start('dif.generateCopy', dst, dstCnt, numBlocks * blockSizeBytes)
    other.start('dif.generateCopy', src, srcCnt, numBlocks * dataBytes)
    for (let block = 0; block < numBlocks; block++) {
      this.move(at, other, dataBytes)
      this.zero(at, mdSizeBytes)
    }
    other.end()
    this.each('dif.generateCopy', Work.Generate, context as DifContext, dst, dstCnt, numBlocks)
  }

  verifyCopy(context: SdkDifContext, dst: readonly Iov[], dstCnt: number, src: readonly Iov[], srcCnt: number, numBlocks: number): boolean {
    const { dataBytes, blockSizeBytes, mdSizeBytes } = context as DifContext
    const { at, other } = this
    if (!this.each('dif.verifyCopy', Work.Verify, context as DifContext, src, srcCnt, numBlocks)) return false
    at.start('dif.verifyCopy', dst, dstCnt, numBlocks * dataBytes)
    other.start('dif.verifyCopy', src, srcCnt, numBlocks * blockSizeBytes)
    for (let block = 0; block < numBlocks; block++) {
      this.move(at, other, dataBytes)
      other.skip(mdSizeBytes)
    }
    at.end()
    other.end()
    return true
  }

  dixGenerate(context: SdkDifContext, iovs: readonly Iov[], iovCnt: number, md: Uint8Array, mdOff: number, numBlocks: number): void {
    this.eachDix('dif.dixGenerate', Work.Generate, context as DifContext, iovs, iovCnt, md, mdOff, numBlocks)
  }

  dixVerify(context: SdkDifContext, iovs: readonly Iov[], iovCnt: number, md: Uint8Array, mdOff: number, numBlocks: number): boolean {
    return this.eachDix('dif.dixVerify', Work.Verify, context as DifContext, iovs, iovCnt, md, mdOff, numBlocks)
  }

  dixRemapRefTag(context: SdkDifContext, md: Uint8Array, mdOff: number, numBlocks: number): boolean {
    const ctx = context as DifContext
    if (ctx.difType === DifType.Disable || (ctx.difCheckFlags & DifFlag.ReftagCheck) === 0) return true
    this.accel.checkRange('dif.dixRemapRefTag', 'metadata', md, mdOff, numBlocks * ctx.mdSizeBytes)
    this.pi = md
    for (let block = 0; block < numBlocks; block++) {
      this.piAt = mdOff + block * ctx.mdSizeBytes + ctx.piOff
      if (!this.remap(ctx, block)) return false
    }
    return true
  }

  /** Goes through interleaved blocks. Returns false at the first that does not fit. */
  private each(call: string, work: number, ctx: DifContext, iovs: readonly Iov[], iovCnt: number, numBlocks: number): boolean {
    if (ctx.difType === DifType.Disable) return true
    const { at } = this
    const { piOff, piBytes, blockSizeBytes } = ctx
    const guarded = work !== Work.Remap && (ctx.difCheckFlags & DifFlag.GuardCheck) !== 0
    at.start(call, iovs, iovCnt, numBlocks * blockSizeBytes)
    for (let block = 0; block < numBlocks; block++) {
      if (guarded) this.guard(ctx, at, piOff)
      else at.skip(piOff)
      const whole = at.left >= piBytes
      if (whole) {
        this.pi = at.buf
        this.piAt = at.off
      } else {
        this.gather(at, piBytes, work !== Work.Generate)
      }
      if (!this.work(work, ctx, block)) return false
      if (!whole && work !== Work.Verify) this.scatter(at, piBytes)
      at.skip(blockSizeBytes - piOff)
    }
    at.end()
    return true
  }

  /** As `each`, with the metadata in a buffer of its own. */
  private eachDix(
    call: string, work: number, ctx: DifContext, iovs: readonly Iov[], iovCnt: number, md: Uint8Array, mdOff: number, numBlocks: number,
  ): boolean {
    if (ctx.difType === DifType.Disable) return true
    const { at } = this
    const { piOff, blockSizeBytes, mdSizeBytes } = ctx
    const guarded = (ctx.difCheckFlags & DifFlag.GuardCheck) !== 0
    at.start(call, iovs, iovCnt, numBlocks * blockSizeBytes)
    this.accel.checkRange(call, 'metadata', md, mdOff, numBlocks * mdSizeBytes)
    for (let block = 0; block < numBlocks; block++) {
      const mdAt = mdOff + block * mdSizeBytes
      if (guarded && piOff === 0) this.guard(ctx, at, blockSizeBytes)
      else if (guarded) {
        this.kernels.guardStart(ctx.difPiFormat)
        this.guardPieces(at, blockSizeBytes)
        this.guardRun(md, mdAt, piOff)
        this.kernels.guardEnd()
      }
      this.pi = md
      this.piAt = mdAt + piOff
      if (!this.work(work, ctx, block)) return false
    }
    at.end()
    return true
  }

  private work(work: number, ctx: DifContext, block: number): boolean {
    if (work === Work.Verify) return this.check(ctx, block)
    if (work === Work.Remap) return this.remap(ctx, block)
    this.write(ctx, block)
    return true
  }

  /** Leaves the guard over the next `lengthBytes` in memory 0. */
  private guard(ctx: DifContext, at: IovCursor, lengthBytes: number): void {
    if (at.buf === this.u8 && at.left >= lengthBytes) {
      this.kernels.guardOf(ctx.difPiFormat, at.off, lengthBytes)
      at.step(lengthBytes)
      return
    }
    this.kernels.guardStart(ctx.difPiFormat)
    this.guardPieces(at, lengthBytes)
    this.kernels.guardEnd()
  }

  private guardPieces(at: IovCursor, lengthBytes: number): void {
    let rest = lengthBytes
    while (rest > 0) {
      const n = rest < at.left ? rest : at.left
      this.guardRun(at.buf, at.off, n)
      at.step(n)
      rest -= n
    }
  }

  private guardRun(buf: Uint8Array, off: number, lengthBytes: number): void {
    if (buf === this.u8) this.kernels.guardUpdate(off, lengthBytes)
    else this.foreign.guardUpdate(buf, off, lengthBytes)
  }

  /** Collects protection information that is cut; the cursor stays where it begins. */
  private gather(at: IovCursor, piBytes: number, read: boolean): void {
    const { gathered } = this
    this.pi = gathered
    this.piAt = 0
    if (!read) return
    at.mark()
    for (let i = 0; i < piBytes; i++) {
      gathered[i] = at.buf[at.off]!
      at.step(1)
    }
    at.rewind()
  }

  private scatter(at: IovCursor, piBytes: number): void {
    const { gathered } = this
    at.mark()
    for (let i = 0; i < piBytes; i++) {
      at.buf[at.off] = gathered[i]!
      at.step(1)
    }
    at.rewind()
  }

  private write(ctx: DifContext, block: number): void {
    const { pi, piAt, u8 } = this
    const { guardBytes, difCheckFlags } = ctx
    const guarded = (difCheckFlags & DifFlag.GuardCheck) !== 0
    for (let i = 0; i < guardBytes; i++) pi[piAt + i] = guarded ? u8[GUARD_OUT + i]! : 0
    const appTag = (difCheckFlags & DifFlag.ApptagCheck) === 0 ? 0 : ctx.appTag
    pi[piAt + guardBytes] = appTag >>> 8
    pi[piAt + guardBytes + 1] = appTag
    for (let i = guardBytes + 2; i < ctx.refTagOff; i++) pi[piAt + i] = 0
    if ((difCheckFlags & DifFlag.ReftagCheck) === 0) this.writeRefTag(ctx, 0, 0)
    else if (ctx.initRefTag === DIF_REFTAG_IGNORE) this.writeRefTag(ctx, DIF_REFTAG_IGNORE, 0xff)
    else this.writeRefTag(ctx, ctx.difType === DifType.Type3 ? ctx.initRefTag : ctx.initRefTag + block, 0)
  }

  /** Writes the low 32 bits of a reference tag, and `high` into each byte above. */
  private writeRefTag(ctx: DifContext, refTag: number, high: number): void {
    const { pi } = this
    const end = this.piAt + ctx.piBytes
    for (let i = this.piAt + ctx.refTagOff; i < end - 4; i++) pi[i] = high
    pi[end - 4] = refTag >>> 24
    pi[end - 3] = refTag >>> 16
    pi[end - 2] = refTag >>> 8
    pi[end - 1] = refTag
  }

  private check(ctx: DifContext, block: number): boolean {
    const { pi, piAt, u8 } = this
    const { guardBytes, difCheckFlags } = ctx
    if (this.ignored(ctx)) return true
    if ((difCheckFlags & DifFlag.GuardCheck) !== 0) {
      for (let i = 0; i < guardBytes; i++) {
        if (pi[piAt + i] !== u8[GUARD_OUT + i]) {
          return fail(ctx, DifErrorType.Guard, big(pi, piAt, guardBytes), big(u8, GUARD_OUT, guardBytes), block)
        }
      }
    }
    if ((difCheckFlags & DifFlag.ApptagCheck) !== 0) {
      const appTag = this.appTag(ctx) & ctx.appTagMask
      if (appTag !== (ctx.appTag & ctx.appTagMask)) return fail(ctx, DifErrorType.Apptag, BigInt(ctx.appTag), BigInt(appTag), block)
    }
    return (difCheckFlags & DifFlag.ReftagCheck) === 0 || this.checkRefTag(ctx, block)
  }

  /** Type 3 has a reference tag that nobody checks. */
  private checkRefTag(ctx: DifContext, block: number): boolean {
    if (ctx.difType === DifType.Type3) return true
    const expected = (ctx.initRefTag + block) >>> 0
    const { pi } = this
    const end = this.piAt + ctx.piBytes
    let high = 0
    for (let i = this.piAt + ctx.refTagOff; i < end - 4; i++) high |= pi[i]!
    const low = ((pi[end - 4]! << 24) | (pi[end - 3]! << 16) | (pi[end - 2]! << 8) | pi[end - 1]!) >>> 0
    if (high === 0 && low === expected) return true
    return fail(ctx, DifErrorType.Reftag, BigInt(expected), big(pi, end - ctx.refTagBytes, ctx.refTagBytes), block)
  }

  private remap(ctx: DifContext, block: number): boolean {
    if (this.ignored(ctx)) return true
    if (!this.checkRefTag(ctx, block)) return false
    this.writeRefTag(ctx, ctx.difType === DifType.Type3 ? ctx.remappedInitRefTag : ctx.remappedInitRefTag + block, 0)
    return true
  }

  private appTag(ctx: DifContext): number {
    const at = this.piAt + ctx.guardBytes
    return (this.pi[at]! << 8) | this.pi[at + 1]!
  }

  /** Whether the block says that nothing of it is to be checked. */
  private ignored(ctx: DifContext): boolean {
    if (this.appTag(ctx) !== DIF_APPTAG_IGNORE) return false
    if (ctx.difType !== DifType.Type3) return true
    const end = this.piAt + ctx.piBytes
    for (let i = this.piAt + ctx.refTagOff; i < end; i++) if (this.pi[i] !== 0xff) return false
    return true
  }

  private move(to: IovCursor, from: IovCursor, lengthBytes: number): void {
    let rest = lengthBytes
    while (rest > 0) {
      const n = Math.min(rest, to.left, from.left)
      this.accel.copy(to.buf, to.off, from.buf, from.off, n)
      to.step(n)
      from.step(n)
      rest -= n
    }
  }

  private zero(to: IovCursor, lengthBytes: number): void {
    let rest = lengthBytes
    while (rest > 0) {
      const n = Math.min(rest, to.left)
      this.accel.fill(to.buf, to.off, 0, n)
      to.step(n)
      rest -= n
    }
  }
}

/** The rare case, which may allocate. */
function fail(ctx: DifContext, type: number, expected: bigint, actual: bigint, offsetBlocks: number): false {
  const { error } = ctx
  error.type = type
  error.expected = expected
  error.actual = actual
  error.offsetBlocks = offsetBlocks
  return false
}

function big(buf: Uint8Array, off: number, bytes: number): bigint {
  let value = 0n
  for (let i = 0; i < bytes; i++) value = (value << 8n) | BigInt(buf[off + i]!)
  return value
}
