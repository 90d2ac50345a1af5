// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { BdevEventType, IoStatus } from '@bdevkit/module-sdk'
import type { HostOptions } from '../src/index.js'
import { ALL_TYPES, FakeModule, MORE_TYPES, type FakeDiskOptions } from './support/fake-bdev.js'
import { codeOf, NOTHING_IN_USE, on, openRw, startHost, write } from './support/harness.js'

async function setup(options: FakeDiskOptions = {}, hostOptions: HostOptions = {}) {
  const fake = new FakeModule()
  const test = await startHost([fake], hostOptions)
  const disk = fake.create('disk', options)
  await test.clock.settle()
  const handle = await test.host.open('disk', { write: true, owner: 'app' })
  /** What a promise has become so far. */
  const watch = (promise: Promise<unknown>) => {
    const state = { what: 'pending' }
    promise.then(
      () => void (state.what = 'done'),
      (error: { code?: string; name: string }) => void (state.what = error.code ?? error.name),
    )
    return state
  }
  return { ...test, fake, disk, handle, watch }
}

describe('a handle', () => {
  it('reads and writes bytes', async () => {
    const { handle, disk } = await setup()
    expect(handle.sizeBytes).toBe(1024 * 512)
    await handle.write(new Uint8Array(1024).fill(7), 512)
    expect([disk.data[511], disk.data[512], disk.data[1535], disk.data[1536]]).toEqual([0, 7, 7, 0])
    expect([...new Set(await handle.read(512, 1024))]).toEqual([7])
    const buf = new Uint8Array(512)
    await handle.readInto(buf, 1024)
    expect(buf[0]).toBe(7)
    await handle.compare(new Uint8Array(1024).fill(7), 512)
    expect(await codeOf(() => handle.compare(new Uint8Array(1024).fill(8), 512))).toBe('EILSEQ')
    await handle.writeZeroes(512, 512)
    await handle.unmap(1024, 512)
    expect((await handle.read(0, 2048)).every(byte => byte === 0)).toBe(true)
    await handle.flush()
    await handle.reset()
    expect(disk.seen.slice(-2)).toEqual(['flush 0+1024', 'reset 0+0'])
  })

  it('moves nothing for a length of 0', async () => {
    const { handle, disk } = await setup()
    expect((await handle.read(512, 0)).length).toBe(0)
    await handle.write(new Uint8Array(0), 0)
    await handle.compare(new Uint8Array(0), 0)
    await handle.unmap(0, 0)
    expect(disk.seen).toEqual([])
  })

  it('refuses what is not whole blocks, or outside, saying what was found', async () => {
    const { handle } = await setup()
    for (const [offset, length] of [
      [1, 512],
      [0, 511],
      [-512, 512],
      [NaN, 512],
      [0, Infinity],
      [0.5, 512],
      [0, -512],
    ]) {
      expect(await codeOf(() => handle.read(offset!, length!))).toBe('EINVAL')
      expect(await codeOf(() => handle.unmap(offset!, length!))).toBe('EINVAL')
    }
    await expect(handle.read(512, 1023)).rejects.toThrow(
      'read on bdev "disk": wanted offset and length to be multiples of its block size 512, found 512 and 1023',
    )
    await expect(handle.write(new Uint8Array(1024), 1023 * 512)).rejects.toThrow(
      'write on bdev "disk": wanted a range within its 524288 bytes, found 1024 bytes at 523776',
    )
  })

  it('rejects with the errno of the failure', async () => {
    const { handle, disk } = await setup()
    const code = async (status: number): Promise<string> => {
      disk.answers.push(status)
      return codeOf(() => handle.read(0, 512))
    }
    expect(await code(IoStatus.Failed)).toBe('EIO')
    expect(await code(IoStatus.Aborted)).toBe('ECANCELED')
    expect(await code(-99)).toBe('EIO')
    const by = async (
      how: (io: { completeAio(e: number): void; completeNvme(a: number, b: number, c: number): void }) => void,
    ) => {
      disk.submit = how
      return codeOf(() => handle.read(0, 512))
    }
    expect(await by(io => io.completeAio(-28))).toBe('ENOSPC')
    expect(await by(io => io.completeNvme(0, 0, 0x80))).toBe('ENOSPC')
    expect(await by(io => io.completeNvme(0, 2, 0x81))).toBe('EIO')
  })

  it('open to read refuses to write with EBADF', async () => {
    const { host } = await setup()
    const reader = await host.open('disk')
    expect(await codeOf(() => reader.write(new Uint8Array(512), 0))).toBe('EBADF')
    await reader.read(0, 512)
  })

  it('rejects what the bdev cannot do with ENOTSUP', async () => {
    const { handle } = await setup({ types: [1, 2] })
    expect(await codeOf(() => handle.flush())).toBe('ENOTSUP')
    expect(await codeOf(() => handle.unmap(0, 512))).toBe('ENOTSUP')
    await handle.writeZeroes(0, 512)
    await handle.write(new Uint8Array(512), 0, { fua: true })
  })

  it('flushes after a write with fua, and rejects where that fails', async () => {
    const { handle, disk } = await setup()
    await handle.write(new Uint8Array(512), 512, { fua: true })
    expect(disk.seen).toEqual(['write 1+1', 'flush 1+1'])
    disk.answers.push(IoStatus.Success, IoStatus.Failed)
    expect(await codeOf(() => handle.write(new Uint8Array(512), 0, { fua: true }))).toBe('EIO')
  })

  it('waits for the pool, in order', async () => {
    const { handle, disk, clock, watch } = await setup({ hold: true }, { bdevIoPoolSize: 2, bdevIoCacheSize: 2 })
    const states = [0, 1, 2, 3, 4].map(block => watch(handle.read(block * 512, 512)))
    await clock.settle()
    expect(disk.seen.length).toBe(2)
    for (let i = 0; i < 5; i++) {
      disk.complete()
      await clock.settle()
    }
    expect([states.map(state => state.what), disk.seen]).toEqual([
      ['done', 'done', 'done', 'done', 'done'],
      ['read 0+1', 'read 1+1', 'read 2+1', 'read 3+1', 'read 4+1'],
    ])
  })
})

