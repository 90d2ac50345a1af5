// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { BdevEventType, IoStatus } from '@bdevkit/module-sdk'
import { FakeModule, type FakeDiskOptions } from './support/fake-bdev.js'
import { codeOf, NOTHING_IN_USE, on, openRw, read, startHost, submit, write } from './support/harness.js'

async function setup(options: FakeDiskOptions = {}) {
  const fake = new FakeModule()
  const test = await startHost([fake])
  const disk = fake.create('disk', options)
  await test.clock.settle()
  /** Begins the removal; `gone` says whether it has settled. */
  const remove = () => {
    const state = { gone: false, done: test.host.unregister('disk').then(() => void (state.gone = true)) }
    return state
  }
  return { ...test, fake, disk, remove }
}

describe('unregister', () => {
  it('of an idle bdev destructs it and frees its names', async () => {
    const { host, disk } = await setup({ aliases: ['nick'] })
    const { uuid } = disk.bdev
    await host.unregister('nick')
    expect(disk.destructs).toBe(1)
    for (const name of ['disk', 'nick', uuid]) expect(host.bdevByName(name) === undefined).toBe(true)
    expect(host.usage()).toEqual(NOTHING_IN_USE)
  })

  it('of an unknown bdev, and by a module that does not own it, is ENODEV', async () => {
    const fake = new FakeModule()
    const other = new FakeModule('other')
    const { host } = await startHost([fake, other])
    fake.create('disk')
    expect(await codeOf(() => host.unregister('none'))).toBe('ENODEV')
    expect(await codeOf(() => fake.host.unregisterBdev('none'))).toBe('ENODEV')
    expect(await codeOf(() => other.host.unregisterBdev('disk'))).toBe('ENODEV')
    await fake.host.unregisterBdev('disk')
  })

  it('a second time is EBUSY while the first is under way', async () => {
    const { host, clock, remove } = await setup()
    const opened = openRw(host, 'disk')
    const first = remove()
    expect(await codeOf(() => host.unregister('disk'))).toBe('EBUSY')
    opened.close()
    await clock.settle()
    await first.done
  })

  it('tells each open descriptor by message on the thread that opened it', async () => {
    const { host, clock, remove } = await setup()
    const thread = host.createThread('other')
    const seen: string[] = []
    const open = (name: string) => {
      const desc = host.openBdev('disk', {
        onEvent: event => {
          seen.push(`${name} ${event.type} on ${host.currentThread().name}`)
          desc.close()
        },
      })
    }
    open('one')
    on(thread, () => open('two'))
    const removal = remove()
    expect(seen).toEqual([])
    await clock.settle()
    await removal.done
    expect(seen.sort()).toEqual([`one ${BdevEventType.Remove} on app_thread`, `two ${BdevEventType.Remove} on other`])
  })

  it('tells nothing to a descriptor that closed meanwhile', async () => {
    const { host, clock, remove } = await setup()
    const opened = openRw(host, 'disk')
    const removal = remove()
    opened.close()
    await clock.settle()
    await removal.done
    expect(opened.events).toEqual([])
  })

  it('refuses new descriptors with ENODEV from then on', async () => {
    const { host, clock, remove } = await setup()
    const opened = openRw(host, 'disk')
    const removal = remove()
    expect(await codeOf(() => host.openBdev('disk', { onEvent: () => {} }))).toBe('ENODEV')
    expect(await codeOf(() => host.open('disk'))).toBe('ENODEV')
    opened.close()
    await clock.settle()
    await removal.done
    expect(await codeOf(() => host.openBdev('disk', { onEvent: () => {} }))).toBe('ENODEV')
  })

  it('waits for the last descriptor to close', async () => {
    const { host, clock, disk, remove } = await setup()
    const opened = [openRw(host, 'disk'), openRw(host, 'disk'), openRw(host, 'disk')]
    const removal = remove()
    for (const one of opened) {
      await clock.settle()
      expect([removal.gone, disk.destructs]).toEqual([false, 0])
      one.close()
    }
    await clock.settle()
    expect([removal.gone, disk.destructs]).toEqual([true, 1])
  })

  it('waits for channels that outlive their descriptor', async () => {
    const { host, clock, disk, remove } = await setup()
    const { desc, channel } = openRw(host, 'disk')
    const removal = remove()
    desc.close()
    await clock.settle()
    expect([removal.gone, disk.destructs]).toEqual([false, 0])
    expect(host.waits.list().map(({ what, who }) => `${what}: ${who}`)).toEqual([
      'unregister of bdev "disk": 1 channel(s), I/O outstanding: 0',
    ])
    channel.put()
    await clock.settle()
    expect([removal.gone, disk.destructs]).toEqual([true, 1])
  })

  it('waits for I/O with the module, which ends as the module ends it', async () => {
    const { host, clock, disk, remove } = await setup({ hold: true })
    const opened = openRw(host, 'disk')
    const result = write(opened.channel, 3, 1, 0x5a)
    const removal = remove()
    opened.close()
    await clock.settle()
    expect([removal.gone, disk.destructs, result.done]).toEqual([false, 0, false])
    disk.completeAll()
    await clock.settle()
    expect([result.calls, result.success, removal.gone]).toEqual([1, true, true])
    expect(disk.data[3 * 512]).toBe(0x5a)
    expect(host.usage()).toEqual(NOTHING_IN_USE)
  })

  it('waits for memory that is lent', async () => {
    const { host, clock, remove } = await setup({ lendsReadBuffers: true })
    const opened = openRw(host, 'disk')
    const result = submit((cb, it) => {
      it.keep = true
      return opened.channel.readvBlocks([], 0, 0, 1, cb, it)
    })
    await clock.settle()
    const removal = remove()
    opened.close()
    await clock.settle()
    expect([result.success, removal.gone]).toEqual([true, false])
    result.io!.free()
    await clock.settle()
    expect(removal.gone).toBe(true)
  })

  it('aborts what waits for the module to have memory', async () => {
    const { host, clock, disk, remove } = await setup({ hold: true })
    const opened = openRw(host, 'disk')
    const first = write(opened.channel, 0, 1)
    disk.answers.push(IoStatus.Nomem)
    const refused = write(opened.channel, 1, 1)
    const behind = write(opened.channel, 2, 1)
    const removal = remove()
    await clock.settle()
    expect([refused.status, behind.status, first.done]).toEqual([IoStatus.Aborted, IoStatus.Aborted, false])
    expect(refused.order).toBeLessThan(behind.order)
    disk.completeAll()
    opened.close()
    await clock.settle()
    expect([first.success, removal.gone]).toEqual([true, true])
    expect(disk.seen).toEqual(['write 0+1', 'write 1+1'])
  })

  it('waits for a reset', async () => {
    const { host, clock, disk, remove } = await setup({ hold: true })
    const opened = openRw(host, 'disk')
    const reset = submit((cb, result) => opened.channel.reset(cb, result))
    await clock.settle()
    const removal = remove()
    opened.close()
    await clock.settle()
    expect(removal.gone).toBe(false)
    disk.completeAll()
    await clock.settle()
    expect([reset.success, removal.gone, disk.destructs]).toEqual([true, true, 1])
  })
})

