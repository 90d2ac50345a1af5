// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { ERRNO, IoStatus, IoType, type BdevIo, type DescChannel } from '@bdevkit/module-sdk'
import { FakeModule, RelayModule, type FakeDiskOptions, type Relay } from './support/fake-bdev.js'
import { on, openRw, startHost, submit, write, type Result } from './support/harness.js'

async function setup(size: number, options: FakeDiskOptions = { hold: true }) {
  const fake = new FakeModule()
  const relay = new RelayModule()
  const test = await startHost([fake, relay], { bdevIoPoolSize: size, bdevIoCacheSize: size })
  const disk = fake.create('disk', options)
  const below = fake.create('below', options)
  relay.create('top', 'below')
  await test.clock.settle()
  const { channel } = openRw(test.host, 'disk')
  const top = openRw(test.host, 'top').channel
  return { ...test, fake, disk, below, channel, top }
}

const rcs = (results: Result[]): number[] => results.map(result => result.rc)

describe('a submitter that finds the pool empty', () => {
  it('may wait, and is called when an I/O is freed, oldest first, one for each I/O', async () => {
    const { channel, disk, drain } = await setup(2)
    const first = [write(channel, 0, 1), write(channel, 1, 1), write(channel, 2, 1)]
    expect(rcs(first)).toEqual([0, 0, -ERRNO.ENOMEM])
    const called: string[] = []
    const later: Result[] = []
    for (const name of ['a', 'b', 'c']) {
      expect(channel.queueIoWait({ fn: who => (called.push(who), later.push(write(channel, 9, 1))), arg: name })).toBe(0)
    }
    expect(called).toEqual([])
    disk.complete()
    expect(called).toEqual(['a'])
    disk.complete()
    expect(called).toEqual(['a', 'b'])
    disk.complete()
    expect(called).toEqual(['a', 'b', 'c'])
    disk.completeAll()
    drain()
    expect(later.map(result => result.success)).toEqual([true, true, true])
  })

  it('is not overtaken: while somebody waits, every other submission is refused', async () => {
    const { channel, disk } = await setup(1)
    write(channel, 0, 1)
    const seen: number[] = []
    channel.queueIoWait({ fn: () => void seen.push(write(channel, 1, 1).rc), arg: null })
    channel.queueIoWait({ fn: () => void seen.push(write(channel, 2, 1).rc), arg: null })
    disk.complete()
    expect([seen, disk.seen]).toEqual([[0], ['write 0+1', 'write 1+1']])
    expect(write(channel, 3, 1).rc).toBe(-ERRNO.ENOMEM)
  })

  it('cannot wait while there is one: -EINVAL', async () => {
    const { channel, disk } = await setup(1)
    expect(channel.queueIoWait({ fn: () => {}, arg: null })).toBe(-ERRNO.EINVAL)
    write(channel, 0, 1)
    expect(channel.queueIoWait({ fn: () => {}, arg: null })).toBe(0)
    disk.complete()
    expect(channel.queueIoWait({ fn: () => {}, arg: null })).toBe(-ERRNO.EINVAL)
  })

  it('that takes none leaves it to the next one', async () => {
    const { channel, disk, host } = await setup(1)
    write(channel, 0, 1)
    const called: string[] = []
    for (const name of ['a', 'b', 'c']) channel.queueIoWait({ fn: () => void called.push(name), arg: null })
    expect(host.usage().ioWaiters).toBe(3)
    disk.complete()
    expect([called, host.usage().ioWaiters]).toEqual([['a', 'b', 'c'], 0])
    expect(write(channel, 0, 1).rc).toBe(0)
  })

  it('that throws is named, and the next one is called', async () => {
    const { channel, disk, lines } = await setup(1)
    write(channel, 0, 1)
    const called: string[] = []
    channel.queueIoWait({
      fn: () => {
        throw new Error('bad waiter')
      },
      arg: null,
    })
    channel.queueIoWait({ fn: () => void called.push('next'), arg: null })
    disk.complete()
    expect(called).toEqual(['next'])
    expect(lines('error').join()).toContain('a waiter for an I/O threw: Error: bad waiter')
  })

  it('is woken by an I/O of any bdev and any module', async () => {
    const { channel, disk, top, below, drain } = await setup(3)
    const results = [write(top, 0, 1), write(channel, 0, 1)]
    expect(rcs([...results, write(channel, 1, 1)])).toEqual([0, 0, -ERRNO.ENOMEM])
    const called: number[] = []
    channel.queueIoWait({ fn: () => void called.push(write(channel, 2, 1).rc), arg: null })
    below.complete()
    drain()
    expect(called).toEqual([0])
    disk.completeAll()
  })
})

