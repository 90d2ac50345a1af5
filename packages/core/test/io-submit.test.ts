// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { ERRNO, IoStatus, IoType, type BdevIo, type DescChannel } from '@bdevkit/module-sdk'
import { ALL_TYPES, FakeModule, type FakeDiskOptions } from './support/fake-bdev.js'
import { iovsOf, on, openRw, startHost, submit, write, type Result } from './support/harness.js'

const { EBADF, EINVAL, ENOTSUP, ENOMEM } = ERRNO
const MAX = Number.MAX_SAFE_INTEGER

async function setup(options: FakeDiskOptions = {}) {
  const fake = new FakeModule()
  const test = await startHost([fake])
  const disk = fake.create('disk', options)
  await test.clock.settle()
  const { desc, channel } = openRw(test.host, 'disk')
  return { ...test, fake, disk, desc, channel }
}

/** Every submission that has a range, by name. */
const RANGED: Record<string, (channel: DescChannel, offset: number, count: number) => Result> = {
  read: (ch, offset, count) => submit((cb, r) => ch.readBlocks(new Uint8Array(4096), 0, offset, count, cb, r)),
  write: (ch, offset, count) => submit((cb, r) => ch.writeBlocks(new Uint8Array(4096), 0, offset, count, cb, r)),
  readv: (ch, offset, count) => submit((cb, r) => ch.readvBlocks(iovsOf(512), 1, offset, count, cb, r)),
  writev: (ch, offset, count) => submit((cb, r) => ch.writevBlocks(iovsOf(512), 1, offset, count, cb, r)),
  comparev: (ch, offset, count) => submit((cb, r) => ch.comparevBlocks(iovsOf(512), 1, offset, count, cb, r)),
  unmap: (ch, offset, count) => submit((cb, r) => ch.unmapBlocks(offset, count, cb, r)),
  writeZeroes: (ch, offset, count) => submit((cb, r) => ch.writeZeroesBlocks(offset, count, cb, r)),
  flush: (ch, offset, count) => submit((cb, r) => ch.flushBlocks(offset, count, cb, r)),
}

describe('a range', () => {
  const bad: [string, number, number][] = [
    ['beyond the end', 1024, 1],
    ['across the end', 1023, 2],
    ['from a negative block', -1, 1],
    ['of negative length', 0, -1],
    ['from NaN', NaN, 1],
    ['of NaN blocks', 0, NaN],
    ['of Infinity blocks', 0, Infinity],
    ['around the largest number', MAX, MAX],
    ['from half a block', 0.5, 1],
    ['of half a block', 0, 0.5],
    ['of 1.5 blocks', 0, 1.5],
  ]
  for (const [what, offset, count] of bad) {
    it(`${what} is -EINVAL for every type, and no callback follows`, async () => {
      const { host, drain, disk, channel } = await setup()
      for (const [name, call] of Object.entries(RANGED)) {
        const result = call(channel, offset, count)
        expect([name, result.rc]).toEqual([name, -EINVAL])
        drain()
        expect(result.done).toBe(false)
      }
      expect([disk.seen, host.usage().bdevIos]).toEqual([[], 0])
    })
  }

  it('up to the last block is accepted', async () => {
    const { drain, channel } = await setup()
    for (const call of Object.values(RANGED)) {
      const result = call(channel, 1023, 1)
      drain()
      expect([result.rc, result.calls]).toEqual([0, 1])
    }
  })
})

describe('a descriptor open for reading', () => {
  it('may read, compare and reset; the rest is -EBADF before anything else', async () => {
    const { host, drain } = await setup()
    const { channel } = openRw(host, 'disk', { write: false })
    const rcs = Object.fromEntries(Object.entries(RANGED).map(([name, call]) => [name, call(channel, 9999, 1).rc]))
    expect(rcs).toEqual({
      read: -EINVAL,
      readv: -EINVAL,
      comparev: -EINVAL,
      write: -EBADF,
      writev: -EBADF,
      unmap: -EBADF,
      writeZeroes: -EBADF,
      flush: -EBADF,
    })
    for (const name of ['read', 'readv', 'comparev']) expect(RANGED[name]!(channel, 0, 1).rc).toBe(0)
    expect(submit((cb, r) => channel.reset(cb, r)).rc).toBe(0)
    drain()
  })
})

