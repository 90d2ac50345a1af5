// SPDX-License-Identifier: Apache-2.0
import type { BdevIo, DmaBuffer } from '@bdevkit/module-sdk'
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import { describe, expect, test } from 'vitest'
import { FakeModule, RelayModule, type FakeDisk, type FakeDiskOptions } from './support/fake-bdev.js'
import { codeOf, iovsOf, makeHost, NOTHING_IN_USE, on, openRw, read, startHost, submit, write, type Opened, type TestHost } from './support/harness.js'

/** A disk whose module asks for buffers before it works, as SPDK's aio does. */
function buffered(module: FakeModule, name: string, options: FakeDiskOptions = {}): FakeDisk {
  const disk = module.create(name, options)
  disk.submit = io => {
    if (io.type !== IoType.Read && io.type !== IoType.Write) return io.complete(disk.serve(io))
    return io.getBuf(io.numBlocks * io.bdev.blockSizeBytes, gotBuf)
  }
  return disk
}

/** Where the data of the I/O that `gotBuf` saw last was. */
let seen: { buf: Uint8Array; off: number; iovCnt: number } = { buf: new Uint8Array(0), off: 0, iovCnt: 0 }

function gotBuf(_channel: unknown, io: BdevIo, success: boolean): void {
  const disk = io.bdev.ctx as FakeDisk
  if (!success) return io.complete(IoStatus.Aborted)
  seen = { buf: io.iovs[0]!.buf, off: io.iovs[0]!.off, iovCnt: io.iovCnt }
  if (disk.hold) disk.held.push(io)
  else io.complete(disk.serve(io))
  return undefined
}

/** A host with one buffered disk, open. */
async function start(options: FakeDiskOptions, strict = false): Promise<{ test: TestHost; disk: FakeDisk; at: Opened }> {
  const module = new FakeModule()
  const test = await startHost([module], { strict })
  const disk = buffered(module, 'disk', options)
  return { test, disk, at: openRw(test.host, 'disk') }
}

/** Takes every small or large buffer that a thread may have; returns how to give one back. */
function takeAll(test: TestHost, lengthBytes: number): () => void {
  const lent: DmaBuffer[] = []
  const entry = { fn: () => {}, arg: null }
  for (;;) {
    const buffer = test.host.iobuf.get(lengthBytes, entry)
    if (buffer === undefined) break
    lent.push(buffer)
  }
  test.host.iobuf.cancel(entry)
  return () => test.host.iobuf.put(lent.pop()!)
}

const heapOf = (test: TestHost): Uint8Array => test.host.heap.u8

