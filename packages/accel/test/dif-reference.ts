// SPDX-License-Identifier: Apache-2.0
// Protection information once more, as plainly as it can be said: blocks in one array, tags as bigint.
import { DIF_APPTAG_IGNORE, DIF_REFTAG_IGNORE, DifErrorType, DifFlag, DifPiFormat, DifType } from '@bdevkit/module-sdk'
import { CRC32C_INITIAL, crc32cFinal, type DifContext } from '../src/index.js'
import * as reference from '../src/reference.js'

export interface Verdict {
  readonly type: number
  readonly expected: bigint
  readonly actual: bigint
  readonly offsetBlocks: number
}

interface Fields {
  readonly guard: [number, number]
  readonly appTag: [number, number]
  readonly refTag: [number, number]
}

/** [offset, length] of each field. */
const FIELDS: Record<number, Fields> = {
  [DifPiFormat.Guard16]: { guard: [0, 2], appTag: [2, 2], refTag: [4, 4] },
  [DifPiFormat.Guard32]: { guard: [0, 4], appTag: [4, 2], refTag: [8, 8] },
  [DifPiFormat.Guard64]: { guard: [0, 8], appTag: [8, 2], refTag: [10, 6] },
}

function get(bytes: Uint8Array, [off, len]: [number, number]): bigint {
  return BigInt(`0x${Buffer.from(bytes.subarray(off, off + len)).toString('hex')}`)
}

function put(bytes: Uint8Array, [off, len]: [number, number], value: bigint): void {
  bytes.set(Buffer.from(value.toString(16).padStart(16, '0'), 'hex').subarray(8 - len), off)
}

/** Guard of a block: over its data, and its metadata up to the protection information. */
function guardOf(ctx: DifContext, data: Uint8Array, md: Uint8Array): bigint {
  const piBytes = ctx.difPiFormat === DifPiFormat.Guard16 ? 8 : 16
  const covered = Buffer.concat([data, ctx.difIsHeadOfMd ? new Uint8Array(0) : md.subarray(0, md.length - piBytes)])
  if (ctx.difPiFormat === DifPiFormat.Guard16) return BigInt(reference.crc16T10dif(0, covered, 0, covered.length))
  if (ctx.difPiFormat === DifPiFormat.Guard32) return BigInt(crc32cFinal(reference.crc32c(CRC32C_INITIAL, covered, 0, covered.length)))
  return reference.crc64Nvme(0n, covered, 0, covered.length)
}

/** The protection information of a metadata area. */
export function piOf(ctx: DifContext, md: Uint8Array): Uint8Array {
  const piBytes = ctx.difPiFormat === DifPiFormat.Guard16 ? 8 : 16
  return ctx.difIsHeadOfMd ? md.subarray(0, piBytes) : md.subarray(md.length - piBytes)
}

export function generate(ctx: DifContext, data: Uint8Array, md: Uint8Array, block: number): void {
  if (ctx.difType === DifType.Disable) return
  const has = (flag: number): boolean => (ctx.difCheckFlags & flag) !== 0
  const fields = FIELDS[ctx.difPiFormat]!
  const pi = piOf(ctx, md)
  const guard = guardOf(ctx, data, md)
  pi.fill(0)
  if (has(DifFlag.GuardCheck)) put(pi, fields.guard, guard)
  if (has(DifFlag.ApptagCheck)) put(pi, fields.appTag, BigInt(ctx.appTag))
  if (!has(DifFlag.ReftagCheck)) return
  const refTag = BigInt((ctx.initRefTag + (ctx.difType === DifType.Type3 ? 0 : block)) >>> 0)
  put(pi, fields.refTag, ctx.initRefTag === DIF_REFTAG_IGNORE ? 2n ** BigInt(8 * fields.refTag[1]) - 1n : refTag)
}

function ignored(ctx: DifContext, pi: Uint8Array): boolean {
  const fields = FIELDS[ctx.difPiFormat]!
  if (get(pi, fields.appTag) !== BigInt(DIF_APPTAG_IGNORE)) return false
  return ctx.difType !== DifType.Type3 || get(pi, fields.refTag) === 2n ** BigInt(8 * fields.refTag[1]) - 1n
}

function badRefTag(ctx: DifContext, pi: Uint8Array, block: number): Verdict | null {
  if (ctx.difType === DifType.Type3) return null
  const expected = BigInt((ctx.initRefTag + block) >>> 0)
  const actual = get(pi, FIELDS[ctx.difPiFormat]!.refTag)
  return actual === expected ? null : { type: DifErrorType.Reftag, expected, actual, offsetBlocks: block }
}

/** What a check finds in one block, `null` where it fits. */
export function verify(ctx: DifContext, data: Uint8Array, md: Uint8Array, block: number): Verdict | null {
  const has = (flag: number): boolean => (ctx.difCheckFlags & flag) !== 0
  const pi = piOf(ctx, md)
  if (ctx.difType === DifType.Disable || ignored(ctx, pi)) return null
  const fields = FIELDS[ctx.difPiFormat]!
  const stored = get(pi, fields.guard)
  const guard = guardOf(ctx, data, md)
  if (has(DifFlag.GuardCheck) && stored !== guard) return { type: DifErrorType.Guard, expected: stored, actual: guard, offsetBlocks: block }
  const appTag = get(pi, fields.appTag) & BigInt(ctx.appTagMask)
  if (has(DifFlag.ApptagCheck) && appTag !== BigInt(ctx.appTag & ctx.appTagMask)) {
    return { type: DifErrorType.Apptag, expected: BigInt(ctx.appTag), actual: appTag, offsetBlocks: block }
  }
  return has(DifFlag.ReftagCheck) ? badRefTag(ctx, pi, block) : null
}

export function remap(ctx: DifContext, md: Uint8Array, block: number): Verdict | null {
  const pi = piOf(ctx, md)
  if (ctx.difType === DifType.Disable || (ctx.difCheckFlags & DifFlag.ReftagCheck) === 0 || ignored(ctx, pi)) return null
  const bad = badRefTag(ctx, pi, block)
  if (bad === null) put(pi, FIELDS[ctx.difPiFormat]!.refTag, BigInt((ctx.remappedInitRefTag + (ctx.difType === DifType.Type3 ? 0 : block)) >>> 0))
  return bad
}