describe('a type that the module lacks', () => {
  const without = (...types: number[]) => ({ types: ALL_TYPES.filter(type => !types.includes(type)) })
  const cases: [what: string, options: FakeDiskOptions, name: string, rc: number][] = [
    ['read', without(IoType.Read), 'read', -ENOTSUP],
    ['write', without(IoType.Write, IoType.WriteZeroes), 'write', -ENOTSUP],
    ['unmap', without(IoType.Unmap), 'unmap', -ENOTSUP],
    ['flush', without(IoType.Flush), 'flush', -ENOTSUP],
    ['write zeroes without write', without(IoType.Write, IoType.WriteZeroes), 'writeZeroes', -ENOTSUP],
    ['compare without read', without(IoType.Read, IoType.Compare), 'comparev', -ENOTSUP],
    ['write zeroes with write', without(IoType.WriteZeroes), 'writeZeroes', 0],
    ['compare with read', without(IoType.Compare), 'comparev', 0],
  ]
  for (const [what, options, name, rc] of cases) {
    it(`${what}: ${rc === 0 ? 'is made of others' : 'is -ENOTSUP'}`, async () => {
      const { drain, channel } = await setup(options)
      expect(RANGED[name]!(channel, 0, 1).rc).toBe(rc)
      drain()
    })
  }

  it('a flush is refused for its type before its range, others the other way round', async () => {
    const { channel } = await setup({ types: [IoType.Read] })
    expect([RANGED.flush!(channel, 9999, 1).rc, RANGED.unmap!(channel, 9999, 1).rc]).toEqual([-ENOTSUP, -EINVAL])
  })

  it('abort is -ENOTSUP, and without an argument -EINVAL', async () => {
    const { channel } = await setup({ types: [IoType.Read] })
    expect(submit((cb, r) => channel.abort({}, cb, r)).rc).toBe(-ENOTSUP)
    expect(submit((cb, r) => channel.abort(null, cb, r)).rc).toBe(-EINVAL)
    expect(submit((cb, r) => channel.abort(undefined, cb, r)).rc).toBe(-EINVAL)
  })
})

