// SPDX-License-Identifier: Apache-2.0
// data plane
import { Dif } from './dif.js'
import { ForeignBuffers, refuseShortIovs } from './foreign.js'
import { kernelsOf } from './heap.js'
import type { DmaHeap } from './heap.js'
import { CRC16_TABLES, CRC32C_TABLES, GF_TABLES, RESERVED_BYTES } from './layout.js'
import type { Kernels } from './wasm.js'

/** An element of a scatter-gather list: `len` bytes at offset `off` of `buf`. Made once and reused. */
export interface Iov {
  buf: Uint8Array
  off: number
  len: number
}

/** Parities are made piece by piece, so that both stay in the processor's first cache while the sources pass. */
const PARITY_PIECE_BYTES = 8192

/** Where a CRC-32C starts: `crc32cFinal(accel.crc32c(CRC32C_INITIAL, buf, off, len))` is the checksum of RFC 3720. */
export const CRC32C_INITIAL = 0xffff_ffff

/** The checksum for a register: its inversion, as an unsigned number. */
export function crc32cFinal(crc: number): number {
  return ~crc >>> 0
}

/**
 * The data kernels, on (buffer, offset, length in bytes). Any `Uint8Array` will do. A buffer that is `heap.u8` itself is
 * worked on in place without a view or an allocation; any other one, `heap.u8.subarray(…)` included, is copied by
 * `Uint8Array.prototype.set` or staged through memory 0, with the same result.
 *
 * A length of 0 is legal and does nothing. Each method throws a RangeError that names the call, the buffer and the
 * numbers when a range leaves its buffer, or touches the first 64 KiB of the heap, which are the heap's own; then no byte
 * has changed (the iovec forms stop at the element that is wrong). To be called on the thread that owns the heap.
 */
export class Accel {
  /** Protection information: T10 DIF and DIX. */
  readonly dif: Dif
  private readonly u8: Uint8Array
  private readonly end: number
  private readonly kernels: Kernels
  private readonly foreign: ForeignBuffers

  constructor(readonly heap: DmaHeap) {
    this.u8 = heap.u8
    this.end = heap.sizeBytes
    this.kernels = kernelsOf(heap)
    this.foreign = new ForeignBuffers(heap.u8, this.kernels)
    this.dif = new Dif(this, heap.u8, this.kernels, this.foreign)
  }

  /** memmove: the ranges may overlap. */
  copy(dst: Uint8Array, dstOff: number, src: Uint8Array, srcOff: number, lengthBytes: number): void {
    const u8 = this.u8
    const end = this.end
    if (
      dst === u8 && src === u8 && lengthBytes >= 0 &&
      dstOff >= RESERVED_BYTES && srcOff >= RESERVED_BYTES &&
      dstOff + lengthBytes <= end && srcOff + lengthBytes <= end
    ) {
      this.kernels.copy(dstOff, srcOff, lengthBytes)
    } else {
      this.foreign.copy(dst, dstOff, src, srcOff, lengthBytes)
    }
  }

  /** memset: each byte becomes the low eight bits of `value`. */
  fill(dst: Uint8Array, off: number, value: number, lengthBytes: number): void {
    if (this.inHeap(dst, off, lengthBytes)) this.kernels.fill(off, value, lengthBytes)
    else this.foreign.fill(dst, off, value, lengthBytes)
  }

  /** @returns the index of the first byte that differs, -1 when all are equal. */
  compare(a: Uint8Array, aOff: number, b: Uint8Array, bOff: number, lengthBytes: number): number {
    if (this.inHeap(a, aOff, lengthBytes) && this.inHeap(b, bOff, lengthBytes)) {
      const at = this.kernels.compare(aOff, bOff, lengthBytes) >>> 0
      return at === lengthBytes ? -1 : at
    }
    return this.foreign.compare(a, aOff, b, bOff, lengthBytes)
  }

  isZero(buf: Uint8Array, off: number, lengthBytes: number): boolean {
    if (this.inHeap(buf, off, lengthBytes)) return this.kernels.isZero(off, lengthBytes) !== 0
    return this.foreign.isZero(buf, off, lengthBytes)
  }

  /** dst ^= src. The ranges are the same one or do not overlap. */
  xor(dst: Uint8Array, dstOff: number, src: Uint8Array, srcOff: number, lengthBytes: number): void {
    if (this.inHeap(dst, dstOff, lengthBytes) && this.inHeap(src, srcOff, lengthBytes)) {
      this.kernels.xor2(dstOff, dstOff, srcOff, lengthBytes)
    } else {
      this.foreign.xor(dst, dstOff, src, srcOff, lengthBytes)
    }
  }

