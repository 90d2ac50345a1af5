// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import { bdevStat, ioErrorJson, statJson } from '../src/index.js'
import { FakeModule, type FakeDiskOptions } from './support/fake-bdev.js'
import { iovsOf, NOTHING_IN_USE, openRw, startHost, submit } from './support/harness.js'

/** A disk that only reads and writes. */
async function setup(options: FakeDiskOptions = {}, pool = {}) {
  const fake = new FakeModule()
  const test = await startHost([fake], pool)
  const disk = fake.create('disk', { types: [IoType.Read, IoType.Write, IoType.Abort], numBlocks: 30_000, ...options })
  await test.clock.settle()
  disk.data.fill(0xee)
  const opened = openRw(test.host, 'disk')
  const zeroes = (offset: number, count: number) => submit((cb, r) => opened.channel.writeZeroesBlocks(offset, count, cb, r))
  return { ...test, fake, disk, ...opened, zeroes }
}

const MIB_BLOCKS = 2048
const onlyZeros = (bytes: Uint8Array): boolean => Buffer.compare(bytes, Buffer.alloc(bytes.length)) === 0

describe('WRITE_ZEROES of a module that lacks it', () => {
  it('is one write where it fits into a mebibyte, and zeroes exactly its range', async () => {
    const { host, drain, disk, zeroes } = await setup()
    const result = zeroes(3, MIB_BLOCKS)
    drain()
    expect([result.success, disk.seen]).toEqual([true, [`write 3+${MIB_BLOCKS}`]])
    const end = (3 + MIB_BLOCKS) * 512
    expect([disk.data[3 * 512 - 1], disk.data[3 * 512], disk.data[end - 1], disk.data[end]]).toEqual([0xee, 0, 0, 0xee])
    expect(onlyZeros(disk.data.subarray(3 * 512, end))).toBe(true)
    expect(host.usage()).toMatchObject({ bdevIos: 0, dmaBytes: 0 })
  })

  it('is cut into mebibytes, eight at a time, and ends with the last', async () => {
    const { drain, disk, zeroes } = await setup({ hold: true })
    const result = zeroes(0, 13 * MIB_BLOCKS + 5)
    expect(disk.held.length).toBe(8)
    disk.complete(disk.held[4])
    drain()
    expect([disk.held.length, disk.seen.length]).toEqual([7, 8])
    while (disk.seen.length < 14) disk.complete(disk.held.at(-1))
    while (disk.held.length > 1) disk.complete(disk.held.at(-1))
    drain()
    expect(result.done).toBe(false)
    disk.complete()
    drain()
    expect([result.calls, result.success, disk.seen.length, disk.seen.at(-1)]).toEqual([
      1,
      true,
      14,
      `write ${13 * MIB_BLOCKS}+5`,
    ])
    expect(onlyZeros(disk.data.subarray(0, (13 * MIB_BLOCKS + 5) * 512))).toBe(true)
  })

  it('keeps to whole units of writing', async () => {
    const { drain, disk, zeroes } = await setup({ writeUnitSizeBlocks: 1500 })
    zeroes(0, 4500)
    drain()
    expect(disk.seen).toEqual(['write 0+1500', 'write 1500+1500', 'write 3000+1500'])
  })

  it('works where a block or a unit is larger than a mebibyte', async () => {
    for (const options of [{ blockSizeBytes: 3 << 19, numBlocks: 8 }, { writeUnitSizeBlocks: 3 * 1024 }]) {
      const { host, drain, disk, zeroes } = await setup(options)
      // What lies behind the host's zeroes must not reach the disk.
      const neighbours = Array.from({ length: 4 }, () => host.dma.alloc(1 << 20)!)
      zeroes(0, 1)
      drain()
      for (const { buf, off, len } of [...neighbours, host.dma.alloc(1 << 20)!]) buf.fill(0x77, off, off + len)
      const blocks = options.blockSizeBytes === undefined ? 3 * 1024 + 7 : 3
      const result = zeroes(0, blocks)
      drain()
      const bytes = blocks * (options.blockSizeBytes ?? 512)
      expect(result.success).toBe(true)
      expect(onlyZeros(disk.data.subarray(0, bytes))).toBe(true)
      expect(disk.data[bytes]).toBe(0xee)
    }
  })

  it('ends as its first failing write does, once the others have ended, and sends no more', async () => {
    const { drain, disk, zeroes } = await setup({ hold: true })
    const result = zeroes(0, 12 * MIB_BLOCKS)
    const failing = disk.held[2]!
    disk.held.splice(2, 1)
    let seen: number[] = []
    result.whenDone = io => (seen = [io.status, io.nvmeSct, io.nvmeSc])
    failing.completeNvme(0, 2, 0x80)
    drain()
    expect([result.done, disk.held.length]).toEqual([false, 7])
    disk.complete(disk.held[0], IoStatus.Failed)
    disk.completeAll()
    drain()
    expect([result.calls, result.success, seen, disk.seen.length]).toEqual([1, false, [IoStatus.NvmeError, 2, 0x80], 8])
  })

  it('waits for I/Os of the pool and goes on with those it gets', async () => {
    const { host, drain, disk, zeroes } = await setup({ hold: true }, { bdevIoPoolSize: 3, bdevIoCacheSize: 3 })
    const result = zeroes(0, 6 * MIB_BLOCKS)
    let rounds = 0
    while (!result.done && rounds++ < 20) {
      expect(disk.held.length).toBeLessThanOrEqual(2)
      disk.complete()
      drain()
    }
    expect([result.success, disk.seen.length]).toEqual([true, 6])
    expect(onlyZeros(disk.data.subarray(0, 6 << 20))).toBe(true)
    expect(host.usage().bdevIos).toBe(0)
  })

  it('that takes the last I/O of the pool gets its child when another I/O is freed', async () => {
    const { drain, disk, channel, zeroes } = await setup({ hold: true }, { bdevIoPoolSize: 2, bdevIoCacheSize: 2 })
    const read = submit((cb, r) => channel.readBlocks(new Uint8Array(512), 0, 0, 1, cb, r))
    const result = zeroes(0, 1)
    expect([result.rc, disk.seen]).toEqual([0, ['read 0+1']])
    disk.complete()
    disk.complete()
    drain()
    expect([read.success, result.success]).toEqual([true, true])
  })

  it('is seen in the statistics as its writes, and is not counted itself', async () => {
    const { host, drain, zeroes } = await setup()
    zeroes(0, 2 * MIB_BLOCKS)
    drain()
    expect(statJson(bdevStat(host.bdevByName('disk')!))).toMatchObject({ num_write_ops: 2, bytes_written: 2 << 20 })
  })

  it('is aborted by aborting its writes', async () => {
    const { drain, disk, channel, zeroes } = await setup({ hold: true })
    const result = zeroes(0, 10 * MIB_BLOCKS)
    const abort = submit((cb, r) => channel.abort(result, cb, r))
    drain()
    expect([result.calls, result.status, abort.success, disk.held.length]).toEqual([1, IoStatus.Aborted, true, 0])
  })
})

