// SPDX-License-Identifier: Apache-2.0
// Edge cases that texts on bdevs name, where no other test has them: see docs/spdk-features.md, F177 to F204.
import { describe, expect, it } from 'vitest'
import { ClaimType, defineBdevModule, IoStatus, type BdevDesc, type BdevHost, type IoDevice, type PollerRc } from '@bdevkit/module-sdk'
import type { Bdev } from '../src/index.js'
import { FakeModule, RelayModule } from './support/fake-bdev.js'
import { on, openRw, read, startHost, submit, write } from './support/harness.js'

describe('a module without createIoContext [F179]', () => {
  it('finds null in io.ctx, for every I/O', async () => {
    const fake = new FakeModule()
    const { host, clock, drain } = await startHost([fake])
    const disk = fake.create('disk')
    await clock.settle()
    const seen: unknown[] = []
    disk.submit = io => (seen.push(io.ctx), io.complete(IoStatus.Success))
    const { channel } = openRw(host, 'disk')
    for (let i = 0; i < 3; i++) write(channel, i, 1)
    drain()
    expect(seen).toEqual([null, null, null])
  })
})

describe('a claim of a module that presents nothing [F183]', () => {
  it('is named with its module once it has lasted, and not where there is a bdev on top', async () => {
    const [fake, idle, relay] = [new FakeModule(), new FakeModule('idle'), new RelayModule()]
    const { host, clock } = await startHost([fake, idle, relay])
    for (const name of ['forgotten', 'used']) fake.create(name)
    relay.create('top', 'used')
    const desc: BdevDesc = idle.host.openBdev('forgotten', { onEvent() {} })
    desc.claim(ClaimType.ReadManyWriteOne)
    await clock.advance(4_000)
    expect(host.pending()).toEqual([])
    await clock.advance(2_000)
    expect(host.pending()).toMatchObject([
      { what: 'claim read_many_write_one on bdev "forgotten"', who: 'module "idle" to present a bdev, or to release the claim' },
    ])
    desc.close()
    expect(host.pending()).toEqual([])
  })
})

describe('a channel constructor that fails half-way [F185]', () => {
  interface Half {
    readonly device: IoDevice<object>
    readonly polled: { count: number }
    host: BdevHost
  }

  /** A module whose channels take a poller, its base's channel and one of its own device, and then fail; `tidy`: gives them back itself. */
  async function setup(tidy: boolean) {
    const base = new FakeModule()
    const half = {} as { -readonly [Key in keyof Half]: Half[Key] }
    half.polled = { count: 0 }
    const module = defineBdevModule({
      name: 'half',
      sdk: '0.1',
      setup(host) {
        half.host = host
        let desc: BdevDesc | null = null
        const other = host.registerIoDevice({ name: 'other', createChannel: () => ({}) })
        half.device = host.registerIoDevice({
          name: 'half',
          createChannel(thread) {
            desc ??= host.openBdev('base', { onEvent() {} })
            const got = [desc.getIoChannel()!, desc.getIoChannel()!, other.getIoChannel()!]
            const poller = thread.registerPoller((polled: { count: number }): PollerRc => (polled.count++, 0), half.polled, 1000)
            if (tidy) {
              poller.unregister()
              for (const channel of got) channel.put()
            }
            throw new Error('no room for the second half')
          },
        })
        return { finiStart: () => desc?.close() }
      },
    })
    const test = await startHost([base, { value: module } as never])
    base.create('base')
    await test.clock.settle()
    return { ...test, half }
  }

  for (const tidy of [false, true]) {
    it(`leaves nothing behind, whether it cleans up or not: ${tidy}`, async () => {
      const { host, clock, half, lines } = await setup(tidy)
      expect(half.device.getIoChannel()).toBe(null)
      await clock.advance(50)
      expect([half.polled.count, [...host.appThread.ioChannels].length, host.usage().channels]).toEqual([0, 0, 0])
      expect(lines('error')).toEqual([expect.stringMatching(/channel of "half" on thread "app_thread": .*no room for the second half/)])
      await host.finish()
      expect(lines('error').length).toBe(1)
    })
  }
})

