// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { IoStatus, IoType, type BdevIo, type BdevSpec } from '@bdevkit/module-sdk'
import { resolveLimits } from '../src/bdev/bdev-limits.js'
import { shouldSplit } from '../src/io/io-split.js'
import { bdevStat, statJson, type BdevIo as CoreBdevIo } from '../src/index.js'
import type { FakeDisk } from './support/fake-bdev.js'
import { codeOf, NOTHING_IN_USE, read, submit, write, type Opened } from './support/harness.js'
import { range, repeat, splitRig } from './support/split-rig.js'

// Tests with names in snake case ask what SPDK's test of that name asks (test/unit/lib/bdev/bdev.c/bdev_ut.c).

const BOUNDARY = { optimalIoBoundaryBlocks: 16, splitOnOptimalIoBoundary: true }

describe('bdev_io_spans_split_test', () => {
  const limits = (spec: Partial<BdevSpec>) => resolveLimits({ blockSizeBytes: 512, numBlocks: 1024, ...spec } as BdevSpec, -1, 135_168)
  const io = (type: number, offsetBlocks: number, numBlocks: number, spec: Partial<BdevSpec>, lengths: number[] = []): boolean => {
    const iovs = lengths.map(len => ({ buf: new Uint8Array(len), off: 0, len }))
    return shouldSplit({ type, offsetBlocks, numBlocks, iovs, iovCnt: iovs.length, bdev: { limits: limits(spec) } } as unknown as CoreBdevIo)
  }

  test.each([
    ['no limit', IoType.Read, 0, 1000, {}, [], false],
    ['a reset', IoType.Reset, 0, 1000, { maxRwSizeBlocks: 1 }, [], false],
    ['up to the boundary', IoType.Read, 0, 32, { optimalIoBoundaryBlocks: 32, splitOnOptimalIoBoundary: true }, [], false],
    ['beyond the boundary', IoType.Read, 0, 33, { optimalIoBoundaryBlocks: 32, splitOnOptimalIoBoundary: true }, [], true],
    ['a boundary that is only a hint', IoType.Read, 0, 33, { optimalIoBoundaryBlocks: 32 }, [], false],
    ['a boundary that is no power of two', IoType.Read, 29, 2, { optimalIoBoundaryBlocks: 30, splitOnOptimalIoBoundary: true }, [], true],
    ['as many elements as may be', IoType.Read, 0, 2, { maxNumSegments: 1 }, [1024], false],
    ['more elements', IoType.Read, 0, 2, { maxNumSegments: 1 }, [512, 512], true],
    ['elements as long as may be', IoType.Read, 0, 2, { maxSegmentSizeBytes: 512 }, [512, 512], false],
    ['a longer element', IoType.Read, 0, 2, { maxSegmentSizeBytes: 512 }, [511, 513], true],
    ['as much as may be', IoType.Read, 0, 4, { maxRwSizeBlocks: 4 }, [2048], false],
    ['more', IoType.Read, 0, 5, { maxRwSizeBlocks: 4 }, [2560], true],
    ['one unit of writing', IoType.Write, 32, 32, { writeUnitSizeBlocks: 32, splitOnWriteUnit: true }, [], false],
    ['two units', IoType.Write, 32, 64, { writeUnitSizeBlocks: 32, splitOnWriteUnit: true }, [], true],
    ['a unit that is not aligned', IoType.Write, 1, 32, { writeUnitSizeBlocks: 32, splitOnWriteUnit: true }, [], true],
    ['a read is not bound to units', IoType.Read, 1, 64, { writeUnitSizeBlocks: 32, splitOnWriteUnit: true }, [], false],
    ['an unmap with one limit only', IoType.Unmap, 0, 100, { maxUnmapBlocks: 8, maxUnmapSegments: 13 }, [], false],
    ['a longer unmap', IoType.Unmap, 0, 105, { maxUnmapBlocks: 8, maxUnmapSegments: 13 }, [], true],
    ['zeroes', IoType.WriteZeroes, 0, 9, { maxWriteZeroesBlocks: 8 }, [], true],
    ['a copy', IoType.Copy, 0, 9, { maxCopyBlocks: 8 }, [], true],
    ['the last blocks of the largest bdev', IoType.Read, 2 ** 53 - 4, 2, { optimalIoBoundaryBlocks: 3, splitOnOptimalIoBoundary: true }, [], false],
  ] as const)('%s', (_what, type, offset, blocks, spec, lengths, split) => {
    expect(io(type, offset, blocks, spec, [...lengths])).toBe(split)
  })
})

