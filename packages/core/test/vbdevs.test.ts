// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { ClaimType, IoStatus } from '@bdevkit/module-sdk'
import { FakeModule, RelayModule, type RelayOptions } from './support/fake-bdev.js'
import { codeOf, NOTHING_IN_USE, openRw, read, startHost, write, type Result } from './support/harness.js'

const NAMESPACE = '976b899e-3e1e-4d71-ab69-c2b08e9df8b8'

async function setup(options: RelayOptions = {}) {
  const fake = new FakeModule()
  const relay = new RelayModule('relay', options)
  const test = await startHost([fake, relay])
  const names = (): string[] => test.host.bdevs.map(bdev => bdev.name)
  const remove = async (name: string): Promise<void> => {
    const done = test.host.unregister(name)
    await test.clock.settle()
    await done
  }
  return { ...test, fake, relay, names, remove }
}

describe('a vbdev', () => {
  it('on a base that is there appears at once, of its shape, with an exclusive claim', async () => {
    const { host, fake, relay } = await setup()
    fake.create('base', { numBlocks: 77, blockSizeBytes: 4096, writeCache: true })
    expect(relay.create('top', 'base')).toBe('top')
    const top = host.bdevByName('top')!
    expect([top.numBlocks, top.blockSizeBytes, top.writeCache]).toEqual([77, 4096, true])
    expect(host.bdevByName('base')!.claimType).toBe(ClaimType.ExclWrite)
  })

  it('on a base that is not there waits for it, by name, alias or UUID', async () => {
    const { fake, relay, names, lines } = await setup()
    const uuid = 'a1b2c3d4-0000-4000-8000-00000000abcd'
    relay.create('by-name', 'one')
    relay.create('by-alias', 'nick')
    relay.create('by-uuid', uuid)
    expect(names()).toEqual([])
    expect(lines('notice').join()).toContain('"by-name" waits for bdev "one"')
    fake.create('two', { aliases: ['nick'] })
    fake.create('one')
    fake.create('three', { uuid })
    expect(names()).toEqual(['two', 'by-alias', 'one', 'by-name', 'three', 'by-uuid'])
  })

  it('stacks on another vbdev that waits as well', async () => {
    const { fake, relay, names } = await setup()
    relay.create('c', 'b')
    relay.create('b', 'a')
    relay.create('a', 'base')
    fake.create('base')
    expect(names()).toEqual(['base', 'a', 'b', 'c'])
  })

  it('goes with its base and comes back with it', async () => {
    const { host, fake, relay, names, remove } = await setup()
    fake.create('base')
    relay.create('top', 'base')
    await remove('base')
    expect([names(), host.usage()]).toEqual([[], NOTHING_IN_USE])
    fake.create('base')
    expect(names()).toEqual(['base', 'top'])
  })

  it('comes back although its base is back before it has gone', async () => {
    const { clock, fake, relay, names, host } = await setup()
    let finish!: () => void
    const base = fake.create('base')
    relay.create('top', 'base')
    await clock.settle()
    base.destruct = () => new Promise<void>(resolve => (finish = resolve))
    const opened = openRw(host, 'top')
    const gone = host.unregister('base')
    await clock.settle()
    opened.close()
    await clock.settle()
    fake.create('base')
    await clock.settle()
    expect(names()).toEqual(['base', 'top'])
    finish()
    await gone
    expect(names()).toEqual(['base', 'top'])
  })

  it('gets the UUID that was asked for, or one derived from its base, always the same', async () => {
    const { host, fake, relay, remove } = await setup({ uuidNamespace: NAMESPACE })
    const uuid = 'a1b2c3d4-0000-4000-8000-00000000abcd'
    const mine = 'a1b2c3d4-0000-4000-8000-00000000ffff'
    fake.create('base', { uuid })
    relay.create('derived', 'base')
    const first = host.bdevByName('derived')!.uuid
    expect(first).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    await remove('base')
    fake.create('base', { uuid })
    expect(host.bdevByName('derived')!.uuid).toBe(first)
    fake.create('other')
    relay.vbdevs.create({ name: 'asked', base_bdev_name: 'other', uuid: mine })
    expect(host.bdevByName(mine)!.name).toBe('asked')
  })

  it('is saved in the order of creation, attached or waiting', async () => {
    const { host, fake, relay } = await setup()
    relay.create('waiting', 'nowhere')
    fake.create('base')
    relay.create('top', 'base')
    expect(relay.vbdevs.createCalls('bdev_relay_create')).toEqual([
      { method: 'bdev_relay_create', params: { name: 'waiting', base_bdev_name: 'nowhere' } },
      { method: 'bdev_relay_create', params: { name: 'top', base_bdev_name: 'base', uuid: host.bdevByName('top')!.uuid } },
    ])
    expect(relay.vbdevs.params('waiting')).toEqual({ name: 'waiting', base_bdev_name: 'nowhere' })
    expect(relay.vbdevs.params('none')).toBe(undefined)
  })
})

