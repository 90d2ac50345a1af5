// SPDX-License-Identifier: Apache-2.0
import { PollerRc, type BdevError } from '@bdevkit/module-sdk'
import { describe, expect, test } from 'vitest'
import { FakeModule, RelayModule } from './support/fake-bdev.js'
import { makeHost, on, openRw, startHost } from './support/harness.js'

/** What a call on another thread is refused with. */
const refusal = (who: string): string =>
  `${who}: wanted a call on thread "app_thread", where the control plane runs, found "one"; send it there by appThread.sendMsg`

/** The error of `call`, made on `thread`, whether thrown or rejected with. */
async function errorOn(thread: Parameters<typeof on>[0], call: () => unknown): Promise<BdevError> {
  try {
    await on(thread, call)
  } catch (thrown) {
    return thrown as BdevError
  }
  throw new Error('wanted a refusal, found none')
}

async function setup() {
  const fake = new FakeModule()
  const relay = new RelayModule('relay')
  const test = await startHost([fake, relay])
  const one = test.host.createThread('one')
  fake.create('disk')
  await test.clock.settle()
  return { ...test, fake, relay, one }
}

describe('on a thread that is not the app thread', () => {
  test('use, init and finish are refused, and work on the app thread afterwards', async () => {
    const fake = new FakeModule()
    const { host } = makeHost([])
    const one = host.createThread('one')
    const used = await errorOn(one, () => host.use(fake.value))
    expect([used.code, used.message]).toEqual(['EINVAL', refusal('module "fake": use')])
    host.use(fake.value)
    const initialised = await errorOn(one, () => host.init())
    expect([initialised.code, initialised.message, host.state]).toEqual(['EINVAL', refusal('init'), 'startup'])
    await on(host.appThread, () => host.init())
    const finished = await errorOn(one, () => host.finish())
    expect([finished.code, finished.message, host.state]).toEqual(['EINVAL', refusal('finish'), 'running'])
    await on(host.appThread, () => host.finish())
  })

  test('a module cannot register a bdev, and none is there', async () => {
    const { host, fake, one } = await setup()
    const error = await errorOn(one, () => fake.create('second'))
    expect([error.code, error.message]).toEqual(['EINVAL', refusal('register of bdev "second" by module "fake"')])
    expect(host.bdevByName('second')).toBeUndefined()
    expect(on(host.appThread, () => fake.create('second').bdev.name)).toBe('second')
  })

  test('neither a module nor the application can unregister one, and it stays', async () => {
    const { host, fake, one } = await setup()
    const byModule = await errorOn(one, () => fake.host.unregisterBdev('disk'))
    expect(byModule.message).toBe(refusal('unregister of bdev "disk" by module "fake"'))
    const byApplication = await errorOn(one, () => host.unregister('disk'))
    expect(byApplication.message).toBe(refusal('unregister of bdev "disk"'))
    expect(host.bdevByName('disk')?.status).toBe('ready')
    await on(host.appThread, () => fake.host.unregisterBdev('disk'))
    expect(host.bdevByName('disk')).toBeUndefined()
  })

  test('vbdevs are neither created nor deleted, nor remembered, nor forgotten', async () => {
    const { host, relay, one } = await setup()
    const created = await errorOn(one, () => relay.create('top', 'disk'))
    expect(created.message).toBe(refusal('module "relay": create of "top" on "disk"'))
    const waiting = await errorOn(one, () => relay.create('waits', 'nowhere'))
    expect(waiting.message).toBe(refusal('module "relay": create of "waits" on "nowhere"'))
    expect(relay.vbdevs.createCalls('create')).toEqual([])
    relay.create('top', 'disk')
    const deleted = await errorOn(one, () => relay.vbdevs.delete('top'))
    expect(deleted.message).toBe(refusal('module "relay": delete of "top"'))
    expect([host.bdevByName('top')?.status, relay.vbdevs.createCalls('create').length]).toEqual(['ready', 1])
    await relay.vbdevs.delete('top')
    expect(host.bdevByName('top')).toBeUndefined()
  })

  test('parts are neither made nor closed', async () => {
    const { host, fake, one, clock } = await setup()
    const opened = await errorOn(one, () => fake.host.openPartBase('disk'))
    expect(opened.message).toBe(refusal('module "fake": parts of bdev "disk"'))
    expect(host.bdevByName('disk')!.descs).toEqual([])
    const base = fake.host.openPartBase('disk')
    const spec = { name: 'part', offsetBlocks: 0, numBlocks: 8, productName: 'part', ctx: null }
    const made = await errorOn(one, () => base.createPart(spec))
    expect(made.message).toBe(refusal('register of bdev "part" by module "fake"'))
    expect(host.bdevByName('disk')!.claimType).toBe(0)
    base.createPart(spec)
    const closed = await errorOn(one, () => base.close())
    expect(closed.message).toBe(refusal('module "fake": close of the parts of bdev "disk"'))
    expect(host.bdevByName('part')?.status).toBe('ready')
    await base.close()
    await clock.settle()
    expect([host.bdevByName('part'), host.bdevByName('disk')!.descs.length]).toEqual([undefined, 0])
  })

  test('a third thread is not ended; that thread itself may ask for it', async () => {
    const { host, one } = await setup()
    const two = host.createThread('two')
    const error = await errorOn(one, () => host.exitThread(two))
    expect([error.message, two.state]).toEqual([refusal('exit of thread "two"'), 'running'])
    await on(two, () => host.exitThread(two))
    expect(two.state).toBe('exited')
  })
})

