// SPDX-License-Identifier: Apache-2.0
// Names in brackets are those of SPDK's own tests (test/unit/lib/bdev/bdev.c).
import { describe, expect, it } from 'vitest'
import { ERRNO, IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import type { NvmeBdevIo } from '@bdevkit/module-sdk/experimental'
import { bdevStat, statJson, type DescChannel } from '../src/index.js'
import { ALL_TYPES, FakeModule, MORE_TYPES, RelayModule, type FakeDiskOptions } from './support/fake-bdev.js'
import { iovsOf, openRw, read, startHost, submit, write, type Result } from './support/harness.js'

const BASIC = [IoType.Read, IoType.Write, IoType.Abort, IoType.Reset]
const EVERYTHING = [...ALL_TYPES, ...MORE_TYPES]

async function setup(options: FakeDiskOptions = {}, layers = 0, strict = false) {
  const fake = new FakeModule()
  const relay = new RelayModule()
  const test = await startHost([fake, relay], { strict })
  const disk = fake.create('disk', options)
  disk.data.forEach((_, i) => (disk.data[i] = i >>> 9))
  let name = 'disk'
  for (let i = 0; i < layers; i++) name = relay.create(`top${i}`, name)
  await test.clock.settle()
  const opened = openRw(test.host, name)
  const readOnly = openRw(test.host, name, { write: false })
  return { ...test, fake, disk, opened, channel: opened.channel as DescChannel, readOnly: readOnly.channel as DescChannel }
}

const compareAndWrite = (channel: DescChannel, block: number, expected: number, value: number, blocks = 1): Result => {
  const compare = [{ buf: new Uint8Array(512 * blocks).fill(expected), off: 0, len: 512 * blocks }]
  const data = [{ buf: new Uint8Array(512 * blocks).fill(value), off: 0, len: 512 * blocks }]
  return submit((cb, r) => channel.comparevAndWritevBlocks(compare, 1, data, 1, block, blocks, cb, r))
}
const copy = (channel: DescChannel, dst: number, src: number, blocks: number): Result => submit((cb, r) => channel.copyBlocks(dst, src, blocks, cb, r))
const blocksOf = (bytes: Uint8Array, from: number, count: number): number[] => Array.from({ length: count }, (_, i) => bytes[(from + i) * 512 + 511]!)

describe('COMPARE_AND_WRITE [bdev_compare_and_write]', () => {
  for (const [how, types] of [['native', EVERYTHING], ['emulated', BASIC], ['emulated with a native COMPARE', [...BASIC, IoType.Compare]]] as const) {
    it(`writes where the blocks are equal, and reports a difference without writing: ${how}`, async () => {
      const { host, drain, disk, channel } = await setup({ types, acwuBlocks: 4 })
      const equal = compareAndWrite(channel, 7, 7, 0xaa)
      drain()
      expect([equal.success, blocksOf(disk.data, 6, 3)]).toEqual([true, [6, 0xaa, 8]])
      const differs = compareAndWrite(channel, 7, 7, 0xbb)
      drain()
      expect([differs.status, blocksOf(disk.data, 6, 3)]).toEqual([IoStatus.Miscompare, [6, 0xaa, 8]])
      const several = compareAndWrite(channel, 20, 20, 0xcc, 4)
      drain()
      expect([several.status, blocksOf(disk.data, 20, 4)]).toEqual([IoStatus.Miscompare, [20, 21, 22, 23]])
      expect([host.usage().bdevIos, channel.ch.flags, channel.bdev.ranges.locked.length]).toEqual([0, 0, 0])
    })
  }

  it('checks write permission, range and the atomic unit, in this order', async () => {
    const { channel, readOnly } = await setup({ types: BASIC, acwuBlocks: 2, numBlocks: 64 })
    expect(compareAndWrite(readOnly, 64, 0, 0).rc).toBe(-ERRNO.EBADF)
    expect(compareAndWrite(channel, 64, 0, 0).rc).toBe(-ERRNO.EINVAL)
    expect(compareAndWrite(channel, 0, 0, 0, 3).rc).toBe(-ERRNO.EINVAL)
    const short = submit((cb, r) => channel.comparevAndWritevBlocks(iovsOf(512), 1, iovsOf(100), 1, 0, 1, cb, r))
    expect(short.rc).toBe(-ERRNO.EINVAL)
    const { channel: unable } = await setup({ types: [IoType.Read] })
    expect(compareAndWrite(unable, 0, 0, 0).rc).toBe(-ERRNO.ENOTSUP)
  })

  it('excludes other writers from the blocks, but not from others, while it is emulated', async () => {
    const { drain, disk, channel } = await setup({ types: BASIC, hold: true })
    const first = compareAndWrite(channel, 5, 5, 0xaa)
    drain()
    const second = compareAndWrite(channel, 5, 5, 0xbb)
    const between = write(channel, 5, 1, 0x11)
    const besides = write(channel, 6, 1, 0x22)
    const reading = read(channel, 5, 1)
    drain()
    expect(disk.seen).toEqual(['read 5+1', 'write 6+1', 'read 5+1'])
    disk.completeAll()
    drain()
    expect([besides.success, reading.success, disk.seen.at(-1)]).toEqual([true, true, 'write 5+1'])
    disk.completeAll()
    drain()
    disk.completeAll()
    drain()
    disk.completeAll()
    drain()
    disk.completeAll()
    drain()
    expect([first.success, second.status, between.success, disk.held.length]).toEqual([true, IoStatus.Miscompare, true, 0])
  })

  it('fails as its read or write fails, and unlocks', async () => {
    const { drain, disk, channel } = await setup({ types: BASIC })
    disk.answers.push(IoStatus.Failed)
    const unread = compareAndWrite(channel, 5, 5, 0xaa)
    drain()
    disk.answers.push(IoStatus.Success) // the read: whatever is in the buffer
    const differs = compareAndWrite(channel, 6, 0xfe, 0xaa)
    drain()
    expect([unread.status, differs.status, disk.data[5 * 512]]).toEqual([IoStatus.Failed, IoStatus.Miscompare, 5])
    disk.submit = io => (io.type === IoType.Read ? io.complete(disk.serve(io)) : io.completeNvme(0, 2, 0x80))
    const unwritten = compareAndWrite(channel, 5, 5, 0xaa)
    let sc = 0
    unwritten.whenDone = io => (sc = io.nvmeSc)
    drain()
    disk.submit = null
    const after = write(channel, 5, 1)
    drain()
    expect([unwritten.status, sc, after.success]).toEqual([IoStatus.NvmeError, 0x80, true])
  })

  it('can be aborted while it waits for its blocks', async () => {
    const { drain, disk, channel } = await setup({ types: BASIC, hold: true })
    compareAndWrite(channel, 5, 5, 0xaa)
    drain()
    const waits = compareAndWrite(channel, 5, 5, 0xbb)
    const drains = write(channel, 9, 1)
    const behind = compareAndWrite(channel, 9, 9, 0xcc)
    drain()
    const aborts = [waits, behind].map(target => submit((cb, r) => channel.abort(target, cb, r)))
    drain()
    expect([waits.status, ...aborts.map(abort => abort.success), behind.done]).toEqual([IoStatus.Aborted, true, true, false])
    disk.complete(disk.held[1])
    drain()
    expect([drains.success, behind.status]).toEqual([true, IoStatus.Aborted])
    disk.complete()
    disk.complete()
    drain()
    expect([disk.seen, channel.bdev.ranges]).toEqual([['read 5+1', 'write 9+1', 'write 5+1'], { locked: [], pending: [] }])
  })

  it('waits for I/Os of the pool', async () => {
    const fake = new FakeModule()
    const { host, clock, drain } = await startHost([fake], { bdevIoPoolSize: 4, bdevIoCacheSize: 0 })
    const disk = fake.create('disk', { types: BASIC, hold: true })
    await clock.settle()
    const channel = openRw(host, 'disk').channel as DescChannel
    const busy = [write(channel, 1, 1), write(channel, 2, 1), write(channel, 3, 1)]
    const result = compareAndWrite(channel, 5, 0, 0xaa)
    drain()
    expect(disk.seen.length).toBe(3)
    for (let i = 0; i < 5; i++) {
      disk.complete()
      drain()
    }
    expect([busy.every(io => io.success), result.success, host.usage().ioWaiters]).toEqual([true, true, 0])
  })
})

describe('COPY', () => {
  it('goes to a module that copies, and is counted [bdev_copy]', async () => {
    const { drain, disk, channel } = await setup({ types: EVERYTHING })
    const result = copy(channel, 100, 20, 5)
    drain()
    expect([result.success, disk.seen, blocksOf(disk.data, 99, 7)]).toEqual([true, ['copy 100+5'], [99, 20, 21, 22, 23, 24, 105]])
    expect(statJson(bdevStat(disk.bdev as never))).toMatchObject({ num_copy_ops: 1, bytes_copied: 5 * 512, num_read_ops: 0, num_write_ops: 0 })
  })

  it('is a read and a write where the module does not copy, which are counted [bdev_copy]', async () => {
    const { host, drain, disk, channel } = await setup({ types: BASIC })
    const result = copy(channel, 100, 20, 5)
    drain()
    expect([result.success, disk.seen, blocksOf(disk.data, 99, 7)]).toEqual([true, ['read 20+5', 'write 100+5'], [99, 20, 21, 22, 23, 24, 105]])
    expect(statJson(bdevStat(disk.bdev as never))).toMatchObject({ num_copy_ops: 0, num_read_ops: 1, num_write_ops: 1 })
    expect(host.usage()).toMatchObject({ bdevIos: 0, iobufs: 0 })
  })

  it('onto itself, or of nothing, succeeds without the module', async () => {
    const { drain, disk, channel } = await setup({ types: BASIC })
    const results = [copy(channel, 5, 5, 10), copy(channel, 0, 9, 0)]
    drain()
    expect([results.map(result => result.success), disk.seen]).toEqual([[true, true], []])
  })

  for (const [dst, src] of [[300, 100], [100, 300], [1000, 0], [0, 1000]] as const) {
    it(`keeps the data where source and target overlap: ${src} to ${dst}`, async () => {
      const { drain, disk, channel } = await setup({ types: BASIC, numBlocks: 4096 })
      const wanted = disk.data.slice()
      for (let i = 0; i < wanted.length; i++) wanted[i] = disk.data[i] = (i * 7919) >>> 8
      wanted.copyWithin(dst * 512, src * 512, (src + 3000) * 512)
      const result = copy(channel, dst, src, 3000)
      drain()
      expect([result.success, Buffer.compare(disk.data, wanted)]).toEqual([true, 0])
    })
  }

  it('checks permission and both ranges', async () => {
    const { channel, readOnly } = await setup({ types: BASIC, numBlocks: 64 })
    expect([copy(readOnly, 0, 1, 1).rc, copy(channel, 64, 0, 1).rc, copy(channel, 0, 60, 5).rc]).toEqual([-ERRNO.EBADF, -ERRNO.EINVAL, -ERRNO.EINVAL])
  })

  it('fails with what failed, and gives its buffer back; it can be aborted', async () => {
    const { host, drain, disk, channel } = await setup({ types: BASIC })
    disk.answers.push(IoStatus.Failed)
    const unread = copy(channel, 100, 20, 5)
    drain()
    disk.answers.push(IoStatus.Success, IoStatus.Failed)
    const unwritten = copy(channel, 100, 20, 5)
    drain()
    disk.hold = true
    const target = copy(channel, 100, 20, 5)
    submit((cb, r) => channel.abort(target, cb, r))
    drain()
    expect([unread.status, unwritten.status, target.status]).toEqual([IoStatus.Failed, IoStatus.Failed, IoStatus.Aborted])
    expect(host.usage()).toMatchObject({ bdevIos: 0, iobufs: 0 })
  })
})

describe('ZCOPY', () => {
  const start = (channel: DescChannel, block: number, blocks: number, populate: boolean): Result & { pieces: Uint8Array[] } => {
    const pieces: Uint8Array[] = []
    const result = submit((cb, r) => {
      r.keep = true
      r.whenDone = io => pieces.push(...io.iovs.slice(0, io.iovCnt).map(({ buf, off, len }) => buf.subarray(off, off + len)))
      return channel.zcopyStart(block, blocks, populate, cb, r)
    })
    return Object.assign(result, { pieces })
  }
  const end = (channel: DescChannel, io: BdevIo, commit: boolean): Result => submit((cb, r) => channel.zcopyEnd(io, commit, cb, r))

  for (const layers of [0, 2]) {
    it(`borrows the module's memory, which a commit makes the content [bdev_zcopy_write], [bdev_zcopy_read]: ${layers} layers`, async () => {
      const { host, drain, disk, channel, opened } = await setup({ types: EVERYTHING }, layers)
      const flags: boolean[][] = []
      disk.submit = io => {
        flags.push([io.zcopyStart, io.zcopyPopulate, io.zcopyCommit])
        io.complete(disk.serve(io))
      }
      const reading = start(channel, 10, 2, true)
      drain()
      expect([reading.success, reading.pieces.map(piece => [...blocksOf(piece, 0, 2)])]).toEqual([true, [[10, 11]]])
      const read = end(channel, reading.io!, false)
      drain()
      const writing = start(channel, 20, 1, false)
      drain()
      writing.pieces[0]!.fill(0xaa)
      const written = end(channel, writing.io!, true)
      drain()
      expect([read.success, written.success, disk.data[20 * 512]]).toEqual([true, true, 0xaa])
      expect(flags).toEqual([[true, true, false], [false, true, false], [true, false, false], [false, false, true]])
      const counted = statJson(bdevStat(channel.bdev))
      expect(counted).toMatchObject({ num_read_ops: 1, bytes_read: 1024, num_write_ops: 1, bytes_written: 512 })
      expect(host.usage().bdevIos).toBe(0)
      opened.close()
    })

    it(`is given back by the framework where its submitter frees it only: ${layers} layers`, async () => {
      const { host, drain, disk, channel } = await setup({ types: EVERYTHING }, layers)
      const ends: boolean[] = []
      disk.submit = io => {
        if (!io.zcopyStart) ends.push(io.zcopyCommit)
        io.complete(disk.serve(io))
      }
      const started = start(channel, 0, 1, true)
      drain()
      started.io!.free()
      drain()
      expect([ends, host.usage().bdevIos, channel.ch.lent]).toEqual([[false], 0, 0])
    })
  }

  it('works in strict mode through layers', async () => {
    const { host, drain, channel, disk, lines } = await setup({ types: EVERYTHING }, 2, true)
    const started = start(channel, 3, 1, true)
    drain()
    started.pieces[0]!.fill(0x77)
    const ended = end(channel, started.io!, true)
    drain()
    expect([ended.success, disk.data[3 * 512], host.usage().bdevIos, lines('error')]).toEqual([true, 0x77, 0, []])
  })

  it('is not emulated; needs write permission; ends once', async () => {
    const { channel: unable } = await setup({ types: BASIC })
    expect(start(unable, 0, 1, true).rc).toBe(-ERRNO.ENOTSUP)
    const { drain, channel, readOnly } = await setup({ types: EVERYTHING, numBlocks: 64 })
    expect([start(readOnly, 99, 1, true).rc, start(channel, 64, 1, true).rc]).toEqual([-ERRNO.EBADF, -ERRNO.EINVAL])
    const plain = read(channel, 0, 1)
    plain.keep = true
    drain()
    expect(end(channel, plain.io!, true).rc).toBe(-ERRNO.EINVAL)
    plain.io!.free()
    const started = start(channel, 0, 1, true)
    drain()
    expect(end(readOnly, started.io!, true).rc).toBe(-ERRNO.EINVAL)
    const first = submit((cb, r) => ((r.keep = true), channel.zcopyEnd(started.io!, true, cb, r)))
    drain()
    expect([first.success, end(channel, started.io!, true).rc]).toEqual([true, -ERRNO.EINVAL])
    started.io!.free()
  })

  it('that fails to start needs no end', async () => {
    const { host, drain, disk, channel } = await setup({ types: EVERYTHING })
    disk.answers.push(IoStatus.Failed)
    const started = start(channel, 0, 1, true)
    drain()
    started.io!.free()
    drain()
    expect([started.success, host.usage().bdevIos]).toEqual([false, 0])
  })

  it('is charged to rate limits as the read or write that it stands for', async () => {
    const { host, clock, drain, disk, channel } = await setup({ types: EVERYTHING })
    await host.control.setQosLimits('disk', { rMbytesPerSec: 1 })
    const results = [start(channel, 0, 8, true), start(channel, 8, 8, true), start(channel, 0, 8, false)]
    drain()
    expect(results.map(result => result.done)).toEqual([true, false, true])
    await clock.advance(10)
    expect(results.map(result => result.done)).toEqual([true, true, true])
    for (const { io } of results) io!.free()
    expect(disk.seen.length).toBe(6)
    drain()
  })
})

describe('SEEK [bdev_seek_test]', () => {
  const seek = (channel: DescChannel, what: 'seekData' | 'seekHole', block: number): Result & { at: number } => {
    const result = Object.assign(
      submit((cb, r) => {
        r.whenDone = io => Object.assign(r, { at: io.seekOffsetBlocks })
        return channel[what](block, cb, r)
      }),
      { at: -1 },
    )
    return result
  }

  it('of a module that does not know finds data everywhere', async () => {
    const { drain, disk, channel, readOnly } = await setup({ types: BASIC })
    const [data, hole] = [seek(channel, 'seekData', 5), seek(readOnly, 'seekHole', 5)]
    expect([data.rc, data.done]).toEqual([0, false])
    drain()
    expect([data.success, data.at, hole.success, hole.at, disk.seen]).toEqual([true, 5, true, Infinity, []])
    expect(seek(channel, 'seekData', 1024).rc).toBe(-ERRNO.EINVAL)
  })

  for (const layers of [0, 2]) {
    it(`finds what the module answers: ${layers} layers`, async () => {
      const { drain, disk, channel } = await setup({ types: EVERYTHING }, layers)
      disk.seekAnswer = 123
      const data = seek(channel, 'seekData', 5)
      drain()
      disk.seekAnswer = Infinity
      const hole = seek(channel, 'seekHole', 5)
      drain()
      expect([data.at, hole.at, disk.seen]).toEqual([123, Infinity, ['seek_data 5+0', 'seek_hole 5+0']])
    })
  }
})

describe('WRITE_UNCORRECTABLE [bdev_write_uncorrectable]', () => {
  it('goes to a module that can, with write permission; others refuse', async () => {
    const spoil = (channel: DescChannel): Result => submit((cb, r) => channel.writeUncorrectableBlocks(3, 2, cb, r))
    const { drain, disk, channel, readOnly } = await setup({ types: EVERYTHING })
    const result = spoil(channel)
    drain()
    expect([result.success, disk.seen, spoil(readOnly).rc]).toEqual([true, ['write_uncorrectable 3+2'], -ERRNO.EBADF])
    const { channel: unable } = await setup({ types: BASIC })
    expect(spoil(unable).rc).toBe(-ERRNO.ENOTSUP)
  })
})

describe('a raw NVMe command', () => {
  const command = (opcode: number): Uint8Array => Uint8Array.from({ length: 64 }, (_, i) => (i === 0 ? opcode : i))

  for (const layers of [0, 1]) {
    it(`reaches the module with its data and metadata, and its answer comes back: ${layers} layers`, async () => {
      const { drain, disk, channel } = await setup({ types: EVERYTHING }, layers)
      const seen: unknown[] = []
      disk.submit = raw => {
        const io = raw as NvmeBdevIo
        seen.push([io.type, io.nvmeCmd[0], io.nvmeCmd[63], io.nvmeLengthBytes, io.iovCnt, io.nvmeMd?.len ?? null])
        io.completeNvme(0x1234, 0, io.type === IoType.NvmeAdmin ? 0 : 2)
      }
      const cmd = command(0x06)
      const md = { buf: new Uint8Array(8), off: 0, len: 8 }
      const answers: number[][] = []
      const results = [
        submit((cb, r) => channel.nvmeAdminPassthru(cmd, iovsOf(4096), 1, 4096, cb, r)),
        submit((cb, r) => channel.nvmeIoPassthru(command(2), iovsOf(512), 1, 512, cb, r)),
        submit((cb, r) => channel.nvmeIoPassthruMd(command(1), iovsOf(512), 1, 512, md, cb, r)),
        submit((cb, r) => channel.nvmeIovPassthruMd(command(1), iovsOf(256, 256), 2, 512, null, cb, r)),
        submit((cb, r) => channel.nvmeIovPassthruMd(command(1), iovsOf(512), 1, 512, md, cb, r)),
        submit((cb, r) => channel.nvmeNssr(cb, r)),
      ]
      cmd.fill(0xff) // ours again
      for (const result of results) result.whenDone = io => answers.push([io.status, io.nvmeCdw0, io.nvmeSc])
      drain()
      expect(seen.slice(0, 5)).toEqual([
        [IoType.NvmeAdmin, 6, 63, 4096, 1, null],
        [IoType.NvmeIo, 2, 63, 512, 1, null],
        [IoType.NvmeIoMd, 1, 63, 512, 1, 8],
        [IoType.NvmeIovMd, 1, 63, 512, 2, null],
        [IoType.NvmeIovMd, 1, 63, 512, 1, 8],
      ])
      expect(answers[1]).toEqual([IoStatus.NvmeError, 0x1234, 2])
      expect(results[0]!.success).toBe(true)
    })
  }

  it('checks permission before support, and its lengths [bdev_io_types_test]', async () => {
    const { channel, readOnly } = await setup({ types: EVERYTHING })
    const { channel: unable } = await setup({ types: BASIC })
    const send = (ch: DescChannel, cmd: Uint8Array, bytes: number): number => submit((cb, r) => ch.nvmeIoPassthru(cmd, iovsOf(512), 1, bytes, cb, r)).rc
    expect([send(readOnly, command(2), 512), send(unable, command(2), 512)]).toEqual([-ERRNO.EBADF, -ERRNO.ENOTSUP])
    expect([send(channel, command(2), 100), send(channel, new Uint8Array(63), 512)]).toEqual([-ERRNO.EINVAL, -ERRNO.EINVAL])
    const admin = submit((cb, r) => unable.nvmeAdminPassthru(command(6), [], 0, 0, cb, r))
    expect([submit((cb, r) => unable.nvmeNssr(cb, r)).rc, admin.rc]).toEqual([-ERRNO.ENOTSUP, -ERRNO.ENOTSUP])
  })
})

describe('parts', () => {
  it('move both ranges of a COPY, a COMPARE_AND_WRITE, a ZCOPY, and the answer of a SEEK', async () => {
    const { host, clock, fake, disk, drain, opened } = await setup({ types: EVERYTHING, acwuBlocks: 4 })
    opened.close()
    const base = fake.host.openPartBase('disk')
    base.createPart({ name: 'part', offsetBlocks: 100, numBlocks: 50, productName: 'part', ctx: null })
    await clock.settle()
    const channel = openRw(host, 'part').channel as DescChannel
    const copied = copy(channel, 10, 20, 5)
    const swapped = compareAndWrite(channel, 1, 101, 0xaa)
    drain()
    expect([copied.success, blocksOf(disk.data, 109, 7)]).toEqual([true, [109, 120, 121, 122, 123, 124, 115]])
    expect([swapped.success, disk.data[101 * 512]]).toEqual([true, 0xaa])
    const zcopy = submit((cb, r) => ((r.keep = true), channel.zcopyStart(30, 1, true, cb, r)))
    drain()
    expect(zcopy.io!.iovs[0]!.buf[zcopy.io!.iovs[0]!.off]).toBe(130)
    zcopy.io!.free()
    const found: number[] = []
    for (const answer of [125, 149, 150, Infinity]) {
      disk.seekAnswer = answer
      submit((cb, r) => ((r.whenDone = io => found.push(io.seekOffsetBlocks)), channel.seekData(5, cb, r)))
      drain()
    }
    expect(found).toEqual([25, 49, Infinity, Infinity])
  })
})

describe('types that are made of others', () => {
  it('are emulated on top of a stack where the base lacks them', async () => {
    const { host, drain, disk, channel } = await setup({ types: BASIC }, 2)
    const results = [copy(channel, 100, 20, 5), compareAndWrite(channel, 7, 7, 0xaa)]
    drain()
    expect([results.map(result => result.success), blocksOf(disk.data, 100, 5), disk.data[7 * 512]]).toEqual([[true, true], [20, 21, 22, 23, 24], 0xaa])
    expect(host.usage()).toMatchObject({ bdevIos: 0, iobufs: 0, ioWaiters: 0 })
  })
})
