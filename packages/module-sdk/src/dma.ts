// SPDX-License-Identifier: Apache-2.0
import type { CryptoKeys } from './crypto.js'
import type { Dif } from './dif.js'

/**
 * One element of a scatter list: `len` bytes at `off` in `buf`. Its object is reused, so keep the fields and not the
 * element. Any `Uint8Array` is legal; memory of the DMA heap is the fast one. Get them from `BdevHost.allocIovs`, so that
 * all have one shape.
 */
export interface Iov {
  /** Memory that holds the range. */
  buf: Uint8Array
  /** Where the range begins, in bytes. */
  off: number
  /** Length in bytes. */
  len: number
}

/** A range of memory: `len` bytes at `off` in `buf`, zero-filled when it was handed out. */
export interface DmaBuffer {
  /** Memory that holds the range. */
  readonly buf: Uint8Array
  /** Where the range begins, in bytes. */
  readonly off: number
  /** Length in bytes. */
  readonly len: number
}

/** The DMA heap: shared memory that costs nothing until it is touched, in the reach of the accel kernels. */
export interface Dma {
  /**
   * `lengthBytes` of zeroed memory aligned to `alignBytes` (a power of two, default 64), for I/O buffers.
   * `undefined` where the heap is exhausted.
   */
  alloc(lengthBytes: number, alignBytes?: number): DmaBuffer | undefined
  /**
   * Gives a buffer back.
   * @throws RangeError where it is not allocated.
   */
  free(buffer: DmaBuffer): void
  /** Zeroed bulk storage in one or more pieces that follow each other; `undefined` where the host has no room. */
  allocBulk(lengthBytes: number): readonly DmaBuffer[] | undefined
  /** Gives bulk storage back. */
  freeBulk(extents: readonly DmaBuffer[]): void
}

/** Entry of `Iobuf.get`; the caller owns it and may use it again after the call-back. */
export interface IobufEntry<Arg = any> {
  /** Called on the thread that asked, with a buffer. */
  fn: (arg: Arg, buffer: DmaBuffer) => void
  /** Its argument. */
  arg: Arg
}

/**
 * Pooled buffers for I/O (`spdk_iobuf`): small and large ones, some in reserve for each thread, the rest shared. Aligned to
 * 4096 bytes; what they hold is undefined. For a buffer that belongs to one I/O see `BdevIo.getBuf` and `BdevIo.getAuxBuf`,
 * whose waits end with ABORT and RESET.
 */
export interface Iobuf {
  /** Length of a small buffer in bytes. */
  readonly smallBufBytes: number
  /** Length of a large buffer in bytes. A longer one counts as several. */
  readonly largeBufBytes: number
  /**
   * A buffer of `lengthBytes` or more for the current thread. `undefined` where none is free, or others of the thread wait:
   * then `entry.fn(entry.arg, buffer)` follows by message, oldest first.
   * @throws RangeError longer than half of the large buffers together.
   */
  get<Arg>(lengthBytes: number, entry: IobufEntry<Arg>): DmaBuffer | undefined
  /** Ends the wait of `entry` on the current thread. Returns whether it waited. */
  cancel(entry: IobufEntry): boolean
  /** Gives a buffer back, from any thread; the oldest waiter gets its turn. */
  put(buffer: DmaBuffer): void
}

/** Moving and checking data. Every range is `(buf, off, length)`; a module never looks at what kind of memory it is. */
export interface Accel {
  /** Copies `lengthBytes`, as memmove. */
  copy(dst: Uint8Array, dstOff: number, src: Uint8Array, srcOff: number, lengthBytes: number): void
  /** Sets `lengthBytes` to `value`. */
  fill(dst: Uint8Array, off: number, value: number, lengthBytes: number): void
  /** Index of the first byte that differs, -1 where the ranges are equal. */
  compare(a: Uint8Array, aOff: number, b: Uint8Array, bOff: number, lengthBytes: number): number
  /** Whether the range holds only zeros. */
  isZero(buf: Uint8Array, off: number, lengthBytes: number): boolean
  /** dst ^= src. */
  xor(dst: Uint8Array, dstOff: number, src: Uint8Array, srcOff: number, lengthBytes: number): void
  /** dst = sources[0] ^ … ^ sources[count-1], `lengthBytes` of each. */
  xorInto(dst: Uint8Array, dstOff: number, sources: readonly Iov[], count: number, lengthBytes: number): void
  /**
   * Both parities of RAID-6: p = sources[0] ^ sources[1] ^ …, q = sources[0] ^ 2·sources[1] ^ 4·sources[2] ^ …, `lengthBytes`
   * of each, products in GF(2^8) with the polynomial 0x11d. No source overlaps p or q.
   */
  pqInto(p: Uint8Array, pOff: number, q: Uint8Array, qOff: number, sources: readonly Iov[], count: number, lengthBytes: number): void
  /** dst ^= c·src in the same field; `c` is a byte. */
  gfMulXor(dst: Uint8Array, dstOff: number, src: Uint8Array, srcOff: number, c: number, lengthBytes: number): void
  /** CRC-32C update of `seed`; neither argument nor result is inverted. */
  crc32c(seed: number, buf: Uint8Array, off: number, lengthBytes: number): number
  /** Scatters `lengthBytes` of `src` over the first `iovCnt` elements. */
  copyToIovs(iovs: readonly Iov[], iovCnt: number, src: Uint8Array, srcOff: number, lengthBytes: number): void
  /** Gathers `lengthBytes` from the first `iovCnt` elements. */
  copyFromIovs(dst: Uint8Array, dstOff: number, iovs: readonly Iov[], iovCnt: number, lengthBytes: number): void
  /** Sets every byte of the first `iovCnt` elements. */
  fillIovs(iovs: readonly Iov[], iovCnt: number, value: number): void
  /** Index of the first byte of the elements that differs from `buf`, -1 where all are equal. */
  compareIovs(iovs: readonly Iov[], iovCnt: number, buf: Uint8Array, off: number, lengthBytes: number): number
  /** Protection information of blocks: T10 DIF and DIX. */
  readonly dif: Dif
  /** Keys of AES-XTS, and by them encryption and decryption. */
  readonly keys: CryptoKeys
}
