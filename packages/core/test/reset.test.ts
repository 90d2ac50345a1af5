// SPDX-License-Identifier: Apache-2.0
// Names in brackets are those of SPDK's own tests (test/unit/lib/bdev/mt/bdev.c).
import { describe, expect, it } from 'vitest'
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import { ALL_TYPES, FakeModule, RelayModule, type FakeDiskOptions } from './support/fake-bdev.js'
import { NOTHING_IN_USE, on, openRw, read, startHost, submit, write, type Opened, type Result } from './support/harness.js'

/** A disk, and two threads with a channel each. */
async function setup(options: FakeDiskOptions = {}) {
  const fake = new FakeModule()
  const test = await startHost([fake])
  const disk = fake.create('disk', options)
  const threads = [test.host.createThread('one'), test.host.createThread('two')] as const
  await test.clock.settle()
  const opened = threads.map(thread => on(thread, () => openRw(test.host, 'disk'))) as [Opened, Opened]
  const reset = (i: 0 | 1 = 0, whenDone: Result['whenDone'] = null): Result =>
    on(threads[i], () =>
      submit((cb, r) => {
        r.whenDone = whenDone
        return opened[i].channel.reset(cb, r)
      }),
    )
  const put = (i: 0 | 1, block = 0): Result => on(threads[i], () => write(opened[i].channel, block, 1))
  return { ...test, fake, disk, threads, opened, reset, put }
}

describe('a reset', () => {
  it('reaches the module when all channels are frozen; I/O meanwhile is aborted on every thread [io_during_reset]', async () => {
    const { clock, disk, reset, put } = await setup({ hold: true })
    const before = [put(0, 1), put(1, 2)]
    disk.completeAll()
    const result = reset()
    await clock.settle()
    const during = [put(0, 3), put(1, 4)]
    await clock.settle()
    expect(disk.seen).toEqual(['write 1+1', 'write 2+1', 'reset 0+0'])
    expect(during.map(io => io.status)).toEqual([IoStatus.Aborted, IoStatus.Aborted])
    expect(result.done).toBe(false)
    disk.complete()
    await clock.settle()
    expect([result.success, result.thread]).toEqual([true, 'one'])
    const after = [put(0, 5), put(1, 6)]
    disk.completeAll()
    await clock.settle()
    expect([...before, ...after].every(io => io.success)).toBe(true)
  })

  it('leaves I/O that the module has to the module', async () => {
    const { clock, disk, reset, put } = await setup({ hold: true })
    const outstanding = put(1, 7)
    const result = reset()
    await clock.settle()
    expect([outstanding.done, disk.seen]).toEqual([false, ['write 7+1', 'reset 0+0']])
    disk.complete()
    disk.complete()
    await clock.settle()
    expect([outstanding.success, result.success]).toEqual([true, true])
  })

  it('needs no write permission', async () => {
    const { host, clock } = await setup()
    const { channel } = openRw(host, 'disk', { write: false })
    const result = submit((cb, r) => channel.reset(cb, r))
    await clock.settle()
    expect(result.success).toBe(true)
  })

  it('completes after the channels have thawed: its callback may submit', async () => {
    const { clock, opened, reset } = await setup()
    let next: Result | null = null
    const result = reset(0, () => void (next = write(opened[0].channel, 0, 1)))
    await clock.settle()
    expect([result.success, (next as Result | null)?.success]).toEqual([true, true])
  })

  it('fails where the module fails it, with the detail, and flow goes on', async () => {
    const { clock, disk, reset, put } = await setup()
    disk.submit = io => io.completeNvme(0, 1, 2)
    let seen: number[] = []
    reset(0, io => void (seen = [io.status, io.nvmeSct, io.nvmeSc]))
    await clock.settle()
    expect(seen).toEqual([IoStatus.NvmeError, 1, 2])
    disk.submit = null
    const after = put(1)
    await clock.settle()
    expect(after.success).toBe(true)
  })

  it('fails on a bdev whose module cannot reset', async () => {
    const { clock, disk, reset, put } = await setup({ types: ALL_TYPES.filter(type => type !== IoType.Reset) })
    const result = reset()
    await clock.settle()
    expect([result.calls, result.success, disk.seen]).toEqual([1, false, []])
    const after = put(0)
    await clock.settle()
    expect(after.success).toBe(true)
  })

  it('that hangs is named', async () => {
    const { host, clock, disk, lines, reset } = await setup({ hold: true })
    reset()
    await clock.advance(5001)
    expect(lines('warn')).toEqual(['bdev: reset of bdev "disk" has waited 5 s for module "fake", I/O outstanding: 1, 0'])
    disk.complete()
    await clock.settle()
    expect(host.waits.list()).toEqual([])
  })

  it('passes through a vbdev to its base, and freezes both', async () => {
    const fake = new FakeModule()
    const relay = new RelayModule()
    const { host, clock } = await startHost([fake, relay])
    const disk = fake.create('disk', { hold: true })
    relay.create('top', 'disk')
    await clock.settle()
    const { channel } = openRw(host, 'top')
    const result = submit((cb, r) => channel.reset(cb, r))
    await clock.settle()
    const meanwhile = write(channel, 0, 1)
    await clock.settle()
    expect([meanwhile.status, disk.seen]).toEqual([IoStatus.Aborted, ['reset 0+0']])
    disk.complete()
    await clock.settle()
    expect(result.success).toBe(true)
  })
})

