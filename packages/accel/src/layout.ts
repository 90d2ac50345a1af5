// SPDX-License-Identifier: Apache-2.0
// The first page of memory 0 belongs to the heap: no buffer starts there, so offset 0 is never a valid one, and a write
// that lost its offset cannot reach the checksum tables (accel.ts refuses ranges below RESERVED_BYTES).

/** CRC-32C tables, 16 KiB + 512 bytes (src/kernels/crc32c.ts). */
export const CRC32C_TABLES = 0
/** Two staging areas for buffers outside memory 0. */
export const STAGE_BYTES = 16_384
export const STAGE_A = 20_480
export const STAGE_B = STAGE_A + STAGE_BYTES
/** Bytes at the start of memory 0 that are never handed out. */
export const RESERVED_BYTES = 65_536

if (STAGE_B + STAGE_BYTES > RESERVED_BYTES) throw new RangeError('layout: the staging areas leave the reserved page')
