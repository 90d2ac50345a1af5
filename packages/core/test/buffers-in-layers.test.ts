// SPDX-License-Identifier: Apache-2.0
import type { BdevIo, DmaBuffer } from '@bdevkit/module-sdk'
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import { describe, expect, test } from 'vitest'
import { FakeModule, RelayModule, type FakeDisk, type FakeDiskOptions, type RelayOptions } from './support/fake-bdev.js'
import { makeHost, NOTHING_IN_USE, on, openRw, submit, write } from './support/harness.js'

/** The smallest pools there may be, all of it shared. */
const POOL = { smallPoolCount: 64, largePoolCount: 8, smallCacheSize: 0, largeCacheSize: 0 }
const IOS = 200
const BLOCK = 512

const bytesOf = (io: BdevIo): number => io.numBlocks * io.bdev.blockSizeBytes

/** A vbdev that takes an auxiliary buffer for each I/O and holds it until its base has answered, as crypto does for writes. */
const auxiliary: RelayOptions['submit'] = (base, io) =>
  io.getAuxBuf((_channel, parent, buffer) => {
    if (buffer === null) return parent.complete(IoStatus.Aborted)
    parent.forwardThen(base, (child, self) => {
      self.putAuxBuf(buffer)
      self.completeFrom(child)
    })
  })

/** A vbdev that has its I/O copied into memory as its own alignment wants it, until its base has answered. */
const bounced: RelayOptions['submit'] = (base, io) =>
  io.getBuf(bytesOf(io), (_channel, parent, success) => {
    if (success) parent.forward(base)
    else parent.complete(IoStatus.Aborted)
  })

/** A disk that wants aligned memory, and asks for it as aio does. */
function alignedDisk(fake: FakeModule, options: FakeDiskOptions = {}): FakeDisk {
  const disk = fake.create('disk', { requiredAlignmentBytes: 4096, ...options })
  disk.submit = io =>
    io.getBuf(bytesOf(io), (_channel, self, success) => {
      if (!success) self.complete(IoStatus.Aborted)
      else if (disk.hold) disk.held.push(self)
      else self.complete(disk.serve(self))
    })
  return disk
}

/** `layers` vbdevs, lowest first, over a disk that wants aligned memory. */
async function stack(layers: readonly RelayOptions[], options: FakeDiskOptions = {}) {
  const fake = new FakeModule()
  const relays = layers.map((layer, i) => new RelayModule(`relay${i}`, layer))
  const rig = makeHost([fake, ...relays])
  rig.host.iobuf.setOptions(POOL)
  await rig.host.init()
  const disk = alignedDisk(fake, options)
  const top = relays.reduce((base, relay, i) => relay.create(`layer${i}`, base), 'disk')
  return { ...rig, disk, at: openRw(rig.host, top), fake }
}

describe('I/O through layers that each hold a buffer while they want another, from pools that are used up,', () => {
  const above = (submit: RelayOptions['submit'], align = 1): RelayOptions => ({ submit: submit!, spec: () => ({ requiredAlignmentBytes: align }) })
  test.each([
    ['auxiliary buffers, three deep', [above(auxiliary), above(auxiliary), above(auxiliary)]],
    ['copies over auxiliary buffers', [above(auxiliary), above(bounced, 4096), above(auxiliary)]],
    ['a layer between that holds none', [above(auxiliary), {}, above(auxiliary)]],
    ['only the top holds one', [{}, {}, above(auxiliary)]],
    ['only the one between holds one', [{}, above(auxiliary), {}]],
  ] as const)('ends: %s', async (_what, layers) => {
    const { host, disk, at, drain } = await stack(layers, { hold: true })
    const done = Array.from({ length: IOS }, (_, i) => write(at.channel, i, 1, i & 0xff))
    drain()
    // The pool is used up at the top: what is there has gone all the way down, the rest waits.
    expect(disk.held.length).toBeGreaterThan(0)
    expect(disk.held.length).toBeLessThanOrEqual(64)
    expect([host.iobuf.inUse, host.usage().iobufWaiters]).toEqual([64, IOS - disk.held.length])
    for (let rounds = 0; disk.held.length > 0 && rounds < IOS; rounds++) {
      for (const io of disk.held.splice(0)) io.complete(disk.serve(io))
      drain()
    }
    expect(done.map(({ calls, success }) => [calls, success])).toEqual(done.map(() => [1, true]))
    expect(Array.from({ length: IOS }, (_, i) => disk.data[i * BLOCK])).toEqual(Array.from({ length: IOS }, (_, i) => i & 0xff))
    expect([host.iobuf.inUse, host.iobuf.heldAbove]).toEqual([0, 0])
    at.close()
    await host.finish()
    expect(host.usage()).toEqual(NOTHING_IN_USE)
  })

  test('ends on two threads that share what is left', async () => {
    const { host, disk, at, drain } = await stack([above(auxiliary), above(auxiliary), above(auxiliary)], { hold: true })
    const other = host.createThread('other')
    const channel = on(other, () => at.desc.getIoChannel()!)
    const done = Array.from({ length: IOS }, (_, i) => (i % 2 === 0 ? write(at.channel, i, 1) : on(other, () => write(channel, i, 1))))
    drain()
    for (let rounds = 0; disk.held.length > 0 && rounds < IOS; rounds++) {
      for (const io of disk.held.splice(0)) io.complete(disk.serve(io))
      drain()
    }
    expect(done.every(({ calls, success }) => calls === 1 && success)).toBe(true)
    on(other, () => channel.put())
  })

  test('gives memory beyond the pool back to the heap', async () => {
    const { host, disk, at, drain } = await stack([above(auxiliary), above(auxiliary)], { hold: true })
    for (let i = 0; i < IOS; i++) write(at.channel, i, 1)
    drain()
    const poolBytes = 64 * host.iobuf.smallBufBytes
    expect(host.iobuf.heapBytes).toBeGreaterThan(poolBytes)
    disk.hold = false
    disk.completeAll()
    drain()
    expect([host.iobuf.inUse, host.iobuf.heapBytes]).toEqual([0, poolBytes])
  })
})

