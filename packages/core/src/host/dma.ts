// SPDX-License-Identifier: Apache-2.0
import type { DmaHeap } from '@bdevkit/accel'
import type { Dma } from '@bdevkit/module-sdk'

/** The contract's view of the heap. */
export function createDma(heap: DmaHeap): Dma {
  return {
    alloc(lengthBytes, alignBytes) {
      const off = heap.alloc(lengthBytes, alignBytes)
      return off < 0 ? undefined : { buf: heap.u8, off, len: lengthBytes }
    },
    free(buffer) {
      if (buffer.buf !== heap.u8) throw new RangeError('free of DMA memory: the buffer is not of this heap')
      heap.free(buffer.off)
    },
    allocBulk: lengthBytes => heap.allocBulk(lengthBytes),
    freeBulk: extents => heap.freeBulk([...extents]),
  }
}
