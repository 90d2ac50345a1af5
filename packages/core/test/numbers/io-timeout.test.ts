// SPDX-License-Identifier: Apache-2.0
// Names in brackets are those of SPDK's own tests (test/unit/lib/bdev/bdev.c, mt/bdev.c).
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import type { Desc } from '../../src/descriptor/desc.js'
import type { DescChannel } from '../../src/descriptor/desc-channel.js'
import { codeOf } from '../support/harness.js'
import { Rig, type Sent } from './support.js'

describe('the I/O timeout of a descriptor', () => {
  let rig: Rig
  let desc: Desc
  let channels: DescChannel[]
  let late: { arg: unknown; thread: string; type: number }[]

  beforeEach(async () => {
    rig = await Rig.create()
    await rig.bdev()
    desc = rig.open()
    channels = [rig.channel(0, desc), rig.channel(1, desc)]
    late = []
  })
  afterEach(async () => {
    for (const thread of [0, 1]) rig.complete(thread)
    rig.on(0, () => channels[0]!.refs > 0 && channels[0]!.put())
    rig.on(1, () => channels[1]!.refs > 0 && channels[1]!.put())
    rig.on(0, () => desc.close())
    await rig.poll()
    await rig.finish()
  })

  const onTimeout = (io: BdevIo): void => {
    late.push({ arg: (io as unknown as { cbArg: unknown }).cbArg, thread: rig.host.currentThread().name, type: io.type })
  }
  const watch = (seconds: number): void => rig.on(0, () => desc.setTimeout(seconds, onTimeout))

  it('tells of its I/O that lasts, on the thread of each, once a second for as long as it does [bdev_set_io_timeout_mt]', async () => {
    watch(5)
    const [here, there] = [rig.submit(0, channels[0]!), rig.submit(1, channels[1]!, 'write')]
    await rig.advance(4_900)
    const young = rig.submit(0, channels[0]!)
    expect(late).toEqual([])
    await rig.advance(200)
    expect(late).toEqual([
      { arg: here, thread: rig.threads[0]!.name, type: IoType.Read },
      { arg: there, thread: rig.threads[1]!.name, type: IoType.Write },
    ])
    rig.complete(1)
    await rig.advance(1_000)
    expect(late.slice(2).map(({ arg }) => arg)).toEqual([here])
    await rig.advance(4_000)
    expect(late.some(({ arg }) => arg === young)).toBe(true)
  })

  it('leaves I/O of other descriptors alone, and a reset is told of as well [bdev_set_io_timeout]', async () => {
    const other = rig.open()
    const otherChannel = rig.channel(0, other)
    watch(3)
    rig.submit(0, otherChannel)
    const reset = rig.reset(0, channels[0]!)
    await rig.advance(4_100)
    expect([late.length > 0, late.every(({ arg }) => arg === reset)]).toEqual([true, true])
    rig.complete(0)
    await rig.poll()
    rig.on(0, () => (otherChannel.put(), other.close()))
  })

  it('can be changed and ended', async () => {
    watch(30)
    watch(3)
    rig.submit(0, channels[0]!)
    await rig.advance(3_100)
    expect(late.length).toBe(1)
    watch(0)
    await rig.advance(10_000)
    expect(late.length).toBe(1)
  })

  it('lets its function abort, reset or close, and names it where it throws', async () => {
    const sent: Sent[] = []
    rig.on(0, () =>
      desc.setTimeout(2, io => {
        const target = (io as unknown as { cbArg: Sent }).cbArg
        sent.push(target)
        channels[0]!.abort(target, done => done.free(), null)
        throw new Error('no more')
      }),
    )
    const [one, two] = [rig.submit(0, channels[0]!), rig.submit(0, channels[0]!)]
    await rig.advance(3_100)
    expect([sent, one.status, two.status]).toEqual([[one, two], IoStatus.Aborted, IoStatus.Aborted])
    expect(rig.log.filter(line => /I\/O timeout callback.*no more/.test(line)).length).toBe(2)
  })

  it('ends with the descriptor, though a walk is under way', async () => {
    rig.on(0, () =>
      desc.setTimeout(1, io => {
        onTimeout(io)
        channels[0]!.put()
        desc.close()
      }),
    )
    rig.submit(0, channels[0]!)
    rig.submit(0, channels[0]!)
    rig.submit(1, channels[1]!)
    await rig.advance(5_000)
    expect(late.map(({ thread }) => thread)).toEqual([rig.threads[0]!.name])
  })

  it('wants its own thread, a time and a function', async () => {
    expect(await codeOf(() => rig.on(1, () => desc.setTimeout(1, onTimeout)))).toBe('EINVAL')
    expect(await codeOf(() => watch(-1))).toBe('EINVAL')
    expect(await codeOf(() => rig.on(0, () => desc.setTimeout(1, null)))).toBe('EINVAL')
    rig.on(0, () => (channels[0]!.put(), desc.close()))
    expect(await codeOf(() => watch(1))).toBe('EBADF')
  })
})