describe('buffers', () => {
  it('that end before the data does are -EINVAL', async () => {
    const { channel } = await setup()
    const buf = new Uint8Array(1024)
    for (const [off, count] of [
      [0, 3],
      [1, 2],
      [513, 1],
      [-1, 1],
      [NaN, 1],
    ] as const) {
      expect(submit((cb, r) => channel.readBlocks(buf, off, 0, count, cb, r)).rc).toBe(-EINVAL)
      expect(submit((cb, r) => channel.writeBlocks(buf, off, 0, count, cb, r)).rc).toBe(-EINVAL)
    }
  })

  it('in pieces must add up to the blocks, and each piece must be memory', async () => {
    const { drain, channel } = await setup()
    const buf = new Uint8Array(1024)
    const iovs = [
      [],
      [{ buf, off: 0, len: 511 }],
      [{ buf, off: 0, len: 513 }],
      [
        { buf, off: 0, len: 256 },
        { buf, off: 256, len: 255 },
      ],
      [{ buf, off: 600, len: 512 }],
      [{ buf, off: -1, len: 512 }],
      [
        { buf, off: 0, len: 1024 },
        { buf, off: 512, len: -512 },
      ],
      [{ buf, off: NaN, len: 512 }],
      [{ buf, off: 0, len: NaN }],
    ]
    for (const list of iovs) {
      expect(submit((cb, r) => channel.readvBlocks(list, list.length, 0, 1, cb, r)).rc).toBe(-EINVAL)
      expect(submit((cb, r) => channel.writevBlocks(list, list.length, 0, 1, cb, r)).rc).toBe(-EINVAL)
      expect(submit((cb, r) => channel.comparevBlocks(list, list.length, 0, 1, cb, r)).rc).toBe(-EINVAL)
    }
    expect(submit((cb, r) => channel.writevBlocks(iovsOf(512), 2, 0, 1, cb, r)).rc).toBe(-EINVAL)
    const many = submit((cb, r) => channel.writevBlocks(iovsOf(1, 0, 500, 11), 4, 0, 1, cb, r))
    drain()
    expect([many.rc, many.success]).toEqual([0, true])
  })

  it('in pieces carry the right bytes in the right order, both ways', async () => {
    const { drain, disk, channel } = await setup()
    const out = iovsOf(100, 900, 24, 512)
    const wrote = submit((cb, r) => channel.writevBlocks(out, 4, 7, 3, cb, r))
    drain()
    const at = 7 * 512
    expect([...new Set(disk.data.subarray(at, at + 100))]).toEqual([1])
    expect([
      disk.data[at + 100],
      disk.data[at + 999],
      disk.data[at + 1000],
      disk.data[at + 1023],
      disk.data[at + 1024],
      disk.data[at + 1535],
      disk.data[at + 1536],
    ]).toEqual([2, 2, 3, 3, 4, 4, 0])
    const back = iovsOf(1, 1535)
    const readBack = submit((cb, r) => channel.readvBlocks(back, 2, 7, 3, cb, r))
    drain()
    expect([wrote.success, readBack.success]).toEqual([true, true])
    expect(back[0]!.buf[4]).toBe(1)
    expect(Buffer.compare(back[1]!.buf.subarray(4, 4 + 1535), disk.data.subarray(at + 1, at + 1536))).toBe(0)
    expect([back[1]!.buf[3], back[1]!.buf[4 + 1535]]).toEqual([2, 2])
  })

  it('are used from the given offset on, and no further', async () => {
    const { drain, disk, channel } = await setup()
    const buf = new Uint8Array(2048).fill(9)
    disk.data.fill(5, 0, 512)
    submit((cb, r) => channel.readBlocks(buf, 700, 0, 1, cb, r))
    drain()
    expect([buf[699], buf[700], buf[1211], buf[1212]]).toEqual([9, 5, 5, 9])
  })
})

describe('the callback', () => {
  it('never runs before the submit call has returned, even where the module completes at once', async () => {
    const { drain, channel } = await setup()
    const result = write(channel, 0, 1)
    expect([result.rc, result.done]).toEqual([0, false])
    drain()
    expect([result.calls, result.success, result.status]).toEqual([1, true, IoStatus.Success])
  })

  it('runs before complete() returns, where that is called later', async () => {
    const { disk, channel } = await setup({ hold: true })
    const result = write(channel, 0, 1)
    disk.complete()
    expect(result.calls).toBe(1)
  })

  it('runs once, for every type, with success and failure', async () => {
    const { drain, disk, channel } = await setup()
    for (const status of [IoStatus.Success, IoStatus.Failed, IoStatus.Miscompare, IoStatus.Aborted]) {
      for (const call of Object.values(RANGED)) {
        disk.answers.push(status)
        const result = call(channel, 0, 1)
        drain()
        expect([result.calls, result.status, result.success]).toEqual([1, status, status === IoStatus.Success])
      }
    }
  })

  it('runs on the thread that submitted, wherever the module completes', async () => {
    const { host, clock, disk } = await setup({ hold: true })
    const [one, two] = [host.createThread('one'), host.createThread('two')]
    const opened = on(one, () => openRw(host, 'disk'))
    const results = [1, 2, 3].map(block => on(one, () => write(opened.channel, block, 1)))
    const where: string[] = []
    for (const result of results) result.whenDone = () => void where.push(host.currentThread().name)
    disk.complete()
    on(two, () => {
      disk.complete()
      expect(results[1]!.done).toBe(false)
    })
    on(one, () => disk.complete())
    await clock.settle()
    expect(where).toEqual(['one', 'one', 'one'])
    expect(results.map(result => result.calls)).toEqual([1, 1, 1])
  })

  it('sees details of the failure, and the next I/O does not', async () => {
    const { drain, disk, channel } = await setup()
    const details: unknown[] = []
    type Completes = {
      completeNvme(a: number, b: number, c: number): void
      completeAio(a: number): void
      completeScsi(a: number, b: number, c: number, d: number): void
    }
    const once = (how: (io: Completes) => void) => {
      disk.submit = how
      const result = write(channel, 0, 1)
      result.whenDone = io => void details.push([io.status, io.nvmeSct, io.nvmeSc, io.aioErrno])
      drain()
    }
    once(io => io.completeNvme(0, 2, 0x81))
    once(io => io.completeNvme(0, 0, 7))
    once(io => io.completeNvme(5, 0, 0))
    once(io => io.completeAio(-5))
    once(io => io.completeAio(0))
    once(io => io.completeScsi(2, 3, 0x11, 0))
    once(io => io.completeScsi(0, 0, 0, 0))
    const afterwards = details.length
    for (let i = 0; i < 70; i++) once(io => (io as unknown as BdevIo).complete(IoStatus.Failed))
    expect(new Set(details.splice(afterwards).map(String))).toEqual(new Set([`${IoStatus.Failed},0,0,0`]))
    expect(details).toEqual([
      [IoStatus.NvmeError, 2, 0x81, 0],
      [IoStatus.Aborted, 0, 7, 0],
      [IoStatus.Success, 0, 0, 0],
      [IoStatus.AioError, 0, 0, -5],
      [IoStatus.Success, 0, 0, 0],
      [IoStatus.ScsiError, 0, 0, 0],
      [IoStatus.Success, 0, 0, 0],
    ])
  })

  it('may submit again, thousands of times, without the stack growing', async () => {
    const { drain, channel } = await setup()
    let left = 8_000
    const again = (): void => {
      submit((cb, r) => {
        r.whenDone = () => left-- > 0 && again()
        return channel.unmapBlocks(0, 1, cb, r)
      })
    }
    again()
    drain()
    expect(left).toBe(-1)
  })
})

