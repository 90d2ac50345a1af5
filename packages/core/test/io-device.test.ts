// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { FakeModule } from './support/fake-bdev.js'
import { codeOf, makeHost, on } from './support/harness.js'

function setup() {
  const fake = new FakeModule()
  const test = makeHost([fake])
  const calls: string[] = []
  const one = test.host.createThread('one')
  const two = test.host.createThread('two')
  const device = fake.host.registerIoDevice<{ name: string }>({
    name: 'device',
    createChannel: thread => {
      calls.push(`create ${thread.name} on ${test.host.currentThread().name}`)
      return { name: thread.name }
    },
    destroyChannel: ctx => void calls.push(`destroy ${ctx.name} on ${test.host.currentThread().name}`),
  })
  return { ...test, fake, device, calls, one, two }
}

describe('a channel', () => {
  it('is one per thread: the same thread gets the same', () => {
    const { device, calls, one, two } = setup()
    const first = on(one, () => device.getIoChannel())!
    expect(on(one, () => device.getIoChannel()) === first).toBe(true)
    expect(on(two, () => device.getIoChannel()) === first).toBe(false)
    expect(first.thread.name).toBe('one')
    expect(calls).toEqual(['create one on one', 'create two on two'])
  })

  it('is destroyed by message on its thread after the last put, not before', async () => {
    const { clock, device, calls, one } = setup()
    const channel = on(one, () => device.getIoChannel())!
    on(one, () => void device.getIoChannel())
    on(one, () => channel.put())
    await clock.settle()
    expect(calls).toEqual(['create one on one'])
    one.sendMsg(() => {
      channel.put()
      calls.push('put')
    }, null)
    await clock.settle()
    expect(calls).toEqual(['create one on one', 'put', 'destroy one on one'])
  })

  it('is revived by a get between the last put and its destruction', async () => {
    const { clock, device, calls } = setup()
    const channel = device.getIoChannel()!
    channel.put()
    expect(device.getIoChannel() === channel).toBe(true)
    await clock.settle()
    expect(calls).toEqual(['create app_thread on app_thread'])
  })

  it('that was revived and put again is destroyed once', async () => {
    const { clock, device, calls } = setup()
    const channel = device.getIoChannel()!
    channel.put()
    device.getIoChannel()!.put()
    device.getIoChannel()!.put()
    await clock.settle()
    expect(calls).toEqual(['create app_thread on app_thread', 'destroy app_thread on app_thread'])
    device.getIoChannel()
    await clock.settle()
    expect(calls.length).toBe(3)
  })

  it('that cannot be made is null, is logged, and is not destroyed', async () => {
    const { clock, fake, lines } = setup()
    let destroyed = 0
    const device = fake.host.registerIoDevice({
      name: 'bad',
      createChannel: () => {
        throw new Error('no queue pair')
      },
      destroyChannel: () => void destroyed++,
    })
    expect(device.getIoChannel() === null).toBe(true)
    expect(lines('error').join()).toContain('channel of "bad" on thread "app_thread": Error: no queue pair')
    await device.unregister()
    await clock.settle()
    expect(destroyed).toBe(0)
  })

  it('that is put once too often is named and stays harmless', async () => {
    const { clock, device, calls, lines } = setup()
    const channel = device.getIoChannel()!
    channel.put()
    channel.put()
    await clock.settle()
    expect(lines('error').join()).toContain('channel of "device" on thread "app_thread" was put once too often')
    expect(calls.filter(call => call.startsWith('destroy')).length).toBe(1)
  })
})

describe('forEachChannel', () => {
  it('visits the channels one by one, by ascending thread id, each on its thread, and waits for promises', async () => {
    const { host, clock, device, one, two } = setup()
    for (const thread of [two, one, host.appThread]) on(thread, () => device.getIoChannel())
    const seen: string[] = []
    let release!: () => void
    const gate = new Promise<void>(resolve => (release = resolve))
    const walk = device.forEachChannel((ctx, thread) => {
      seen.push(`${ctx.name} ${thread.name} on ${host.currentThread().name}`)
      return thread === one ? gate : undefined
    })
    await clock.settle()
    expect(seen).toEqual(['app_thread app_thread on app_thread', 'one one on one'])
    release()
    await clock.settle()
    await walk
    expect(seen.at(-1)).toBe('two two on two')
  })

  it('ends at the first failure and rejects with it', async () => {
    const { host, clock, device, one, two } = setup()
    for (const thread of [host.appThread, one, two]) on(thread, () => device.getIoChannel())
    const seen: string[] = []
    const walk = device.forEachChannel((_ctx, thread) => {
      seen.push(thread.name)
      if (thread === one) throw new Error('stop here')
    })
    const caught = walk.catch((error: unknown) => (error as Error).message)
    await clock.settle()
    expect(await caught).toBe('stop here')
    expect(seen).toEqual(['app_thread', 'one'])
  })

  it('passes over a channel that goes away before its turn', async () => {
    const { host, clock, device, one } = setup()
    on(host.appThread, () => device.getIoChannel())
    const channel = on(one, () => device.getIoChannel())!
    const seen: string[] = []
    const walk = device.forEachChannel((_ctx, thread) => void seen.push(thread.name))
    on(one, () => channel.put())
    await clock.settle()
    await walk
    expect(seen).toEqual(['app_thread'])
  })

  it('is refused with ENODEV once the device is unregistered', async () => {
    const { device } = setup()
    device.getIoChannel()
    void device.unregister()
    expect(await codeOf(() => device.forEachChannel(() => {}))).toBe('ENODEV')
  })
})

describe('unregister of a device', () => {
  it('takes it out of look-up at once, also for threads that hold a channel', () => {
    const { device, one } = setup()
    device.getIoChannel()
    void device.unregister()
    expect(device.getIoChannel() === null).toBe(true)
    expect(on(one, () => device.getIoChannel()) === null).toBe(true)
  })

  it('settles when the last channel is destroyed, at once without any', async () => {
    const { clock, device, calls, one, two } = setup()
    const a = on(one, () => device.getIoChannel())!
    const b = on(two, () => device.getIoChannel())!
    let gone = false
    const done = device.unregister().then(() => (gone = true))
    on(one, () => a.put())
    await clock.settle()
    expect(gone).toBe(false)
    on(two, () => b.put())
    await clock.settle()
    await done
    expect(calls.filter(call => call.startsWith('destroy'))).toEqual(['destroy one on one', 'destroy two on two'])
  })

  it('waits for a walk that is under way', async () => {
    const { clock, device } = setup()
    const channel = device.getIoChannel()!
    let release!: () => void
    const gate = new Promise<void>(resolve => (release = resolve))
    const walk = device.forEachChannel(() => gate)
    await clock.settle()
    let gone = false
    const done = device.unregister().then(() => (gone = true))
    channel.put()
    await clock.settle()
    expect(gone).toBe(false)
    release()
    await clock.settle()
    await walk
    await done
  })
})
