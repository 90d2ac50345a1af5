// SPDX-License-Identifier: Apache-2.0
import { IoStatus, IoType, type DescChannel } from '@bdevkit/module-sdk'
import { describe, expect, test } from 'vitest'
import type { SpdkThread } from '../src/index.js'
import { FakeModule, RelayModule, type FakeDisk, type RelayOptions } from './support/fake-bdev.js'
import { on, openRw, startHost, submit, write, type collect, type Result, type TestHost } from './support/harness.js'

interface Side {
  readonly thread: SpdkThread
  readonly channel: DescChannel
  /** Names of waiters that were called. */
  readonly woken: string[]
  /** Takes I/Os until there is none left; returns how many it got. */
  fill(): number
  /** Waits for one I/O, and writes with it. */
  wait(name: string): void
}

/** One disk, open on two threads of a host with a small pool. */
async function twoThreads(size: number, cacheSize: number): Promise<{ test: TestHost; disk: FakeDisk; a: Side; b: Side; order: string[] }> {
  const fake = new FakeModule()
  const test = await startHost([fake], { bdevIoPoolSize: size, bdevIoCacheSize: cacheSize })
  const disk = fake.create('disk', { hold: true })
  const { desc } = openRw(test.host, 'disk')
  const order: string[] = []
  const side = (thread: SpdkThread): Side => {
    const channel = on(thread, () => desc.getIoChannel()!)
    const woken: string[] = []
    return {
      thread,
      channel,
      woken,
      fill: () => on(thread, () => {
        for (let count = 0; ; count++) if (write(channel, count % 64, 1).rc !== 0) return count
      }),
      wait: name => on(thread, () => {
        const fn = (): void => {
          woken.push(name)
          order.push(name)
          write(channel, 0, 1)
        }
        expect(channel.queueIoWait({ fn, arg: null })).toBe(0)
      }),
    }
  }
  return { test, disk, a: side(test.host.appThread), b: side(test.host.createThread('b')), order }
}

describe('a thread that has taken the whole pool', () => {
  test('leaves another one its reserve', async () => {
    const { a, b } = await twoThreads(400, 100)
    expect(a.fill()).toBe(300)
    expect(b.fill()).toBe(100)
  })

  test('gives what it gets back to one that waits, reserve or no', async () => {
    for (const cacheSize of [0, 4]) {
      const { test, disk, a, b } = await twoThreads(100, cacheSize)
      a.fill()
      b.fill()
      b.wait('b')
      expect(b.woken).toEqual([])
      disk.complete()
      test.drain()
      expect(b.woken).toEqual(['b'])
    }
  })

  test('and has gone idle holds nothing back from one that comes later', async () => {
    const { test, disk, a, b } = await twoThreads(100, 0)
    expect(a.fill()).toBe(100)
    disk.completeAll()
    test.drain()
    expect(b.fill()).toBe(100)
  })

  test('takes turns with one that waits as it does', async () => {
    const { test, disk, a, b, order } = await twoThreads(20, 2)
    a.fill()
    b.fill()
    for (const name of ['a1', 'a2', 'a3']) a.wait(name)
    for (const name of ['b1', 'b2', 'b3']) b.wait(name)
    for (let i = 0; i < 6; i++) {
      disk.complete()
      test.drain()
    }
    expect(order.map(name => name[0]).join('')).toBe('ababab')
    expect(a.woken).toEqual(['a1', 'a2', 'a3'])
  })

  test('is refused more while the other waits', async () => {
    const { test, disk, a, b, order } = await twoThreads(10, 0)
    a.fill()
    b.wait('b')
    const again: Result[] = []
    const writeAgain = (): void => void again.push(write(a.channel, 0, 1))
    disk.held[0]!.complete(IoStatus.Success)
    on(a.thread, writeAgain)
    test.drain()
    expect([order, again.map(result => result.rc)]).toEqual([['b'], [-12]])
  })

  test('is back to normal afterwards: everything is free, nobody waits', async () => {
    const { test, disk, a, b } = await twoThreads(30, 3)
    a.fill()
    b.fill()
    b.wait('b1')
    b.wait('b2')
    disk.completeAll()
    test.drain()
    disk.completeAll()
    test.drain()
    await test.clock.advance(30)
    expect(test.host.usage()).toMatchObject({ bdevIos: 0, ioWaiters: 0 })
    expect(a.fill()).toBeGreaterThan(20)
  })
})

test('a waiter that frees all its thread has, while another thread waits, is served and serves', async () => {
  const { test: { host, drain, lines }, disk, a, b, order } = await twoThreads(4, 0)
  expect(a.fill()).toBe(4)
  on(a.thread, () => {
    const fn = (): void => {
      order.push('a')
      while (disk.held.length > 0) disk.complete()
    }
    expect(a.channel.queueIoWait({ fn, arg: null })).toBe(0)
  })
  b.wait('b')
  on(a.thread, () => disk.complete())
  drain()
  expect([order.sort(), lines('error'), host.usage().ioWaiters]).toEqual([['a', 'b'], [], 0])
  disk.completeAll()
  drain()
  expect(host.usage().bdevIos).toBe(0)
})