  /**
   * dst = s0 ^ s1 ^ …: the parity of the first `lengthBytes` of each of the first `count` sources. One source may be dst
   * itself (an update of parity), given by the same `buf` and offset; else none overlaps dst.
   * @throws RangeError also when `count` is below 1, or a source is shorter than `lengthBytes`.
   */
  xorInto(dst: Uint8Array, dstOff: number, sources: readonly Iov[], count: number, lengthBytes: number): void {
    const u8 = this.u8
    this.checkSources('xorInto', sources, count, lengthBytes)
    this.foreign.check('xorInto', 'destination', dst, dstOff, lengthBytes)
    let allInHeap = dst === u8
    let own = -1
    for (let i = 0; i < count; i++) {
      const s = sources[i]!
      if (s.buf !== u8) allInHeap = false
      if (s.buf === dst && s.off === dstOff) own = i
    }
    if (lengthBytes === 0) return
    // XOR commutes: starting at the source that is dst means that dst is read before anything is written there.
    const first = own < 0 ? 0 : own
    if (allInHeap) {
      this.xorHeap(dstOff, sources, first, count, lengthBytes)
      return
    }
    if (own < 0) this.copy(dst, dstOff, sources[0]!.buf, sources[0]!.off, lengthBytes)
    for (let i = 1; i < count; i++) {
      const s = sources[(first + i) % count]!
      this.xor(dst, dstOff, s.buf, s.off, lengthBytes)
    }
  }

  /**
   * Both parities of RAID-6 over the first `count` sources: p = s0 ^ s1 ^ … and q = s0 ^ 2·s1 ^ 4·s2 ^ …, products in
   * GF(2^8) with the polynomial 0x11d (H. P. Anvin, "The mathematics of RAID-6"). No source overlaps p or q.
   * @throws RangeError also when `count` is below 1, or a source is shorter than `lengthBytes`.
   */
  pqInto(p: Uint8Array, pOff: number, q: Uint8Array, qOff: number, sources: readonly Iov[], count: number, lengthBytes: number): void {
    this.foreign.check('pqInto', 'first parity', p, pOff, lengthBytes)
    this.foreign.check('pqInto', 'second parity', q, qOff, lengthBytes)
    this.checkSources('pqInto', sources, count, lengthBytes)
    const u8 = this.u8
    for (let done = 0; done < lengthBytes; done += PARITY_PIECE_BYTES) {
      const n = lengthBytes - done < PARITY_PIECE_BYTES ? lengthBytes - done : PARITY_PIECE_BYTES
      const last = sources[count - 1]!
      this.copy(p, pOff + done, last.buf, last.off + done, n)
      this.copy(q, qOff + done, last.buf, last.off + done, n)
      for (let i = count - 2; i >= 0; i--) {
        const s = sources[i]!
        if (s.buf === u8 && p === u8 && q === u8) {
          this.kernels.gfParities(pOff + done, qOff + done, s.off + done, n)
        } else {
          this.xor(p, pOff + done, s.buf, s.off + done, n)
          this.foreign.gfDoubleXor(q, qOff + done, s.buf, s.off + done, n)
        }
      }
    }
  }

  /**
   * dst ^= c·src, the product in GF(2^8) with the polynomial 0x11d; `c` is a byte. The ranges are the same one or do not
   * overlap.
   * @throws RangeError also when `c` is no byte.
   */
  gfMulXor(dst: Uint8Array, dstOff: number, src: Uint8Array, srcOff: number, c: number, lengthBytes: number): void {
    if (!(Number.isInteger(c) && c >= 0 && c <= 255)) throw new RangeError(`accel.gfMulXor: wanted a constant from 0 to 255, found ${c}`)
    if (this.inHeap(dst, dstOff, lengthBytes) && this.inHeap(src, srcOff, lengthBytes)) {
      this.kernels.gfMulXor(GF_TABLES, dstOff, srcOff, c, lengthBytes)
    } else {
      this.foreign.gfMulXor(dst, dstOff, src, srcOff, c, lengthBytes)
    }
  }

  /**
   * CRC-32C, raw: takes the register and returns it (unsigned), inverting it neither before nor after. A run may be cut
   * anywhere. So does `spdk_crc32c_update`.
   */
  crc32c(seed: number, buf: Uint8Array, off: number, lengthBytes: number): number {
    if (this.inHeap(buf, off, lengthBytes)) return this.kernels.crc32c(CRC32C_TABLES, seed, off, lengthBytes) >>> 0
    return this.foreign.crc32c(seed, buf, off, lengthBytes)
  }

  /** CRC-16 of T10 DIF, from `seed` (0 for a whole run); a run may be cut anywhere. So does `spdk_crc16_t10dif`. */
  crc16T10dif(seed: number, buf: Uint8Array, off: number, lengthBytes: number): number {
    if (this.inHeap(buf, off, lengthBytes)) return this.kernels.crc16(CRC16_TABLES, seed & 0xffff, off, lengthBytes)
    return this.foreign.crc16T10dif(seed, buf, off, lengthBytes)
  }

  /** CRC-64/NVME, from `seed` (0 for a whole run), which is a checksum, so that a run may be cut anywhere. So does `spdk_crc64_nvme`. */
  crc64Nvme(seed: bigint, buf: Uint8Array, off: number, lengthBytes: number): bigint {
    return this.foreign.crc64Nvme(seed, buf, off, lengthBytes)
  }