describe('forward', () => {
  it('waits by itself, is sent when an I/O is freed, and is not lost', async () => {
    const { channel, disk, top, below, drain, host } = await setup(3)
    const first = [write(channel, 0, 1), write(channel, 1, 1)]
    const forwarded = write(top, 7, 1, 0x42)
    expect([forwarded.rc, below.seen, host.usage().ioWaiters]).toEqual([0, [], 1])
    expect(write(channel, 2, 1).rc).toBe(-ERRNO.ENOMEM)
    disk.complete()
    expect(below.seen).toEqual(['write 7+1'])
    below.complete()
    disk.complete()
    drain()
    expect([forwarded.success, below.data[7 * 512], ...first.map(result => result.success)]).toEqual([true, 0x42, true, true])
    expect(host.usage().bdevIos).toBe(0)
  })

  it('keeps the order of what waits', async () => {
    const { top, below, drain } = await setup(4)
    const results = [0, 1, 2, 3].map(block => write(top, block, 1, block + 1))
    expect([rcs(results), below.seen]).toEqual([
      [0, 0, -ERRNO.ENOMEM, -ERRNO.ENOMEM],
      ['write 0+1', 'write 1+1'],
    ])
    for (let i = 0; i < 10; i++) {
      below.completeAll()
      drain()
    }
    expect(results.filter(result => result.rc === 0).every(result => result.success)).toBe(true)
    const blocks = below.seen.map(seen => Number(/\d+/.exec(seen)![0]))
    expect(blocks).toEqual([...blocks].sort((a, b) => a - b))
  })

  it('that waits in strict mode is sent as well', async () => {
    const fake = new FakeModule()
    const relay = new RelayModule()
    const { host, drain, clock } = await startHost([fake, relay], { bdevIoPoolSize: 2, bdevIoCacheSize: 2, strict: true })
    const disk = fake.create('disk', { hold: true })
    const below = fake.create('below')
    relay.create('top', 'below')
    await clock.settle()
    const one = openRw(host, 'disk').channel
    const top = openRw(host, 'top').channel
    write(one, 0, 1)
    const forwarded = write(top, 1, 1, 0x24)
    expect(below.seen).toEqual([])
    disk.complete()
    drain()
    expect([forwarded.success, below.data[512]]).toEqual([true, 0x24])
    expect(host.usage().bdevIos).toBe(0)
  })
})

describe('two threads', () => {
  it('A uses up the pool, and B still has its reserve', async () => {
    const fake = new FakeModule()
    const { host, clock } = await startHost([fake], { bdevIoPoolSize: 64, bdevIoCacheSize: 8 })
    const disk = fake.create('disk', { hold: true })
    const [a, b] = [host.createThread('a'), host.createThread('b')]
    await clock.settle()
    const openedA = on(a, () => openRw(host, 'disk'))
    const openedB = on(b, () => openRw(host, 'disk'))
    let took = 0
    on(a, () => {
      while (write(openedA.channel, 0, 1).rc === 0) took++
    })
    expect(took).toBe(64 - 2 * 8)
    on(b, () => {
      let own = 0
      while (write(openedB.channel, 0, 1).rc === 0) own++
      expect(own).toBe(8)
    })
    const woken: string[] = []
    for (const [name, thread, { channel }] of [
      ['a', a, openedA],
      ['b', b, openedB],
    ] as const) {
      on(thread, () =>
        expect(channel.queueIoWait({ fn: () => void woken.push(`${name} on ${host.currentThread().name}`), arg: null })).toBe(0),
      )
    }
    on(b, () => disk.complete(disk.held.at(-1)))
    expect(woken).toEqual(['b on b'])
    on(a, () => disk.complete())
    expect(woken).toEqual(['b on b', 'a on a'])
    disk.completeAll()
    await clock.settle()
    expect(host.usage().bdevIos).toBe(0)
  })

  it('what A gives back beyond its share, B can take', async () => {
    const fake = new FakeModule()
    const { host, clock } = await startHost([fake], { bdevIoPoolSize: 1024, bdevIoCacheSize: 8 })
    const disk = fake.create('disk', { hold: true })
    const [a, b] = [host.createThread('a'), host.createThread('b')]
    await clock.settle()
    const openedA = on(a, () => openRw(host, 'disk'))
    const openedB = on(b, () => openRw(host, 'disk'))
    const fill = (channel: DescChannel): number => {
      let took = 0
      while (write(channel, 0, 1).rc === 0) took++
      return took
    }
    expect(on(a, () => fill(openedA.channel))).toBe(1024 - 16)
    expect(on(b, () => fill(openedB.channel))).toBe(8)
    on(a, () => disk.completeAll())
    await clock.settle()
    expect(on(b, () => fill(openedB.channel))).toBeGreaterThan(700)
  })
})

describe('abort', () => {
  it('takes a forwarded I/O out of the wait for its child', async () => {
    const parents: BdevIo[] = []
    const fake = new FakeModule()
    const relay = new RelayModule('relay', {
      submit: (base, io) => {
        if (io.type === IoType.Abort) io.forward(base)
        else parents.push(io)
      },
    })
    const { host, clock, drain } = await startHost([fake, relay], { bdevIoPoolSize: 512, bdevIoCacheSize: 2 })
    const [disk, below] = [fake.create('disk', { hold: true }), fake.create('below', { hold: true })]
    relay.create('top', 'below')
    const other = host.createThread('other')
    await clock.settle()
    const { channel } = openRw(host, 'disk')
    const { channel: top } = openRw(host, 'top')
    const far = on(other, () => openRw(host, 'disk'))
    const target = write(top, 5, 1)
    on(other, () => {
      while (write(far.channel, 0, 1).rc === 0);
    })
    const blocker = write(channel, 1, 1)
    // Somebody waits before the I/O does, and will abort it when it is his turn.
    let abort: Result | null = null
    expect(channel.queueIoWait({ fn: () => void (abort = submit((cb, r) => top.abort(target, cb, r))), arg: null })).toBe(0)
    const relayBase = parents[0]!
    relayBase.forward((relayBase.bdev.ctx as Relay).base.getIoChannel()!)
    expect([blocker.rc, host.usage().ioWaiters, below.seen]).toEqual([0, 2, []])
    on(other, () => disk.held.filter(io => io.thread.name === 'other').forEach(io => disk.complete(io)))
    disk.complete()
    drain()
    expect([target.calls, target.status, (abort as Result | null)?.success, below.seen]).toEqual([1, IoStatus.Aborted, true, []])
    expect([host.usage().ioWaiters, host.usage().bdevIos]).toEqual([0, 0])
  })
})