describe('bdev_io_boundary_split_test', () => {
  test('nothing is split where the boundary is a hint', async () => {
    const { readv, children, drain } = await splitRig({ optimalIoBoundaryBlocks: 16 })
    readv(14, 8 * 512)
    drain()
    expect(children()).toEqual(['read 14+8 0:0+4096'])
  })

  test('one element is cut at the boundary, and its blocks are read and written as one', async () => {
    const { disk, at, children, drain } = await splitRig(BOUNDARY)
    const wrote = write(at.channel, 14, 8, 0x33)
    drain()
    expect(wrote.success).toBe(true)
    expect(children().map(child => child.split(' ').slice(0, 2).join(' '))).toEqual(['write 14+2', 'write 16+6'])
    const got = read(at.channel, 13, 10)
    drain()
    expect(got.buf).toEqual(disk.data.slice(13 * 512, 23 * 512))
  })

  test('several elements are cut where they have to be', async () => {
    const { writev, children, drain } = await splitRig(BOUNDARY)
    writev(14, 512, 20 * 512, 11 * 512)
    drain()
    expect(children()).toEqual(['write 14+2 0:0+512 1:0+512', 'write 16+16 1:512+8192', `write 32+14 1:${17 * 512}+1536 2:0+5632`])
  })

  test('a round has 32 elements, and the next one begins when it has ended', async () => {
    const { disk, readv, children, drain } = await splitRig({ optimalIoBoundaryBlocks: 32, splitOnOptimalIoBoundary: true, hold: true })
    const done = readv(0, ...repeat(64, 512))
    expect(children()).toHaveLength(1)
    disk.complete()
    drain()
    expect(children().map(child => child.split(' ')[1])).toEqual(['32+32'])
    expect(done.done).toBe(false)
    disk.complete()
    expect(done.success).toBe(true)
  })

  test('a boundary that needs one element too many is cut there, whole blocks each', async () => {
    const { readv, children, drain } = await splitRig({ optimalIoBoundaryBlocks: 32, splitOnOptimalIoBoundary: true })
    const done = readv(0, ...repeat(30, 512), 256, 256, 512, 512)
    drain()
    expect(children().map(child => child.split(' ')[1])).toEqual(['0+31', '31+1', '32+1'])
    expect(done.success).toBe(true)
  })

  test('where the 32nd element ends in a block, that block goes to the next child', async () => {
    const { readv, children, drain } = await splitRig({ optimalIoBoundaryBlocks: 32, splitOnOptimalIoBoundary: true })
    const done = readv(0, ...repeat(31, 512), 256, 256, 512)
    drain()
    expect(children().slice(1)).toEqual(['read 31+1 31:0+256 32:0+256', 'read 32+1 33:0+512'])
    expect(done.success).toBe(true)
  })

  test('elements of a real request, with the tail of a round taken back to a block', async () => {
    const { readv, children, drain } = await splitRig({ optimalIoBoundaryBlocks: 128, splitOnOptimalIoBoundary: true })
    const lengths = [
      ...repeat(31, 1024), 32_768, 160, ...repeat(10, 4096), 12_288, 8192, 4096, 4096, 4096, 24_576, 16_384, 12_288, 4096, 4096, 4096, 28_672,
      20_480, 4096, 12_288, 4096, 4096, 352,
    ]
    const done = readv(0, ...lengths)
    drain()
    expect(children().slice(1)).toEqual([
      'read 126+2 32:0+160 33:0+864',
      `read 128+128 33:864+3232 ${[34, 35, 36, 37, 38, 39, 40, 41, 42].map(i => `${i}:0+4096`).join(' ')} 43:0+12288 44:0+8192 45:0+4096 46:0+864`,
      'read 256+128 46:864+3232 47:0+4096 48:0+24576 49:0+16384 50:0+12288 51:0+4096 52:0+864'.replace('256+128', '256+128'),
      'read 384+128 52:864+3232 53:0+4096 54:0+28672 55:0+20480 56:0+4096 57:0+4960',
      'read 512+30 57:4960+7328 58:0+4096 59:0+3936',
      'read 542+1 59:3936+160 60:0+352',
    ])
    expect(done.success).toBe(true)
  })

  test('a child that fails makes its parent fail, with its details, once the others have ended, and none follows', async () => {
    const { disk, readv, children } = await splitRig({ optimalIoBoundaryBlocks: 2, splitOnOptimalIoBoundary: true, hold: true })
    const done = readv(0, ...repeat(40, 512, 512))
    expect(children()).toHaveLength(16)
    let details: unknown = null
    done.whenDone = io => (details = [io.nvmeSct, io.nvmeSc])
    const [first, second, ...others] = [...disk.held] as BdevIo[]
    disk.held.length = 0
    second!.completeNvme(0, 2, 0x81)
    first!.complete(IoStatus.Failed)
    for (const io of others) io.complete(IoStatus.Success)
    expect(done).toMatchObject({ calls: 1, status: IoStatus.NvmeError })
    expect(details).toEqual([2, 0x81])
    expect(children()).toEqual([])
  })

  test('UNMAP, WRITE_ZEROES and FLUSH do not care for the boundary', async () => {
    const { at, children, drain } = await splitRig(BOUNDARY)
    range(at.channel, 'unmapBlocks', 15, 2)
    range(at.channel, 'writeZeroesBlocks', 15, 36)
    submit((cb, result) => at.channel.flushBlocks(15, 2, cb, result))
    drain()
    expect(children()).toEqual(['unmap 15+2', 'zeroes 15+36', '4 15+2'])
  })
})

