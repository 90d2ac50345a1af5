// SPDX-License-Identifier: Apache-2.0
import type { IoWorkerData } from './io-worker.js'

/** What is used of a worker thread. */
export interface IoThread {
  on(event: 'message' | 'online' | 'error' | 'exit', fn: (value: unknown) => void): unknown
  ref(): void
  unref(): void
}

/** What is used of node:fs for files in memory. */
export interface SyncFiles {
  readSync(fd: number, buf: Uint8Array, off: number, length: number, position: number): number
  writeSync(fd: number, buf: Uint8Array, off: number, length: number, position: number): number
  fdatasyncSync(fd: number): void
}

/** What the offload service needs of the process. */
export interface OffloadPlatform {
  readonly files: SyncFiles
  startThread(source: string, data: IoWorkerData): IoThread
}

/**
 * Worker threads and files of this process, `undefined` where it has none, as in a browser. They are asked of the process
 * and not imported, so that core loads, and is bundled, anywhere.
 */
export function builtinOffloadPlatform(): OffloadPlatform | undefined {
  const { process } = globalThis as { process?: NodeJS.Process }
  const threads = process?.getBuiltinModule?.('node:worker_threads')
  const files = process?.getBuiltinModule?.('node:fs')
  if (threads === undefined || files === undefined) return undefined
  return {
    files,
    startThread: (source, workerData) =>
      new threads.Worker(source, {
        eval: true,
        workerData,
        name: 'bdev-io',
        // The program needs none of the process's loaders, and little memory.
        execArgv: [],
        // They print nothing. Piped to those of the process, each would listen there, and Node warns of the eleventh.
        stdout: true,
        stderr: true,
        resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4, stackSizeMb: 1 },
      }),
  }
}