describe('an I/O of no blocks', () => {
  it('succeeds by message without its module, but a flush of nothing goes to the module', async () => {
    const { drain, disk, channel } = await setup()
    for (const [name, call] of Object.entries(RANGED)) {
      if (name.endsWith('v')) continue
      const result = call(channel, 0, 0)
      expect([result.rc, result.done]).toEqual([0, false])
      drain()
      expect([result.calls, result.success]).toEqual([1, true])
    }
    for (const call of ['readvBlocks', 'writevBlocks', 'comparevBlocks'] as const) {
      const result = submit((cb, r) => channel[call]([], 0, 1024, 0, cb, r))
      drain()
      expect([call, result.rc, result.success]).toEqual([call, 0, true])
    }
    expect(disk.seen).toEqual(['flush 0+0'])
  })

  it('is checked like any other', async () => {
    const { host, channel } = await setup()
    expect(RANGED.unmap!(channel, 1025, 0).rc).toBe(-EINVAL)
    expect(RANGED.unmap!(openRw(host, 'disk', { write: false }).channel, 0, 0).rc).toBe(-EBADF)
  })
})

it('an empty pool is -ENOMEM for every type, and no callback follows', async () => {
  const fake = new FakeModule()
  const { host, drain } = await startHost([fake], { bdevIoPoolSize: 4, bdevIoCacheSize: 4 })
  const disk = fake.create('disk', { hold: true })
  drain()
  const { channel } = openRw(host, 'disk')
  const inFlight = [0, 1, 2, 3].map(block => write(channel, block, 1))
  expect(inFlight.map(result => result.rc)).toEqual([0, 0, 0, 0])
  for (const call of Object.values(RANGED)) expect(call(channel, 0, 1).rc).toBe(-ENOMEM)
  expect(submit((cb, r) => channel.reset(cb, r)).rc).toBe(-ENOMEM)
  expect(submit((cb, r) => channel.abort(inFlight[0], cb, r)).rc).toBe(-ENOMEM)
  disk.completeAll()
  expect(inFlight.every(result => result.success)).toBe(true)
  expect(write(channel, 0, 1).rc).toBe(0)
})