describe('an AbortSignal', () => {
  it('that was aborted before keeps the I/O from being sent, and rejects with its reason', async () => {
    const { handle, disk } = await setup()
    await expect(handle.read(0, 512, { signal: AbortSignal.abort(new Error('changed my mind')) })).rejects.toThrow(
      'changed my mind',
    )
    expect(disk.seen).toEqual([])
  })

  it('aborts the I/O; the promise rejects with ECANCELED when that has ended', async () => {
    const { host, handle, clock, watch } = await setup({ hold: true })
    const controller = new AbortController()
    const [aborted, other] = [watch(handle.read(0, 512, { signal: controller.signal })), watch(handle.read(512, 512))]
    controller.abort()
    await clock.settle()
    expect([aborted.what, other.what, host.usage().bdevIos]).toEqual(['ECANCELED', 'pending', 1])
  })

  it('that cannot stop the I/O leaves it its own end', async () => {
    const { handle, disk, clock, watch } = await setup({ hold: true })
    const controller = new AbortController()
    const state = watch(handle.read(0, 512, { signal: controller.signal }))
    disk.answers.push(IoStatus.Failed)
    controller.abort()
    await clock.settle()
    expect(state.what).toBe('pending')
    disk.complete()
    await clock.settle()
    expect(state.what).toBe('done')
  })

  it('is let go when the I/O has ended: one signal serves any number of calls', async () => {
    const { handle } = await setup()
    const listeners = new Set<unknown>()
    const signal = new AbortController().signal
    const { addEventListener, removeEventListener } = signal
    signal.addEventListener = ((...args: [string, never]) => {
      listeners.add(args[1])
      addEventListener.apply(signal, args)
    }) as never
    signal.removeEventListener = ((...args: [string, never]) => {
      listeners.delete(args[1])
      removeEventListener.apply(signal, args)
    }) as never
    for (let i = 0; i < 5; i++) await handle.read(0, 512, { signal })
    await codeOf(() => handle.read(0, 1 << 30, { signal }))
    expect(listeners.size).toBe(0)
  })
})

