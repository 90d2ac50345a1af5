// SPDX-License-Identifier: Apache-2.0
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Iov, OffloadQueue, OffloadQueueSpec } from '@bdevkit/module-sdk'
import { ERRNO } from '@bdevkit/module-sdk'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createHost, type Host } from '../../src/index.js'
import { builtinOffloadPlatform } from '../../src/offload/platform.js'

let folder: string
let host: Host
let errors: string[]
const fds: number[] = []

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bdevkit-offload-'))
  errors = []
  host = createHost({ log: (level, _, message) => void (level === 'error' && errors.push(message)) })
  await host.init()
})
afterEach(async () => {
  await host.finish()
  for (const fd of fds.splice(0)) closeSync(fd)
  rmSync(folder, { recursive: true })
})

function file(bytes: Uint8Array, flags = 0): number {
  const name = join(folder, 'file')
  writeFileSync(name, bytes)
  const fd = openSync(name, constants.O_RDWR | flags)
  fds.push(fd)
  return fd
}
const content = (): Buffer => readFileSync(join(folder, 'file'))
const pattern = (length: number, seed: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + seed + (i >> 8)) & 0xff)
const open = (spec: Partial<OffloadQueueSpec> = {}): OffloadQueue => host.offload.openQueue({ name: 'test', ...spec })

/** Memory of the heap, cut into elements. */
function heapIovs(lengths: readonly number[], shift = 0): Iov[] {
  const { buf, off } = host.dma.alloc(lengths.reduce((sum, len) => sum + len, shift), 4096)!
  let at = off + shift
  return lengths.map(len => ({ buf, off: (at += len) - len, len }))
}
const foreignIovs = (lengths: readonly number[]): Iov[] => lengths.map(len => ({ buf: new Uint8Array(len + 3), off: 3, len }))
const bytesOf = (iovs: readonly Iov[]): Buffer => Buffer.concat(iovs.map(({ buf, off, len }) => buf.slice(off, off + len)))
function fill(iovs: readonly Iov[], bytes: Uint8Array): void {
  let at = 0
  for (const { buf, off, len } of iovs) buf.set(bytes.subarray(at, (at += len)), off)
}

/** Makes a call and waits for its callback; a refusal is its result, too. */
function call(start: (cb: (arg: object, result: number) => void, arg: object) => number): Promise<number> {
  return new Promise(resolve => {
    const own = {}
    const errno = start((arg, result) => {
      expect(arg).toBe(own)
      resolve(result)
    }, own)
    if (errno !== 0) resolve(errno)
  })
}
const read = (queue: OffloadQueue, fd: number, at: number, iovs: readonly Iov[], length: number): Promise<number> =>
  call((cb, arg) => queue.read(fd, at, iovs, iovs.length, length, cb, arg))
const write = (queue: OffloadQueue, fd: number, at: number, iovs: readonly Iov[], length: number): Promise<number> =>
  call((cb, arg) => queue.write(fd, at, iovs, iovs.length, length, cb, arg))
const task = (queue: OffloadQueue, index: number, a = 0, b = 0, c = 0, d = 0): Promise<number> =>
  call((cb, arg) => queue.run(index, a, b, c, d, cb, arg))