describe('bdev_io_max_size_and_segment_split_test', () => {
  test('an element that is too long becomes several of one child', async () => {
    const { readv, children, drain } = await splitRig({ maxSegmentSizeBytes: 512 })
    readv(14, 1024)
    drain()
    expect(children()).toEqual(['read 14+2 0:0+512 0:512+512'])
  })

  test('elements that are too many become several children', async () => {
    const { readv, children, drain } = await splitRig({ maxNumSegments: 1 })
    readv(14, 512, 8 * 512)
    drain()
    expect(children()).toEqual(['read 14+1 0:0+512', 'read 15+8 1:0+4096'])
  })

  test('both at once', async () => {
    const { writev, children, drain } = await splitRig({ maxSegmentSizeBytes: 1024, maxNumSegments: 1 })
    writev(14, 1024, 2048, 3072)
    drain()
    expect(children()).toEqual([
      'write 14+2 0:0+1024',
      'write 16+2 1:0+1024',
      'write 18+2 1:1024+1024',
      'write 20+2 2:0+1024',
      'write 22+2 2:1024+1024',
      'write 24+2 2:2048+1024',
    ])
  })

  test('a size limit alone', async () => {
    const { readv, children, drain } = await splitRig({ maxRwSizeBlocks: 5 })
    readv(1, 12 * 512)
    drain()
    expect(children()).toEqual(['read 1+5 0:0+2560', 'read 6+5 0:2560+2560', 'read 11+2 0:5120+1024'])
  })

  test('more elements than a round has go in two', async () => {
    const { disk, readv, children } = await splitRig({ maxSegmentSizeBytes: 512, maxNumSegments: 1, hold: true })
    const done = readv(0, ...repeat(32, 1024))
    expect(children()).toHaveLength(32)
    disk.completeAll()
    expect(children()).toHaveLength(32)
    disk.completeAll()
    expect(done.success).toBe(true)
  })

  test('a block that does not fit into the elements of a child fails, after what fitted', async () => {
    const { readv, children, drain, lines } = await splitRig({ maxSegmentSizeBytes: 512, maxNumSegments: 1 })
    const done = readv(0, 512 + 256, 256)
    drain()
    expect(children()).toEqual(['read 0+1 0:0+512'])
    expect(done.status).toBe(IoStatus.Failed)
    expect(lines('warn').join()).toContain('limits of segments leave no room for one block')
  })

  test('what is left of a round waits for the next one where it is less than a block', async () => {
    const { disk, readv, children } = await splitRig({ maxSegmentSizeBytes: 512, maxNumSegments: 32, hold: true })
    const done = readv(0, ...repeat(30, 512), ...repeat(4, 256, 256).slice(0, 4))
    expect(done.rc).toBe(0)
    disk.complete()
    disk.completeAll()
    expect(done.success).toBe(true)
    expect(children()[0]!.startsWith('read 0+3')).toBe(true)
  })

  test('children are whole blocks though elements and segments are not', async () => {
    const { readv, children, drain } = await splitRig({ maxSegmentSizeBytes: 640, maxNumSegments: 3 })
    const done = readv(0, ...repeat(4, 768, 768))
    drain()
    expect(children().slice(0, 3)).toEqual(['read 0+2 0:0+640 0:640+128 1:0+256', 'read 2+2 1:256+512 2:0+512', 'read 4+2 2:512+256 3:0+640 3:640+128'])
    expect(done.success).toBe(true)
  })
})