describe('create is refused, and nothing is remembered,', () => {
  it('where the name is taken by a bdev or by a vbdev, attached or waiting', async () => {
    const { fake, relay } = await setup()
    fake.create('base')
    fake.create('other')
    relay.create('top', 'base')
    relay.create('waiting', 'nowhere')
    for (const name of ['other', 'top', 'waiting']) expect(await codeOf(() => relay.create(name, 'other'))).toBe('EEXIST')
    expect(relay.vbdevs.params('other')).toBe(undefined)
  })

  it('where the base is claimed', async () => {
    const { fake, relay } = await setup()
    fake.create('base')
    relay.create('top', 'base')
    expect(await codeOf(() => relay.create('second', 'base'))).toBe('EPERM')
    expect(relay.vbdevs.params('second')).toBe(undefined)
  })

  it('where somebody writes to the base, naming him, unless the module allows it', async () => {
    for (const allowOtherWriters of [false, true]) {
      const { host, clock, fake, relay } = await setup({ allowOtherWriters })
      fake.create('base')
      await clock.settle()
      openRw(host, 'base')
      if (allowOtherWriters) {
        expect(relay.create('top', 'base')).toBe('top')
        continue
      }
      expect(() => relay.create('top', 'base')).toThrow(
        '"top" wants bdev "base" for itself, but test has it open for writing; close that first',
      )
      expect([host.bdevByName('base')!.claimType, host.usage().descriptors]).toEqual([0, 1])
    }
  })

  it('where attach or the registration throws; the base is free again', async () => {
    const { host, clock, fake, relay } = await setup({
      spec: (_base, { name }) => {
        if (name === 'bad') throw new Error('no key')
        return name === 'empty' ? { blockSizeBytes: 0 } : {}
      },
    })
    fake.create('base')
    await clock.settle()
    expect(() => relay.create('bad', 'base')).toThrow('no key')
    expect(await codeOf(() => relay.create('empty', 'base'))).toBe('EINVAL')
    expect([host.bdevByName('base')!.claimType, host.usage().descriptors]).toEqual([0, 0])
    relay.create('good', 'base')
  })
})

describe('a vbdev that cannot attach when its base appears', () => {
  it('says why, and tries again when its name is free', async () => {
    const { fake, relay, names, lines, remove } = await setup()
    relay.create('top', 'base')
    fake.create('top')
    fake.create('base')
    expect(lines('warn').join()).toContain('"top" stays away from bdev "base"')
    expect(names()).toEqual(['top', 'base'])
    await remove('top')
    expect(names()).toEqual(['base', 'top'])
  })

  it('tries again when the vbdev that had its base is deleted', async () => {
    const { fake, relay, names, clock } = await setup()
    relay.create('first', 'base')
    relay.create('second', 'base')
    fake.create('base')
    expect(names()).toEqual(['base', 'first'])
    const gone = relay.vbdevs.delete('first')
    await clock.settle()
    await gone
    expect(names()).toEqual(['base', 'second'])
  })

  it('waits where its base is on its way out', async () => {
    const { host, clock, fake, relay, names } = await setup()
    fake.create('base')
    await clock.settle()
    const opened = openRw(host, 'base')
    const gone = host.unregister('base')
    expect(relay.create('top', 'base')).toBe('top')
    opened.close()
    await clock.settle()
    await gone
    expect(names()).toEqual([])
    fake.create('base')
    expect(names()).toEqual(['base', 'top'])
  })
})

