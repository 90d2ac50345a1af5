// SPDX-License-Identifier: Apache-2.0
// The guard of protection information in its three formats: one register, updated run by run, written out as it stands on a
// disk. AssemblyScript, as index.ts.
import { crc16, crc16Init } from './crc16'
import { crc32c } from './crc32c'
import { crc64, crc64Init } from './crc64'

let tables32: usize = 0
let tables16: usize = 0
let tables64: usize = 0
let out: usize = 0
let format: u32 = 0
let register: u64 = 0

/** Says where the tables of CRC-32C are, fills the others, and says where guards are written (8 bytes). */
export function guardInit(crc32cTables: usize, crc16Tables: usize, crc64Tables: usize, guardOut: usize): void {
  crc16Init(crc16Tables)
  crc64Init(crc64Tables)
  tables32 = crc32cTables
  tables16 = crc16Tables
  tables64 = crc64Tables
  out = guardOut
}

/** Begins a guard: format 0 has 16 bits, 1 has 32, 2 has 64 (`enum spdk_dif_pi_format`). */
export function guardStart(piFormat: u32): void {
  format = piFormat
  register = piFormat == 0 ? 0 : piFormat == 1 ? 0xffff_ffff : ~(<u64>0)
}

export function guardUpdate(p: usize, n: usize): void {
  if (format == 0) register = <u64>crc16(tables16, <u32>register, p, n)
  else if (format == 1) register = <u64>crc32c(tables32, <u32>register, p, n)
  else register = crc64(tables64, register, p, n)
}

/** Writes the guard at `guardOut`, big-endian. */
export function guardEnd(): void {
  if (format == 0) store<u16>(out, bswap<u16>(<u16>register))
  else if (format == 1) store<u32>(out, bswap<u32>(~(<u32>register)))
  else store<u64>(out, bswap<u64>(~register))
}

/** A guard over one run. */
export function guardOf(piFormat: u32, p: usize, n: usize): void {
  guardStart(piFormat)
  guardUpdate(p, n)
  guardEnd()
}
