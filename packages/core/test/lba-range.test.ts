// SPDX-License-Identifier: Apache-2.0
// Names in brackets are those of SPDK's own tests (test/unit/lib/bdev/bdev.c, mt/bdev.c).
import { describe, expect, it } from 'vitest'
import { ERRNO, IoStatus, IoType, type DescChannel as SdkDescChannel } from '@bdevkit/module-sdk'
import type { BdevChannel } from '../src/channel/bdev-channel.js'
import type { DescChannel } from '../src/descriptor/desc-channel.js'
import type { Bdev } from '../src/bdev/bdev.js'
import { LbaRange } from '../src/lba-range/lba-range.js'
import { lockLbaRange, unlockLbaRange } from '../src/lba-range/lba-range-lock.js'
import { ALL_TYPES, FakeModule, RelayModule, type FakeDiskOptions } from './support/fake-bdev.js'
import { codeOf, NOTHING_IN_USE, on, openRw, read, Result, startHost, submit, write } from './support/harness.js'

async function setup(options: FakeDiskOptions = { hold: true }) {
  const fake = new FakeModule()
  const other = new FakeModule('other')
  const test = await startHost([fake, other])
  const disk = fake.create('disk', options)
  await test.clock.settle()
  const opened = openRw(test.host, 'disk')
  const ch = channelOf(opened.channel)
  const bdev = disk.bdev as Bdev
  const lock = (offset: number, count: number, ctx: unknown, on = ch) => {
    const result = { rc: 0, calls: 0 }
    result.rc = lockLbaRange(on, offset, count, ctx, () => result.calls++)
    return result
  }
  const unlock = (offset: number, count: number, ctx: unknown, on = ch) => {
    const result = { rc: 0, calls: 0 }
    result.rc = unlockLbaRange(on, offset, count, ctx, () => result.calls++)
    return result
  }
  const held = () => ch.heldIos.map(io => `${io.offsetBlocks}+${io.numBlocks}`)
  return { ...test, fake, other, disk, bdev, opened, channel: opened.channel, ch, lock, unlock, held }
}

function channelOf(channel: SdkDescChannel): BdevChannel {
  return (channel as DescChannel).ch
}

const ranges = (list: readonly LbaRange[]): string[] => list.map(range => `${range.offsetBlocks}+${range.numBlocks}`)

/** A promise that can be looked at. */
function watch(promise: Promise<void>): { settled: boolean } {
  const state = { settled: false }
  void promise.then(() => (state.settled = true))
  return state
}

describe('ranges', () => {
  it('overlap where they share a block; a range of none shares none [lba_range_overlap]', () => {
    const range = (offset: number, count: number): LbaRange => new LbaRange(offset, count, null as never, () => {}, { whole: false })
    const at = range(100, 50)
    const check = (wanted: boolean, others: [number, number][]): void => {
      for (const [offset, count] of others) {
        const other = range(offset, count)
        expect([other.overlaps(at), at.overlaps(other)]).toEqual([wanted, wanted])
      }
    }
    check(false, [[0, 1], [50, 49], [50, 50], [150, 10], [151, 1], [100, 0], [120, 0]])
    check(true, [[50, 51], [50, 200], [100, 50], [110, 10], [149, 1], [149, 100]])
  })
})