  /** Scatter: `lengthBytes` of `src` into the first of `iovs`, in order. @throws RangeError also when they are too short. */
  copyToIovs(iovs: readonly Iov[], iovCnt: number, src: Uint8Array, srcOff: number, lengthBytes: number): void {
    let left = lengthBytes
    for (let i = 0; i < iovCnt && left > 0; i++) {
      const v = iovs[i]!
      const n = left < v.len ? left : v.len // a len of NaN goes on, and is refused
      this.copy(v.buf, v.off, src, srcOff, n)
      srcOff += n
      left -= n
    }
    if (left !== 0) refuseShortIovs('copyToIovs', lengthBytes, left, iovCnt)
  }

  /** Gather: the first `lengthBytes` of `iovs` into `dst`. @throws RangeError also when they are too short. */
  copyFromIovs(dst: Uint8Array, dstOff: number, iovs: readonly Iov[], iovCnt: number, lengthBytes: number): void {
    let left = lengthBytes
    for (let i = 0; i < iovCnt && left > 0; i++) {
      const v = iovs[i]!
      const n = left < v.len ? left : v.len // a len of NaN goes on, and is refused
      this.copy(dst, dstOff, v.buf, v.off, n)
      dstOff += n
      left -= n
    }
    if (left !== 0) refuseShortIovs('copyFromIovs', lengthBytes, left, iovCnt)
  }

  /** Fills all of the first `iovCnt` elements. */
  fillIovs(iovs: readonly Iov[], iovCnt: number, value: number): void {
    for (let i = 0; i < iovCnt; i++) {
      const v = iovs[i]!
      this.fill(v.buf, v.off, value, v.len)
    }
  }

  /**
   * Compares the first `lengthBytes` of `iovs` with `buf`.
   * @returns the index (into the run, not the element) of the first byte that differs, -1 when all are equal.
   * @throws RangeError also when the elements are too short.
   */
  compareIovs(iovs: readonly Iov[], iovCnt: number, buf: Uint8Array, off: number, lengthBytes: number): number {
    let done = 0
    for (let i = 0; i < iovCnt && done < lengthBytes; i++) {
      const v = iovs[i]!
      const left = lengthBytes - done
      const n = left < v.len ? left : v.len // a len of NaN goes on, and is refused
      const at = this.compare(v.buf, v.off, buf, off + done, n)
      if (at >= 0) return done + at
      done += n
    }
    if (done !== lengthBytes) refuseShortIovs('compareIovs', lengthBytes, lengthBytes - done, iovCnt)
    return -1
  }

  /** Whether all of the first `iovCnt` elements is zero. */
  isZeroIovs(iovs: readonly Iov[], iovCnt: number): boolean {
    for (let i = 0; i < iovCnt; i++) {
      const v = iovs[i]!
      if (!this.isZero(v.buf, v.off, v.len)) return false
    }
    return true
  }

  /** @throws RangeError unless the range is one that a caller may use. @internal */
  checkRange(call: string, which: string, buf: Uint8Array, off: number, lengthBytes: number): void {
    this.foreign.check(call, which, buf, off, lengthBytes)
  }

  private checkSources(call: string, sources: readonly Iov[], count: number, lengthBytes: number): void {
    if (!(count >= 1 && count <= sources.length)) {
      throw new RangeError(`accel.${call}: wanted a count of 1 to ${sources.length} sources, found ${count}`)
    }
    for (let i = 0; i < count; i++) {
      const s = sources[i]!
      this.foreign.check(call, 'source', s.buf, s.off, lengthBytes)
      if (!(s.len >= lengthBytes)) refuseShortIovs(call, lengthBytes, lengthBytes - s.len, 1)
    }
  }

  /** Whether a range may go to a kernel as it is; NaN may not. */
  private inHeap(buf: Uint8Array, off: number, lengthBytes: number): boolean {
    return buf === this.u8 && off >= RESERVED_BYTES && lengthBytes >= 0 && off + lengthBytes <= this.end
  }

  /** The sources from `first` on, round the end: up to four at once, then three more with each pass over dst. */
  private xorHeap(dst: number, sources: readonly Iov[], first: number, count: number, n: number): void {
    const kernels = this.kernels
    let i = 1
    let a = sources[first]!.off
    if (count === 1) kernels.copy(dst, a, n)
    while (i < count) {
      const b = sources[(first + i) % count]!.off
      if (count - i === 1) {
        kernels.xor2(dst, a, b, n)
        return
      }
      const c = sources[(first + i + 1) % count]!.off
      if (count - i === 2) {
        kernels.xor3(dst, a, b, c, n)
        return
      }
      kernels.xor4(dst, a, b, c, sources[(first + i + 2) % count]!.off, n)
      a = dst
      i += 3
    }
  }
}