const many = new Array<number>(40).fill(512)
describe.each<[string, Partial<OffloadQueueSpec>, number]>([
  ['workers', {}, 0],
  ['workers and O_DIRECT', { alignBytes: 512 }, constants.O_DIRECT],
  ['a file in memory', { inMemory: true }, 0],
])('%s', (_, spec, flags) => {
  it.each<[string, () => Iov[]]>([
    ['one element of the heap', () => heapIovs([8192])],
    ['several elements of the heap', () => heapIovs([512, 1024, 0, 4096, 2560])],
    ['more elements than a worker is told', () => heapIovs(many)],
    ['elements at odd places', () => heapIovs([512, 700, 6980], 13)],
    ['ordinary memory', () => foreignIovs([4096, 4096])],
    ['heap and ordinary memory', () => [...heapIovs([4096]), ...foreignIovs([4096])]],
  ])('reads and writes %s', async (_name, make) => {
    const fd = file(pattern(65_536, 1), flags)
    const queue = open(spec)
    const iovs = make()
    const length = bytesOf(iovs).length
    expect(await read(queue, fd, 4096, iovs, length)).toBe(length)
    expect(bytesOf(iovs).equals(pattern(65_536, 1).subarray(4096, 4096 + length))).toBe(true)
    const wanted = pattern(length, 77)
    fill(iovs, wanted)
    expect(await write(queue, fd, 32_768, iovs, length)).toBe(length)
    const found = content()
    expect(found.subarray(32_768, 32_768 + length).equals(wanted)).toBe(true)
    expect(found.subarray(0, 32_768).equals(pattern(65_536, 1).subarray(0, 32_768))).toBe(true)
    expect(found.subarray(32_768 + length).equals(pattern(65_536, 1).subarray(32_768 + length))).toBe(true)
    expect(queue.pending).toBe(0)
  })

  it('tells of a transfer that ends early, of an errno, and of elements that are too short', async () => {
    const fd = file(pattern(4096, 1), flags)
    const queue = open(spec)
    expect(await read(queue, fd, 0, heapIovs([4096, 4096]), 8192)).toBe(4096)
    expect(await read(queue, fd, 8192, heapIovs([4096]), 4096)).toBe(0)
    expect(await read(queue, 10_000, 0, heapIovs([4096]), 4096)).toBe(-ERRNO.EBADF)
    expect(await call((cb, arg) => queue.sync(fd, cb, arg))).toBe(0)
    expect(await call((cb, arg) => queue.sync(10_000, cb, arg))).toBe(-ERRNO.EBADF)
    if (spec.inMemory !== true) expect(await read(queue, fd, 0, heapIovs([512]), 4096)).toBe(-ERRNO.EINVAL)
    expect(errors).toEqual([])
  })
})

it('bounces nothing that lies well, and gives back what it bounced', async () => {
  const fd = file(pattern(8192, 1))
  const queue = open({ alignBytes: 512 })
  const good = heapIovs([4096])
  const before = host.heap.inUseBytes
  const ended = read(queue, fd, 0, good, 4096)
  expect(host.heap.inUseBytes).toBe(before)
  const bounced = read(queue, fd, 0, foreignIovs([4096]), 4096)
  expect(host.heap.inUseBytes).toBe(before + 4096)
  await Promise.all([ended, bounced])
  expect(host.heap.inUseBytes).toBe(before)
})

it('calls back after the call has returned, on the thread that asked', async () => {
  const fd = file(pattern(8192, 1))
  const queue = open()
  const other = host.createThread('other')
  const iovs = heapIovs([4096])
  const seen: unknown[] = []
  await new Promise<void>(resolve => {
    for (const thread of [host.appThread, other, host.appThread]) {
      thread.sendMsg(() => {
        queue.read(fd, 0, iovs, 1, 4096, () => {
          seen.push(host.currentThread() === thread)
          if (seen.length === 6) resolve()
        }, null)
        seen.push('returned')
      }, null)
    }
  })
  expect(seen).toEqual(['returned', 'returned', 'returned', true, true, true])
})

it('has 128 calls under way at most', async () => {
  const fd = file(pattern(4096, 1))
  const queue = open()
  const iovs = heapIovs([4096])
  const calls = Array.from({ length: 130 }, () => read(queue, fd, 0, iovs, 4096))
  expect(queue.pending).toBe(128)
  const results = await Promise.all(calls)
  expect(results.filter(result => result === 4096)).toHaveLength(128)
  expect(results.filter(result => result === -ERRNO.EAGAIN)).toHaveLength(2)
})

it('keeps data apart with many calls under way, each at its own place', async () => {
  const fd = file(new Uint8Array(128 * 4096))
  const queue = open({ workersMax: 4 })
  const writes = Array.from({ length: 128 }, (_, i) => {
    const iovs = heapIovs([4096])
    fill(iovs, new Uint8Array(4096).fill(i))
    return write(queue, fd, i * 4096, iovs, 4096)
  })
  expect(new Set(await Promise.all(writes))).toEqual(new Set([4096]))
  const found = content()
  for (let i = 0; i < 128; i++) expect(new Set(found.subarray(i * 4096, (i + 1) * 4096))).toEqual(new Set([i]))
})

// Waits on the word at offset a of the heap.
const WAIT = '(heap, a) => { Atomics.wait(new Int32Array(heap.buffer, a, 1), 0, 0); return 7 }'
const LOOK = '(heap, a, b, c, d) => heap[a] + b + c + d'
const DIE = '() => process.exit(3)'
const THROW = "() => { throw Object.assign(new Error('no'), { errno: -28 }) }"
const ODD = "() => { throw 'odd' }"

