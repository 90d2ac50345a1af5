// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { IoStatus, type BdevIo } from '@bdevkit/module-sdk'
import type { HostOptions } from '../src/index.js'
import { FakeModule, RelayModule, type RelayOptions } from './support/fake-bdev.js'
import { NOTHING_IN_USE, openRw, read, startHost, submit, type Result } from './support/harness.js'

async function setup(layers: number, hostOptions: HostOptions = {}, relayOptions: RelayOptions = {}) {
  const fake = new FakeModule()
  const relay = new RelayModule('relay', relayOptions)
  const test = await startHost([fake, relay], hostOptions)
  const disk = fake.create('disk', { lendsReadBuffers: true })
  disk.data.forEach((_, i) => (disk.data[i] = (i >> 9) & 0xff))
  let name = 'disk'
  for (let i = 0; i < layers; i++) name = relay.create(`top${i}`, name)
  await test.clock.settle()
  const opened = openRw(test.host, name, { onEvent: event => event.type === 0 && opened.close() })
  /** Reads without buffers; the I/O is kept. */
  const borrow = (offset: number, count: number): Result =>
    submit((cb, r) => {
      r.keep = true
      return opened.channel.readvBlocks([], 0, offset, count, cb, r)
    })
  return { ...test, disk, relay, name, ...opened, borrow }
}

const bytesOf = (io: BdevIo): number[] => {
  const { buf, off, len } = io.iovs[0]!
  return [io.iovCnt, len, buf[off]!, buf[off + len - 1]!]
}

for (const layers of [0, 1, 2]) {
  describe(`a read without buffers through ${layers} layers`, () => {
    for (const strict of [false, true]) {
      it(`is answered with the module's own memory${strict ? ', in strict mode too' : ''}`, async () => {
        const { host, drain, disk, borrow } = await setup(layers, { strict })
        const result = borrow(5, 3)
        drain()
        expect([result.rc, result.success, bytesOf(result.io!)]).toEqual([0, true, [1, 1536, 5, 7]])
        expect(result.io!.iovs[0]!.buf === disk.data).toBe(true)
        expect(host.usage().bdevIos).toBe(layers + 1)
        result.io!.free()
        expect(host.usage().bdevIos).toBe(0)
      })
    }

    it('keeps its bdev, and every bdev below, until it is freed', async () => {
      const { host, clock, disk, borrow, name } = await setup(layers)
      const [first, second] = [borrow(1, 1), borrow(2, 1)]
      await clock.settle()
      let gone = false
      const done = host.unregister('disk').then(() => (gone = true))
      await clock.settle()
      expect([gone, disk.destructs, host.bdevByName(name) === undefined]).toEqual([false, 0, true])
      expect(bytesOf(second.io!)).toEqual([1, 512, 2, 2])
      first.io!.free()
      await clock.settle()
      expect(disk.destructs).toBe(0)
      second.io!.free()
      await clock.settle()
      await done
      expect([disk.destructs, host.usage()]).toEqual([1, NOTHING_IN_USE])
    })

    it('leaves nothing of the borrowed memory to the next I/O of the same object', async () => {
      const { host, drain, disk, channel, borrow } = await setup(layers)
      for (let i = 0; i < 100; i++) {
        const result = borrow(i, 1)
        drain()
        result.io!.free()
        const own = read(channel, i, 1)
        drain()
        expect([own.success, own.buf[0], own.buf === disk.data]).toEqual([true, i, false])
      }
      expect(host.usage().bdevIos).toBe(0)
    })

    it('that fails borrows nothing', async () => {
      const { host, drain, disk, borrow } = await setup(layers)
      disk.answers.push(IoStatus.Failed)
      const result = borrow(0, 1)
      drain()
      expect([result.success, host.usage().bdevIos]).toEqual([false, 1])
      result.io!.free()
      expect(host.usage().bdevIos).toBe(0)
    })
  })
}

