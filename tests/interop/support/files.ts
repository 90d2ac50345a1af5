// SPDX-License-Identifier: Apache-2.0
import { createCipheriv, createHash } from 'node:crypto'
import { createReadStream, mkdtempSync, openSync, closeSync, ftruncateSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB

/** Calls `use` with a new folder and removes it after. Short: a socket's path has 107 bytes. */
export async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'bdevt-'))
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Bytes that look random and are the same for the same seed. */
export function noise(seed: number, lengthBytes: number): Buffer {
  const key = createHash('sha256').update(`noise ${seed}`).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(lengthBytes))
}

/** A raw image: noise, with every third MiB a hole. */
export function writeImage(path: string, seed: number, lengthBytes: number): void {
  const fd = openSync(path, 'w')
  try {
    ftruncateSync(fd, lengthBytes)
    for (let at = 0; at < lengthBytes; at += MiB) {
      if ((at / MiB) % 3 !== 2) writeSync(fd, noise(seed + at, Math.min(MiB, lengthBytes - at)), 0, undefined, at)
    }
  } finally {
    closeSync(fd)
  }
}

/** SHA-256 of a file, in hex. */
export async function digest(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

/** One call of a stack file. */
export interface Call {
  readonly method: string
  readonly params?: object
}

/** Writes a stack file of these calls, with its list of modules where there is one; its path. */
export function writeStack(folder: string, calls: readonly Call[], modules?: readonly string[]): string {
  const path = join(folder, 'stack.json')
  const stack = { ...(modules !== undefined && { modules }), subsystems: [{ subsystem: 'bdev', config: calls }] }
  writeFileSync(path, JSON.stringify(stack))
  return path
}

export function malloc(name: string, sizeBytes: number, blockSizeBytes = 512): Call {
  return { method: 'bdev_malloc_create', params: { name, num_blocks: sizeBytes / blockSizeBytes, block_size: blockSizeBytes } }
}

export function passthru(name: string, base: string): Call {
  return { method: 'bdev_passthru_create', params: { name, base_bdev_name: base } }
}

export function nullBdev(name: string, sizeBytes: number, blockSizeBytes = 512): Call {
  return { method: 'bdev_null_create', params: { name, num_blocks: sizeBytes / blockSizeBytes, block_size: blockSizeBytes } }
}
