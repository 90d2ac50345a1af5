// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import { FakeModule, type FakeDisk, type FakeDiskOptions } from './support/fake-bdev.js'
import { openRw, startHost, submit, write, type Result } from './support/harness.js'

/** A module with room for `room` I/Os; what comes beyond is answered with NOMEM. */
function limit(disks: FakeDisk[], room: number, taken: string[] = []): void {
  for (const disk of disks) {
    disk.hold = true
    disk.submit = io => {
      const used = disks.reduce((sum, other) => sum + other.held.length, 0)
      if (used >= room && io.type === IoType.Write) return io.complete(IoStatus.Nomem)
      taken.push(`${io.bdev.name}${io.offsetBlocks}`)
      disk.held.push(io)
    }
  }
}

async function setup(options: FakeDiskOptions = {}, host = {}) {
  const fake = new FakeModule()
  const test = await startHost([fake], host)
  const a = fake.create('a', options)
  const b = fake.create('b', options)
  await test.clock.settle()
  const onA = openRw(test.host, 'a')
  const onB = openRw(test.host, 'b')
  return { ...test, fake, a, b, onA, onB }
}

const orderOf = (results: Result[]): number[] => results.map(result => result.order)
const ascending = (numbers: number[]): boolean => numbers.every((n, i) => n >= 0 && (i === 0 || n > numbers[i - 1]!))

