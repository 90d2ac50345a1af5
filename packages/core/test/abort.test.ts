// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { ALL_TYPES, FakeModule, RelayModule, type FakeDiskOptions } from './support/fake-bdev.js'
import { on, openRw, read, startHost, submit, write, type Result } from './support/harness.js'

async function setup(options: FakeDiskOptions = { hold: true }, layers = 0) {
  const fake = new FakeModule()
  const relay = new RelayModule()
  const test = await startHost([fake, relay])
  const disk = fake.create('disk', options)
  let name = 'disk'
  for (let i = 0; i < layers; i++) name = relay.create(`top${i}`, name)
  await test.clock.settle()
  const { channel } = openRw(test.host, name)
  const abort = (arg: unknown): Result => submit((cb, r) => channel.abort(arg, cb, r))
  return { ...test, fake, disk, channel, abort }
}

describe('an ABORT', () => {
  it('ends its target as aborted and then succeeds; other I/O goes on', async () => {
    const { host, drain, disk, channel, abort } = await setup()
    const [other, target] = [write(channel, 0, 1), write(channel, 1, 1)]
    const result = abort(target)
    drain()
    expect([target.calls, target.status, result.success, other.done]).toEqual([1, IoStatus.Aborted, true, false])
    disk.complete()
    expect([other.success, host.usage().bdevIos]).toEqual([true, 0])
  })

  it('fails where nothing was submitted with that argument', async () => {
    const { drain, disk, channel, abort } = await setup()
    write(channel, 0, 1)
    const result = abort({})
    drain()
    expect([result.rc, result.calls, result.success, disk.seen]).toEqual([0, 1, false, ['write 0+1']])
  })

  it('fails where the target has completed', async () => {
    const { drain, disk, channel, abort } = await setup()
    const target = write(channel, 0, 1)
    disk.complete()
    const result = abort(target)
    drain()
    expect([target.success, result.success]).toEqual([true, false])
  })

  it('fails where the target has completed and its callback is still to come', async () => {
    const { drain, disk, channel, abort } = await setup({})
    const target = write(channel, 0, 1)
    const result = abort(target)
    drain()
    expect([target.success, result.success, disk.seen]).toEqual([true, false, ['write 0+1']])
  })

  it('fails where the module refuses; the target ends by itself', async () => {
    const { drain, disk, channel, abort } = await setup()
    const target = write(channel, 0, 1)
    disk.answers.push(IoStatus.Failed)
    const result = abort(target)
    drain()
    expect([result.success, target.done]).toEqual([false, false])
    disk.complete()
    expect(target.success).toBe(true)
  })

  it('succeeds where its target completes before the module refuses: nothing is left to abort', async () => {
    for (const layers of [0, 2]) {
      const { host, drain, disk, channel } = await setup({ hold: true }, layers)
      const target = write(channel, 0, 1)
      let aborting!: BdevIo
      disk.submit = io => void (aborting = io)
      let status = NaN
      const result = submit((cb, r) => channel.abort(target, cb, r))
      result.whenDone = io => (status = io.status)
      disk.complete()
      aborting.complete(IoStatus.Failed)
      drain()
      expect([target.success, result.calls, result.success, status, host.usage().bdevIos]).toEqual([true, 1, true, IoStatus.Success, 0])
    }
  })

  it('of one I/O tells the same as one of several where some have completed and the module refuses the rest', async () => {
    const { drain, disk, channel, abort } = await setup()
    const arg = {}
    const free = (io: BdevIo): void => io.free()
    for (let block = 0; block < 2; block++) channel.unmapBlocks(block, 1, free, arg)
    const aborts: BdevIo[] = []
    disk.submit = io => void aborts.push(io)
    const both = abort(arg)
    disk.complete()
    for (const io of aborts.splice(0)) io.complete(IoStatus.Failed)
    drain()
    expect(both.success).toBe(false)
    const one = abort(arg)
    aborts[0]!.complete(IoStatus.Failed)
    drain()
    expect(one.success).toBe(false)
    const last = abort(arg)
    disk.complete()
    aborts[1]!.complete(IoStatus.Failed)
    drain()
    expect(last.success).toBe(true)
  })

  it('reaches only I/O of its own channel', async () => {
    const { host, drain, disk, abort } = await setup()
    const thread = host.createThread('other')
    const there = on(thread, () => openRw(host, 'disk'))
    const target = on(thread, () => write(there.channel, 0, 1))
    const result = abort(target)
    drain()
    expect([result.success, target.done]).toEqual([false, false])
    disk.complete()
  })

  it('takes all I/O with the argument, and fails where one of them cannot be aborted', async () => {
    const { drain, disk, channel, abort } = await setup()
    const arg = {}
    const ends: number[] = []
    const cb = (io: BdevIo): void => {
      ends.push(io.status)
      io.free()
    }
    for (let block = 0; block < 3; block++) channel.unmapBlocks(block, 1, cb, arg)
    const all = abort(arg)
    drain()
    expect([ends, all.success]).toEqual([[IoStatus.Aborted, IoStatus.Aborted, IoStatus.Aborted], true])
    for (let block = 0; block < 2; block++) channel.unmapBlocks(block, 1, cb, arg)
    disk.answers.push(IoStatus.Failed)
    const some = abort(arg)
    drain()
    expect([some.success, disk.held.length]).toEqual([false, 1])
  })

  it('of a reset or an abort fails', async () => {
    const { clock, disk, channel, abort } = await setup()
    const reset = submit((cb, r) => channel.reset(cb, r))
    await clock.settle()
    const result = abort(reset)
    await clock.settle()
    expect([result.success, reset.done]).toEqual([false, false])
    disk.complete()
    await clock.settle()
    expect(reset.success).toBe(true)
  })

  it('is -ENOTSUP where the module cannot abort', async () => {
    const { channel, abort } = await setup({ hold: true, types: ALL_TYPES.filter(type => type !== IoType.Abort) })
    expect(abort(write(channel, 0, 1)).rc).toBe(-95)
  })

  it('shows the module its target, and null once that has completed', async () => {
    const { drain, disk, channel, abort } = await setup()
    const target = write(channel, 0, 1)
    const seen: (number | null)[] = []
    let aborting: BdevIo | null = null
    disk.submit = io => {
      aborting = io
      seen.push(io.abortTarget?.offsetBlocks ?? null)
    }
    const result = abort(target)
    disk.submit = null
    disk.complete()
    write(channel, 9, 1)
    seen.push((aborting as unknown as BdevIo).abortTarget?.offsetBlocks ?? null)
    ;(aborting as unknown as BdevIo).complete(IoStatus.Failed)
    drain()
    expect([seen, target.success, result.calls]).toEqual([[0, null], true, 1])
    disk.completeAll()
  })
})