test('layers that hold nothing do not go beyond the pools: I/O to their base waits', async () => {
  const { host, disk, at, drain } = await stack([{}, {}], { hold: true })
  const done = Array.from({ length: IOS }, (_, i) => write(at.channel, i, 1))
  drain()
  expect([disk.held.length, host.iobuf.inUse, host.usage().iobufWaiters, host.iobuf.heapBytes]).toEqual([64, 64, IOS - 64, 64 * host.iobuf.smallBufBytes])
  disk.hold = false
  disk.completeAll()
  drain()
  expect(done.every(({ calls, success }) => calls === 1 && success)).toBe(true)
})

describe('an I/O that is held up by itself:', () => {
  const auxiliaries = new Map<BdevIo, DmaBuffer>()
  const auxThenCopy = (disk: FakeDisk, io: BdevIo): void =>
    io.getAuxBuf((_channel, self, buffer) => {
      if (buffer === null) return self.complete(IoStatus.Aborted)
      auxiliaries.set(self, buffer)
      self.getBuf(bytesOf(self), (_ch, both) => void disk.held.push(both))
    })
  const copyThenAux = (disk: FakeDisk, io: BdevIo): void =>
    io.getBuf(bytesOf(io), (_channel, self, success) => {
      if (!success) return self.complete(IoStatus.Aborted)
      self.getAuxBuf((_ch, both, buffer) => {
        auxiliaries.set(both, buffer!)
        disk.held.push(both)
      })
    })

  test.each([
    ['auxiliary buffer, then copy', auxThenCopy],
    ['copy, then auxiliary buffer', copyThenAux],
  ])('a module that asks for a second buffer while it has the last: %s', async (_what, ask) => {
    const { host, disk, at, drain } = await stack([])
    disk.submit = io => ask(disk, io)
    const entry = { fn: () => {}, arg: null }
    const taken = Array.from({ length: 63 }, () => host.iobuf.get(BLOCK, entry)!)
    const done = [write(at.channel, 0, 1), write(at.channel, 1, 1)]
    drain()
    // The first has both, the second waits for its first.
    expect([disk.held.length, host.usage().iobufWaiters]).toEqual([1, 1])
    while (disk.held.length > 0) {
      const io = disk.held.shift()!
      io.putAuxBuf(auxiliaries.get(io)!)
      io.complete(disk.serve(io))
      drain()
    }
    expect(done.every(({ success }) => success)).toBe(true)
    // It is no mark of the object: the next I/O waits for its first again.
    taken.push(host.iobuf.get(BLOCK, entry)!)
    const next = write(at.channel, 2, 1)
    drain()
    expect(host.usage().iobufWaiters).toBe(1)
    submit((cb, result) => at.channel.abort(next, cb, result))
    drain()
    expect(next.status).toBe(IoStatus.Aborted)
    for (const buffer of taken) host.iobuf.put(buffer)
    expect(host.iobuf.inUse).toBe(0)
  })

  test('COPY, COMPARE and COMPARE_AND_WRITE, whose reads and writes want memory of an alignment that no pool has', async () => {
    const types = [IoType.Read, IoType.Write]
    const { host, disk, at, drain } = await stack([], { types, requiredAlignmentBytes: 65_536, acwuBlocks: 1 })
    disk.data.fill(7, 0, BLOCK)
    const entry = { fn: () => {}, arg: null }
    // Their own buffers are small ones, those of their reads and writes large ones.
    const taken = Array.from({ length: 8 }, () => host.iobuf.get(100_000, entry)!)
    const iovs = (value: number) => [{ buf: new Uint8Array(BLOCK).fill(value), off: 0, len: BLOCK }]
    const copy = submit((cb, result) => at.channel.copyBlocks(1, 0, 1, cb, result))
    drain()
    const compare = submit((cb, result) => at.channel.comparevBlocks(iovs(7), 1, 1, 1, cb, result))
    drain()
    while (taken.length < 8 + 64) taken.push(host.iobuf.get(BLOCK, entry)!)
    const exchange = submit((cb, result) => at.channel.comparevAndWritevBlocks(iovs(7), 1, iovs(8), 1, 1, 1, cb, result))
    drain()
    expect([copy.status, compare.status, exchange.status]).toEqual([IoStatus.Success, IoStatus.Success, IoStatus.Success])
    expect([disk.data[BLOCK], host.iobuf.inUse]).toEqual([8, 8 + 64])
    for (const buffer of taken) host.iobuf.put(buffer)
  })
})