describe('an I/O that the module has no memory for', () => {
  it('is not failed, but sent again when enough has completed, in order, new ones behind it', async () => {
    const { drain, a, onA } = await setup()
    limit([a], 4)
    const results = [0, 1, 2, 3, 4, 5, 6].map(block => write(onA.channel, block, 1, block + 1))
    expect(a.seen).toEqual(['write 0+1', 'write 1+1', 'write 2+1', 'write 3+1', 'write 4+1'])
    drain()
    expect(results.map(result => result.done)).toEqual(Array.from({ length: 7 }, () => false))
    a.complete()
    expect(a.held.length).toBe(3)
    a.complete()
    expect(a.seen.slice(5)).toEqual(['write 4+1', 'write 5+1', 'write 6+1'])
    while (a.held.length > 0) a.complete()
    drain()
    expect(results.map(result => [result.calls, result.success])).toEqual(Array.from({ length: 7 }, () => [1, true]))
    expect(ascending(orderOf(results))).toBe(true)
    expect([0, 1, 2, 3, 4, 5, 6].map(block => a.data[block * 512])).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  it('waits until eight fewer are outstanding where there are many, half where there are few', async () => {
    for (const [room, threshold] of [
      [40, 32],
      [16, 8],
      [6, 3],
      [1, 0],
    ] as const) {
      const { a, onA } = await setup()
      limit([a], room)
      for (let block = 0; block <= room; block++) write(onA.channel, block, 1)
      const sent = a.seen.length
      while (a.held.length > threshold + 1) a.complete()
      expect([room, a.seen.length]).toEqual([room, sent])
      a.complete()
      expect([room, a.seen.length]).toEqual([room, sent + 1])
    }
  })

  it('tells the module how often it was sent', async () => {
    const { clock, a, onA } = await setup()
    const retries: number[] = []
    a.submit = io => {
      retries.push(io.numRetries)
      io.complete(retries.length < 4 ? IoStatus.Nomem : IoStatus.Success)
    }
    const result = write(onA.channel, 0, 1)
    await clock.advance(100)
    expect([result.success, retries]).toEqual([true, [0, 1, 2, 3]])
    write(onA.channel, 0, 1)
    expect(retries.at(-1)).toBe(0)
  })

  it('is sent again after 10 ms where nothing is outstanding, and the poller goes to sleep afterwards', async () => {
    const { clock, a, onA } = await setup()
    a.answers.push(IoStatus.Nomem, IoStatus.Nomem)
    const results = [write(onA.channel, 0, 1), write(onA.channel, 1, 1)]
    await clock.advance(9)
    expect(a.seen.length).toBe(1)
    await clock.advance(3)
    expect([a.seen.length, results[0]!.done]).toEqual([2, false])
    await clock.advance(12)
    expect(results.map(result => result.success)).toEqual([true, true])
    expect(a.seen).toEqual(['write 0+1', 'write 0+1', 'write 0+1', 'write 1+1'])
    expect(clock.nextTimerMs).toBe(Infinity)
  })

  it('keeps its place at the head when it is refused again', async () => {
    const { drain, a, onA } = await setup()
    limit([a], 2)
    const results = [0, 1, 2, 3].map(block => write(onA.channel, block, 1))
    a.answers.length = 0
    limit([a], 1)
    a.complete()
    expect(a.seen.at(-1)).toBe('write 2+1')
    limit([a], 9)
    a.completeAll()
    a.completeAll()
    drain()
    expect(results.map(result => result.success)).toEqual([true, true, true, true])
    expect(ascending(orderOf(results))).toBe(true)
  })

  it('may be refused later too, by a completion outside submitRequest', async () => {
    const { clock, a, onA } = await setup({ hold: true })
    const result = write(onA.channel, 5, 1, 0x33)
    a.complete(a.held[0], IoStatus.Nomem)
    expect(result.done).toBe(false)
    await clock.advance(12)
    a.complete()
    expect([result.success, a.data[5 * 512]]).toEqual([true, 0x33])
  })

  it('is sent again in strict mode as well', async () => {
    const { clock, a, onA } = await setup({}, { strict: true })
    a.answers.push(IoStatus.Nomem)
    const result = write(onA.channel, 5, 1, 0x33)
    await clock.advance(12)
    expect([result.success, a.data[5 * 512]]).toEqual([true, 0x33])
  })
})

describe('bdevs whose module serves them by one channel', () => {
  it('share the queue: a completion on one sends what waits on the other', async () => {
    const { drain, a, b, onA, onB } = await setup()
    const taken: string[] = []
    limit([a, b], 2, taken)
    const first = [write(onA.channel, 0, 1), write(onA.channel, 1, 1)]
    const waiting = [write(onB.channel, 0, 1), write(onA.channel, 2, 1), write(onB.channel, 1, 1)]
    expect([a.seen.length, b.seen.length]).toEqual([2, 1])
    a.complete()
    expect(b.seen.length).toBe(2)
    while (a.held.length + b.held.length > 0) (a.held.length > 0 ? a : b).complete()
    drain()
    expect([...first, ...waiting].every(result => result.success)).toBe(true)
    expect(taken).toEqual(['a0', 'a1', 'b0', 'a2', 'b1'])
  })

  it('do not share it where each has a channel of its own', async () => {
    const { a, b, onA, onB } = await setup({ ownDevice: true })
    limit([a], 1)
    b.hold = true
    write(onA.channel, 0, 1)
    write(onA.channel, 1, 1)
    const other = write(onB.channel, 0, 1)
    expect(b.held.length).toBe(1)
    b.complete()
    expect([other.success, a.seen.length]).toEqual([true, 2])
  })

  it('lose only their own I/O when one of them is unregistered', async () => {
    const { host, clock, drain, a, b, onA, onB } = await setup()
    limit([a, b], 1)
    const held = write(onA.channel, 0, 1)
    const queued = [write(onA.channel, 1, 1), write(onB.channel, 0, 1), write(onA.channel, 2, 1), write(onB.channel, 1, 1)]
    const gone = host.unregister('a')
    drain()
    expect(queued.map(result => result.status)).toEqual([IoStatus.Aborted, 0, IoStatus.Aborted, 0])
    a.complete()
    onA.close()
    b.completeAll()
    b.completeAll()
    await clock.settle()
    await gone
    expect([held, queued[1]!, queued[3]!].map(result => result.success)).toEqual([true, true, true])
  })

  it('lose only their own I/O to a reset of one; the other moves on though the reset was the last outstanding', async () => {
    const { clock, a, b, onA, onB } = await setup()
    a.hold = true
    const reset = submit((cb, r) => onA.channel.reset(cb, r))
    await clock.settle()
    b.answers.push(IoStatus.Nomem)
    const waiting = write(onB.channel, 0, 1)
    expect([a.seen, b.seen]).toEqual([['reset 0+0'], ['write 0+1']])
    a.complete()
    await clock.settle()
    expect([reset.success, waiting.success]).toEqual([true, true])
  })
})

describe('queued I/O', () => {
  it('is aborted by a reset, oldest first, and what the module refuses meanwhile too', async () => {
    const { clock, a, onA } = await setup()
    limit([a], 2)
    const held = [write(onA.channel, 0, 1), write(onA.channel, 1, 1)]
    const queued = [write(onA.channel, 2, 1), write(onA.channel, 3, 1)]
    const reset = submit((cb, r) => onA.channel.reset(cb, r))
    await clock.settle()
    expect(queued.map(result => result.status)).toEqual([IoStatus.Aborted, IoStatus.Aborted])
    expect(ascending(orderOf(queued))).toBe(true)
    expect(a.seen.at(-1)).toBe('reset 0+0')
    a.complete(a.held[0], IoStatus.Nomem)
    expect(held[0]!.status).toBe(IoStatus.Aborted)
    a.completeAll(IoStatus.Success)
    await clock.settle()
    expect([held[1]!.success, reset.success]).toEqual([true, true])
    a.submit = null
    a.hold = false
    const after = write(onA.channel, 4, 1)
    await clock.settle()
    expect(after.success).toBe(true)
  })

  it('is aborted by ABORT without reaching the module', async () => {
    const { drain, a, onA } = await setup()
    limit([a], 1)
    const held = write(onA.channel, 0, 1)
    const queued = [write(onA.channel, 1, 1), write(onA.channel, 2, 1)]
    const abort = submit((cb, r) => onA.channel.abort(queued[0], cb, r))
    drain()
    expect([queued[0]!.status, abort.success, a.seen]).toEqual([IoStatus.Aborted, true, ['write 0+1', 'write 1+1']])
    a.complete()
    a.complete()
    drain()
    expect([held.success, queued[1]!.success, a.seen.length]).toEqual([true, true, 3])
  })

  it('an ABORT goes past it', async () => {
    const { drain, a, onA } = await setup()
    limit([a], 1)
    const held = write(onA.channel, 0, 1)
    write(onA.channel, 1, 1)
    a.submit = null
    const abort = submit((cb, r) => onA.channel.abort(held, cb, r))
    drain()
    expect([held.status, abort.success]).toEqual([IoStatus.Aborted, true])
  })

  it('of a channel made while it waits goes behind it', async () => {
    const { host, drain, a, onA, fake } = await setup()
    limit([a], 1)
    write(onA.channel, 0, 1)
    const queued = write(onA.channel, 1, 1)
    const c = fake.create('c')
    const onC = openRw(host, 'c')
    const later = write(onC.channel, 0, 1)
    expect(c.seen).toEqual([])
    limit([a], 9)
    a.complete()
    expect(c.seen).toEqual(['write 0+1'])
    a.complete()
    drain()
    expect([queued.success, later.success]).toEqual([true, true])
  })
})
