// SPDX-License-Identifier: Apache-2.0
import { RangeAllocator } from './allocator.js'
import { CRC16_TABLES, CRC32C_TABLES, CRC64_TABLES, GUARD_OUT, RESERVED_BYTES } from './layout.js'
import { WASM_PAGE_BYTES, WASM_PAGES_MAX, instantiateKernels, reserveMemory } from './wasm.js'
import type { Kernels, SharedMemory } from './wasm.js'

/** The allocator counts in units of a cache line, so that every number it handles is a small integer. */
const UNIT_BYTES = 64
/** Bulk storage starts at multiples of this many bytes. */
const BULK_ALIGN_BYTES = 4096
/** Used ranges of this size and above are looked at before they are zeroed. */
const SPARSE_ZERO_MIN_BYTES = 65_536
/** What bulk storage leaves of memory 0 to I/O buffers, unless the heap is small. */
const IO_RESERVE_BYTES = 256 * 1024 * 1024
/** Sizes to try in turn when the host refuses the one asked for, in WebAssembly pages: 2 GiB down to 16 MiB. */
const FALLBACK_PAGES = [32_768, 16_384, 8192, 4096, 2048, 1024, 512, 256]
/** Sizes of the further memories of one bulk allocation, in WebAssembly pages; the first that the host grants. */
const BULK_PAGES = [WASM_PAGES_MAX, 32_768, 16_384]
/** A mistyped size is answered at once, rather than after reserving memories until the host refuses. */
const BULK_BYTES_MAX = 2 ** 40

/** `len` bytes at offset `off` of `buf`. */
export interface DmaExtent {
  readonly buf: Uint8Array
  readonly off: number
  readonly len: number
}

/** Options of {@link DmaHeap}. */
export interface DmaHeapOptions {
  /**
   * Bytes of memory 0, rounded up to whole pages of 64 KiB: from 128 KiB to 4 GiB - 64 KiB, which is the default.
   * They are address space; memory is used when it is touched.
   */
  sizeBytes?: number | undefined
  /**
   * Bytes of memory 0 that {@link DmaHeap.allocBulk} leaves free for I/O buffers. Default 256 MiB, and never more than
   * half of the heap.
   */
  ioReserveBytes?: number | undefined
}

/** The kernels instantiated on a heap's memory 0, for this package only. */
export let kernelsOf: (heap: DmaHeap) => Kernels

/**
 * The DMA heap: one shared `WebAssembly.Memory` ("memory 0") that holds every I/O buffer, and bulk storage while it fits.
 * It is reserved whole and never grows, so the view `u8` is made once and stays valid for the life of the heap.
 *
 * Its first 64 KiB belong to the heap (checksum tables, staging), so 0 is never a valid offset.
 * One JavaScript thread allocates and frees; the bytes may be shared with workers.
 */
export class DmaHeap {
  /** The `WebAssembly.Memory`. */
  readonly memory: SharedMemory
  /** All of memory 0. The fast paths of `Accel` recognise exactly this object. */
  readonly u8: Uint8Array
  /** Bytes of memory 0: what was asked for, or the smaller size that the host granted. */
  readonly sizeBytes: number
  readonly #kernels: Kernels
  private readonly ranges: RangeAllocator
  private readonly ioReserveBytes: number
  /** No byte from here to the end was ever handed out, so they read as zero. */
  private freshStart = RESERVED_BYTES
  private readonly bulkExtents = new Set<DmaExtent>()
  private furtherBytes = 0

  static {
    kernelsOf = heap => heap.#kernels
  }

  /**
   * @throws RangeError when an option is out of its range.
   * @throws Error when the host does not even reserve 16 MiB (or the size asked for, if that is less).
   */
  constructor(options: DmaHeapOptions = {}) {
    const { sizeBytes = WASM_PAGES_MAX * WASM_PAGE_BYTES, ioReserveBytes = IO_RESERVE_BYTES } = options
    const pages = Math.ceil(sizeBytes / WASM_PAGE_BYTES)
    if (!(pages >= 2 && pages <= WASM_PAGES_MAX)) {
      throw new RangeError(`dma heap: wanted sizeBytes from 131072 to ${WASM_PAGES_MAX * WASM_PAGE_BYTES}, found ${sizeBytes}`)
    }
    if (!(ioReserveBytes >= 0)) throw new RangeError(`dma heap: wanted ioReserveBytes of 0 or more, found ${ioReserveBytes}`)
    const memory = reserveLargest(pages)
    if (memory === undefined) {
      throw new Error(
        `dma heap: wanted ${sizeBytes} bytes of address space, and the host refuses even the smallest fallback; ` +
          'raise the limit on virtual memory (ulimit -v) or ask for less',
      )
    }
    this.memory = memory
    this.u8 = new Uint8Array(memory.buffer)
    this.sizeBytes = this.u8.length
    this.ioReserveBytes = Math.min(ioReserveBytes, this.sizeBytes / 2)
    this.ranges = new RangeAllocator(RESERVED_BYTES / UNIT_BYTES, (this.sizeBytes - RESERVED_BYTES) / UNIT_BYTES)
    this.#kernels = instantiateKernels(memory)
    this.#kernels.crc32cInit(CRC32C_TABLES)
    this.#kernels.guardInit(CRC32C_TABLES, CRC16_TABLES, CRC64_TABLES, GUARD_OUT)
  }

  /** Bytes handed out of memory 0, by `alloc` and `allocBulk`, in whole cache lines. */
  get inUseBytes(): number {
    return this.ranges.inUse * UNIT_BYTES
  }

  /** Bytes of bulk storage in memories other than memory 0. */
  get bulkInUseBytes(): number {
    return this.furtherBytes
  }

