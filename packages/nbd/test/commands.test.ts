// SPDX-License-Identifier: Apache-2.0
import { DifFlag, DifType, IoStatus } from '@bdevkit/module-sdk'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { RawClient, bytes, request } from './client.js'
import { createBench, type Bench, type RamDisk } from './ram-disk.js'

const READ = 0
const WRITE = 1
const DISC = 2
const FLUSH = 3
const TRIM = 4
const CACHE = 5
const ZERO = 6
const STATUS = 7
const FUA = 1
const NO_HOLE = 2
const DF = 4
const REQ_ONE = 8
const FAST_ZERO = 16
const EPERM = 1
const EIO = 5
const EINVAL = 22
const ENOSPC = 28
const EOVERFLOW = 75
const ENOTSUP = 95
const MIB = 1024 * 1024

let bench: Bench
let disk: RamDisk
let plain: RamDisk
let path: string

beforeAll(async () => {
  bench = await createBench()
  disk = bench.addDisk('ram0', { numBlocks: 131_072 })
  plain = bench.addDisk('plain', { types: [1, 2] })
  bench.addDisk('volatile', { types: [1, 2], writeCache: true })
  const lender = bench.addDisk('lender', { numBlocks: 32_768, lendsReadBuffers: true })
  for (let i = 0; i < lender.bytes.length; i++) lender.bytes[i] = i % 251
  bench.addDisk('aligned', { requiredAlignmentBytes: 4096 })
  const checks = DifFlag.GuardCheck | DifFlag.ReftagCheck
  const interleaved = { blockSizeBytes: 520, mdSizeBytes: 8, mdInterleave: true, difType: DifType.Type1, difCheckFlags: checks }
  bench.addDisk('guarded', { ...interleaved, numBlocks: 70_000, types: [1, 2], lendsReadBuffers: true })
  const served = await bench.serve({
    exports: [
      { name: '', bdevName: 'ram0' },
      { name: 'ro', bdevName: 'ram0', readOnly: true },
      { name: 'plain', bdevName: 'plain' },
      { name: 'volatile', bdevName: 'volatile' },
      { name: 'lender', bdevName: 'lender' },
      { name: 'aligned', bdevName: 'aligned' },
      { name: 'guarded', bdevName: 'guarded' },
    ],
  })
  path = served.path
})

beforeEach(() => {
  disk.log.length = 0
  plain.log.length = 0
})

afterAll(() => bench.close())