describe.each([false, true])('strict mode %s', strict => {
  describe('bdev_io_alignment', () => {
    test.each([1, 512, 2048, 4096, 8192])('buffers of others reach a bdev that requires %i bytes in aligned memory, and come back', async align => {
      const { test, disk, at } = await start({ requiredAlignmentBytes: align }, strict)
      const data = new Uint8Array(8 * 512 + 1).map((_, i) => i)
      const wrote = submit((cb, result) => at.channel.writeBlocks(data, 1, 4, 8, cb, result))
      test.drain()
      expect(wrote.status).toBe(IoStatus.Success)
      expect(disk.data.slice(4 * 512, 12 * 512)).toEqual(data.slice(1))
      if (align > 8) {
        expect(seen.buf).toBe(heapOf(test))
        expect(seen.off % align).toBe(0)
      } else if (!strict) expect(seen.buf).toBe(data)

      const back = new Uint8Array(8 * 512 + 1)
      const got = submit((cb, result) => at.channel.readBlocks(back, 1, 4, 8, cb, result))
      test.drain()
      expect(got.status).toBe(IoStatus.Success)
      expect(back.slice(1)).toEqual(data.slice(1))
      expect(test.host.usage()).toMatchObject({ iobufs: 0, bdevIos: 0 })
    })

    test('aligned memory of the heap goes through as it is', async () => {
      const { test, at } = await start({ requiredAlignmentBytes: 4096 })
      const { buf, off } = test.host.dma.alloc(4096, 4096)!
      const done = submit((cb, result) => at.channel.writeBlocks(buf, off, 0, 8, cb, result))
      test.drain()
      expect(done.success).toBe(true)
      expect(seen).toMatchObject({ off, iovCnt: 1 })
    })

    test('one element of several that is not aligned has all of them replaced by one', async () => {
      const { test, disk, at } = await start({ requiredAlignmentBytes: 512 }, strict)
      const iovs = iovsOf(100, 412, 512)
      submit((cb, result) => at.channel.writevBlocks(iovs, 3, 0, 2, cb, result))
      test.drain()
      expect(seen.iovCnt).toBe(1)
      expect(disk.data.slice(0, 1024)).toEqual(Uint8Array.from({ length: 1024 }, (_, i) => (i < 100 ? 1 : i < 512 ? 2 : 3)))

      const into = iovsOf(1, 1023)
      submit((cb, result) => at.channel.readvBlocks(into, 2, 0, 2, cb, result))
      test.drain()
      expect(into[0]!.buf[4]).toBe(1)
      expect(into[1]!.buf.slice(4, 4 + 1023)).toEqual(disk.data.slice(1, 1024))
    })
  })

  test('a read that fails leaves the buffers of its submitter alone', async () => {
    const { test, disk, at } = await start({ requiredAlignmentBytes: 4096, hold: true }, strict)
    const buf = new Uint8Array(512).fill(7)
    const got = read(at.channel, 0, 1, buf)
    disk.complete(disk.held[0], IoStatus.Failed)
    test.drain()
    expect(got.status).toBe(IoStatus.Failed)
    expect(buf.every(byte => byte === 7)).toBe(true)
    expect(test.host.usage()).toMatchObject({ iobufs: 0 })
  })

  test('an I/O that is refused for want of memory keeps its copy for the next try', async () => {
    const { test, disk, at } = await start({ requiredAlignmentBytes: 4096, hold: true }, strict)
    const done = write(at.channel, 3, 1, 0x5a)
    disk.held[0]!.complete(IoStatus.Nomem)
    disk.held.length = 0
    await test.clock.advance(20)
    expect(disk.held).toHaveLength(1)
    expect(test.host.usage().iobufs).toBe(1)
    disk.complete()
    test.drain()
    expect(done.success).toBe(true)
    expect(disk.data[3 * 512]).toBe(0x5a)
    expect(test.host.usage()).toMatchObject({ iobufs: 0 })
  })
})

describe('a read without buffers', () => {
  test('is given one, which stays until it is freed', async () => {
    const { test, disk, at } = await start({ lendsReadBuffers: true, requiredAlignmentBytes: 4096 })
    disk.data.fill(9, 512, 1024)
    const got = submit((cb, result) => at.channel.readvBlocks([], 0, 1, 1, cb, Object.assign(result, { keep: true })))
    test.drain()
    const { iovs } = got.io!
    expect(iovs[0]!.buf.slice(iovs[0]!.off, iovs[0]!.off + iovs[0]!.len)).toEqual(new Uint8Array(512).fill(9))
    expect(test.host.usage().iobufs).toBe(1)
    got.io!.free()
    expect(test.host.usage()).toMatchObject({ iobufs: 0, bdevIos: 0 })
  })

  test('passes it up through a vbdev', async () => {
    const module = new FakeModule()
    const relays = new RelayModule()
    const test = await startHost([module, relays])
    const disk = buffered(module, 'disk', { lendsReadBuffers: true })
    disk.data.fill(3)
    relays.create('top', 'disk')
    const at = openRw(test.host, 'top')
    const got = submit((cb, result) => at.channel.readvBlocks([], 0, 0, 2, cb, Object.assign(result, { keep: true })))
    test.drain()
    expect(got.success).toBe(true)
    expect(got.io!.iovs[0]!.buf[got.io!.iovs[0]!.off + 1023]).toBe(3)
    got.io!.free()
    expect(test.host.usage()).toMatchObject({ iobufs: 0, bdevIos: 0 })
  })

  test('reads into the buffer that a vbdev has asked for', async () => {
    const module = new FakeModule()
    const relays = new RelayModule('relay', {
      submit: (base, io) =>
        io.getBuf(io.numBlocks * 512, (_channel, parent) => {
          parent.forwardThen(base, (child, self) => {
            const iov = self.iovs[0]!
            iov.buf[iov.off]! ^= 0xff
            self.completeFrom(child)
          })
        }),
    })
    const test = await startHost([module, relays])
    module.create('disk', { lendsReadBuffers: true })
    relays.create('top', 'disk')
    const at = openRw(test.host, 'top')
    const got = submit((cb, result) => at.channel.readvBlocks([], 0, 0, 1, cb, Object.assign(result, { keep: true })))
    test.drain()
    expect(got.io!.iovs[0]!.buf[got.io!.iovs[0]!.off]).toBe(0xff)
    expect(module.disks.get('disk')!.data[0]).toBe(0)
    got.io!.free()
    expect(test.host.usage()).toMatchObject({ iobufs: 0, bdevIos: 0 })
  })
})