describe('COMPARE of a module that lacks it', () => {
  it('reads, and says whether the bytes are equal', async () => {
    const { host, drain, disk, channel } = await setup()
    disk.data.set(
      Uint8Array.from({ length: 1024 }, (_, i) => (i < 600 ? 1 : 2)),
      512,
    )
    const compare = (...lengths: number[]) =>
      submit((cb, r) => channel.comparevBlocks(iovsOf(...lengths), lengths.length, 1, 2, cb, r))
    const equal = compare(600, 424)
    const early = compare(599, 425)
    const late = compare(601, 423)
    drain()
    expect([equal.status, early.status, late.status]).toEqual([IoStatus.Success, IoStatus.Miscompare, IoStatus.Miscompare])
    expect(disk.seen).toEqual(['read 1+2', 'read 1+2', 'read 1+2'])
    expect(host.usage()).toMatchObject({ bdevIos: 0, dmaBytes: 0 })
  })

  it('fails where the read does, and gives its memory back', async () => {
    const { host, drain, disk, channel } = await setup()
    disk.answers.push(IoStatus.ScsiError)
    const result = submit((cb, r) => channel.comparevBlocks(iovsOf(512), 1, 0, 1, cb, r))
    drain()
    expect([result.status, host.usage().dmaBytes, host.usage().bdevIos]).toEqual([IoStatus.Failed, 0, 0])
  })

  it('waits for an I/O of the pool', async () => {
    const { drain, disk, channel } = await setup({ hold: true }, { bdevIoPoolSize: 2, bdevIoCacheSize: 2 })
    submit((cb, r) => channel.readBlocks(new Uint8Array(512), 0, 0, 1, cb, r))
    const result = submit((cb, r) =>
      channel.comparevBlocks([{ buf: new Uint8Array(512).fill(0xee), off: 0, len: 512 }], 1, 0, 1, cb, r),
    )
    expect([result.rc, disk.held.length]).toEqual([0, 1])
    disk.complete()
    disk.complete()
    drain()
    expect(result.status).toBe(IoStatus.Success)
  })
})

it('nothing of emulation stays behind, and failures are counted', async () => {
  const { host, clock, drain, disk, channel, desc, zeroes } = await setup()
  disk.answers.push(IoStatus.Failed)
  zeroes(0, 1)
  drain()
  expect(ioErrorJson(host.bdevByName('disk')!)).toHaveProperty('failed')
  channel.put()
  desc.close()
  const done = host.unregister('disk')
  await clock.settle()
  await done
  expect(host.usage()).toEqual(NOTHING_IN_USE)
})
