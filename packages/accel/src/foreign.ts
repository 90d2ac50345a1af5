// SPDX-License-Identifier: Apache-2.0
// Off the fast path: buffers outside memory 0, and ranges that do not fit. A buffer that a kernel needs is staged, that
// is copied through the heap's own page in pieces. Every function checks its ranges first and then touches the bytes, so
// a refused call has changed nothing.
import { CRC16_TABLES, CRC32C_TABLES, CRC64_TABLES, GF_TABLES, RESERVED_BYTES, STAGE_A, STAGE_B, STAGE_BYTES } from './layout.js'
import * as reference from './reference.js'
import type { Kernels } from './wasm.js'

/** Up to this many bytes a plain loop is faster than staging. */
const LOOP_MAX_BYTES = 64

export class ForeignBuffers {
  constructor(
    private readonly u8: Uint8Array,
    private readonly kernels: Kernels,
  ) {}

  copy(dst: Uint8Array, dstOff: number, src: Uint8Array, srcOff: number, lengthBytes: number): void {
    this.check('copy', 'destination', dst, dstOff, lengthBytes)
    this.check('copy', 'source', src, srcOff, lengthBytes)
    if (lengthBytes === 0) return
    if (srcOff === 0 && lengthBytes === src.length) dst.set(src, dstOff)
    else dst.set(src.subarray(srcOff, srcOff + lengthBytes), dstOff)
  }

  fill(dst: Uint8Array, off: number, value: number, lengthBytes: number): void {
    this.check('fill', 'destination', dst, off, lengthBytes)
    dst.fill(value, off, off + lengthBytes)
  }

  compare(a: Uint8Array, aOff: number, b: Uint8Array, bOff: number, lengthBytes: number): number {
    this.check('compare', 'first buffer', a, aOff, lengthBytes)
    this.check('compare', 'second buffer', b, bOff, lengthBytes)
    if (lengthBytes <= LOOP_MAX_BYTES) return reference.compare(a, aOff, b, bOff, lengthBytes)
    for (let done = 0; done < lengthBytes; done += STAGE_BYTES) {
      const n = Math.min(STAGE_BYTES, lengthBytes - done)
      const at = this.kernels.compare(this.stage(STAGE_A, a, aOff + done, n), this.stage(STAGE_B, b, bOff + done, n), n)
      if (at !== n) return done + at
    }
    return -1
  }

  isZero(buf: Uint8Array, off: number, lengthBytes: number): boolean {
    this.check('isZero', 'buffer', buf, off, lengthBytes)
    if (lengthBytes <= LOOP_MAX_BYTES) return reference.isZero(buf, off, lengthBytes)
    for (let done = 0; done < lengthBytes; done += STAGE_BYTES) {
      const n = Math.min(STAGE_BYTES, lengthBytes - done)
      if (this.kernels.isZero(this.stage(STAGE_A, buf, off + done, n), n) === 0) return false
    }
    return true
  }

  xor(dst: Uint8Array, dstOff: number, src: Uint8Array, srcOff: number, lengthBytes: number): void {
    this.check('xor', 'destination', dst, dstOff, lengthBytes)
    this.check('xor', 'source', src, srcOff, lengthBytes)
    if (lengthBytes <= LOOP_MAX_BYTES) return reference.xor(dst, dstOff, src, srcOff, lengthBytes)
    for (let done = 0; done < lengthBytes; done += STAGE_BYTES) {
      const n = Math.min(STAGE_BYTES, lengthBytes - done)
      const d = this.stage(STAGE_A, dst, dstOff + done, n)
      this.kernels.xor2(d, d, this.stage(STAGE_B, src, srcOff + done, n), n)
      this.unstage(d, dst, dstOff + done, n)
    }
  }

  gfDoubleXor(q: Uint8Array, qOff: number, src: Uint8Array, srcOff: number, lengthBytes: number): void {
    for (let done = 0; done < lengthBytes; done += STAGE_BYTES) {
      const n = Math.min(STAGE_BYTES, lengthBytes - done)
      const d = this.stage(STAGE_A, q, qOff + done, n)
      this.kernels.gfDoubleXor(d, this.stage(STAGE_B, src, srcOff + done, n), n)
      this.unstage(d, q, qOff + done, n)
    }
  }