describe('bdev_io_iobuf_wait_abort', () => {
  test('I/O waits for a buffer and goes on, oldest first, as they come back', async () => {
    const { test, disk, at } = await start({ requiredAlignmentBytes: 4096 })
    const giveBack = takeAll(test, 512)
    const first = write(at.channel, 0, 1, 1)
    const second = write(at.channel, 1, 1, 2)
    test.drain()
    expect([first.done, second.done]).toEqual([false, false])
    expect(test.host.usage().iobufWaiters).toBe(2)
    giveBack()
    test.drain()
    // The first gives its buffer back when it has ended, and the second goes on with that.
    expect([first.success, second.success]).toEqual([true, true])
    expect(first.order).toBeLessThan(second.order)
    expect([disk.data[0], disk.data[512]]).toEqual([1, 2])
    expect(test.host.iobuf.statsJson()[0]!['small_pool']).toMatchObject({ retry: 3, cache_size: 128 })
  })

  test('an ABORT ends the wait', async () => {
    const { test, disk, at } = await start({ requiredAlignmentBytes: 4096 })
    takeAll(test, 512)
    const waiting = write(at.channel, 0, 1)
    const abort = submit((cb, result) => at.channel.abort(waiting, cb, result))
    test.drain()
    expect(waiting.status).toBe(IoStatus.Aborted)
    expect(abort.success).toBe(true)
    expect(disk.seen).toEqual(['write 0+1'])
    expect(test.host.usage().iobufWaiters).toBe(0)
  })

  test('a RESET ends it too', async () => {
    const { test, at } = await start({ requiredAlignmentBytes: 4096 })
    takeAll(test, 512)
    const waiting = read(at.channel, 0, 1)
    const reset = submit((cb, result) => at.channel.reset(cb, result))
    test.drain()
    expect(waiting.status).toBe(IoStatus.Aborted)
    expect(reset.success).toBe(true)
  })

  test('and so does the removal of the bdev', async () => {
    const { test, at } = await start({ requiredAlignmentBytes: 4096 })
    const giveBack = takeAll(test, 512)
    const waiting = read(at.channel, 0, 1)
    const gone = test.host.unregister('disk')
    test.drain()
    expect(waiting.status).toBe(IoStatus.Aborted)
    at.close()
    await gone
    giveBack()
  })

  test('a COMPARE that waits for its buffer can be aborted', async () => {
    const { test, at } = await start({ types: [IoType.Read, IoType.Write, IoType.Abort, IoType.Reset] })
    takeAll(test, 512)
    const waiting = submit((cb, result) => at.channel.comparevBlocks(iovsOf(512), 1, 0, 1, cb, result))
    submit((cb, result) => at.channel.abort(waiting, cb, result))
    test.drain()
    expect(waiting.status).toBe(IoStatus.Aborted)
    expect(test.host.usage()).toMatchObject({ iobufWaiters: 0, bdevIos: 0 })
  })
})