describe('a lock of blocks', () => {
  it('ends by exactly its range, channel and argument [lock_lba_range_check_ranges]', async () => {
    const { drain, ch, lock, unlock } = await setup()
    const ctx = {}
    const locked = lock(20, 10, ctx)
    drain()
    expect([locked, ranges(ch.lockedRanges)]).toEqual([{ rc: 0, calls: 1 }, ['20+10']])
    expect([unlock(20, 1, ctx).rc, unlock(21, 9, ctx).rc, unlock(20, 10, {}).rc]).toEqual(Array(3).fill(-ERRNO.EINVAL))
    const unlocked = unlock(20, 10, ctx)
    drain()
    expect([unlocked, ch.lockedRanges.length, ch.flags, unlock(20, 10, ctx).rc]).toEqual([{ rc: 0, calls: 1 }, 0, 0, -ERRNO.EINVAL])
    expect(lock(20, 10, null).rc).toBe(-ERRNO.EINVAL)
  })

  it('is held once the writes in its way have ended; reads are not in its way [lock_lba_range_with_io_outstanding]', async () => {
    const { drain, disk, channel, ch, lock, unlock } = await setup()
    const [ctx, reading] = [{}, read(channel, 20, 1)]
    const overRead = lock(20, 10, ctx)
    drain()
    expect([reading.done, overRead.calls, ch.lockedRanges[0]!.owner === ch]).toEqual([false, 1, true])
    unlock(20, 10, ctx)
    disk.complete()
    drain()
    const writing = write(channel, 20, 1)
    const overWrite = lock(20, 10, ctx)
    drain()
    expect([writing.done, overWrite.calls, ranges(ch.lockedRanges)]).toEqual([false, 0, ['20+10']])
    expect(unlock(20, 10, ctx).rc).toBe(-ERRNO.EINVAL)
    disk.complete()
    drain()
    expect([writing.success, overWrite.calls]).toEqual([true, 1])
    unlock(20, 10, ctx)
    drain()
    expect(ch.lockedRanges).toEqual([])
  })

  it('waits for the locks that it overlaps, oldest first [lock_lba_range_overlapped]', async () => {
    const { drain, bdev, lock, unlock } = await setup()
    const ctx = {}
    const { locked, pending } = bdev.ranges
    lock(20, 10, ctx)
    drain()
    const second = lock(25, 15, ctx)
    drain()
    expect([second.calls, ranges(pending)]).toEqual([0, ['25+15']])
    unlock(20, 10, ctx)
    drain()
    expect([second.calls, ranges(locked), pending.length]).toEqual([1, ['25+15'], 0])
    const beside = lock(40, 20, ctx)
    drain()
    expect([beside.calls, ranges(locked)]).toEqual([1, ['25+15', '40+20']])
    const overBoth = lock(35, 10, ctx)
    drain()
    unlock(25, 15, ctx)
    drain()
    expect([overBoth.calls, ranges(pending)]).toEqual([0, ['35+10']])
    unlock(40, 20, ctx)
    drain()
    expect([overBoth.calls, ranges(locked), pending.length]).toEqual([1, ['35+10'], 0])
    unlock(35, 10, ctx)
    drain()
    expect(locked).toEqual([])
  })

  it('lets the writes of its owner pass, on its channel only; a new channel keeps it too [lock_lba_range_then_submit_io]', async () => {
    const { host, clock, disk, channel, lock, unlock, ch } = await setup()
    const ctx = new Result()
    const [one, two] = [host.createThread('one'), host.createThread('two')]
    const first = on(one, () => openRw(host, 'disk'))
    lock(20, 10, ctx)
    await clock.settle()
    const other = on(one, () => write(first.channel, 20, 1))
    const own = submit((cb, r) => channel.writeBlocks(new Uint8Array(512), 0, 25, 1, cb, r), ctx)
    const elsewhere = on(one, () => submit((cb, r) => first.channel.writeBlocks(new Uint8Array(512), 0, 25, 1, cb, r), ctx))
    const late = on(two, () => openRw(host, 'disk'))
    const lateWrite = on(two, () => write(late.channel, 29, 5))
    const besides = on(two, () => write(late.channel, 30, 5))
    await clock.settle()
    expect(disk.seen).toEqual(['write 25+1', 'write 30+5'])
    expect(on(one, () => unlock(20, 10, ctx, channelOf(first.channel))).rc).toBe(-ERRNO.EINVAL)
    disk.completeAll()
    await clock.settle()
    expect([own.calls, besides.done, other.done, lateWrite.done, ch.heldIos.length]).toEqual([1, true, false, false, 0])
    unlock(20, 10, ctx)
    await clock.settle()
    expect(disk.seen.slice(2)).toEqual(['write 20+1', 'write 25+1', 'write 29+5'])
    disk.completeAll()
    await clock.settle()
    expect([other.success, elsewhere.calls, lateWrite.success]).toEqual([true, 2, true])
  })

  it('holds every type that changes blocks, and raw commands; nothing else', async () => {
    const { bdev, ch } = await setup()
    const lock = new LbaRange(20, 10, ch.thread, () => {}, { owner: ch, ctx: {} })
    const quiesce = new LbaRange(20, 10, ch.thread, () => {}, { whole: false })
    const held = (range: LbaRange): number[] =>
      Array.from({ length: 23 }, (_, type) => type).filter(type =>
        range.conflictsWith({ type, offsetBlocks: 25, numBlocks: 1, bdev, ch, cbArg: null } as never),
      )
    const { Write, Unmap, NvmeIo, NvmeIoMd, WriteZeroes, Zcopy, Copy, NvmeIovMd, WriteUncorrectable } = IoType
    const changing = [Write, Unmap, NvmeIo, NvmeIoMd, WriteZeroes, Zcopy, Copy, NvmeIovMd, WriteUncorrectable]
    expect(held(lock)).toEqual(changing)
    expect(held(quiesce)).toEqual([...changing, IoType.Read, IoType.Compare].sort((a, b) => a - b))
  })

  it('waits for a write that is cut into pieces until the last one has ended [lock_lba_range_with_split_io]', async () => {
    const fake = new FakeModule()
    const { host, clock, drain } = await startHost([fake], { bdevIoPoolSize: 2, bdevIoCacheSize: 0 })
    const disk = fake.create('disk', { hold: true, writeUnitSizeBlocks: 2, splitOnWriteUnit: true })
    await clock.settle()
    const { channel } = openRw(host, 'disk')
    const ch = channelOf(channel)
    const ctx = {}
    let locked = false
    const writing = write(channel, 20, 4)
    drain()
    expect(disk.seen).toEqual(['write 20+2'])
    lockLbaRange(ch, 20, 10, ctx, () => (locked = true))
    drain()
    expect([locked, ranges(ch.lockedRanges)]).toEqual([false, ['20+10']])
    disk.complete()
    drain()
    expect([writing.done, locked, disk.seen.at(-1)]).toEqual([false, false, 'write 22+2'])
    disk.complete()
    drain()
    expect([writing.success, locked]).toEqual([true, true])
    unlockLbaRange(ch, 20, 10, ctx, () => {})
    drain()
    expect(ch.lockedRanges).toEqual([])
  })

  it('does not stop the parts of an I/O that was there before it', async () => {
    const { drain, disk, channel, lock } = await setup({
      hold: true,
      types: ALL_TYPES.filter(type => type !== IoType.WriteZeroes),
      blockSizeBytes: 65_536,
      numBlocks: 256,
    })
    const zeroes = submit((cb, r) => channel.writeZeroesBlocks(0, 256, cb, r)) // 16 MiB: more children than fly at once
    const locked = lock(200, 8, {})
    drain()
    for (let i = 0; i < 15; i++) disk.complete()
    drain()
    expect([disk.seen.length, locked.calls]).toEqual([16, 0])
    disk.complete()
    drain()
    expect([zeroes.success, locked.calls]).toEqual([true, 1])
  })
})