describe('READ and WRITE', () => {
  it('carry data to the bdev and back, with the cookie', async () => {
    const client = await RawClient.enter(path)
    const payload = Buffer.from(Array.from({ length: 1024 }, (_, i) => i & 255))
    expect(await client.ok(WRITE, { offset: 512, cookie: 0x0123456789abcdefn, payload })).toEqual({
      error: 0,
      cookie: 0x0123456789abcdefn,
      data: Buffer.alloc(0),
    })
    expect((await client.ok(READ, { offset: 512, length: 1024 }, 1024)).data).toEqual(payload)
    expect(Buffer.from(disk.bytes.subarray(512, 1536))).toEqual(payload)
    client.end()
  })

  it('of every size up to the advertised maximum', async () => {
    const client = await RawClient.enter(path)
    for (const length of [512, 16_384, 32_768, 33_280, 65_536, 300_032, MIB, 32 * MIB]) {
      const payload = Buffer.alloc(length, length % 253)
      payload.writeUInt32BE(length, length - 4)
      client.write(request(WRITE, { offset: 1024, payload }))
      expect((await client.simple()).error).toBe(0)
      const back = await client.ok(READ, { offset: 1024, length }, length)
      expect(back.data.equals(payload)).toBe(true)
    }
    client.end()
  })

  it('of a bdev that lends its memory', async () => {
    const client = await RawClient.enter(path, 'lender')
    const lender = bench.host.bdevByName('lender')!.ctx as RamDisk
    for (const length of [512, 65_536, 8 * MIB]) {
      const { data } = await client.ok(READ, { offset: 1536, length }, length)
      expect(data.equals(lender.bytes.subarray(1536, 1536 + length))).toBe(true)
    }
    client.end()
    await poolFull()
  })

  it('of a bdev with metadata in its blocks are of its data alone', async () => {
    const client = await RawClient.enter(path, 'guarded')
    const { bytes: stored } = bench.host.bdevByName('guarded')!.ctx as RamDisk
    for (const length of [512, 512 * 3, 65_536, MIB, 32 * MIB]) {
      const payload = Buffer.alloc(length, length % 253)
      payload.writeUInt32BE(length, length - 4)
      expect((await client.ok(WRITE, { offset: 1024, payload })).error).toBe(0)
      const back = await client.ok(READ, { offset: 1024, length }, length)
      expect(back.data.equals(payload)).toBe(true)
    }
    // Block 300 of the disk carries its number.
    expect([...stored.subarray(300 * 520 + 514, 301 * 520)]).toEqual([0, 0, 0, 0, 1, 44])
    expect((await client.ok(ZERO, { offset: 512 * 300, length: 512 })).error).toBe(0)
    expect([...stored.subarray(300 * 520, 301 * 520)]).toEqual([...new Uint8Array(518), 1, 44])
    stored[301 * 520]! ^= 1
    expect((await client.ok(READ, { offset: 512 * 301, length: 512 })).error).toBe(EIO)
    // The last block ends where the export does.
    expect((await client.ok(READ, { offset: 512 * 69_999, length: 1024 })).error).toBe(EINVAL)
    client.end()
  })

  it('of a bdev that wants aligned buffers', async () => {
    const client = await RawClient.enter(path, 'aligned', { structured: true })
    const aligned: boolean[] = []
    const ram = bench.host.bdevByName('aligned')!.ctx as RamDisk
    ram.onIo = io => aligned.push(io.iovs[0]!.off % 4096 === 0)
    for (let i = 0; i < 3; i++) client.write(request(WRITE, { offset: i * 512, payload: Buffer.alloc(512, i + 1) }))
    for (let i = 0; i < 3; i++) expect((await client.simple()).error).toBe(0)
    for (let i = 0; i < 3; i++) client.write(request(READ, { offset: i * 512, length: 512 }))
    for (let i = 0; i < 3; i++) expect((await client.chunk()).data.subarray(8)).toEqual(Buffer.alloc(512, i + 1))
    expect(aligned).toEqual(Array(6).fill(true))
    client.end()
  })

  it('of nothing succeed without touching the bdev', async () => {
    const client = await RawClient.enter(path)
    for (const type of [READ, WRITE, TRIM, ZERO, CACHE]) expect((await client.ok(type)).error).toBe(0)
    const structured = await RawClient.enter(path, '', { structured: true })
    structured.write(request(READ, { cookie: 3n }))
    expect(await structured.chunk()).toEqual({ flags: 1, type: 0, cookie: 3n, data: Buffer.alloc(0) })
    expect(disk.log).toEqual([])
    client.end()
    structured.end()
  })

  it('are answered each with its own data where many are sent at once', async () => {
    const client = await RawClient.enter(path)
    const parts: Buffer[] = []
    for (let i = 0; i < 64; i++) {
      parts.push(request(WRITE, { offset: i * 4096, cookie: BigInt(i), payload: Buffer.alloc(4096, i) }))
      parts.push(request(READ, { offset: i * 4096, cookie: BigInt(1000 + i), length: 4096 }))
    }
    client.write(Buffer.concat(parts))
    for (let i = 0; i < 64; i++) {
      expect(await client.simple()).toMatchObject({ error: 0, cookie: BigInt(i) })
      const read = await client.simple(4096)
      expect(read.cookie).toBe(BigInt(1000 + i))
      expect(read.data.equals(Buffer.alloc(4096, i))).toBe(true)
    }
    client.end()
  })

  it('are answered in the order of completion', async () => {
    const client = await RawClient.enter(path)
    const held = new Promise<void>(resolve => {
      disk.onIo = () => disk.held.length === 3 && resolve()
    })
    disk.hold = true
    for (let i = 0; i < 3; i++) client.write(request(READ, { offset: i * 512, cookie: BigInt(i), length: 512 }))
    await held
    disk.onIo = null
    disk.held.reverse()
    bench.release(disk)
    for (const cookie of [2n, 1n, 0n]) expect(await client.simple(512)).toMatchObject({ error: 0, cookie })
    client.end()
  })
})

