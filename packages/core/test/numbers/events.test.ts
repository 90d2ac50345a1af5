// SPDX-License-Identifier: Apache-2.0
// Names in brackets are those of SPDK's own tests (test/unit/lib/bdev/bdev.c, mt/bdev.c).
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BdevEventType, ClaimType } from '@bdevkit/module-sdk'
import type { MediaEvent } from '@bdevkit/module-sdk'
import { notifyBlockcntChange } from '../../src/bdev/bdev-resize.js'
import { FakeModule, RelayModule } from '../support/fake-bdev.js'
import { codeOf, openRw, startHost } from '../support/harness.js'
import { Rig } from './support.js'

describe('an open that waits', () => {
  let rig: Rig
  beforeEach(async () => {
    rig = await Rig.create()
  })

  it('succeeds at once where the bdev is there, by message', async () => {
    await rig.bdev()
    const opening = rig.openAsync('ut', { onEvent() {} })
    const desc = await rig.settle(opening)
    rig.on(0, () => desc.close())
    await rig.finish()
  })

  it('without a timeout fails as the first try did', async () => {
    expect(await codeOf(() => rig.settle(rig.openAsync('ut', { onEvent() {} })))).toBe('ENODEV')
    await rig.finish()
  })

  it('tries again every 100 ms until the bdev appears', async () => {
    const opening = rig.openAsync('ut', { timeoutMs: 1_000, onEvent() {} })
    await rig.advance(450)
    await rig.bdev()
    await rig.advance(100)
    const desc = await rig.settle(opening)
    expect(rig.host.waits.list()).toEqual([])
    rig.on(0, () => desc.close())
    await rig.finish()
  })

  it('ends with ETIMEDOUT whatever the last try found, which it tells', async () => {
    const opening = codeOf(() => rig.openAsync('ut', { timeoutMs: 300, onEvent() {} }))
    await rig.advance(450)
    expect(await rig.settle(opening)).toBe('ETIMEDOUT')
    await rig.finish()
  })

  it('ends with ESHUTDOWN when the host finishes', async () => {
    const opening = codeOf(() => rig.openAsync('ut', { timeoutMs: 10_000, onEvent() {} }))
    await rig.advance(150)
    await rig.finish()
    expect(await opening).toBe('ESHUTDOWN')
  })

  it('wants an event function and a time', async () => {
    await rig.bdev()
    expect(await codeOf(() => rig.settle(rig.openAsync('ut', { timeoutMs: 1_000 } as never)))).toBe('EINVAL')
    expect(await codeOf(() => rig.settle(rig.openAsync('ut', { timeoutMs: -1, onEvent() {} })))).toBe('EINVAL')
    await rig.finish()
  })
})

describe('media events', () => {
  let rig: Rig
  beforeEach(async () => {
    rig = await Rig.create()
  })
  afterEach(() => rig.finish())
  const events = (count: number, from = 0): MediaEvent[] => Array.from({ length: count }, (_, i) => ({ offsetBlocks: from + i, numBlocks: 1 }))

  it('go to the oldest descriptor that may write, and are read in its event function', async () => {
    const bdev = await rig.bdev('ut', { mediaEvents: true })
    const read: MediaEvent[][] = []
    const reader = rig.open('ut', { write: false })
    const writer = rig.open('ut', {
      onEvent: type => {
        if (type === BdevEventType.MediaManagement) read.push(writer.getMediaEvents(2), writer.getMediaEvents())
      },
    })
    const second = rig.open()
    expect(rig.pushMediaEvents(bdev, events(3))).toBe(3)
    expect(read).toEqual([])
    rig.notifyMediaManagement(bdev)
    await rig.poll()
    expect(read).toEqual([events(2), events(1, 2)])
    rig.notifyMediaManagement(bdev)
    await rig.poll()
    expect(read.length).toBe(2)
    for (const desc of [reader, writer, second]) rig.on(0, () => desc.close())
  })

  it('are stored as far as there is room: 64', async () => {
    const bdev = await rig.bdev('ut', { mediaEvents: true })
    const writer = rig.open()
    expect([rig.pushMediaEvents(bdev, events(60)), rig.pushMediaEvents(bdev, events(10)), rig.pushMediaEvents(bdev, events(1))]).toEqual([60, 4, 0])
    expect(writer.getMediaEvents().length).toBe(64)
    expect(rig.pushMediaEvents(bdev, events(1))).toBe(1)
    rig.on(0, () => writer.close())
  })

  it('are ENODEV without a writer, and on a bdev that has none', async () => {
    const bdev = await rig.bdev('ut', { mediaEvents: true })
    const plain = await rig.bdev('plain')
    const reader = rig.open('ut', { write: false })
    const writer = rig.open('plain')
    expect(await codeOf(() => rig.pushMediaEvents(bdev, events(1)))).toBe('ENODEV')
    expect(await codeOf(() => rig.pushMediaEvents(plain, events(1)))).toBe('ENODEV')
    for (const desc of [reader, writer]) rig.on(0, () => desc.close())
  })
})