describe('a held I/O', () => {
  it('can be aborted', async () => {
    const { drain, disk, channel, lock, held } = await setup()
    lock(20, 10, {})
    drain()
    const target = write(channel, 25, 1)
    expect(held()).toEqual(['25+1'])
    const abort = submit((cb, r) => channel.abort(target, cb, r))
    drain()
    expect([target.status, abort.success, held(), disk.seen]).toEqual([IoStatus.Aborted, true, [], []])
  })

  it('keeps its channel', async () => {
    const { host, clock, disk, opened, fake } = await setup()
    await fake.host.quiesce(disk.bdev)
    const io = write(opened.channel, 0, 1)
    opened.close()
    const unquiesced = watch(fake.host.unquiesce(disk.bdev))
    await clock.settle()
    disk.completeAll()
    await clock.settle()
    expect([unquiesced.settled, io.success, host.usage()]).toEqual([true, true, { ...NOTHING_IN_USE, bdevs: 1 }])
  })
})

describe('quiesce', () => {
  it('holds reads and writes, of a range or of all, until exactly that ends [bdev_quiesce]', async () => {
    const { host, clock, fake, other, disk, channel, ch, held } = await setup()
    const { bdev } = disk
    const module = fake.host
    await module.quiesce(bdev)
    expect(ranges(ch.lockedRanges)).toEqual(['0+1024'])
    await module.unquiesce(bdev)
    expect([ch.lockedRanges.length, ch.flags]).toEqual([0, 0])

    await module.quiesceRange(bdev, 20, 10)
    expect(await codeOf(() => module.unquiesceRange(bdev, 20, 1))).toBe('EINVAL')
    expect(await codeOf(() => module.unquiesce(bdev))).toBe('EINVAL')
    const beside = write(channel, 30, 1)
    expect(disk.seen).toEqual(['write 30+1'])
    disk.complete()
    await module.unquiesceRange(bdev, 20, 10)
    expect([beside.success, await codeOf(() => module.unquiesceRange(bdev, 20, 10))]).toEqual([true, 'EINVAL'])

    const before = read(channel, 20, 1)
    const quiesced = watch(module.quiesce(bdev))
    await clock.settle()
    expect([quiesced.settled, ranges(ch.lockedRanges)]).toEqual([false, ['0+1024']])
    disk.complete()
    await clock.settle()
    expect([before.success, quiesced.settled]).toEqual([true, true])
    const after = read(channel, 20, 1)
    expect([held(), disk.held.length]).toEqual([['20+1'], 0])
    await module.unquiesce(bdev)
    disk.complete()
    expect(after.success).toBe(true)

    for (const refused of [
      () => other.host.quiesce(bdev),
      () => other.host.unquiesce(bdev),
      () => module.quiesceRange(bdev, 1020, 5),
      () => module.quiesceRange(bdev, -1, 1),
    ]) {
      expect(await codeOf(refused)).toBe('EINVAL')
    }
    expect(host.usage().bdevIos).toBe(0)
  })

  it('holds a COPY from its blocks, which a lock lets pass', async () => {
    const { drain, fake, disk, channel, lock, unlock } = await setup({ types: [...ALL_TYPES, IoType.Copy] })
    const copy = (): Result => submit((cb, r) => channel.copyBlocks(100, 20, 1, cb, r))
    const ctx = {}
    lock(20, 10, ctx)
    drain()
    expect(copy().success).toBe(false)
    drain()
    expect(disk.seen).toEqual(['copy 100+1'])
    unlock(20, 10, ctx)
    drain()
    await fake.host.quiesceRange(disk.bdev, 20, 10)
    const held = copy()
    expect([disk.seen.length, held.done]).toEqual([1, false])
    await fake.host.unquiesceRange(disk.bdev, 20, 10)
    drain()
    expect(held.success).toBe(true)
  })

  it('covers blocks that the bdev grows by, and lets a reset and a flush pass', async () => {
    const { fake, disk, channel, clock, held } = await setup()
    await fake.host.quiesce(disk.bdev)
    fake.host.notifyBlockcntChange(disk.bdev, 2048)
    write(channel, 2047, 1)
    submit((cb, r) => channel.flushBlocks(0, 2048, cb, r))
    submit((cb, r) => channel.reset(cb, r))
    await clock.settle()
    expect([held(), disk.seen]).toEqual([['2047+1'], ['flush 0+2048', 'reset 0+0']])
    await fake.host.unquiesce(disk.bdev)
  })

  it('holds what forwarded I/O sends down, and the one above can be aborted', async () => {
    const [base, relay] = [new FakeModule(), new RelayModule()]
    const test = await startHost([base, relay])
    const lower = base.create('base', { hold: true })
    relay.create('top', 'base')
    await test.clock.settle()
    const { channel } = openRw(test.host, 'top')
    await base.host.quiesce(lower.bdev)
    const io = write(channel, 5, 1)
    expect(lower.seen).toEqual([])
    submit((cb, r) => channel.abort(io, cb, r))
    test.drain()
    expect([io.status, lower.seen]).toEqual([IoStatus.Aborted, []])
    await base.host.unquiesce(lower.bdev)
  })

  it('is told of in the log where it waits long', async () => {
    const { fake, disk, channel, clock, lines } = await setup()
    write(channel, 0, 1)
    const quiesced = watch(fake.host.quiesce(disk.bdev))
    await clock.advance(6_000)
    const warnings = lines('warn').join()
    expect(warnings).toMatch(/quiesce of all blocks of bdev "disk" has waited . s for I\/O under way on thread ".*", outstanding with module "fake": 1/)
    disk.complete()
    await clock.settle()
    expect(quiesced.settled).toBe(true)
  })
})

