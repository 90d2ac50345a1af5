// SPDX-License-Identifier: Apache-2.0
import type { BdevIo, DescChannel, Iov } from '@bdevkit/module-sdk'
import type { HostOptions } from '../../src/index.js'
import { FakeModule, type FakeDisk, type FakeDiskOptions } from './fake-bdev.js'
import { openRw, startHost, submit, type Opened, type Result, type TestHost } from './harness.js'

/** A disk with limits, and what of an I/O has reached it. */
export interface SplitRig extends TestHost {
  readonly fake: FakeModule
  readonly disk: FakeDisk
  readonly at: Opened
  /**
   * I/O that has reached the module since this was read last: `type offset+blocks`, then for each element the number of the
   * submitter's and the bytes of it as `number:from+length`.
   */
  children(): string[]
  /** Submits with elements of the given lengths. */
  readv(offsetBlocks: number, ...lengths: number[]): Result
  writev(offsetBlocks: number, ...lengths: number[]): Result
}

const repeat = (count: number, ...lengths: number[]): number[] => Array.from({ length: count }, () => lengths).flat()

/** `count` times the given lengths. */
export { repeat }

/** A host with one disk of 4096 blocks of 512 bytes. */
export async function splitRig(options: FakeDiskOptions, hostOptions: HostOptions = {}): Promise<SplitRig> {
  const fake = new FakeModule()
  const test = await startHost([fake], hostOptions)
  const disk = fake.create('disk', { numBlocks: 4096, ...options })
  const at = openRw(test.host, 'disk')
  const numbers = new Map<Uint8Array, number>()
  let seen: string[] = []
  disk.submit = io => {
    seen.push(describeChild(io, numbers))
    if (disk.hold) disk.held.push(io)
    else io.complete(disk.serve(io))
  }
  const send = (call: 'readvBlocks' | 'writevBlocks', offsetBlocks: number, lengths: number[]): Result => {
    const iovs: Iov[] = lengths.map((len, i) => {
      const buf = new Uint8Array(len + 4).fill(i + 1)
      numbers.set(buf, i)
      return { buf, off: 4, len }
    })
    const total = lengths.reduce((sum, len) => sum + len, 0)
    return submit((cb, result) => at.channel[call](iovs, iovs.length, offsetBlocks, total / 512, cb, result))
  }
  return {
    ...test,
    fake,
    disk,
    at,
    children: () => {
      const all = seen
      seen = []
      return all
    },
    readv: (offsetBlocks, ...lengths) => send('readvBlocks', offsetBlocks, lengths),
    writev: (offsetBlocks, ...lengths) => send('writevBlocks', offsetBlocks, lengths),
  }
}

const NAMES: Record<number, string> = { 1: 'read', 2: 'write', 3: 'unmap', 9: 'zeroes' }

function describeChild(io: BdevIo, numbers: Map<Uint8Array, number>): string {
  const pieces = Array.from({ length: io.iovCnt }, (_, i) => io.iovs[i]!).map(iov => `${numbers.get(iov.buf) ?? '?'}:${iov.off - 4}+${iov.len}`)
  return [`${NAMES[io.type] ?? io.type} ${io.offsetBlocks}+${io.numBlocks}`, ...pieces].join(' ')
}

/** Unmaps, or zeroes. */
export function range(channel: DescChannel, call: 'unmapBlocks' | 'writeZeroesBlocks', offsetBlocks: number, numBlocks: number): Result {
  return submit((cb, result) => channel[call](offsetBlocks, numBlocks, cb, result))
}