describe('a failure of the bdev', () => {
  it.each([
    ['Failed', EIO, (io: { complete(s: number): void }) => io.complete(IoStatus.Failed)],
    ['an errno', ENOSPC, (io: { completeAio(e: number): void }) => io.completeAio(-28)],
    ['an errno that the wire lacks', EIO, (io: { completeAio(e: number): void }) => io.completeAio(-110)],
    ['NVMe write protected', EPERM, (io: { completeNvme(d: number, t: number, c: number): void }) => io.completeNvme(0, 0, 0x20)],
    ['NVMe media error', EIO, (io: { completeNvme(d: number, t: number, c: number): void }) => io.completeNvme(0, 2, 0x81)],
    ['Aborted', EIO, (io: { complete(s: number): void }) => io.complete(IoStatus.Aborted)],
  ])('with %s is told as error %i', async (_name, error, fail) => {
    const client = await RawClient.enter(path)
    disk.fail = fail
    expect((await client.ok(WRITE, { payload: Buffer.alloc(512) })).error).toBe(error)
    disk.fail = fail
    expect((await client.ok(READ, { length: 512 })).error).toBe(error)
    expect((await client.ok(READ, { length: 512 }, 512)).error).toBe(0)
    client.end()
  })

  it('comes with a text in a structured reply, and others of the batch are unharmed', async () => {
    const client = await RawClient.enter(path, '', { structured: true })
    disk.fail = io => io.completeAio(-5)
    client.write(Buffer.concat([request(READ, { cookie: 1n, length: 512 }), request(READ, { cookie: 2n, length: 512 })]))
    const failed = await client.chunk()
    expect(failed).toMatchObject({ flags: 1, type: 0x8001, cookie: 1n })
    expect(failed.data.readUInt32BE(0)).toBe(EIO)
    const text = failed.data.subarray(6).toString()
    expect(failed.data.readUInt16BE(4)).toBe(text.length)
    expect(text).toBe('bdev "ram0": read: AioError, errno 5')
    expect(await client.chunk()).toMatchObject({ flags: 1, type: 1, cookie: 2n })
    client.end()
  })

  it('in lent memory frees the I/O', async () => {
    const client = await RawClient.enter(path, 'lender')
    const lender = bench.host.bdevByName('lender')!.ctx as RamDisk
    lender.fail = io => io.complete(IoStatus.Failed)
    expect((await client.ok(READ, { length: MIB })).error).toBe(EIO)
    // Success without lending anything is a failure, too: nothing else may be sent in its place.
    lender.fail = io => io.complete(IoStatus.Success)
    expect((await client.ok(READ, { length: MIB })).error).toBe(EIO)
    expect((await client.ok(READ, { length: MIB }, MIB)).error).toBe(0)
    client.end()
    await poolFull()
  })
})