  /**
   * Allocates a buffer in memory 0. All its bytes are zero; a range that was never used before is not touched for that.
   * @param lengthBytes zero or more; each buffer has an offset of its own, an empty one too.
   * @param alignBytes a power of two. Default 64; less is treated as 64.
   * @returns the offset into `u8`, or -1 when no free range is long enough.
   * @throws RangeError when an argument is no such number.
   */
  alloc(lengthBytes: number, alignBytes: number = UNIT_BYTES): number {
    if (!(Number.isSafeInteger(lengthBytes) && lengthBytes >= 0)) {
      throw new RangeError(`dma heap: alloc: wanted a length of zero or more bytes, found ${lengthBytes}`)
    }
    if (!(alignBytes >= 1 && alignBytes <= 2 ** 30 && (alignBytes & (alignBytes - 1)) === 0)) {
      throw new RangeError(`dma heap: alloc: wanted an alignment that is a power of two up to 2^30 bytes, found ${alignBytes}`)
    }
    return this.take(lengthBytes, alignBytes)
  }

  /**
   * Frees what `alloc` returned.
   * @throws RangeError when nothing in use starts at `offset`: it was freed before, or never allocated.
   */
  free(offset: number): void {
    if (this.ranges.free(offset / UNIT_BYTES) === 0) {
      throw new RangeError(
        `dma heap: free: nothing in use starts at offset ${offset}; it was freed before, or never returned by alloc`,
      )
    }
  }

  /**
   * Allocates bulk storage, the bytes of a RAM disk. All its bytes are zero, and memory is used only where they are
   * written. While it fits, and leaves memory 0 its reserve for I/O buffers, it is one extent in memory 0. Otherwise it
   * lies in memories of its own, each up to 4 GiB - 64 KiB, which kernels do not see: a random 4 KiB copy there takes
   * about 1.7 times as long. All extents but the last are of equal length.
   *
   * Bulk storage in memory 0 that reuses a freed range is zeroed within the call, which for GiBs takes tenths of a second.
   * @param lengthBytes one or more.
   * @returns undefined when the host refuses the address space.
   * @throws RangeError when `lengthBytes` is no positive integer.
   */
  allocBulk(lengthBytes: number): DmaExtent[] | undefined {
    if (!(Number.isSafeInteger(lengthBytes) && lengthBytes > 0)) {
      throw new RangeError(`dma heap: allocBulk: wanted a length of one or more bytes, found ${lengthBytes}`)
    }
    const freeBytes = this.sizeBytes - RESERVED_BYTES - this.inUseBytes
    if (lengthBytes <= freeBytes - this.ioReserveBytes) {
      const off = this.take(lengthBytes, BULK_ALIGN_BYTES)
      if (off >= 0) {
        const extent = { buf: this.u8, off, len: lengthBytes }
        this.bulkExtents.add(extent)
        return [extent]
      }
    }
    if (lengthBytes > BULK_BYTES_MAX) return undefined
    for (const pages of BULK_PAGES) {
      const extents = reserveExtents(lengthBytes, pages * WASM_PAGE_BYTES)
      if (extents === undefined) continue
      for (const extent of extents) this.bulkExtents.add(extent)
      this.furtherBytes += lengthBytes
      return extents
    }
    return undefined
  }

  /**
   * Frees what `allocBulk` returned. A memory made for it is dropped, and its resident pages go back to the host when
   * the garbage collector finds that no I/O refers to it any more. Pages of memory 0 stay resident for the next user.
   * @throws RangeError when an extent is not in use; then nothing is freed.
   */
  freeBulk(extents: readonly DmaExtent[]): void {
    for (const extent of extents) {
      if (!this.bulkExtents.has(extent)) {
        throw new RangeError(
          `dma heap: freeBulk: the extent of ${extent.len} bytes at offset ${extent.off} of its memory is not in use; ` +
            'it was freed before, or never returned by allocBulk',
        )
      }
    }
    for (const extent of extents) {
      this.bulkExtents.delete(extent)
      if (extent.buf === this.u8) this.free(extent.off)
      else this.furtherBytes -= extent.len
    }
  }

  private take(lengthBytes: number, alignBytes: number): number {
    if (lengthBytes > this.sizeBytes) return -1
    const units = Math.max(1, Math.ceil(lengthBytes / UNIT_BYTES))
    const unit = this.ranges.alloc(units, Math.max(1, alignBytes / UNIT_BYTES))
    if (unit < 0) return -1
    const start = unit * UNIT_BYTES
    const end = start + units * UNIT_BYTES
    const usedBytes = Math.min(end, this.freshStart) - start
    if (usedBytes >= SPARSE_ZERO_MIN_BYTES) this.#kernels.zeroSparse(start, usedBytes)
    else if (usedBytes > 0) this.#kernels.fill(start, 0, usedBytes)
    if (end > this.freshStart) this.freshStart = end
    return start
  }
}

function reserveLargest(pages: number): SharedMemory | undefined {
  let memory = reserveMemory(pages)
  for (const fewer of FALLBACK_PAGES) {
    if (memory !== undefined) break
    if (fewer < pages) memory = reserveMemory(fewer)
  }
  return memory
}

/** @returns undefined when the host refuses one of the memories; those made until then are dropped. */
function reserveExtents(lengthBytes: number, extentBytes: number): DmaExtent[] | undefined {
  const extents: DmaExtent[] = []
  for (let start = 0; start < lengthBytes; start += extentBytes) {
    const len = Math.min(extentBytes, lengthBytes - start)
    const memory = reserveMemory(Math.ceil(len / WASM_PAGE_BYTES))
    if (memory === undefined) return undefined
    extents.push({ buf: new Uint8Array(memory.buffer), off: 0, len })
  }
  return extents
}