describe('a second reset', () => {
  it('waits for the first and ends as it does, without reaching the module [aborted_reset]', async () => {
    const { clock, disk, reset } = await setup({ hold: true })
    const results = [reset(0), reset(1), reset(0)]
    let errno = 0
    results[1]!.whenDone = io => (errno = io.aioErrno)
    await clock.settle()
    expect(disk.seen).toEqual(['reset 0+0'])
    const io = disk.held.pop()!
    io.completeAio(-19)
    await clock.settle()
    expect(results.map(result => [result.calls, result.status, result.thread])).toEqual([
      [1, IoStatus.AioError, 'one'],
      [1, IoStatus.AioError, 'two'],
      [1, IoStatus.AioError, 'one'],
    ])
    expect([errno, disk.seen.length]).toEqual([-19, 1])
  })

  it('that comes while the first thaws is not lost [reset_start_complete_race]', async () => {
    const { clock, disk, reset, threads } = await setup()
    const first = reset(0)
    const later: Result[] = []
    // Each message of the walk over the channels is a place to come in between.
    for (let i = 0; i < 12; i++) {
      for (const [t, thread] of threads.entries()) thread.sendMsg(() => void later.push(reset(t as 0 | 1)), null)
      await clock.settle()
    }
    const nested = reset(1, () => void later.push(reset(1)))
    await clock.settle()
    expect([first, nested, ...later].map(result => [result.calls, result.success])).toEqual(
      Array.from({ length: later.length + 2 }, () => [1, true]),
    )
    expect(disk.seen.length).toBeGreaterThan(1)
  })
})

describe('channels', () => {
  it('made during a reset are frozen and thaw with the others', async () => {
    const { host, clock, disk, reset } = await setup({ hold: true })
    const result = reset()
    await clock.settle()
    const late = openRw(host, 'disk')
    const aborted = write(late.channel, 0, 1)
    await clock.settle()
    expect(aborted.status).toBe(IoStatus.Aborted)
    disk.complete()
    await clock.settle()
    const after = write(late.channel, 0, 1)
    disk.completeAll()
    await clock.settle()
    expect([result.success, after.success]).toEqual([true, true])
  })

  it('made at any moment of a reset work after it', async () => {
    for (let delay = 0; delay < 14; delay++) {
      const { host, clock, reset } = await setup()
      const result = reset()
      let late: Opened | null = null
      // One message further at each round.
      const step = (left: number): void => {
        if (left === 0) late = openRw(host, 'disk')
        else host.appThread.sendMsg(step, left - 1)
      }
      host.appThread.sendMsg(step, delay)
      host.reactor.threads[1]!.sendMsg(() => {}, null)
      await clock.settle()
      const after = write((late as unknown as Opened).channel, 0, 1)
      await clock.settle()
      expect([delay, result.success, after.success]).toEqual([delay, true, true])
    }
  })

  it('of a reset stay until it has ended, though they are put [put_channel_during_reset]', async () => {
    const { host, clock, disk, opened, reset, threads } = await setup({ hold: true })
    const result = reset()
    on(threads[0], () => opened[0].close())
    await clock.settle()
    expect(result.done).toBe(false)
    disk.complete()
    await clock.settle()
    expect([result.success, host.usage().channels]).toEqual([true, 1])
    on(threads[1], () => opened[1].close())
    await clock.settle()
    expect(host.usage()).toEqual({ ...NOTHING_IN_USE, bdevs: 1 })
  })

  it('put while a second reset of theirs waits are safe [aborted_reset]', async () => {
    const { host, clock, disk, opened, reset, threads } = await setup({ hold: true })
    const results = [reset(0), reset(1)]
    on(threads[1], () => opened[1].close())
    await clock.settle()
    disk.complete()
    await clock.settle()
    expect(results.map(result => [result.calls, result.success])).toEqual([
      [1, true],
      [1, true],
    ])
    expect(host.usage().channels).toBe(1)
  })
})

