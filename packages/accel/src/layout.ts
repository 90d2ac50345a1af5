// SPDX-License-Identifier: Apache-2.0
// The first page of memory 0 belongs to the heap: no buffer starts there, so offset 0 is never a valid one, and a write
// that lost its offset cannot reach the checksum tables (accel.ts refuses ranges below RESERVED_BYTES).

/** CRC-32C tables, 16 KiB + 512 bytes (src/kernels/crc32c.ts). */
export const CRC32C_TABLES = 0
/** Where kernels leave the guard of a block (src/kernels/guard.ts): 8 bytes. */
export const GUARD_OUT = 16_896
/** Products of one constant (src/kernels/gf256.ts): 32 bytes. */
export const GF_TABLES = 16_960
/** Two staging areas for buffers outside memory 0. */
export const STAGE_BYTES = 16_384
export const STAGE_A = 20_480
export const STAGE_B = STAGE_A + STAGE_BYTES
/** CRC-16 tables, 4 KiB (src/kernels/crc16.ts). */
export const CRC16_TABLES = STAGE_B + STAGE_BYTES
/** CRC-64 tables, 8 KiB (src/kernels/crc64.ts). */
export const CRC64_TABLES = CRC16_TABLES + 4096
/** Bytes at the start of memory 0 that are never handed out. */
export const RESERVED_BYTES = 65_536

if (GUARD_OUT + 8 > GF_TABLES) throw new RangeError('layout: the guard runs into the products')
if (GF_TABLES + 32 > STAGE_A) throw new RangeError('layout: the products run into the staging areas')
if (CRC64_TABLES + 8192 > RESERVED_BYTES) throw new RangeError('layout: the tables leave the reserved page')