describe('bdev_io_mix_split_test', () => {
  test.each([
    ['the boundary is as long as all segments', 16, 512, 16, 14, 4, ['14+2', '16+2']],
    ['the boundary is longer', 16, 15 * 512, 1, 0, 18, ['0+15', '15+1', '16+2']],
    ['the boundary is shorter', 16, 17 * 512, 1, 0, 18, ['0+16', '16+2']],
  ])('%s', async (_what, optimalIoBoundaryBlocks, maxSegmentSizeBytes, maxNumSegments, offset, blocks, expected) => {
    const { readv, children, drain } = await splitRig({ optimalIoBoundaryBlocks, splitOnOptimalIoBoundary: true, maxSegmentSizeBytes, maxNumSegments })
    readv(offset, blocks * 512)
    drain()
    expect(children().map(child => child.split(' ')[1])).toEqual(expected)
  })

  test('several elements', async () => {
    const { writev, children, drain } = await splitRig({ ...BOUNDARY, maxSegmentSizeBytes: 1536, maxNumSegments: 6 })
    writev(0, 2048, 2048, 5120)
    drain()
    expect(children()).toEqual([
      'write 0+14 0:0+1536 0:1536+512 1:0+1536 1:1536+512 2:0+1536 2:1536+1536',
      'write 14+2 2:3072+1024',
      'write 16+2 2:4096+1024',
    ])
  })

  test('rounds', async () => {
    const { disk, writev, children } = await splitRig({ ...BOUNDARY, maxSegmentSizeBytes: 1536, maxNumSegments: 32, hold: true })
    const done = writev(0, ...repeat(20, 2048))
    expect(children().map(child => child.split(' ')[1])).toEqual(['0+16', '16+16', '32+16', '48+16'])
    disk.completeAll()
    expect(children().map(child => child.split(' ')[1])).toEqual(['64+16'])
    disk.completeAll()
    expect(done.success).toBe(true)
  })
})

describe('bdev_io_split_with_io_wait', () => {
  const pool = (size: number) => ({ bdevIoPoolSize: size, bdevIoCacheSize: size })

  test('children wait for the pool one by one, before anybody else, and the parent ends with the last', async () => {
    const { disk, at, readv, children, drain, host } = await splitRig({ ...BOUNDARY, hold: true }, pool(2))
    const other = read(at.channel, 0, 1)
    const done = readv(14, 8 * 512)
    const late: string[] = []
    at.channel.queueIoWait({ fn: () => void late.push('late'), arg: null })
    children()
    disk.complete()
    expect(other.success).toBe(true)
    expect(children()).toEqual(['read 14+2 0:0+1024'])
    expect(late).toEqual([])
    disk.complete()
    drain()
    // Its I/O goes to the oldest waiter, and that takes none.
    expect(late).toEqual(['late'])
    expect(children()).toEqual(['read 16+6 0:1024+3072'])
    disk.complete()
    expect(done.success).toBe(true)
    expect(host.usage()).toMatchObject({ bdevIos: 0, ioWaiters: 0 })
  })

  test('a parent with children out goes on with the last of them', async () => {
    const { disk, readv, children } = await splitRig({ maxRwSizeBlocks: 1, hold: true }, pool(3))
    const done = readv(0, 5 * 512)
    expect(children()).toHaveLength(2)
    disk.completeAll()
    expect(children()).toHaveLength(2)
    disk.completeAll()
    disk.completeAll()
    expect(done.success).toBe(true)
  })
})