describe('a pool in which every I/O waits for a child', () => {
  test.each([1, 3])('does not stand still: children go beyond its size, %i layer(s) deep', async layers => {
    const fake = new FakeModule()
    const parked: (() => void)[] = []
    const park: RelayOptions['submit'] = (base, io) => void parked.push(() => io.forward(base))
    const relays = Array.from({ length: layers }, (_, i) => new RelayModule(`relay${i}`, i < layers - 1 ? {} : { submit: park }))
    const test = await startHost([fake, ...relays], { bdevIoPoolSize: 8, bdevIoCacheSize: 8 })
    fake.create('disk')
    let top = 'disk'
    for (const relay of relays) top = relay.create(`on-${top}`, top)
    const { channel } = openRw(test.host, top)
    const all = Array.from({ length: 8 }, (_, i) => write(channel, i, 1))
    for (const go of parked.splice(0)) go()
    test.drain()
    expect(all.some(result => result.done)).toBe(false)
    expect(all.map(result => result.rc)).toEqual(Array.from({ length: 8 }, () => 0))
    await test.clock.advance(1000)
    expect(all.every(result => result.success)).toBe(true)
    expect(test.host.usage()).toMatchObject({ bdevIos: 0, ioWaiters: 0 })
    // What went beyond is paid back.
    await test.clock.advance(100)
    const again = Array.from({ length: 20 }, (_, i) => write(channel, i, 1).rc)
    expect(again.filter(rc => rc === 0)).toHaveLength(8)
  })

  const block = (value: number) => [{ buf: new Uint8Array(512).fill(value), off: 0, len: 512 }]
  test.each<[string, (channel: DescChannel, cb: typeof collect, result: Result) => number]>([
    ['COPY', (channel, cb, result) => channel.copyBlocks(4, 0, 1, cb, result)],
    ['COMPARE', (channel, cb, result) => channel.comparevBlocks(block(0), 1, 0, 1, cb, result)],
    ['COMPARE_AND_WRITE', (channel, cb, result) => channel.comparevAndWritevBlocks(block(0), 1, block(0), 1, 0, 1, cb, result)],
    ['a WRITE that is split', (channel, cb, result) => channel.writeBlocks(new Uint8Array(1536), 0, 8, 3, cb, result)],
  ])('does not stand still where the framework makes them: %s', async (_what, send) => {
    const fake = new FakeModule()
    const test = await startHost([fake], { bdevIoPoolSize: 1, bdevIoCacheSize: 1 })
    fake.create('disk', { types: [IoType.Read, IoType.Write], acwuBlocks: 1, maxRwSizeBlocks: 2 })
    const { channel } = openRw(test.host, 'disk')
    const parent = submit((cb, result) => send(channel, cb, result))
    const later: Result[] = []
    channel.queueIoWait({ fn: () => void later.push(write(channel, 20, 1)), arg: null })
    await test.clock.advance(100)
    expect([parent, ...later].map(result => [result.rc, result.calls, result.success])).toEqual([[0, 1, true], [0, 1, true]])
    expect(test.host.usage()).toMatchObject({ bdevIos: 0, ioWaiters: 0, iobufs: 0 })
  })

  test('an I/O that has begun goes on before those that have not', async () => {
    const fake = new FakeModule()
    const test = await startHost([fake], { bdevIoPoolSize: 2, bdevIoCacheSize: 2 })
    const disk = fake.create('disk', { types: [IoType.Read, IoType.Write], hold: true })
    const { channel } = openRw(test.host, 'disk')
    const copy = submit((cb, result) => channel.copyBlocks(4, 0, 1, cb, result))
    for (const at of [20, 21]) channel.queueIoWait({ fn: () => void write(channel, at, 1), arg: null })
    for (let i = 0; i < 4; i++) {
      disk.complete()
      test.drain()
    }
    expect([copy.success, disk.seen]).toEqual([true, ['read 0+1', 'write 20+1', 'write 4+1', 'write 21+1']])
  })

  test('while a submitter waits before them', async () => {
    const fake = new FakeModule()
    const parked: (() => void)[] = []
    const relay = new RelayModule('relay', { submit: (base, io) => void parked.push(() => io.forward(base)) })
    const test = await startHost([fake, relay], { bdevIoPoolSize: 2, bdevIoCacheSize: 2 })
    fake.create('disk')
    relay.create('top', 'disk')
    const { channel } = openRw(test.host, 'top')
    const all = [write(channel, 0, 1), write(channel, 0, 1)]
    const later: Result[] = []
    channel.queueIoWait({ fn: () => void later.push(write(channel, 1, 1)), arg: null })
    for (const go of parked.splice(0)) go()
    await test.clock.advance(50)
    expect(all.map(result => result.success)).toEqual([true, true])
    expect(later.map(result => result.rc)).toEqual([0])
  })
})

test('two threads on one module channel each: what one is refused for want of memory does not hold up the other', async () => {
  const { test, disk, a, b } = await twoThreads(1000, 10)
  let room = 1
  disk.submit = io => {
    if (room === 0) return io.complete(IoStatus.Nomem)
    room--
    disk.held.push(io)
    return undefined
  }
  const onA = on(a.thread, () => [write(a.channel, 0, 1), write(a.channel, 1, 1)])
  room = 5
  const onB = on(b.thread, () => submit((cb, result) => b.channel.flushBlocks(0, 1, cb, result)))
  test.drain()
  expect(disk.held).toHaveLength(2)
  disk.completeAll()
  test.drain()
  expect([onA[0]!.success, onB.success]).toEqual([true, true])
  disk.completeAll()
  expect(onA[1]!.success).toBe(true)
})