describe('destruct', () => {
  it('runs on the app thread', async () => {
    const { host, clock, disk, remove } = await setup()
    const thread = host.createThread('other')
    let where = ''
    disk.destruct = () => void (where = host.currentThread().name)
    const opened = on(thread, () => openRw(host, 'disk'))
    const removal = remove()
    on(thread, () => opened.close())
    await clock.settle()
    await removal.done
    expect(where).toBe('app_thread')
  })

  it('that takes time is waited for; its name is free meanwhile', async () => {
    const { host, clock, fake, disk, remove } = await setup()
    let finish!: () => void
    disk.destruct = () => new Promise<void>(resolve => (finish = resolve))
    const removal = remove()
    await clock.settle()
    expect([disk.destructs, removal.gone]).toEqual([1, false])
    const successor = fake.create('disk')
    expect(host.bdevByName('disk')!.ctx === successor).toBe(true)
    finish()
    await clock.settle()
    expect(removal.gone).toBe(true)
    expect(host.bdevByName('disk')!.ctx === successor).toBe(true)
  })

  it('that throws or rejects fails the unregister; the bdev is gone', async () => {
    const { host, fake, clock } = await setup()
    fake.create('a').destruct = () => {
      throw new Error('sync')
    }
    fake.create('b').destruct = () => Promise.reject(new Error('async'))
    await clock.settle()
    await expect(host.unregister('a')).rejects.toThrow('sync')
    await expect(host.unregister('b')).rejects.toThrow('async')
    expect(host.bdevs.map(bdev => bdev.name)).toEqual(['disk'])
    expect(host.waits.list()).toEqual([])
  })

  it('that never settles is named, as is a holder that does not close', async () => {
    const { host, clock, disk, lines, remove } = await setup()
    disk.destruct = () => new Promise<void>(() => {})
    const opened = openRw(host, 'disk')
    void remove()
    await clock.advance(5001)
    expect(lines('warn')).toEqual(['bdev: unregister of bdev "disk" (for its descriptors to be closed) has waited 5 s for test'])
    opened.close()
    await clock.advance(5001)
    expect(lines('warn').at(-1)).toBe('bdev: destruct of bdev "disk" has waited 5 s for module "fake"')
    expect(host.waits.list().map(({ what, who }) => `${what}: ${who}`)).toEqual(['destruct of bdev "disk": module "fake"'])
  })
})