describe('bdev_io_write_unit_split_test', () => {
  const UNIT = { writeUnitSizeBlocks: 32, splitOnWriteUnit: true }
  const offsets = (children: string[]) => children.map(child => child.split(' ')[1])

  test('a write of two units is two writes', async () => {
    const { writev, children, drain } = await splitRig(UNIT)
    writev(0, 64 * 512)
    drain()
    expect(offsets(children())).toEqual(['0+32', '32+32'])
  })

  test('the unit counts, and not the optimal boundary; for reads the boundary', async () => {
    const { writev, readv, children, drain } = await splitRig({ ...BOUNDARY, ...UNIT })
    writev(0, 64 * 512)
    drain()
    expect(offsets(children())).toEqual(['0+32', '32+32'])
    readv(0, 32 * 512)
    drain()
    expect(offsets(children())).toEqual(['0+16', '16+16'])
  })

  test.each([
    ['less than a unit', 0, 31],
    ['a unit that is not aligned', 1, 32],
  ])('%s fails', async (_what, offset, blocks) => {
    const { writev, children, drain, lines } = await splitRig(UNIT)
    const done = writev(offset, blocks * 512)
    drain()
    expect(done.status).toBe(IoStatus.Failed)
    expect(children()).toEqual([])
    expect(lines('warn').join()).toContain('wanted whole units of 32 blocks')
  })

  test('writes of less than a unit fail without filling the log: the first ones are in it, then one in a second that counts the others', async () => {
    const { writev, drain, lines, clock } = await splitRig(UNIT)
    const some = (count: number): void => {
      for (let i = 0; i < count; i++) writev(0, 512)
      drain()
    }
    some(50)
    expect(lines('warn')).toHaveLength(10)
    expect(lines('warn').at(-1)).toMatch(/it fails$/)
    await clock.advance(1_001)
    some(5)
    expect(lines('warn')).toHaveLength(11)
    expect(lines('warn').at(-1)).toContain('as did 40 others since the last message')
  })

  test('a unit whose elements are too many for one child fails', async () => {
    const { writev, drain } = await splitRig(UNIT)
    const done = writev(0, ...repeat(64, 256, 256))
    drain()
    expect(done.status).toBe(IoStatus.Failed)
  })
})

describe.each([
  ['bdev_unmap', 'unmapBlocks', { maxUnmapBlocks: 8, maxUnmapSegments: 2 }],
  ['bdev_write_zeroes_split_test', 'writeZeroesBlocks', { maxWriteZeroesBlocks: 16 }],
] as const)('%s', (_name, call, limits) => {
  test('is one within the limit, two beyond it', async () => {
    const { at, children, drain } = await splitRig(limits)
    range(at.channel, call, 3, 16)
    range(at.channel, call, 0, 32)
    drain()
    expect(children().map(child => child.split(' ')[1])).toEqual(['3+16', '0+16', '16+16'])
  })

  test('fifteen children go by eight and seven', async () => {
    const { disk, at, children } = await splitRig({ ...limits, hold: true })
    const done = range(at.channel, call, 0, 15 * 16)
    expect(disk.held).toHaveLength(8)
    disk.completeAll()
    expect(disk.held).toHaveLength(7)
    disk.completeAll()
    expect(done).toMatchObject({ calls: 1, success: true })
    expect(children()).toHaveLength(15)
  })
})