describe('checks', () => {
  it('refuse what is unaligned, beyond the end, too long or unknown, and go on', async () => {
    const client = await RawClient.enter(path)
    const size = disk.bytes.length
    const cases: [number, Parameters<typeof request>[1], number][] = [
      [READ, { offset: 1, length: 512 }, EINVAL],
      [READ, { offset: 0, length: 511 }, EINVAL],
      [WRITE, { offset: 256, payload: Buffer.alloc(512) }, EINVAL],
      [WRITE, { offset: 0, payload: Buffer.alloc(100) }, EINVAL],
      [TRIM, { offset: 3, length: 512 }, EINVAL],
      [ZERO, { offset: 512, length: 100 }, EINVAL],
      [READ, { offset: size, length: 512 }, EINVAL],
      [TRIM, { offset: size - 512, length: 1024 }, EINVAL],
      [WRITE, { offset: size, payload: Buffer.alloc(512) }, ENOSPC],
      [ZERO, { offset: size - 512, length: 1024 }, ENOSPC],
      [READ, { offset: 0xffff_ffff_ffff_fe00n, length: 512 }, EINVAL],
      [WRITE, { offset: 0xffff_ffff_ffff_fe00n, payload: Buffer.alloc(1024) }, ENOSPC],
      [READ, { length: 32 * MIB + 512 }, EINVAL],
      [WRITE, { payload: Buffer.alloc(32 * MIB + 512) }, EINVAL],
      [8, { length: 512 }, EINVAL],
      [77, {}, EINVAL],
      [FLUSH, { length: 512 }, EINVAL],
      [FLUSH, { offset: 512 }, EINVAL],
      [STATUS, { length: 512 }, EINVAL],
    ]
    for (const [type, fields, error] of cases) {
      expect([type, fields?.length, (await client.ok(type, fields)).error]).toEqual([type, fields?.length, error])
    }
    expect(disk.log).toEqual([])
    expect((await client.ok(READ, { length: 512 }, 512)).error).toBe(0)
    client.end()
  })

  it('refuse flags that are unknown, not of that command, or not offered', async () => {
    const client = await RawClient.enter(path)
    const ro = await RawClient.enter(path, 'ro')
    for (const [type, flags] of [
      [READ, 1 << 5],
      [READ, 0x8000],
      [READ, DF],
      [READ, NO_HOLE],
      [READ, REQ_ONE],
      [WRITE, NO_HOLE],
      [WRITE, FAST_ZERO],
      [TRIM, NO_HOLE],
      [ZERO, REQ_ONE],
      [CACHE, DF],
    ] as const) {
      const payload = type === WRITE ? Buffer.alloc(512) : Buffer.alloc(0)
      expect([type, flags, (await client.ok(type, { flags, payload, length: 512 })).error]).toEqual([type, flags, EINVAL])
    }
    expect((await ro.ok(READ, { flags: FUA, length: 512 })).error).toBe(EINVAL)
    expect(disk.log).toEqual([])
    client.end()
    ro.end()
  })

  it('say no to writers of a read-only export', async () => {
    const client = await RawClient.enter(path, 'ro')
    expect((await client.ok(WRITE, { payload: Buffer.alloc(512) })).error).toBe(EPERM)
    expect((await client.ok(TRIM, { length: 512 })).error).toBe(EPERM)
    expect((await client.ok(ZERO, { length: 512 })).error).toBe(EPERM)
    expect((await client.ok(READ, { length: 512 }, 512)).error).toBe(0)
    expect(disk.log).toEqual(['read 0 1'])
    client.end()
  })

  it('use EOVERFLOW for too long a READ of a client that can be told', async () => {
    const client = await RawClient.enter(path, '', { structured: true })
    client.write(request(READ, { length: 32 * MIB + 512 }))
    const chunk = await client.chunk()
    expect([chunk.type, chunk.data.readUInt32BE(0)]).toEqual([0x8001, EOVERFLOW])
    expect(chunk.data.subarray(6).toString()).toContain('read of 33554944 bytes at 0')
    client.end()
  })

  it('end the connection for a wrong magic, and for a payload that no client may send', async () => {
    const wrong = await RawClient.enter(path)
    wrong.write(Buffer.alloc(28, 1))
    expect(await wrong.rest()).toHaveLength(0)
    const huge = await RawClient.enter(path)
    huge.write(request(WRITE, { length: 0xffff_fe00 }))
    expect(await huge.rest()).toHaveLength(0)
    const other = await RawClient.enter(path)
    expect((await other.ok(READ, { length: 512 }, 512)).error).toBe(0)
    other.end()
  })
})

