// SPDX-License-Identifier: Apache-2.0
export { Accel, CRC32C_INITIAL, crc32cFinal } from './accel.js'
export type { Iov } from './accel.js'
export { DmaHeap } from './heap.js'
export type { DmaExtent, DmaHeapOptions } from './heap.js'
export type { SharedMemory } from './wasm.js'