describe('close', () => {
  it('waits for I/O, refuses new I/O meanwhile with ENODEV, and gives the same promise again', async () => {
    const { host, handle, disk, clock, watch } = await setup({ hold: true })
    const io = watch(handle.read(0, 512))
    const closing = handle.close()
    expect(handle.close()).toBe(closing)
    const closed = watch(closing)
    expect(await codeOf(() => handle.read(0, 512))).toBe('ENODEV')
    await clock.settle()
    expect([closed.what, host.waits.list().map(({ what, who }) => `${what}: ${who}`)]).toEqual([
      'pending',
      ['close of app\'s handle of bdev "disk": 1 I/O(s): read'],
    ])
    disk.complete()
    await clock.settle()
    expect([io.what, closed.what, host.usage()]).toEqual(['done', 'done', { ...NOTHING_IN_USE, bdevs: 1 }])
    expect(host.waits.list()).toEqual([])
  })

  it('works as asyncDispose', async () => {
    const { host, handle } = await setup()
    await handle[Symbol.asyncDispose]()
    expect(host.usage().descriptors).toBe(0)
  })

  it('happens on the thread that opened, wherever it is called', async () => {
    const { host, clock, lines } = await setup()
    const thread = host.createThread('other')
    const handle = await on(thread, () => host.open('disk', { write: true }))
    await handle.write(new Uint8Array(512).fill(3), 0)
    expect((await handle.read(0, 512))[0]).toBe(3)
    await handle.close()
    await clock.settle()
    expect(lines('error')).toEqual([])
  })

  it('after a call that threw does not wait for it', async () => {
    const { host, handle } = await setup()
    let looks = 0
    const gone = {
      get length(): number {
        if (looks++ > 0) throw new Error('detached')
        return 512
      },
    }
    await expect(handle.readInto(gone as never, 0)).rejects.toThrow('detached')
    await expect(handle.compare(null as never, 0)).rejects.toThrow(TypeError)
    await handle.close()
    expect(host.usage().bdevIos).toBe(0)
  })
})

describe('removal of the bdev', () => {
  it('closes the handle after its I/O, and tells the application', async () => {
    const fake = new FakeModule()
    const { host, clock } = await startHost([fake])
    const disk = fake.create('disk', { hold: true })
    await clock.settle()
    const events: number[] = []
    const handle = await host.open('disk', { write: true, onEvent: event => void events.push(event.type) })
    const io = handle.read(0, 512)
    let gone = false
    const done = host.unregister('disk').then(() => (gone = true))
    await clock.settle()
    expect([events, gone]).toEqual([[BdevEventType.Remove], false])
    expect(await codeOf(() => handle.read(0, 512))).toBe('ENODEV')
    disk.complete()
    await clock.settle()
    await io
    await done
    expect(host.usage()).toEqual(NOTHING_IN_USE)
  })

  it('happens though the event function throws', async () => {
    const fake = new FakeModule()
    const { host, clock, lines } = await startHost([fake])
    fake.create('disk')
    await clock.settle()
    await host.open('disk', {
      onEvent: () => {
        throw new Error('my bug')
      },
    })
    await host.unregister('disk')
    expect(lines('error').join()).toContain('my bug')
    expect(host.usage()).toEqual(NOTHING_IN_USE)
  })

  it('a new size is told', async () => {
    const { host, fake, disk, clock } = await setup()
    const events: number[] = []
    const handle = await host.open('disk', { onEvent: event => void events.push(event.type) })
    fake.host.notifyBlockcntChange(disk.bdev, 2048)
    await clock.settle()
    expect([events, handle.sizeBytes]).toEqual([[BdevEventType.Resize], 2048 * 512])
  })
})

it('open is refused with the reason', async () => {
  const { host, handle } = await setup()
  expect(await codeOf(() => host.open('none'))).toBe('ENODEV')
  handle.desc.claim(1)
  expect(await codeOf(() => host.open('disk', { write: true }))).toBe('EPERM')
  const { channel } = openRw(host, 'disk', { write: false })
  expect(write(channel, 0, 1).rc).toBe(-9)
})