describe('FLUSH and FUA', () => {
  it('flush the whole bdev, and a FUA flushes after its write', async () => {
    const client = await RawClient.enter(path)
    expect((await client.ok(FLUSH)).error).toBe(0)
    expect((await client.ok(WRITE, { flags: FUA, offset: 1024, payload: Buffer.alloc(1024) })).error).toBe(0)
    expect((await client.ok(ZERO, { flags: FUA, offset: 1024, length: 512 })).error).toBe(0)
    expect((await client.ok(TRIM, { flags: FUA, length: 512 })).error).toBe(0)
    expect((await client.ok(READ, { flags: FUA, length: 512 }, 512)).error).toBe(0)
    expect(disk.log).toEqual([
      'flush 0 131072',
      'write 2 2',
      'flush 2 2',
      'write_zeroes 2 1',
      'flush 2 1',
      'unmap 0 1',
      'flush 0 1',
      'read 0 1',
    ])
    client.end()
  })

  it('answer a FUA only when the flush is through, and with its error', async () => {
    const client = await RawClient.enter(path)
    disk.onIo = () => {
      disk.fail = disk.log.length === 1 ? io => io.complete(IoStatus.Failed) : null
    }
    expect((await client.ok(WRITE, { flags: FUA, payload: Buffer.alloc(512) })).error).toBe(EIO)
    disk.onIo = null
    disk.fail = null
    expect(disk.log).toEqual(['write 0 1', 'flush 0 1'])
    client.end()
  })

  it('are not there where nothing needs them, and fail where a volatile bdev cannot', async () => {
    const client = await RawClient.enter(path, 'plain')
    expect((await client.ok(FLUSH)).error).toBe(EINVAL)
    expect((await client.ok(WRITE, { flags: FUA, payload: Buffer.alloc(512) })).error).toBe(EINVAL)
    client.end()
    const lossy = await RawClient.enter(path, 'volatile')
    expect((await lossy.ok(FLUSH)).error).toBe(EIO)
    expect((await lossy.ok(WRITE, { flags: FUA, payload: Buffer.alloc(512) })).error).toBe(EIO)
    lossy.end()
  })
})

describe('TRIM, WRITE_ZEROES and CACHE', () => {
  it('reach the bdev as unmap, write_zeroes and nothing', async () => {
    const client = await RawClient.enter(path)
    disk.bytes.fill(1, 0, 8192)
    expect((await client.ok(TRIM, { offset: 512, length: 1024 })).error).toBe(0)
    expect((await client.ok(ZERO, { offset: 2048, length: 512 })).error).toBe(0)
    expect((await client.ok(ZERO, { flags: NO_HOLE, offset: 4096, length: 512 })).error).toBe(0)
    expect((await client.ok(ZERO, { flags: FAST_ZERO, offset: 8192, length: 512 })).error).toBe(0)
    expect((await client.ok(CACHE, { length: 1024 })).error).toBe(0)
    expect((await client.ok(CACHE, { offset: disk.bytes.length, length: 1024 })).error).toBe(EINVAL)
    expect(disk.log).toEqual(['unmap 1 2', 'write_zeroes 4 1', 'write_zeroes 8 1', 'write_zeroes 16 1'])
    client.end()
  })

  it('zero by writing where the bdev cannot, and say so to FAST_ZERO', async () => {
    plain.bytes.fill(7)
    const client = await RawClient.enter(path, 'plain')
    expect((await client.ok(ZERO, { flags: FAST_ZERO, length: 4096 })).error).toBe(ENOTSUP)
    expect(plain.bytes[0]).toBe(7)
    expect((await client.ok(ZERO, { length: 4096 })).error).toBe(0)
    expect(plain.bytes.indexOf(7)).toBe(4096)
    expect((await client.ok(TRIM, { length: 4096 })).error).toBe(EINVAL)
    client.end()
  })

  it('may cover more than a payload', async () => {
    const client = await RawClient.enter(path)
    expect((await client.ok(ZERO, { length: 64 * MIB })).error).toBe(0)
    expect((await client.ok(TRIM, { length: 64 * MIB })).error).toBe(0)
    client.end()
  })
})