describe('through vbdevs', () => {
  for (const layers of [1, 3]) {
    it(`an ABORT of ${layers} layers reaches the child at the bottom`, async () => {
      const { host, drain, disk, channel, abort } = await setup({ hold: true }, layers)
      const [other, target] = [read(channel, 0, 1), read(channel, 1, 1)]
      const result = abort(target)
      drain()
      expect([target.status, result.success, other.done]).toEqual([IoStatus.Aborted, true, false])
      disk.complete()
      drain()
      expect([other.success, host.usage().bdevIos]).toEqual([true, 0])
    })
  }

  it('an ABORT whose target has ended on the way touches no I/O that was submitted without an argument', async () => {
    const aborts: BdevIo[] = []
    const fake = new FakeModule()
    const relay = new RelayModule('relay', {
      submit: (base, io) => {
        if (io.type === IoType.Abort) aborts.push(io)
        else io.forward(base)
      },
    })
    const { host, drain, clock } = await startHost([fake, relay])
    const disk = fake.create('disk', { hold: true })
    relay.create('top', 'disk')
    await clock.settle()
    const { channel } = openRw(host, 'top')
    const reader = openRw(host, 'disk', { write: false }).channel
    let strangerStatus = 0
    const stranger = (io: BdevIo): void => {
      strangerStatus = io.status
      io.free()
    }
    reader.readBlocks(new Uint8Array(512), 0, 3, 1, stranger, null)
    const target = write(channel, 0, 1)
    const result = submit((cb, r) => channel.abort(target, cb, r))
    disk.complete(disk.held.find(io => io.type === IoType.Write))
    expect(target.success).toBe(true)
    const base = (aborts[0]!.bdev.ctx as { base: { getIoChannel(): never } }).base.getIoChannel()
    aborts[0]!.forward(base)
    drain()
    expect([strangerStatus, result.calls, result.success]).toEqual([0, 1, true])
    disk.complete()
    drain()
    expect(strangerStatus).toBe(IoStatus.Success)
  })
})