describe('open and close', () => {
  it('need an event function', async () => {
    const { host } = await setup()
    expect(await codeOf(() => host.openBdev('disk', {} as never))).toBe('EINVAL')
    expect(await codeOf(() => host.openBdev('none', { onEvent: () => {} }))).toBe('ENODEV')
  })

  it('closing twice does nothing, and a closed descriptor submits nothing', async () => {
    const { host, drain } = await setup()
    const { desc, channel } = openRw(host, 'disk')
    desc.close()
    desc.close()
    expect([
      read(channel, 0, 1).rc,
      write(channel, 0, 1).rc,
      submit((cb, r) => channel.reset(cb, r)).rc,
      submit((cb, r) => channel.abort({}, cb, r)).rc,
    ]).toEqual([-9, -9, -9, -9])
    expect(desc.getIoChannel() === null).toBe(true)
    channel.put()
    drain()
    expect(host.usage()).toEqual({ ...NOTHING_IN_USE, bdevs: 1 })
  })

  it('closing on another thread is named', async () => {
    const { host, lines } = await setup()
    const thread = host.createThread('other')
    const { desc, channel } = openRw(host, 'disk')
    channel.put()
    on(thread, () => desc.close())
    expect(lines('error').join()).toContain(
      'test: bdev "disk" was opened on thread "app_thread" and closed on "other"; close it where it was opened',
    )
  })

  it('an event function that throws or rejects harms nothing and is named', async () => {
    const { host, clock, lines, remove } = await setup()
    const throwing = host.openBdev('disk', {
      owner: 'thrower',
      onEvent: () => {
        throwing.close()
        throw new Error('sync event')
      },
    })
    const rejecting = host.openBdev('disk', {
      owner: 'rejecter',
      onEvent: (async () => {
        rejecting.close()
        throw new Error('async event')
      }) as never,
    })
    const removal = remove()
    await clock.settle()
    await removal.done
    const errors = lines('error').join('\n')
    expect(errors).toContain('onEvent of thrower for bdev "disk" threw: Error: sync event')
    expect(errors).toContain('onEvent of rejecter for bdev "disk" threw: Error: async event')
  })

  it('a channel of each descriptor and thread is shared, and the bdev has one per thread', async () => {
    const { host, clock } = await setup()
    const thread = host.createThread('other')
    const one = openRw(host, 'disk')
    expect(one.desc.getIoChannel() === one.channel).toBe(true)
    const two = openRw(host, 'disk')
    expect(two.channel === one.channel).toBe(false)
    expect(host.usage().channels).toBe(1)
    const there = on(thread, () => one.desc.getIoChannel())!
    expect([there.thread.name, host.usage().channels]).toEqual(['other', 2])
    on(thread, () => there.put())
    one.channel.put()
    one.close()
    two.close()
    await clock.settle()
    expect(host.usage().channels).toBe(0)
  })

  it('a channel got and put again and again leaves one destruction behind', async () => {
    const { host, clock, lines } = await setup()
    const desc = host.openBdev('disk', { onEvent: () => {} })
    for (let i = 0; i < 3; i++) desc.getIoChannel()!.put()
    await clock.settle()
    expect(host.usage().channels).toBe(0)
    const kept = desc.getIoChannel()!
    await clock.settle()
    expect(host.usage().channels).toBe(1)
    kept.put()
    kept.put()
    expect(lines('error').join()).toContain('a channel of bdev "disk" was put once too often')
  })

  it('a bdev whose module has no channel gives null, with the reason in the log', async () => {
    const { host, fake, lines } = await setup()
    const answers = [
      () => null,
      () => undefined,
      () => Promise.resolve(null),
      () => {
        throw new Error('no queue')
      },
    ]
    const device = { name: 'd' }
    for (const [i, getIoChannel] of answers.entries()) {
      fake.host.registerBdev({
        name: `bad${i}`,
        numBlocks: 1,
        blockSizeBytes: 512,
        productName: 'x',
        ctx: device,
        fn: { destruct() {}, submitRequest() {}, ioTypeSupported: () => true, getIoChannel: getIoChannel as never },
      })
      const desc = host.openBdev(`bad${i}`, { onEvent: () => {} })
      expect(desc.getIoChannel() === null).toBe(true)
      desc.close()
      expect(await codeOf(() => host.open(`bad${i}`))).toBe('ENOMEM')
    }
    const errors = lines('error').join('\n')
    expect(errors).toContain('module "fake" has no channel for bdev "bad0" on thread "app_thread"')
    expect(errors).toContain('getIoChannel of module "fake" for bdev "bad1": wanted a channel or null, found undefined')
    expect(errors).toContain('getIoChannel of module "fake" for bdev "bad2": wanted a channel or null, found [object Promise]')
    expect(errors).toContain('no queue')
  })
})