describe('a new size', () => {
  it('that is on its way to a descriptor which closes is not told [event_notify_and_close]', async () => {
    const rig = await Rig.create()
    const bdev = await rig.bdev()
    const told: number[] = []
    const here = rig.open('ut', { onEvent: type => told.push(type) })
    const there = rig.open('ut', { thread: 1, onEvent: type => told.push(10 + type) })
    rig.on(1, () => {
      rig.threads[0]!.sendMsg(() => notifyBlockcntChange(bdev.module, bdev, 2048), null)
      rig.threads[0]!.sendMsg(() => here.close(), null)
    })
    await rig.poll()
    expect(told).toEqual([10 + BdevEventType.Resize])
    rig.on(1, () => there.close())
    await rig.finish()
  })
})

describe('a walk over all bdevs [for_each_bdev_test]', () => {
  async function setup() {
    const [fake, relay] = [new FakeModule(), new RelayModule()]
    const test = await startHost([fake, relay])
    for (const name of ['a', 'b', 'c', 'd']) fake.create(name)
    relay.create('on-b', 'b')
    await test.clock.settle()
    const names = async (walk: 'forEachBdev' | 'forEachBdevLeaf', stopAt?: string): Promise<string[]> => {
      const seen: string[] = []
      const stop = await test.host[walk](async bdev => {
        seen.push(bdev.name)
        await test.clock.settle()
        return bdev.name === stopAt ? 7 : undefined
      })
      if (stopAt !== undefined) expect(stop).toBe(7)
      return seen
    }
    return { ...test, fake, names }
  }

  it('visits them in the order of registration, or those that nobody claims, and ends where it is told to', async () => {
    const { names, fake } = await setup()
    expect(await names('forEachBdev')).toEqual(['a', 'b', 'c', 'd', 'on-b'])
    expect(await names('forEachBdevLeaf')).toEqual(['a', 'c', 'd', 'on-b'])
    expect(await names('forEachBdev', 'b')).toEqual(['a', 'b'])
    expect(fake.disks.get('b')!.bdev.claimType).toBe(ClaimType.ExclWrite)
  })

  it('passes over those that are being removed, and holds the one it visits', async () => {
    const { host, clock, names } = await setup()
    const { desc, channel } = openRw(host, 'c')
    const going = host.unregister('c')
    await clock.settle()
    expect(await names('forEachBdev')).toEqual(['a', 'b', 'd', 'on-b'])
    channel.put()
    desc.close()
    await going
    let gone = false
    await host.forEachBdev(async bdev => {
      if (bdev.name !== 'a') return
      void host.unregister('a').then(() => (gone = true))
      await clock.settle()
      expect(gone).toBe(false)
    })
    await clock.settle()
    expect(gone).toBe(true)
  })

  it('by name ends at the first that cannot be opened', async () => {
    const { host } = await setup()
    const seen: string[] = []
    expect(await codeOf(() => host.forEachBdevByName(['d', 'none', 'a'], bdev => void seen.push(bdev.name)))).toBe('ENODEV')
    expect([seen, host.usage().descriptors]).toEqual([['d'], 1])
  })
})