describe('borrowing', () => {
  it('is refused by a bdev that does not lend', async () => {
    const fake = new FakeModule()
    const { host } = await startHost([fake])
    fake.create('disk')
    const { channel } = openRw(host, 'disk')
    expect(submit((cb, r) => channel.readvBlocks([], 0, 0, 1, cb, r)).rc).toBe(-22)
  })

  it('goes on through forwardThen, and where a module asks twice the second answer counts', async () => {
    let again = true
    const { host, drain, disk, borrow } = await setup(
      1,
      {},
      {
        submit: (base, io) =>
          io.forwardThen(base, (_child, parent) => {
            if (!again) return parent.complete(IoStatus.Success)
            again = false
            parent.forwardThen(base, (_second, it) => it.complete(IoStatus.Success), 4)
          }),
      },
    )
    const result = borrow(1, 1)
    drain()
    expect([result.success, bytesOf(result.io!), host.usage().bdevIos]).toEqual([true, [1, 512, 5, 5], 2])
    expect([disk.data[512], disk.data[5 * 512]]).toEqual([1, 5])
    result.io!.free()
    expect(host.usage().bdevIos).toBe(0)
  })

  it('ends when a module lends and then sends the read down after all', async () => {
    const { host, drain, clock, disk, borrow } = await setup(
      1,
      {},
      {
        submit: (base, io) => {
          io.lend(new Uint8Array(512).fill(0xee), 0, 512)
          io.forward(base)
        },
      },
    )
    const result = borrow(3, 1)
    drain()
    expect([result.success, bytesOf(result.io!)]).toEqual([true, [1, 512, 3, 3]])
    result.io!.free()
    const done = host.unregister('disk')
    await clock.settle()
    await done
    expect(disk.destructs).toBe(1)
  })

  it('ends when the vbdev fails the I/O after its child lent', async () => {
    const { host, clock, drain, borrow } = await setup(
      1,
      {},
      {
        submit: (base, io) => io.forwardThen(base, (_child, parent) => parent.complete(IoStatus.Failed)),
      },
    )
    const result = borrow(1, 1)
    drain()
    expect(result.success).toBe(false)
    result.io!.free()
    expect(host.usage().bdevIos).toBe(0)
    const done = host.unregister('disk')
    await clock.settle()
    await done
  })

  it('through a vbdev that promises what its base does not keep fails, and shows no stale bytes', async () => {
    const fake = new FakeModule()
    const relay = new RelayModule('relay', { spec: () => ({ lendsReadBuffers: true }) })
    const { host, drain, clock } = await startHost([fake, relay])
    fake.create('disk')
    relay.create('top', 'disk')
    await clock.settle()
    const { channel } = openRw(host, 'top')
    const result = submit((cb, r) => channel.readvBlocks([], 0, 0, 1, cb, r))
    drain()
    expect([result.rc, result.calls, result.success]).toEqual([0, 1, false])
  })

  it('a module that lends although there are buffers fills them', async () => {
    const { drain, disk, channel } = await setup(0)
    disk.submit = io => {
      io.lend(disk.data, io.offsetBlocks * 512, io.numBlocks * 512)
      io.complete(IoStatus.Success)
    }
    const own = read(channel, 9, 1)
    drain()
    expect([own.success, own.buf[0]]).toEqual([true, 9])
  })

  it('a module that lends after it completed is named, and nobody sees the memory', async () => {
    const { drain, disk, channel, lines } = await setup(0)
    disk.submit = io => {
      io.complete(disk.serve(io))
      io.lend(disk.data, 0, 512)
    }
    const own = read(channel, 9, 1)
    let seen: unknown
    own.whenDone = io => (seen = io.iovs[0]!.buf === own.buf)
    drain()
    expect([own.success, own.buf[0], seen]).toEqual([true, 9, true])
    expect(lines('error').join()).toContain('that it does not have')
  })
})