describe('delete', () => {
  it('unregisters, releases the base and forgets', async () => {
    const { host, clock, fake, relay, names } = await setup()
    fake.create('base')
    relay.create('top', 'base')
    const gone = relay.vbdevs.delete('top')
    await clock.settle()
    await gone
    expect([names(), host.bdevByName('base')!.claimType, host.usage().descriptors]).toEqual([['base'], 0, 0])
    expect(relay.vbdevs.createCalls('x')).toEqual([])
  })

  it('of one that waits forgets it', async () => {
    const { fake, relay, names } = await setup()
    relay.create('top', 'base')
    await relay.vbdevs.delete('top')
    fake.create('base')
    expect(names()).toEqual(['base'])
  })

  it("of an unknown one, or of another module's bdev, is ENODEV", async () => {
    const { fake, relay } = await setup()
    fake.create('base')
    expect(await codeOf(() => relay.vbdevs.delete('none'))).toBe('ENODEV')
    await expect(relay.vbdevs.delete('base')).rejects.toThrow('that bdev belongs to module "fake"')
  })

  it('while it is being removed with its base waits for that, and it does not come back', async () => {
    const { host, clock, fake, relay, names } = await setup()
    fake.create('base')
    relay.create('top', 'base')
    await clock.settle()
    const opened = openRw(host, 'top')
    const baseGone = host.unregister('base')
    await clock.settle()
    let deleted = false
    const deleting = relay.vbdevs.delete('top').then(() => (deleted = true))
    await clock.settle()
    expect(deleted).toBe(false)
    opened.close()
    await clock.settle()
    await Promise.all([deleting, baseGone])
    fake.create('base')
    expect(names()).toEqual(['base'])
  })

  it('is not needed to take it away for now: unregistered by name, it stays away until its base comes back', async () => {
    const { clock, fake, relay, names, remove } = await setup()
    fake.create('base')
    relay.create('top', 'base')
    await remove('top')
    await clock.settle()
    expect(names()).toEqual(['base'])
    await remove('base')
    fake.create('base')
    expect(names()).toEqual(['base', 'top'])
  })
})

describe('when the base changes its size', () => {
  async function resized(onResize?: 'follow' | 'ignore' | 'remove') {
    const test = await setup(onResize === undefined ? {} : { onResize })
    const base = test.fake.create('base')
    test.relay.create('top', 'base')
    await test.clock.settle()
    const opened = openRw(test.host, 'top', { onEvent: event => event.type === 0 && opened.close() })
    test.fake.host.notifyBlockcntChange(base.bdev, 2048)
    await test.clock.settle()
    return { ...test, events: opened.events }
  }

  it('a vbdev that follows takes it over and tells its own holders', async () => {
    const { host, events } = await resized('follow')
    expect([host.bdevByName('top')!.numBlocks, events]).toEqual([2048, [1]])
  })

  it('a vbdev that ignores it keeps its own, which is the default', async () => {
    for (const onResize of [undefined, 'ignore'] as const) {
      const { host, events } = await resized(onResize)
      expect([host.bdevByName('top')!.numBlocks, events]).toEqual([1024, []])
    }
  })

  it('a vbdev that is removed for it stays away until its base comes back', async () => {
    const { fake, names, events, remove } = await resized('remove')
    expect([names(), events]).toEqual([['base'], [0]])
    await remove('base')
    fake.create('base')
    expect(names()).toEqual(['base', 'top'])
  })
})

it('hot removal of the base under load goes up three layers, ends every I/O once, and leaks nothing', async () => {
  const { host, clock, fake, relay } = await setup()
  const disk = fake.create('base', { hold: true })
  relay.create('one', 'base')
  relay.create('two', 'one')
  relay.create('three', 'two')
  await clock.settle()
  const results: Result[] = []
  let stop = false
  const opened = openRw(host, 'three', {
    onEvent: event => {
      if (event.type !== 0) return
      stop = true
      opened.close()
    },
  })
  const next = (): void => {
    if (stop) return
    const result = results.length % 2 === 0 ? write(opened.channel, results.length % 1000, 1) : read(opened.channel, 3, 1)
    expect(result.rc).toBe(0)
    results.push(result)
    result.whenDone = next
  }
  for (let i = 0; i < 32; i++) next()
  for (let i = 0; i < 100; i++) disk.complete(disk.held[(i * 7) % disk.held.length])
  disk.answers.push(IoStatus.Nomem)
  disk.complete()
  await clock.settle()
  let gone = false
  const done = host.unregister('base').then(() => (gone = true))
  await clock.settle()
  expect([stop, gone, host.bdevByName('three') === undefined]).toEqual([true, false, true])
  while (disk.held.length > 0) {
    disk.complete()
    await clock.settle()
  }
  await done
  expect(results.length).toBeGreaterThan(120)
  expect(results.every(result => result.calls === 1)).toBe(true)
  expect(results.every(result => result.success || result.status === IoStatus.Aborted)).toBe(true)
  expect([host.usage(), disk.destructs]).toEqual([NOTHING_IN_USE, 1])
})