describe('structured replies', () => {
  it('bring data as one chunk with its offset, also for DF, small and large, own and lent', async () => {
    for (const name of ['', 'lender']) {
      const client = await RawClient.enter(path, name, { structured: true })
      const ram = name === '' ? disk : (bench.host.bdevByName(name)!.ctx as RamDisk)
      for (const [flags, length] of [
        [0, 512],
        [DF, 512],
        [0, MIB],
        [DF, 8 * MIB],
      ] as const) {
        client.write(request(READ, { flags, offset: 3 * 512, cookie: 77n, length }))
        const chunk = await client.chunk()
        expect(chunk).toMatchObject({ flags: 1, type: 1, cookie: 77n })
        expect(chunk.data.readBigUInt64BE(0)).toBe(1536n)
        expect(chunk.data.subarray(8).equals(ram.bytes.subarray(1536, 1536 + length))).toBe(true)
      }
      client.end()
    }
  })

  it('answer everything else simply on success, and all errors with a chunk', async () => {
    const client = await RawClient.enter(path, '', { structured: true })
    expect((await client.ok(WRITE, { payload: Buffer.alloc(512) })).error).toBe(0)
    expect((await client.ok(FLUSH)).error).toBe(0)
    client.write(request(WRITE, { offset: disk.bytes.length, cookie: 8n, payload: Buffer.alloc(512) }))
    const chunk = await client.chunk()
    expect(chunk).toMatchObject({ flags: 1, type: 0x8001, cookie: 8n })
    expect(chunk.data.readUInt32BE(0)).toBe(ENOSPC)
    client.end()
  })

  it('tell BLOCK_STATUS as one extent of data, of the length asked for', async () => {
    const client = await RawClient.enter(path, '', { structured: true, context: true })
    for (const flags of [0, REQ_ONE]) {
      client.write(request(STATUS, { flags, offset: 4096, cookie: 6n, length: MIB }))
      expect(await client.chunk()).toEqual({ flags: 1, type: 5, cookie: 6n, data: bytes([4, 1], [4, MIB], [4, 0]) })
    }
    for (const [offset, length] of [
      [0, 0],
      [disk.bytes.length, 512],
    ] as const) {
      client.write(request(STATUS, { offset, length }))
      const chunk = await client.chunk()
      expect([chunk.type, chunk.data.readUInt32BE(0)]).toEqual([0x8001, EINVAL])
    }
    client.end()
  })
})

describe('DISC', () => {
  it('is not answered; what came before it is, then the connection closes', async () => {
    const client = await RawClient.enter(path)
    const held = new Promise<void>(resolve => {
      disk.onIo = () => resolve()
    })
    disk.hold = true
    client.write(Buffer.concat([request(READ, { cookie: 4n, length: 512 }), request(DISC), request(READ, { cookie: 5n, length: 512 })]))
    await held
    disk.onIo = null
    bench.release(disk)
    expect(await client.simple(512)).toMatchObject({ error: 0, cookie: 4n })
    expect(await client.rest()).toHaveLength(0)
  })

  it('by closing the socket ends the connection as well', async () => {
    const client = await RawClient.enter(path)
    client.socket.end(request(READ, { cookie: 4n, length: 512 }))
    expect(await client.simple(512)).toMatchObject({ error: 0, cookie: 4n })
    expect(await client.rest()).toHaveLength(0)
  })
})

/** Waits until nothing of the framework's pool is in use. */
async function poolFull(): Promise<void> {
  await vi.waitFor(() => expect(bench.host.usage().bdevIos).toBe(0))
}
