// SPDX-License-Identifier: Apache-2.0
// The order of fdatasync and faults of a device, on a queue that ends calls when the test says so.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createHost, type BdevHandle, type Host } from '@bdevkit/core'
import { ERRNO, type BdevHost, type BdevModule, type OffloadCallback, type OffloadQueue } from '@bdevkit/module-sdk'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import aio from '../src/index.js'

/** A call of the module that has not ended. */
interface Call {
  readonly what: string
  end(result?: number): void
}

let folder: string
let host: Host
let log: string[]
let calls: Call[]
/** What happened, in order: calls as they are issued, and answers. */
let order: string[]
/** Negative: calls are refused with it. */
let refusal: number

function fakeQueue(): OffloadQueue {
  const begin = (what: string, full: number, cb: OffloadCallback, arg: unknown): number => {
    if (refusal !== 0) return refusal
    order.push(`${what} issued`)
    calls.push({
      what,
      end(result = full) {
        calls.splice(calls.indexOf(this), 1)
        order.push(`${what} done`)
        cb(arg, result)
      },
    })
    return 0
  }
  return {
    name: 'fake',
    pending: 0,
    read: (_fd, at, _iovs, _count, length, cb, arg) => begin(`read ${at}`, length, cb, arg),
    write: (_fd, at, _iovs, _count, length, cb, arg) => begin(`write ${at}`, length, cb, arg),
    sync: (_fd, cb, arg) => begin('fdatasync', 0, cb, arg),
    run: () => -ERRNO.EINVAL,
    close: async () => {},
  }
}

/** The module, with the queue under the thumb of the test. */
function withFakeQueue(): BdevModule {
  const setup = (real: BdevHost): ReturnType<typeof aio.setup> => {
    const get = (target: BdevHost, key: keyof BdevHost): unknown => {
      if (key === 'offload') return { openQueue: fakeQueue }
      const value: unknown = target[key]
      return typeof value === 'function' ? value.bind(target) : value
    }
    return aio.setup(new Proxy(real, { get: get as ProxyHandler<BdevHost>['get'] & object }))
  }
  return { ...aio, setup }
}

beforeEach(async () => {
  folder = mkdtempSync(join('/dev/shm', 'bdevkit-aio-'))
  writeFileSync(join(folder, 'disk.img'), Buffer.alloc(65_536))
  ;[log, calls, order, refusal] = [[], [], [], 0]
  host = createHost({ log: (level, _, message) => void log.push(`${level}: ${message}`) })
  host.use(withFakeQueue())
  await host.init()
  const create = host.modules[0]!.instance.handlers!['bdev_aio_create'] as (params: object) => Promise<string>
  await create({ name: 'A', filename: join(folder, 'disk.img'), block_size: 512 })
})
afterEach(async () => {
  await host.finish()
  rmSync(folder, { recursive: true })
})

const named = (what: string): Call => calls.find(call => call.what === what)!
const note = (promise: Promise<unknown>, what: string): Promise<void> =>
  promise.then(() => void order.push(`${what} ok`), (error: { code: string }) => void order.push(`${what} ${error.code}`))
const write = (disk: BdevHandle, at: number): Promise<void> => note(disk.write(new Uint8Array(512), at), `write ${at}`)