describe('bdev_copy_split_test', () => {
  const COPIES = [IoType.Read, IoType.Write, IoType.Copy]
  const copy = (at: Opened, dst: number, src: number, blocks: number) => submit((cb, result) => at.channel.copyBlocks(dst, src, blocks, cb, result))

  test('is one within the limit, two beyond it, each with its source', async () => {
    const { disk, at, children, drain } = await splitRig({ types: COPIES, maxCopyBlocks: 16 })
    const sources: number[] = []
    const { submit: serve } = disk
    disk.submit = io => {
      sources.push(io.srcOffsetBlocks)
      return serve!(io, disk)
    }
    disk.data.set(new Uint8Array(48 * 512).map((_, i) => i / 512))
    copy(at, 100, 0, 16)
    copy(at, 200, 3, 32)
    drain()
    expect(children().map(child => child.split(' ')[1])).toEqual(['100+16', '200+16', '216+16'])
    expect(sources).toEqual([0, 3, 19])
    expect(disk.data.slice(200 * 512, 232 * 512)).toEqual(disk.data.slice(3 * 512, 35 * 512))
  })

  test('fifteen children go by eight and seven', async () => {
    const { disk, at } = await splitRig({ types: COPIES, maxCopyBlocks: 16, hold: true })
    const done = copy(at, 1000, 0, 15 * 16)
    expect(disk.held).toHaveLength(8)
    disk.completeAll()
    expect(disk.held).toHaveLength(7)
    disk.completeAll()
    expect(done.success).toBe(true)
  })

  test.each([
    ['forward', 0, 5],
    ['backward', 5, 0],
  ])('ranges that overlap are copied %s, one piece at a time', async (_what, dst, src) => {
    const { disk, at } = await splitRig({ types: COPIES, maxCopyBlocks: 8, hold: true })
    disk.data.set(new Uint8Array(64 * 512).map((_, i) => i / 512))
    const expected = disk.data.slice(src * 512, (src + 40) * 512)
    const done = copy(at, dst, src, 40)
    for (let i = 0; i < 5; i++) {
      expect(disk.held).toHaveLength(1)
      disk.complete()
    }
    expect(done.success).toBe(true)
    expect(disk.data.slice(dst * 512, (dst + 40) * 512)).toEqual(expected)
  })
})

describe('bdev_io_alignment_with_boundary', () => {
  test.each([
    [512, 2, 1, 3],
    [512, 16, 1, 16],
    [512, 128, 1, 160],
    [4096, 2, 1, 3],
    [4096, 32, 1, 64],
    [2048, 32, 1, 160],
  ])('alignment %i, boundary %i, %i+%i', async (requiredAlignmentBytes, optimalIoBoundaryBlocks, offset, blocks) => {
    const rig = await splitRig({ requiredAlignmentBytes, optimalIoBoundaryBlocks, splitOnOptimalIoBoundary: true, lendsReadBuffers: true })
    rig.disk.submit = io =>
      io.getBuf(io.numBlocks * 512, (_channel, self) => {
        expect(self.iovs[0]!.off % requiredAlignmentBytes).toBe(0)
        self.complete(rig.disk.serve(self))
      })
    const data = new Uint8Array(blocks * 512).map((_, i) => i * 7)
    submit((cb, result) => rig.at.channel.writeBlocks(data, 0, offset, blocks, cb, result))
    rig.drain()
    expect(rig.disk.data.slice(offset * 512, (offset + blocks) * 512)).toEqual(data)
    const into = [{ buf: new Uint8Array(101), off: 1, len: 100 }, { buf: new Uint8Array(data.length), off: 3, len: data.length - 100 }]
    submit((cb, result) => rig.at.channel.readvBlocks(into, 2, offset, blocks, cb, result))
    rig.drain()
    expect(into[0]!.buf.slice(1)).toEqual(data.slice(0, 100))
    expect(into[1]!.buf.slice(3, 3 + data.length - 100)).toEqual(data.slice(100))

    // Without buffers: in one piece.
    const lent = submit((cb, result) => rig.at.channel.readvBlocks([], 0, offset, blocks, cb, Object.assign(result, { keep: true })))
    rig.drain()
    const [iov] = lent.io!.iovs
    expect([lent.io!.iovCnt, iov!.len]).toEqual([1, data.length])
    expect(iov!.buf.slice(iov!.off, iov!.off + iov!.len)).toEqual(data)
    lent.io!.free()
    expect(rig.host.usage()).toMatchObject({ iobufs: 0, bdevIos: 0 })
  })
})