describe('an I/O that its module forgets [F186]', () => {
  it('is named with whom it waits for, layer by layer', async () => {
    const [fake, relay] = [new FakeModule(), new RelayModule()]
    const { host, clock } = await startHost([fake, relay])
    const disk = fake.create('disk', { hold: true })
    relay.create('top', 'disk')
    await clock.settle()
    const { channel } = openRw(host, 'top')
    const forgotten = read(channel, 7, 2)
    await clock.advance(6_000)
    const young = on(host.appThread, () => read(channel, 0, 1))
    expect(host.pending().map(({ what, who }) => `${what}: ${who}`)).toEqual([
      '1 I/O(s) of bdev "disk" on thread "app_thread", oldest read 7+2: module "fake" to complete it',
      '1 I/O(s) of bdev "top" on thread "app_thread", oldest read 7+2: bdev "disk"',
    ])
    disk.completeAll()
    await clock.settle()
    expect([forgotten.success, young.success, host.pending()]).toEqual([true, true, []])
  })

  it('is named where the framework has it: held back, waiting for memory, for quota or for a reset', async () => {
    const fake = new FakeModule()
    const { host, clock } = await startHost([fake])
    const disk = fake.create('disk', { hold: true })
    await clock.settle()
    const { channel } = openRw(host, 'disk')
    await fake.host.quiesceRange(disk.bdev, 0, 1)
    write(channel, 0, 1)
    write(channel, 5, 1)
    submit((cb, r) => channel.reset(cb, r))
    submit((cb, r) => channel.reset(cb, r))
    await clock.advance(6_000)
    const found = host.pending().map(({ what, who }) => `${what}: ${who}`)
    expect(found.some(line => /1 I\/O\(s\) of bdev "disk" on thread "app_thread", held back: module "fake" to end its quiesce/.test(line))).toBe(true)
    expect(found.some(line => line.startsWith('reset of bdev "disk": module "fake"'))).toBe(true)
    expect(found.some(line => /3 I\/O\(s\) of bdev "disk" .* oldest write 5\+1: module "fake" to complete it/.test(line))).toBe(true)
    disk.completeAll()
    await clock.settle()
    await fake.host.unquiesceRange(disk.bdev, 0, 1)
    disk.completeAll()
    await clock.settle()
    disk.submit = io => io.complete(IoStatus.Nomem)
    write(channel, 3, 1)
    disk.submit = io => io.complete(io.numRetries > 1000 ? IoStatus.Success : IoStatus.Nomem)
    await clock.advance(6_000)
    expect(host.pending().map(({ who }) => who)).toEqual(['module "fake" to have memory'])
    disk.submit = null
    disk.hold = false
    await clock.advance(20)
    expect(host.pending()).toEqual([])
  })
})

describe('a descriptor [F196]', () => {
  it('serves any number of threads, each with its own channel', async () => {
    const fake = new FakeModule()
    const { host, clock } = await startHost([fake])
    fake.create('disk')
    await clock.settle()
    const { desc, channel } = openRw(host, 'disk')
    const threads = Array.from({ length: 4 }, (_, i) => host.createThread(`t${i}`))
    const results = threads.map(thread => on(thread, () => write(desc.getIoChannel()!, 1, 1)))
    await clock.settle()
    expect(results.map(result => [result.success, result.thread])).toEqual(threads.map(({ name }) => [true, name]))
    expect([host.usage().channels, new Set(threads.map(thread => on(thread, () => desc.getIoChannel()))).size]).toEqual([5, 4])
    channel.put()
  })
})

describe('a descriptor', () => {
  it('gives what its module has for those that know it', async () => {
    const fake = new FakeModule()
    const { host, clock } = await startHost([fake])
    const known = { secret: 7 }
    const bare = fake.create('bare')
    const { fn } = bare.bdev as unknown as Bdev
    fake.create('known', { fn: { ...fn, getModuleCtx: () => known } })
    await clock.settle()
    const [some, none] = [openRw(host, 'known'), openRw(host, 'bare')]
    expect([some.desc.getModuleCtx() === known, none.desc.getModuleCtx()]).toEqual([true, undefined])
  })
})

describe('whoever asks for notifications', () => {
  it('are told of registration, removal and a new size, and late comers of what they missed', async () => {
    const told: string[] = []
    const fake = new FakeModule()
    const { host, clock } = await startHost([fake], { onNotification: (type, ctx) => void told.push(`${type} ${ctx}`) })
    const disk = fake.create('disk')
    await clock.settle()
    fake.host.notifyBlockcntChange(disk.bdev, 2048)
    await host.unregister('disk')
    const all = ['bdev_register disk', 'bdev_resize disk', 'bdev_unregister disk']
    expect([told, host.notifications.list().map(({ type, ctx }) => `${type} ${ctx}`)]).toEqual([all, all])
  })
})

describe('a host that has finished', () => {
  it('names what was left: descriptors, channels, pollers', async () => {
    const fake = new FakeModule()
    const { host, lines } = await startHost([fake])
    host.appThread.registerPoller((): PollerRc => 0, null, 1_000_000, 'forgotten_poller')
    fake.device.getIoChannel()
    fake.host.dma.alloc(4096)
    await host.finish()
    const [line] = lines('error')
    expect(line).toMatch(/finish: still in use: \d+ dmaBytes, channel of "fake" on thread "app_thread", held 1 time\(s\), poller "forgotten_poller"/)
  })
})