describe('FLUSH', () => {
  it('is answered by an fdatasync that is issued after every write that had completed', async () => {
    await using disk = await host.open('A', { write: true })
    const writes = [write(disk, 0), write(disk, 512)]
    named('write 0').end()
    named('write 512').end()
    await Promise.all(writes)
    const flushed = note(disk.flush(), 'flush')
    named('fdatasync').end()
    await flushed
    expect(order.indexOf('fdatasync issued')).toBeGreaterThan(order.indexOf('write 512 ok'))
    expect(order.indexOf('flush ok')).toBeGreaterThan(order.indexOf('fdatasync done'))
  })

  it('that arrives while an fdatasync runs is not answered by that one, but by the next, which all that wait share', async () => {
    await using disk = await host.open('A', { write: true })
    const first = note(disk.flush(), 'flush 1')
    const written = write(disk, 0)
    named('write 0').end()
    await written
    const later = [note(disk.flush(), 'flush 2'), note(disk.flush(), 'flush 3')]
    expect(calls.map(({ what }) => what)).toEqual(['fdatasync'])
    named('fdatasync').end()
    await first
    expect(order.filter(entry => entry.startsWith('flush'))).toEqual(['flush 1 ok'])
    expect(calls.map(({ what }) => what)).toEqual(['fdatasync'])
    named('fdatasync').end()
    await Promise.all(later)
    expect(order.filter(entry => entry === 'fdatasync issued')).toHaveLength(2)
    expect(order.findLastIndex(entry => entry === 'fdatasync issued')).toBeGreaterThan(order.indexOf('write 0 done'))
  })

  it('of a write with FUA follows the write', async () => {
    await using disk = await host.open('A', { write: true })
    const written = note(disk.write(new Uint8Array(512), 0, { fua: true }), 'fua')
    named('write 0').end()
    await expect.poll(() => calls.map(({ what }) => what)).toEqual(['fdatasync'])
    named('fdatasync').end()
    await written
    expect(order).toEqual(['write 0 issued', 'write 0 done', 'fdatasync issued', 'fdatasync done', 'fua ok'])
  })

  it('fails when fdatasync fails, and for ever after: what was lost stays lost', async () => {
    await using disk = await host.open('A', { write: true })
    const flushes = [note(disk.flush(), 'flush 1'), note(disk.flush(), 'flush 2')]
    named('fdatasync').end(-ERRNO.EIO)
    await expect.poll(() => calls.length).toBe(1)
    named('fdatasync').end(0)
    await Promise.all(flushes)
    await note(disk.flush(), 'flush 3')
    expect(order.filter(entry => entry.startsWith('flush'))).toEqual(['flush 1 EIO', 'flush 2 EIO', 'flush 3 EIO'])
    expect(calls).toEqual([])
    expect(log.filter(line => line.startsWith('error'))).toEqual([
      expect.stringMatching(/fdatasync of ".*" failed with errno 5; .*delete and create the bdev/),
    ])
  })

  it('keeps the errno of the device', async () => {
    await using disk = await host.open('A', { write: true })
    const flushed = note(disk.flush(), 'flush')
    named('fdatasync').end(-ERRNO.ENOSPC)
    await flushed
    expect(order.at(-1)).toBe('flush ENOSPC')
  })
})

describe('a device that fails', () => {
  it.each([
    ['EIO', -ERRNO.EIO, 'EIO'],
    ['ENOSPC', -ERRNO.ENOSPC, 'ENOSPC'],
    ['a short transfer', 256, 'EIO'],
    ['nothing transferred', 0, 'EIO'],
  ])('with %s ends the I/O so', async (_, result, code) => {
    await using disk = await host.open('A', { write: true })
    const ended = [write(disk, 0), note(disk.read(512, 512), 'read')]
    named('write 0').end(result)
    named('read 512').end(result)
    await Promise.all(ended)
    expect(order.filter(entry => entry.endsWith(code))).toEqual([`write 0 ${code}`, `read ${code}`])
  })

  it('with EAGAIN gets the I/O again: it is not lost and does not fail', async () => {
    await using disk = await host.open('A', { write: true })
    const ended = [write(disk, 0), write(disk, 512)]
    named('write 0').end(-ERRNO.EAGAIN)
    named('write 512').end()
    await expect.poll(() => calls.map(({ what }) => what)).toEqual(['write 0'])
    named('write 0').end()
    await Promise.all(ended)
    expect(order.filter(entry => entry.endsWith('ok'))).toEqual(['write 512 ok', 'write 0 ok'])
  })

  it.each([[-ERRNO.EAGAIN], [-ERRNO.ENOMEM]])('or a queue that is full (%i) likewise', async errno => {
    await using disk = await host.open('A', { write: true })
    const first = write(disk, 0)
    refusal = errno
    const ended = [write(disk, 512), note(disk.flush(), 'flush')]
    refusal = 0
    named('write 0').end()
    await first
    await expect.poll(() => calls.map(({ what }) => what).toSorted()).toEqual(['fdatasync', 'write 512'])
    for (const call of [...calls]) call.end()
    await Promise.all(ended)
    expect(order.filter(entry => entry.endsWith('ok')).toSorted()).toEqual(['flush ok', 'write 0 ok', 'write 512 ok'])
  })
})

it('a RESET waits for reads, writes and flushes that are under way', async () => {
  await using disk = await host.open('A', { write: true })
  const ended = [write(disk, 0), note(disk.read(512, 512), 'read'), note(disk.flush(), 'flush'), note(disk.flush(), 'flush')]
  const reset = note(disk.reset(), 'reset')
  for (const what of ['write 0', 'read 512', 'fdatasync', 'fdatasync']) {
    expect(order).not.toContain('reset ok')
    await expect.poll(() => named(what)).toBeDefined()
    named(what).end()
  }
  await Promise.all([...ended, reset])
  expect(order).toContain('reset ok')
})

