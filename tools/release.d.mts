// SPDX-License-Identifier: Apache-2.0
// Types of release.mjs, which Node runs as it is.
export interface PackedFile {
  readonly path: string
  readonly size: number
  readonly text: string
}
export interface PackedPackage {
  readonly folder: string
  readonly archive: Buffer
  readonly packedBytes: number
  readonly files: readonly PackedFile[]
}
export function pack(folders: readonly string[]): PackedPackage[]
export function untar(archive: Uint8Array): PackedFile[]
export function codeBytes(files: readonly PackedFile[]): number
export function codeLimit(folder: string): number | undefined