describe('an unregister', () => {
  it('waits for a range that is being unlocked [bdev_unregister_during_quiesced_range_unlock]', async () => {
    const { host, clock, fake, disk, opened } = await setup()
    await fake.host.quiesceRange(disk.bdev, 20, 10)
    const unlocked = watch(fake.host.unquiesceRange(disk.bdev, 20, 10))
    const gone = watch(host.unregister('disk'))
    await clock.settle()
    expect([unlocked.settled, opened.events]).toEqual([true, [0]])
    opened.close()
    await clock.settle()
    expect([gone.settled, host.usage()]).toEqual([true, NOTHING_IN_USE])
  })

  it('tells nobody before every range is unlocked', async () => {
    const { host, clock, fake, disk, opened } = await setup()
    await fake.host.quiesce(disk.bdev)
    const io = write(opened.channel, 0, 1)
    const gone = watch(host.unregister('disk'))
    await clock.settle()
    expect([opened.events, disk.seen]).toEqual([[], []])
    await fake.host.unquiesce(disk.bdev)
    await clock.settle()
    disk.complete()
    expect([opened.events, io.success]).toEqual([[0], true])
    opened.close()
    await clock.settle()
    expect([gone.settled, await codeOf(() => fake.host.quiesce(disk.bdev))]).toEqual([true, 'ENODEV'])
  })
})