describe('bdev_io_abort of a split I/O', () => {
  test('aborts its children, wherever they are, and sends no more', async () => {
    const { disk, at, readv, children, drain } = await splitRig({ optimalIoBoundaryBlocks: 8, splitOnOptimalIoBoundary: true, hold: true })
    const done = readv(0, ...repeat(40, 8 * 512))
    expect(children()).toHaveLength(32)
    // Some wait in the queue of what the module has refused.
    disk.held.pop()!.complete(IoStatus.Nomem)
    disk.held.pop()!.complete(IoStatus.Nomem)
    const targets: BdevIo[] = []
    disk.submit = io => {
      targets.push(io.abortTarget!)
      disk.complete(io.abortTarget!, IoStatus.Aborted)
      io.complete(IoStatus.Success)
    }
    const abort = submit((cb, result) => at.channel.abort(done, cb, result))
    drain()
    expect(done).toMatchObject({ calls: 1, status: IoStatus.Aborted })
    expect(abort.success).toBe(true)
    expect(targets).toHaveLength(30)
    expect(disk.held).toEqual([])
  })

  test('a RESET aborts the children that follow', async () => {
    const { disk, at, readv, drain } = await splitRig({ maxRwSizeBlocks: 1, hold: true })
    const done = readv(0, 40 * 512)
    const reset = submit((cb, result) => at.channel.reset(cb, result))
    drain()
    // The reset is with the module, which ends the 32 children before it.
    expect(disk.held).toHaveLength(33)
    disk.completeAll()
    drain()
    expect(reset.success).toBe(true)
    expect(done.status).toBe(IoStatus.Aborted)
    expect(disk.held).toEqual([])
  })
})

describe('a bdev with limits', () => {
  test('counts the children, and not the I/O that was split', async () => {
    const { at, readv, drain } = await splitRig({ maxRwSizeBlocks: 4 })
    readv(0, 16 * 512)
    drain()
    expect(statJson(bdevStat(at.desc.bdev))).toMatchObject({ num_read_ops: 4, bytes_read: 16 * 512 })
  })

  test('zeroes by writes within its limits where it lacks WRITE_ZEROES', async () => {
    const { at, children, drain, host } = await splitRig({ types: [IoType.Read, IoType.Write], maxRwSizeBlocks: 1000 })
    const done = range(at.channel, 'writeZeroesBlocks', 0, 3000)
    drain()
    expect(done.success).toBe(true)
    expect(children().map(child => child.split(' ')[1])).toEqual(['0+1000', '1000+1000', '2000+48', '2048+952'])
    expect(host.usage()).toMatchObject({ bdevIos: 0 })
  })

  test('has those that the framework sets', async () => {
    const { disk, fake } = await splitRig({ requiredAlignmentBytes: 4096, writeUnitSizeBlocks: 8, types: [IoType.Read, IoType.Write] })
    expect(disk.bdev.limits).toMatchObject({ maxRwSizeBlocks: 256, maxWriteZeroesBlocks: 2040, maxCopyBlocks: 256, maxUnmapBlocks: 0 })
    const plain: FakeDisk = fake.create('plain', { types: [IoType.Read, IoType.Write], writeUnitSizeBlocks: 3, splitOnWriteUnit: true })
    expect(plain.bdev.limits).toMatchObject({ maxRwSizeBlocks: 0, maxWriteZeroesBlocks: 3, maxCopyBlocks: 264 })
    expect(plain.bdev.geometry()).not.toHaveProperty('splitOnWriteUnit')
  })

  test('is refused where a limit is no count', async () => {
    const { fake } = await splitRig({})
    expect(await codeOf(() => fake.create('bad', { maxNumSegments: -1 }))).toBe('EINVAL')
    expect(() => fake.create('bad', { maxUnmapBlocks: 1.5 })).toThrow('wanted maxUnmapBlocks to be an integer of 0 (no limit) or more, found 1.5')
  })

  test('leaves nothing behind', async () => {
    const { at, readv, writev, host, drain } = await splitRig({ ...BOUNDARY, maxNumSegments: 2 }, { strict: true })
    writev(5, ...repeat(10, 700, 324))
    readv(5, ...repeat(10, 700, 324))
    drain()
    at.close()
    await host.unregister('disk')
    expect(host.usage()).toEqual(NOTHING_IN_USE)
  })
})