describe('an auxiliary buffer', () => {
  const aux = (io: BdevIo): void =>
    io.getAuxBuf((_channel, self, buffer) => {
      if (buffer === null) return self.complete(IoStatus.Aborted)
      buffer.buf.fill(1, buffer.off, buffer.off + 512)
      self.putAuxBuf(buffer)
      self.complete(IoStatus.Success)
    })

  test('is there at once, or is waited for, and the wait ends with ABORT', async () => {
    const { test, disk, at } = await start({})
    disk.submit = aux
    expect([write(at.channel, 0, 1), test.drain()][0]).toMatchObject({ success: true })
    const giveBack = takeAll(test, 512)
    const waits = write(at.channel, 0, 1)
    const aborted = write(at.channel, 0, 1)
    disk.submit = null
    submit((cb, result) => at.channel.abort(aborted, cb, result))
    test.drain()
    expect(aborted.status).toBe(IoStatus.Aborted)
    expect(waits.done).toBe(false)
    giveBack()
    test.drain()
    expect(waits.success).toBe(true)
  })

  test('a callback that throws fails the I/O by name', async () => {
    const { test, disk, at } = await start({})
    disk.submit = io =>
      io.getAuxBuf(() => {
        throw new Error('no luck')
      })
    const giveBack = takeAll(test, 512)
    const waits = write(at.channel, 0, 1)
    giveBack()
    test.drain()
    expect(waits.status).toBe(IoStatus.Failed)
    expect(test.lines('error').join()).toContain('no luck')
  })
})

describe('COMPARE of a bdev that lacks it', () => {
  const types = [IoType.Read, IoType.Write]

  test('reads by the largest buffer, and finds the difference anywhere', async () => {
    const { test, disk, at } = await start({ types })
    const iovs = iovsOf(3000, 135_168, 2 * 135_168 - 3000)
    let at2 = 0
    for (const iov of iovs) {
      disk.data.set(iov.buf.subarray(iov.off, iov.off + iov.len), at2)
      at2 += iov.len
    }
    const same = submit((cb, result) => at.channel.comparevBlocks(iovs, 3, 0, at2 / 512, cb, result))
    test.drain()
    expect(same.status).toBe(IoStatus.Success)
    expect(disk.seen).toEqual(['read 0+264', 'read 264+264', 'read 528+264'])
    disk.data[at2 - 1]! ^= 1
    const other = submit((cb, result) => at.channel.comparevBlocks(iovs, 3, 0, at2 / 512, cb, result))
    test.drain()
    expect(other.status).toBe(IoStatus.Miscompare)
    expect(test.host.usage()).toMatchObject({ iobufs: 0, bdevIos: 0 })
  })

  test('a block longer than a large buffer has memory of its own meanwhile', async () => {
    const { test, at } = await start({ types, blockSizeBytes: 200_000, numBlocks: 4 })
    const same = submit((cb, result) => at.channel.comparevBlocks([{ buf: new Uint8Array(200_000), off: 0, len: 200_000 }], 1, 0, 1, cb, result))
    test.drain()
    expect(same.status).toBe(IoStatus.Success)
    expect(test.host.usage()).toMatchObject({ iobufs: 0, dmaBytes: 0 })
  })
})

