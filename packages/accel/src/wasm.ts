// SPDX-License-Identifier: Apache-2.0
// The little of WebAssembly that this package uses. TypeScript declares it only in its DOM library, which a storage
// library does not ask its users to load; a `WebAssembly.Memory` fits `SharedMemory` as it stands.
import { KERNELS_BASE64 } from './kernels.generated.js'

/** A shared `WebAssembly.Memory`. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer
}

/** What src/kernels/ exports. Offsets into memory 0 and sizes in bytes; 32-bit results are signed. */
export interface Kernels {
  copy(dst: number, src: number, n: number): void
  fill(dst: number, value: number, n: number): void
  zeroSparse(dst: number, n: number): void
  compare(a: number, b: number, n: number): number
  isZero(p: number, n: number): number
  xor2(dst: number, a: number, b: number, n: number): void
  xor3(dst: number, a: number, b: number, c: number, n: number): void
  xor4(dst: number, a: number, b: number, c: number, e: number, n: number): void
  gfDoubleXor(q: number, d: number, n: number): void
  gfParities(p: number, q: number, d: number, n: number): void
  gfMulXor(tables: number, dst: number, src: number, c: number, n: number): void
  crc32cInit(tables: number): void
  crc32c(tables: number, crc: number, p: number, n: number): number
  crc16(tables: number, crc: number, p: number, n: number): number
  crc64(tables: number, crc: bigint, p: number, n: number): bigint
  guardInit(crc32cTables: number, crc16Tables: number, crc64Tables: number, guardOut: number): void
  guardStart(piFormat: number): void
  guardUpdate(p: number, n: number): void
  guardEnd(): void
  guardOf(piFormat: number, p: number, n: number): void
  xtsTweaks(dst: number, lo: number, hi: number, units: number, mode: number): void
  xtsXor(dst: number, src: number, stream: number, tweaks: number, unitBytes: number, units: number): void
}

declare const WebAssembly: {
  Memory: new (descriptor: { initial: number; maximum: number; shared: true }) => SharedMemory
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object, imports: { env: { memory: SharedMemory } }) => { readonly exports: unknown }
}

/** A page of WebAssembly memory, in bytes. */
export const WASM_PAGE_BYTES = 65_536
/** The most pages one memory of ours has: one less than 4 GiB, so that the end of a range is always a 32-bit number. */
export const WASM_PAGES_MAX = 65_535

/**
 * Reserves a memory of `pages` pages; nothing of it is resident until it is touched.
 * @returns undefined when the host refuses.
 */
export function reserveMemory(pages: number): SharedMemory | undefined {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  } catch (error) {
    if (error instanceof RangeError) return undefined // "could not allocate memory"
    throw error
  }
}

let compiled: object | undefined

/** Instantiates the kernels on `memory`. The module is compiled once per process. */
export function instantiateKernels(memory: SharedMemory): Kernels {
  compiled ??= new WebAssembly.Module(Uint8Array.from(atob(KERNELS_BASE64), char => char.charCodeAt(0)))
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports as Kernels
}