describe('tasks', () => {
  it('run with the heap and four numbers, and answer a number or the errno that they threw', async () => {
    const queue = open({ tasks: [LOOK, THROW, ODD] })
    const [word] = heapIovs([4])
    word!.buf[word!.off] = 5
    expect(await task(queue, 0, word!.off, 10, 100, 1000)).toBe(1115)
    expect(await task(queue, 1)).toBe(-ERRNO.ENOSPC)
    expect(await task(queue, 2)).toBe(-ERRNO.EIO)
    expect(await task(queue, 3)).toBe(-ERRNO.EINVAL)
  })

  it('that block hold up neither the event loop, nor other queues, nor reads of their own queue', async () => {
    const fd = file(pattern(4096, 1))
    const queue = open({ tasks: [WAIT] })
    const other = open({ name: 'other' })
    const [word] = heapIovs([4])
    const words = new Int32Array(word!.buf.buffer, word!.off, 1)
    const blocked = task(queue, 0, word!.off)
    // Asked for before the worker of the task has even started, and after.
    expect(await read(queue, fd, 0, heapIovs([4096]), 4096)).toBe(4096)
    expect(await read(other, fd, 0, heapIovs([4096]), 4096)).toBe(4096)
    expect(await read(queue, fd, 0, heapIovs([4096]), 4096)).toBe(4096)
    expect(queue.pending).toBe(1)
    Atomics.store(words, 0, 1)
    Atomics.notify(words, 0)
    expect(await blocked).toBe(7)
  })
})

describe('a worker that dies', () => {
  it('fails what it had in hand with EIO, is named, and others take its place', async () => {
    const fd = file(pattern(4096, 1))
    const queue = open({ tasks: [DIE] })
    const died = task(queue, 0)
    const reads = Array.from({ length: 20 }, () => read(queue, fd, 0, heapIovs([4096]), 4096))
    expect(await died).toBe(-ERRNO.EIO)
    expect(new Set(await Promise.all(reads))).toEqual(new Set([4096]))
    const wanted = /^offload queue "test": worker \d+ died: it ended with exit code 3; 1 call\(s\) that it had in hand failed with EIO, another/
    expect(errors).toEqual([expect.stringMatching(wanted)])
  })

  it('again and again, without anything done in between, ends the queue: calls are refused', async () => {
    const queue = open({ tasks: [DIE] })
    expect(await Promise.all([task(queue, 0), task(queue, 0), task(queue, 0)])).toEqual([-ERRNO.EIO, -ERRNO.EIO, -ERRNO.EIO])
    expect(await task(queue, 0)).toBe(-ERRNO.EIO)
    expect(queue.pending).toBe(0)
    expect(errors.at(-1)).toMatch(/the queue is given up/)
  })

  it('that cannot even start is one', async () => {
    const queue = open({ tasks: ['(no function'] })
    expect(await task(queue, 0)).toBe(-ERRNO.EIO)
    expect(errors[0]).toMatch(/died: .*Unexpected token|died: .*missing/)
  })
})

describe('close', () => {
  it('waits for the last call, refuses new ones, and ends the workers', async () => {
    const queue = open({ tasks: [WAIT] })
    const [word] = heapIovs([4])
    const words = new Int32Array(word!.buf.buffer, word!.off, 1)
    const blocked = task(queue, 0, word!.off)
    let closed = false
    const closing = queue.close().then(() => (closed = true))
    expect(await task(queue, 0)).toBe(-ERRNO.ESHUTDOWN)
    expect(host.waits.list().map(({ what, who }) => `${what}: ${who}`)).toEqual(['close of offload queue "test": 1 call(s) of its workers'])
    expect(closed).toBe(false)
    Atomics.store(words, 0, 1)
    Atomics.notify(words, 0)
    expect(await blocked).toBe(7)
    await closing
    expect(host.waits.list()).toEqual([])
  })
})

it.each([[{ workersMax: 0 }], [{ workersMax: 17 }], [{ workersMax: 1.5 }], [{ alignBytes: 3 }], [{ alignBytes: 0 }]])(
  'refuses a queue with %j',
  spec => {
    expect(() => open(spec)).toThrow(expect.objectContaining({ code: 'EINVAL' }))
  },
)

it('threads do not listen to the output of the process: Node takes the eleventh listener for a leak', () => {
  const listeners = (): number[] => [process.stdout, process.stderr].map(stream => stream.listenerCount('error'))
  const before = listeners()
  builtinOffloadPlatform()!.startThread('', {} as never)
  expect(listeners()).toEqual(before)
})