describe('the pools', () => {
  test('a thread that has the whole pool does not starve another: each has its reserve', async () => {
    const { test, at } = await start({ requiredAlignmentBytes: 4096 })
    const other = test.host.createThread('other')
    const { host } = test
    const channel = on(other, () => at.desc.getIoChannel()!)
    takeAll(test, 512)
    const done = on(other, () => write(channel, 0, 1))
    test.drain()
    expect(done.success).toBe(true)
    expect(host.iobuf.inUse).toBe(8192 - 128)
    on(other, () => channel.put())
  })

  test('what comes back goes to threads in turn', async () => {
    const { test } = await start({})
    const { host } = test
    const other = host.createThread('other')
    const order: string[] = []
    const giveBack = takeAll(test, 512)
    const giveOther = on(other, () => takeAll(test, 512))
    const ask = (name: string): void => {
      expect(host.iobuf.get(512, { fn: () => void order.push(name), arg: null })).toBeUndefined()
    }
    for (const i of [1, 2, 3]) ask(`a${i}`)
    on(other, () => {
      for (const i of [1, 2]) ask(`b${i}`)
    })
    for (let i = 0; i < 5; i++) {
      giveBack()
      test.drain()
    }
    expect(order).toEqual(['a1', 'b1', 'a2', 'b2', 'a3'])
    // Beyond its reserve a thread gives back to all; within it to itself.
    ask('a4')
    on(other, () => ask('b3'))
    for (const next of ['a4', 'b3']) {
      on(other, giveOther)
      test.drain()
      expect(order.at(-1)).toBe(next)
    }
    ask('a5')
    on(other, () => ask('b4'))
    on(other, giveOther)
    on(other, giveOther)
    test.drain()
    expect(order.slice(-2).toSorted()).toEqual(['a5', 'b4'])
  })

  test('a long request is not overtaken for ever by short ones', async () => {
    const { test } = await start({})
    const { host } = test
    const giveBack = takeAll(test, 100_000)
    const got: string[] = []
    host.iobuf.get(4 * 135_168, { fn: (_arg, buffer) => void got.push(`long ${buffer.len}`), arg: null })
    host.iobuf.get(100_000, { fn: () => void got.push('short'), arg: null })
    for (let i = 0; i < 3; i++) giveBack()
    test.drain()
    expect(got).toEqual([])
    giveBack()
    test.drain()
    expect(got).toEqual([`long ${4 * 135_168}`])
    giveBack()
    test.drain()
    expect(got).toEqual([`long ${4 * 135_168}`, 'short'])
  })

  test('a full DMA heap is waited for', async () => {
    const { test } = await start({})
    const { host } = test
    const all: number[] = []
    for (let size = 2 ** 31; size >= 64; size /= 2) for (let off = host.heap.alloc(size); off >= 0; off = host.heap.alloc(size)) all.push(off)
    let got: DmaBuffer | null = null
    expect(host.iobuf.get(4096, { fn: (_arg, buffer) => void (got = buffer), arg: null })).toBeUndefined()
    await test.clock.advance(30)
    expect(got).toBeNull()
    for (const off of all) host.heap.free(off)
    await test.clock.advance(30)
    expect(got).not.toBeNull()
    host.iobuf.put(got!)
  })

  test('what is put twice is named and ignored', async () => {
    const { test } = await start({})
    const buffer = test.host.iobuf.get(1, { fn: () => {}, arg: null })!
    test.host.iobuf.put(buffer)
    test.host.iobuf.put(buffer)
    expect(test.lines('error')).toEqual(['bdev: iobuf: a buffer was put that is not lent: put twice, or from elsewhere; ignored'])
    expect(test.host.usage().iobufs).toBe(0)
  })

  test('too long a request is refused with what to do', async () => {
    const { test } = await start({})
    expect(() => test.host.iobuf.get(1e9, { fn: () => {}, arg: null })).toThrow('at most 69206016 bytes')
  })

  test('options are taken before init, and checked', async () => {
    const { host } = makeHost([])
    host.iobuf.setOptions({ smallPoolCount: 64, largePoolCount: 8, smallBufBytes: 4096, largeBufBytes: 65_536 })
    expect(host.iobuf.configJson()).toEqual([
      { method: 'iobuf_set_options', params: { small_pool_count: 64, large_pool_count: 8, small_bufsize: 4096, large_bufsize: 65_536, enable_numa: false } },
    ])
    expect(await codeOf(() => host.iobuf.setOptions({ smallPoolCount: 63 }))).toBe('EINVAL')
    expect(await codeOf(() => host.iobuf.setOptions({ largeBufBytes: 8191 }))).toBe('EINVAL')
    await host.init()
    expect(await codeOf(() => host.iobuf.setOptions({ smallPoolCount: 128 }))).toBe('EBUSY')
  })

  test('everything is given back', async () => {
    const { test, at } = await start({ requiredAlignmentBytes: 512 })
    write(at.channel, 0, 100)
    read(at.channel, 0, 100)
    test.drain()
    at.close()
    await test.host.unregister('disk')
    expect(test.host.usage()).toEqual(NOTHING_IN_USE)
  })
})