describe('a handle', () => {
  it('reads and writes several buffers at a time', async () => {
    const { handle, disk } = await setup()
    await handle.writev([new Uint8Array(512).fill(1), new Uint8Array(1024).fill(2)], 512, { fua: true })
    const [one, two] = [new Uint8Array(700), new Uint8Array(836)]
    await handle.readv([one, two], 512)
    expect([one[511], one[512], two[0], two[835], disk.seen]).toEqual([1, 2, 2, 2, ['write 1+3', 'flush 1+3', 'read 1+3']])
    await handle.readv([], 0)
    await handle.writev([new Uint8Array(0)], 0)
    expect(disk.seen.length).toBe(3)
  })

  it('copies, compares and writes, seeks, and spoils', async () => {
    const { handle, disk } = await setup({ types: [...ALL_TYPES, ...MORE_TYPES], acwuBlocks: 2 })
    await handle.write(new Uint8Array(512).fill(7), 512)
    await handle.copy(5 * 512, 512, 512)
    expect(disk.data[5 * 512]).toBe(7)
    const [sevens, eights] = [new Uint8Array(512).fill(7), new Uint8Array(512).fill(8)]
    await handle.compareAndWrite(sevens, eights, 512)
    expect(await codeOf(() => handle.compareAndWrite(sevens, eights, 512))).toBe('EILSEQ')
    expect(await codeOf(() => handle.compareAndWrite(sevens, new Uint8Array(1024), 512))).toBe('EINVAL')
    expect(await codeOf(() => handle.compareAndWrite(new Uint8Array(1536), new Uint8Array(1536), 512))).toBe('EINVAL')
    expect([disk.data[512], disk.data[1024]]).toEqual([8, 0])
    disk.seekAnswer = 9
    expect([await handle.seekData(512), await handle.seekHole(0)]).toEqual([9 * 512, 9 * 512])
    disk.seekAnswer = Infinity
    expect(await handle.seekHole(0)).toBe(undefined)
    await handle.writeUncorrectable(0, 512)
    expect(disk.seen.at(-1)).toBe('write_uncorrectable 0+1')
  })

  it('lends the memory of the bdev until it is given back', async () => {
    const { host, handle, disk } = await setup({ types: [...ALL_TYPES, ...MORE_TYPES] })
    disk.data.fill(3, 512, 1024)
    const buffer = await handle.zcopyStart(512, 512)
    expect([buffer.pieces.length, buffer.pieces[0]![0]]).toEqual([1, 3])
    buffer.pieces[0]!.fill(4)
    await buffer.end(true)
    await buffer.end(false)
    expect([disk.data[512], disk.seen.length, host.usage().bdevIos]).toEqual([4, 2, 0])
    {
      await using given = await handle.zcopyStart(0, 512, { populate: false })
      expect(given.pieces.length).toBe(1)
    }
    expect([disk.seen.length, host.usage().bdevIos]).toEqual([4, 0])
    await handle.zcopyStart(0, 512)
    await handle.close()
    expect([disk.seen.length, host.usage().bdevIos, host.usage().channels]).toEqual([6, 0, 0])
  })

  it('that cannot borrow says so', async () => {
    const { handle } = await setup()
    expect(await codeOf(() => handle.zcopyStart(0, 512))).toBe('ENOTSUP')
    expect(await codeOf(() => handle.writeUncorrectable(0, 512))).toBe('ENOTSUP')
  })

  it('lets a call that waits for the pool be aborted before it is sent', async () => {
    const { handle, disk, watch, drain, host } = await setup({ hold: true }, { bdevIoPoolSize: 1, bdevIoCacheSize: 0 })
    const controller = new AbortController()
    const [first, second] = [watch(handle.read(0, 512)), watch(handle.read(512, 512, { signal: controller.signal }))]
    controller.abort()
    await Promise.resolve()
    disk.complete()
    drain()
    await new Promise(resolve => setImmediate(resolve))
    expect([first.what, second.what, disk.seen, host.usage().bdevIos]).toEqual(['done', 'ECANCELED', ['read 0+1'], 0])
  })
})