test('hooks and destruct run on the app thread, whichever way their bdev or host was asked for', async () => {
  const seen: string[] = []
  const note = (what: string) => () => void seen.push(`${what} on ${host.currentThread().name}`)
  const hooks = ['moduleInit', 'initComplete', 'examineConfig', 'examineDisk', 'finiStart', 'moduleFini']
  const fake = new FakeModule('fake', Object.fromEntries(hooks.map(hook => [hook, note(hook)])))
  const { host, clock } = makeHost([fake])
  const one = host.createThread('one')
  await host.init()
  const disk = fake.create('disk')
  disk.destruct = async () => note('destruct')()
  await clock.settle()
  const opened = on(one, () => openRw(host, 'disk'))
  const gone = on(host.appThread, () => fake.host.unregisterBdev('disk'))
  await clock.settle()
  on(one, () => opened.close())
  await clock.settle()
  await gone
  await host.finish()
  expect(seen).toEqual(hooks.toSpliced(4, 0, 'destruct').map(what => `${what} on app_thread`))
})

describe('is named, and done all the same:', () => {
  test('a poller that is paused, resumed or unregistered elsewhere, or where no thread is current', async () => {
    const { host, one, lines } = await setup()
    const poller = one.registerPoller(() => PollerRc.Idle, null, 1000, 'tick')
    const named = (what: string): string => `bdev: poller "tick" of thread "one" was ${what} on thread "app_thread"; do that where it runs`
    on(host.appThread, () => poller.pause())
    expect([poller.state, lines('error')]).toEqual(['paused', [named('paused')]])
    poller.resume()
    expect([poller.state, lines('error').at(-1)]).toEqual(['waiting', named('resumed')])
    on(one, () => {
      poller.pause()
      poller.resume()
    })
    poller.unregister()
    expect([one.pollers, lines('error').slice(2)]).toEqual([[], [named('unregistered')]])
  })

  test('a channel that is put where no thread is current, which counts as the app thread', async () => {
    const { fake, one, lines, drain } = await setup()
    const destroyed: string[] = []
    const device = fake.host.registerIoDevice({ name: 'dev', createChannel: thread => thread.name, destroyChannel: name => void destroyed.push(name) })
    on(one, () => device.getIoChannel()!).put()
    drain()
    expect(lines('error')).toEqual(['bdev: channel of "dev" on thread "one" was put on thread "app_thread"; put it where it was got'])
    expect(destroyed).toEqual(['one'])
  })

  test("a bdev's channel that is put elsewhere, though others hold it still", async () => {
    const { host, one, lines } = await setup()
    const opened = on(one, () => openRw(host, 'disk'))
    const again = on(one, () => opened.desc.getIoChannel()!)
    on(host.appThread, () => again.put())
    expect(lines('error')).toEqual(['bdev: test: a channel of bdev "disk" on thread "one" was put on thread "app_thread"; put it where it was got'])
    on(one, () => opened.close())
  })

  test('a device that is unregistered twice: both calls settle with the one end', async () => {
    const { fake, lines, clock } = await setup()
    const device = fake.host.registerIoDevice({ name: 'dev', createChannel: () => null })
    const channel = device.getIoChannel()!
    const ends: string[] = []
    void device.unregister().then(() => ends.push('first'))
    void device.unregister().then(() => ends.push('second'))
    expect(lines('error')).toEqual(['bdev: device "dev" was unregistered twice; once is enough, and waits for its channels'])
    await clock.settle()
    expect(ends).toEqual([])
    channel.put()
    await clock.settle()
    expect(ends).toEqual(['first', 'second'])
  })

  test('a channel that is asked for after its device was unregistered', async () => {
    const { fake, one, lines } = await setup()
    const device = fake.host.registerIoDevice({ name: 'dev', createChannel: () => null })
    await device.unregister()
    expect(on(one, () => device.getIoChannel())).toBeNull()
    expect(lines('error')).toEqual(['bdev: channel of "dev" on thread "one": the device is unregistered; get channels before'])
  })
})

describe('what never goes on has an owner:', () => {
  test('a walk whose visitor never answers, with its thread, and the unregistration that waits for it', async () => {
    const { host, fake, one, lines, clock } = await setup()
    const device = fake.host.registerIoDevice({ name: 'dev', createChannel: () => null })
    const channel = on(one, () => device.getIoChannel()!)
    let answer!: () => void
    const walk = device.forEachChannel(() => new Promise<void>(resolve => (answer = resolve)))
    const gone = device.unregister()
    await clock.advance(5_500)
    expect(lines('warn')).toEqual([
      'bdev: walk over the channels of "dev" has waited 5 s for its visitor on thread "one"',
      'bdev: unregister of device "dev" has waited 5 s for its channel on thread "one", held 1 time(s), 1 walk(s) over its channels',
    ])
    answer()
    on(one, () => channel.put())
    await clock.settle()
    await Promise.all([walk, gone])
    expect(host.pending()).toEqual([])
  })
})
