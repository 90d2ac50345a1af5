// SPDX-License-Identifier: Apache-2.0
import { BdevError, PollerRc } from '@bdevkit/module-sdk'
import { describe, expect, test } from 'vitest'
import { FakeModule } from './support/fake-bdev.js'
import { codeOf, makeHost, on, openRw, startHost, write } from './support/harness.js'

describe('a thread that exits', () => {
  test('with nothing left goes at once, and gives back what it had of the pools', async () => {
    const { host } = await startHost([], { bdevIoPoolSize: 600, bdevIoCacheSize: 200 })
    const one = host.createThread('one')
    host.createThread('two')
    expect(await codeOf(() => host.createThread('three'))).toBe('ENOMEM')
    await host.exitThread(one)
    expect(host.reactor.threads.map(thread => thread.name)).toEqual(['app_thread', 'two'])
    expect(host.createThread('three').id).toBe(4)
    expect(host.usage().bdevIos).toBe(0)
  })

  test('waits for messages, pollers, channels and descriptors, and names them', async () => {
    const fake = new FakeModule()
    const { host, clock, lines } = await startHost([fake])
    fake.create('disk')
    const one = host.createThread('one')
    const opened = on(one, () => openRw(host, 'disk'))
    const poller = one.registerPoller(() => PollerRc.Idle, null, 1000, 'tick')
    const ran: string[] = []
    one.sendMsg(() => void ran.push('message'), null)
    let gone = false
    const exit = host.exitThread(one).then(() => (gone = true))
    await clock.advance(6000)
    expect([ran, gone]).toEqual([['message'], false])
    const [warning] = lines('warn').filter(line => line.includes('exit of thread'))
    for (const what of ['poller "tick"', 'channel of "bdev_disk"', 'descriptor of test on bdev "disk"']) expect(warning).toContain(what)
    on(one, () => opened.close())
    await clock.advance(10)
    expect(gone).toBe(false)
    on(one, () => poller.unregister())
    await clock.advance(10)
    await exit
    expect(one.state).toBe('exited')
  })

  test('waits for its I/O', async () => {
    const fake = new FakeModule()
    const { host, clock, drain } = await startHost([fake])
    const disk = fake.create('disk', { hold: true })
    const { desc } = openRw(host, 'disk')
    const one = host.createThread('one')
    const done = on(one, () => {
      const channel = desc.getIoChannel()!
      const result = write(channel, 0, 1)
      channel.put()
      return result
    })
    let gone = false
    const exit = host.exitThread(one).then(() => (gone = true))
    await clock.advance(20)
    expect(gone).toBe(false)
    disk.complete()
    drain()
    expect(done).toMatchObject({ success: true, thread: 'one' })
    await clock.advance(20)
    await exit
  })

  test('is refused where it makes no sense', async () => {
    const { host } = await startHost([])
    const one = host.createThread('one')
    expect(await codeOf(() => host.exitThread(host.appThread))).toBe('EINVAL')
    expect(await codeOf(() => host.exitThread(makeHost([]).host.createThread('of another host')))).toBe('EINVAL')
    const exit = host.exitThread(one)
    expect(await codeOf(() => host.exitThread(one))).toBe('EALREADY')
    await exit
    expect(await codeOf(() => host.exitThread(one))).toBe('EALREADY')
  })

  test('runs nothing afterwards, and says so', async () => {
    const { host, clock, lines } = await startHost([])
    const one = host.createThread('one')
    await host.exitThread(one)
    const ran: string[] = []
    for (let i = 0; i < 3; i++) one.sendMsg(() => void ran.push('sent'), null)
    one.execMsg(() => void ran.push('run'), null)
    await clock.settle()
    expect(ran).toEqual([])
    expect(lines('error')).toEqual(Array.from({ length: 4 }, () => 'bdev: a message to thread "one", which has exited, is dropped'))
    expect(() => one.registerPoller(() => PollerRc.Idle, null, 0)).toThrow(BdevError)
  })
})

describe('a rule of threads that is broken is named', () => {
  test('a poller that is unregistered elsewhere', async () => {
    const { host, lines } = await startHost([])
    const one = host.createThread('one')
    const poller = one.registerPoller(() => PollerRc.Idle, null, 0, 'tick')
    on(host.appThread, () => poller.unregister())
    expect(lines('error')).toEqual(['bdev: poller "tick" of thread "one" was unregistered on thread "app_thread"; do that where it runs'])
    expect(one.pollers).toEqual([])
  })

  test('a channel that is put elsewhere: it is destroyed on its own thread', async () => {
    const fake = new FakeModule()
    const { host, lines, drain } = await startHost([fake])
    const destroyed: string[] = []
    const device = fake.host.registerIoDevice({ name: 'dev', createChannel: () => ({}), destroyChannel: () => void destroyed.push(host.currentThread().name) })
    const one = host.createThread('one')
    const channel = on(one, () => device.getIoChannel()!)
    on(host.appThread, () => channel.put())
    drain()
    expect(lines('error')).toEqual(['bdev: channel of "dev" on thread "one" was put on thread "app_thread"; put it where it was got'])
    expect(destroyed).toEqual(['one'])
  })

  test('an I/O on the channel of another thread, in strict mode', async () => {
    const fake = new FakeModule()
    const { host, lines, drain } = await startHost([fake], { strict: true })
    fake.create('disk')
    const { channel } = openRw(host, 'disk')
    const done = on(host.createThread('one'), () => write(channel, 0, 1))
    drain()
    expect(lines('error')[0]).toBe('bdev: test: an I/O to bdev "disk" was submitted on thread "one" by the channel of thread "app_thread"; use the channel of the current thread')
    expect(done.success).toBe(true)
  })
})

test('an I/O that is completed from a callback of the event loop, or after an await, is called back on its own thread', async () => {
  const fake = new FakeModule()
  const { host } = await startHost([fake])
  const disk = fake.create('disk', { hold: true })
  const { desc } = openRw(host, 'disk')
  const one = host.createThread('one')
  const channel = on(one, () => desc.getIoChannel()!)
  const current: string[] = []
  const send = () => {
    const result = on(one, () => write(channel, 0, 1))
    result.whenDone = () => current.push(host.currentThread().name)
    return result
  }
  send()
  await new Promise<void>(resolve => setImmediate(() => {
    disk.complete()
    current.push(host.currentThread().name)
    resolve()
  }))
  send()
  await Promise.resolve()
  disk.complete()
  expect(current).toEqual(['one', 'app_thread', 'one'])
  on(one, () => channel.put())
})
