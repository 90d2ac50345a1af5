// SPDX-License-Identifier: Apache-2.0
import { IoStatus, type BdevIo } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import { BufferPool, bufferClassBytes } from '../src/buffers.js'
import { nbdErrorOfErrno, nbdErrorOfIo } from '../src/errors.js'
import { resolveLimits } from '../src/limits.js'

const MIB = 1024 * 1024

describe('limits', () => {
  it('are checked when the server is made', () => {
    expect(() => resolveLimits({ connections: 0 })).toThrow('limit connections: wanted a positive integer, found 0')
    expect(() => resolveLimits({ requests: NaN })).toThrow('limit requests')
    expect(() => resolveLimits({ connectionBytes: MIB })).toThrow('at least one payload')
    expect(() => resolveLimits({ connectionBytes: 64 * MIB, totalBytes: 32 * MIB })).toThrow('at least connectionBytes')
  })
})

describe('errors on the wire', () => {
  it('are those of the protocol, whatever errno a module found', () => {
    const table: [name: string, errno: number, error: number][] = [
      ['EPERM', 1, 1],
      ['EACCES', 13, 1],
      ['EROFS', 30, 1],
      ['EBADF', 9, 1],
      ['EIO', 5, 5],
      ['ENOMEM', 12, 12],
      ['EINVAL', 22, 22],
      ['ENOSPC', 28, 28],
      ['EFBIG', 27, 28],
      ['EDQUOT', 122, 28],
      ['ENOTSUP', 95, 22],
      ['ESHUTDOWN', 108, 108],
      ['ENODEV', 19, 108],
      ['ETIMEDOUT', 110, 5],
      ['one that is unknown', 4242, 5],
    ]
    for (const [name, errno, error] of table) expect([name, nbdErrorOfErrno(errno, 0)]).toEqual([name, error])
    // FAST_ZERO is the one request that may be told ENOTSUP.
    expect(nbdErrorOfErrno(95, 16)).toBe(95)
  })

  it('tell an NVMe status by its meaning', () => {
    const nvme = (nvmeSct: number, nvmeSc: number, type = 1): number =>
      nbdErrorOfIo({ status: IoStatus.NvmeError, nvmeSct, nvmeSc } as BdevIo, type, 0, false)
    expect(nvme(0, 0x20)).toBe(1)
    expect(nvme(1, 0x82)).toBe(1)
    expect(nvme(0, 0x80)).toBe(28)
    expect(nvme(0, 0x80, 0)).toBe(22)
    expect(nvme(0, 0x81)).toBe(28)
    expect(nvme(2, 0x81)).toBe(5)
  })

  it('tell an abort by its reason', () => {
    const io = { status: IoStatus.Aborted } as BdevIo
    expect(nbdErrorOfIo(io, 0, 0, false)).toBe(5)
    expect(nbdErrorOfIo(io, 0, 0, true)).toBe(108)
    expect(nbdErrorOfIo({ status: IoStatus.Nomem } as BdevIo, 0, 0, false)).toBe(12)
  })
})

describe('the buffer pool', () => {
  const dma = {
    left: MIB,
    alloc(len: number) {
      if (len > this.left) return undefined
      this.left -= len
      return { buf: new Uint8Array(len), off: 0, len }
    },
    free(buffer: { len: number }) {
      this.left += buffer.len
    },
  }

  it('has powers of two', () => {
    expect([1, 4096, 4097, 65_536, 65_537, 32 * MIB].map(bufferClassBytes)).toEqual([4096, 4096, 8192, 65_536, 131_072, 32 * MIB])
  })

  it('reuses, falls back to ordinary memory when the heap is exhausted, and gives all back', () => {
    const pool = new BufferPool(dma)
    const first = pool.take(100_000)
    expect(pool.usedBytes).toBe(131_072)
    pool.give(first)
    expect(pool.take(131_072)).toBe(first)
    const large = pool.take(4 * MIB)
    expect(large.node.length).toBe(4 * MIB)
    expect(large.mem).toBe(null)
    pool.give(first)
    pool.give(large)
    expect(pool.usedBytes).toBe(0)
    expect(dma.left).toBe(MIB - 131_072)
    pool.clear()
    expect(dma.left).toBe(MIB)
  })
})