  gfMulXor(dst: Uint8Array, dstOff: number, src: Uint8Array, srcOff: number, c: number, lengthBytes: number): void {
    this.check('gfMulXor', 'destination', dst, dstOff, lengthBytes)
    this.check('gfMulXor', 'source', src, srcOff, lengthBytes)
    for (let done = 0; done < lengthBytes; done += STAGE_BYTES) {
      const n = Math.min(STAGE_BYTES, lengthBytes - done)
      const d = this.stage(STAGE_A, dst, dstOff + done, n)
      this.kernels.gfMulXor(GF_TABLES, d, this.stage(STAGE_B, src, srcOff + done, n), c, n)
      this.unstage(d, dst, dstOff + done, n)
    }
  }

  crc32c(seed: number, buf: Uint8Array, off: number, lengthBytes: number): number {
    this.check('crc32c', 'buffer', buf, off, lengthBytes)
    let crc = seed >>> 0
    for (let done = 0; done < lengthBytes; done += STAGE_BYTES) {
      const n = Math.min(STAGE_BYTES, lengthBytes - done)
      crc = this.kernels.crc32c(CRC32C_TABLES, crc, this.stage(STAGE_A, buf, off + done, n), n)
    }
    return crc >>> 0
  }

  crc16T10dif(seed: number, buf: Uint8Array, off: number, lengthBytes: number): number {
    this.check('crc16T10dif', 'buffer', buf, off, lengthBytes)
    let crc = seed & 0xffff
    for (let done = 0; done < lengthBytes; done += STAGE_BYTES) {
      const n = Math.min(STAGE_BYTES, lengthBytes - done)
      crc = this.kernels.crc16(CRC16_TABLES, crc, this.stage(STAGE_A, buf, off + done, n), n)
    }
    return crc
  }

  crc64Nvme(seed: bigint, buf: Uint8Array, off: number, lengthBytes: number): bigint {
    this.check('crc64Nvme', 'buffer', buf, off, lengthBytes)
    let crc = ~seed
    for (let done = 0; done < lengthBytes; done += STAGE_BYTES) {
      const n = Math.min(STAGE_BYTES, lengthBytes - done)
      crc = this.kernels.crc64(CRC64_TABLES, crc, this.stage(STAGE_A, buf, off + done, n), n)
    }
    return BigInt.asUintN(64, ~crc)
  }

  /** Takes a run into the guard that is under way (kernels/guard.ts). The range has been checked. */
  guardUpdate(buf: Uint8Array, off: number, lengthBytes: number): void {
    for (let done = 0; done < lengthBytes; done += STAGE_BYTES) {
      const n = Math.min(STAGE_BYTES, lengthBytes - done)
      this.kernels.guardUpdate(this.stage(STAGE_A, buf, off + done, n), n)
    }
  }

  /** @throws RangeError unless `off` and `lengthBytes` name bytes of `buf` that a caller may use. */
  check(call: string, which: string, buf: Uint8Array, off: number, lengthBytes: number): void {
    const inHeap = buf === this.u8
    if (off >= (inHeap ? RESERVED_BYTES : 0) && lengthBytes >= 0 && off + lengthBytes <= buf.length) return
    if (lengthBytes === 0 && off >= 0 && off <= buf.length) return
    const found = inHeap
      ? `the heap, whose buffers lie from ${RESERVED_BYTES} to ${buf.length}`
      : `a buffer of ${buf.length} bytes`
    throw new RangeError(
      `accel.${call}: ${which}: wanted ${lengthBytes} bytes at offset ${off}, found ${found}; check the caller's iovec`,
    )
  }

  /** Where the kernels find `lengthBytes` of `buf`: in place, or copied to the staging area at `area`. */
  private stage(area: number, buf: Uint8Array, off: number, lengthBytes: number): number {
    if (buf === this.u8) return off
    this.u8.set(buf.subarray(off, off + lengthBytes), area)
    return area
  }

  /** Takes a staged result back to where it belongs. */
  private unstage(at: number, buf: Uint8Array, off: number, lengthBytes: number): void {
    if (buf !== this.u8) buf.set(this.u8.subarray(at, at + lengthBytes), off)
  }
}

/** @throws RangeError, always. */
export function refuseShortIovs(call: string, lengthBytes: number, missingBytes: number, iovCnt: number): never {
  const found = lengthBytes - missingBytes
  throw new RangeError(
    `accel.${call}: wanted ${lengthBytes} bytes in ${iovCnt} iovecs, found ${found}; check iovCnt and each len`,
  )
}