describe('a bdev that lets I/O drain before a reset [reset_completions]', () => {
  it('has nothing to reset where nothing is outstanding', async () => {
    const { clock, disk, reset } = await setup({ hold: true, resetIoDrainTimeoutS: 5 })
    const result = reset()
    await clock.settle()
    expect([result.success, disk.seen]).toEqual([true, []])
  })

  it('has nothing to reset where I/O ends in time, on whichever thread; it looks every second', async () => {
    const { clock, disk, reset, put } = await setup({ hold: true, resetIoDrainTimeoutS: 5 })
    const outstanding = put(1)
    const result = reset(0)
    await clock.advance(2500)
    expect(result.done).toBe(false)
    disk.complete()
    await clock.advance(300)
    expect([outstanding.success, result.done]).toEqual([true, false])
    await clock.advance(300)
    expect([result.success, disk.seen]).toEqual([true, ['write 0+1']])
    expect(clock.nextTimerMs).toBe(Infinity)
  })

  it('aborts new I/O meanwhile', async () => {
    const { clock, disk, reset, put } = await setup({ hold: true, resetIoDrainTimeoutS: 5 })
    put(0)
    reset()
    await clock.settle()
    const meanwhile = put(1)
    await clock.settle()
    expect([meanwhile.status, disk.seen]).toEqual([IoStatus.Aborted, ['write 0+1']])
  })

  it('is reset where I/O takes longer', async () => {
    const { clock, disk, reset, put } = await setup({ hold: true, resetIoDrainTimeoutS: 2 })
    const outstanding = put(0)
    const result = reset()
    await clock.advance(1900)
    expect(disk.seen).toEqual(['write 0+1'])
    await clock.advance(1200)
    expect(disk.seen).toEqual(['write 0+1', 'reset 0+0'])
    disk.completeAll()
    await clock.settle()
    expect([outstanding.success, result.success]).toEqual([true, true])
  })
})

it('unregister during a reset: both end [unregister_during_reset]', async () => {
  const { host, clock, disk, opened, reset, threads } = await setup({ hold: true })
  const result = reset()
  await clock.settle()
  const gone = host.unregister('disk')
  threads.forEach((thread, i) => on(thread, () => opened[i]!.close()))
  await clock.settle()
  expect([result.done, disk.destructs]).toEqual([false, 0])
  disk.complete()
  await clock.settle()
  await gone
  expect([result.success, disk.destructs]).toEqual([true, 1])
  expect(host.usage()).toEqual(NOTHING_IN_USE)
})

it('a read that a reset aborts leaves its buffer to the submitter', async () => {
  const { clock, disk, opened, reset, threads } = await setup({ hold: true })
  reset()
  await clock.settle()
  const result = on(threads[0], () => read(opened[0].channel, 0, 1, new Uint8Array(512).fill(7)))
  await clock.settle()
  disk.complete()
  await clock.settle()
  expect([result.status, result.buf[0]]).toEqual([IoStatus.Aborted, 7])
})
