// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { IoStatus, type BdevIo } from '@bdevkit/module-sdk'
import { FakeModule, RelayModule } from './support/fake-bdev.js'
import { iovsOf, openRw, read, startHost, submit, write } from './support/harness.js'

async function setup(layers = 0) {
  const fake = new FakeModule()
  const relay = new RelayModule()
  const test = await startHost([fake, relay], { strict: true })
  const disk = fake.create('disk')
  let top = 'disk'
  for (let i = 0; i < layers; i++) top = relay.create(`top${i}`, top)
  await test.clock.settle()
  const { channel } = openRw(test.host, top)
  return { ...test, disk, channel }
}

describe('strict mode', () => {
  for (const layers of [0, 2]) {
    it(`keeps data right, in one piece and in several, under ${layers} layers`, async () => {
      const { host, drain, disk, channel } = await setup(layers)
      const out = iovsOf(100, 412, 512)
      const wrote = submit((cb, r) => channel.writevBlocks(out, 3, 4, 2, cb, r))
      drain()
      const back = read(channel, 4, 2)
      const compare = submit((cb, r) => channel.comparevBlocks(out, 3, 4, 2, cb, r))
      drain()
      expect([wrote.success, back.success, compare.success]).toEqual([true, true, true])
      expect([back.buf[99], back.buf[100], back.buf[511], back.buf[512], back.buf[1023]]).toEqual([1, 2, 2, 3, 3])
      expect([out[0]!.buf[4], disk.data[4 * 512], host.usage().bdevIos]).toEqual([1, 1, 0])
    })

    it(`lets nothing through that the module writes into a read buffer after it completed, under ${layers} layers`, async () => {
      const { drain, disk, channel } = await setup(layers)
      const buffers: Uint8Array[] = []
      disk.submit = io => {
        buffers.push(io.iovs[0]!.buf)
        io.complete(disk.serve(io))
      }
      disk.data.fill(3)
      const result = read(channel, 0, 1)
      drain()
      expect(result.buf[0]).toBe(3)
      buffers[0]!.fill(9)
      expect([...new Set(result.buf)]).toEqual([3])
    })

    it(`shows poison to a module that reads a write buffer after it completed, under ${layers} layers`, async () => {
      const { drain, disk, channel } = await setup(layers)
      let late!: Uint8Array
      disk.submit = io => {
        late = io.iovs[0]!.buf
        io.complete(IoStatus.Success)
      }
      const out = new Uint8Array(512).fill(4)
      const result = submit((cb, r) => channel.writeBlocks(out, 0, 0, 1, cb, r))
      drain()
      expect([result.success, [...new Set(late)], out[0]]).toEqual([true, [0xdb], 4])
    })
  }

  it('leaves the buffer of a failed read as it was', async () => {
    const { drain, disk, channel } = await setup()
    disk.submit = io => {
      disk.serve(io)
      io.complete(IoStatus.Failed)
    }
    const result = read(channel, 0, 1, new Uint8Array(512).fill(8))
    drain()
    expect([result.success, [...new Set(result.buf)]]).toEqual([false, [8]])
  })

  it('names a module that changes the buffer of a write', async () => {
    const { drain, disk, channel, lines } = await setup()
    disk.submit = io => {
      io.iovs[0]!.buf[io.iovs[0]!.off] = 0xff
      io.complete(IoStatus.Success)
    }
    const out = new Uint8Array(512).fill(4)
    submit((cb, r) => channel.writeBlocks(out, 0, 0, 1, cb, r))
    drain()
    expect(out[0]).toBe(4)
    expect(lines('error').join()).toContain(
      'module "fake", or one below it, changed the buffer of a write to bdev "disk"; it must work on a copy',
    )
  })

  it('traps a module that looks at an I/O after it was freed', async () => {
    const { drain, disk, channel } = await setup()
    let kept!: BdevIo
    disk.submit = io => {
      kept = io
      io.complete(disk.serve(io))
    }
    write(channel, 2, 1)
    drain()
    for (const field of ['iovs', 'iovCnt', 'offsetBlocks', 'numBlocks'] as const) {
      expect(() => kept[field]).toThrow(`io.${field} was read after the I/O was freed (module "fake", strict mode)`)
    }
  })

  it('uses no I/O object twice', async () => {
    const { drain, disk, channel } = await setup()
    const seen = new Set<BdevIo>()
    disk.submit = io => {
      seen.add(io)
      io.complete(disk.serve(io))
    }
    for (let i = 0; i < 100; i++) {
      write(channel, 0, 1)
      drain()
    }
    expect(seen.size).toBe(100)
  })

  it('gives the buffers back of I/O that is aborted in a queue', async () => {
    const { clock, host, disk, channel } = await setup()
    disk.answers.push(IoStatus.Nomem)
    const result = read(channel, 0, 1, new Uint8Array(512).fill(8))
    const reset = submit((cb, r) => channel.reset(cb, r))
    await clock.settle()
    expect([result.status, result.buf[0], reset.success, host.usage().bdevIos]).toEqual([IoStatus.Aborted, 8, true, 0])
  })
})
