// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { RawClient, bytes, infoData, option, request } from './client.js'
import { createBench, type Bench } from './ram-disk.js'

const READ = 0
const WRITE = 1
const MIB = 1024 * 1024

let bench: Bench

afterEach(() => bench.close())

/** The bdev's buffers are ordinary memory, so these are the server's. */
const heldBytes = (): number => bench.host.usage().dmaBytes

/** A client's round trip, to show that the server serves. */
async function served(path: string): Promise<void> {
  const client = await RawClient.enter(path)
  expect((await client.ok(WRITE, { offset: 512, payload: Buffer.alloc(4096, 9) })).error).toBe(0)
  expect((await client.ok(READ, { offset: 512, length: 4096 }, 4096)).data.equals(Buffer.alloc(4096, 9))).toBe(true)
  client.end()
}

describe('hostile peers', () => {
  it('that send random bytes, cut handshakes or huge lengths cost their connection only', async () => {
    bench = await createBench()
    bench.addDisk('ram0', { numBlocks: 131_072 })
    const { server, path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }], limits: { handshakeTimeoutMs: 300 } })
    const openings = [
      ...fc.sample(fc.uint8Array({ minLength: 4, maxLength: 5000 }), { seed: 7, numRuns: 16 }),
      ...fc.sample(fc.nat({ max: 29 }), { seed: 7, numRuns: 16 }).map(cut => bytes([4, 3], option(7, infoData(''))).subarray(0, cut)),
      ...[1, 3, 7, 10].flatMap(number => [bytes([4, 3], 'IHAVEOPT', [4, number], [4, 0xffffffff]), bytes([4, 3], 'IHAVEOPT', [4, number], [4, 65536])]),
      ...fc
        .sample(fc.uint8Array({ minLength: 28, maxLength: 5000 }), { seed: 8, numRuns: 24 })
        .map(rest => bytes([4, 3], option(7, infoData('')), rest)),
    ]
    expect(openings.length).toBe(64)
    const clients = await Promise.all(openings.map(() => RawClient.connect({ path })))
    openings.forEach((opening, i) => clients[i]!.write(opening))
    await served(path)
    await Promise.all(clients.map(client => client.closed))
    await served(path)
    await ended(() => server.connections.length === 0)
    expect(bench.host.usage()).toMatchObject({ channels: 0, bdevIos: 0 })
    expect(bench.messages.filter(message => message.startsWith('error'))).toEqual([])
  })

  it('that stall inside payloads of 32 MiB hold bounded memory, and others are served meanwhile', async () => {
    bench = await createBench()
    bench.addDisk('ram0', { numBlocks: 131_072 })
    const totalBytes = 128 * MIB
    const { server, path } = await bench.serve({
      exports: [{ name: '', bdevName: 'ram0' }],
      limits: { totalBytes, connectionBytes: 64 * MIB, payloadTimeoutMs: 30_000, pressureTimeoutMs: 150 },
    })
    const stalled = await Promise.all(Array.from({ length: 64 }, () => RawClient.enter(path)))
    for (const client of stalled) client.write(Buffer.concat([request(WRITE, { length: 32 * MIB }), Buffer.alloc(100_000)]))
    await ended(() => server.connections.filter(conn => conn.heldBytes > 32 * MIB).length >= 3)
    expect(heldBytes()).toBeLessThanOrEqual(totalBytes + 66 * 512 * 1024)
    await served(path)
    // A client that wants as much gets its turn when the first stallers have been dropped.
    const patient = await RawClient.enter(path)
    patient.write(request(WRITE, { payload: Buffer.alloc(32 * MIB, 3) }))
    expect((await patient.simple()).error).toBe(0)
    expect(bench.messages.some(message => message.includes('while others waited for memory'))).toBe(true)
    for (const client of [...stalled, patient]) client.end()
    await ended(() => server.connections.length === 0)
    expect(await server.stop()).toEqual({ drained: true, cut: [] })
    expect(heldBytes()).toBe(0)
  })

  it('that hold all memory stop no small requests, not even writes whose payload comes apart from its head', async () => {
    bench = await createBench()
    bench.addDisk('ram0', { numBlocks: 131_072 })
    const limits = { totalBytes: 64 * MIB, connectionBytes: 32 * MIB, pressureTimeoutMs: 60_000 }
    const { server, path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }], limits })
    const stalled = await Promise.all(Array.from({ length: 4 }, () => RawClient.enter(path)))
    for (const client of stalled) client.write(Buffer.concat([request(WRITE, { length: 32 * MIB }), Buffer.alloc(100_000)]))
    await ended(() => server.connections.filter(conn => conn.heldBytes > 32 * MIB).length === 2)
    const small = await RawClient.enter(path)
    for (let i = 0; i < 3; i++) {
      small.write(Buffer.concat([request(READ, { length: 512 }), request(WRITE, { length: 16_384 })]))
      expect((await small.simple(512)).error).toBe(0)
      small.write(Buffer.alloc(16_384, 5))
      expect((await small.simple()).error).toBe(0)
    }
    expect(server.connections.length).toBe(5)
    for (const client of [...stalled, small]) client.end()
    await ended(() => server.connections.length === 0)
  })

  it('that stall in a payload are dropped at its deadline, also without pressure', async () => {
    bench = await createBench()
    bench.addDisk('ram0', { numBlocks: 131_072 })
    const { path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }], limits: { payloadTimeoutMs: 60 } })
    const client = await RawClient.enter(path)
    client.write(request(WRITE, { length: 4096 }))
    await client.closed
    expect(bench.messages.some(message => message.includes("a write's payload took longer than 60 ms"))).toBe(true)
  })

  it('that do not read their replies stop being read, and are dropped when others need the memory', async () => {
    bench = await createBench()
    const disk = bench.addDisk('ram0', { numBlocks: 131_072 })
    const { server, path } = await bench.serve({
      exports: [{ name: '', bdevName: 'ram0' }],
      limits: { connectionBytes: 32 * MIB, totalBytes: 32 * MIB, unsentBytes: 4 * MIB, requests: 4, pressureTimeoutMs: 100 },
    })
    const greedy = await RawClient.enter(path)
    greedy.socket.pause()
    greedy.write(Buffer.concat(Array.from({ length: 9000 }, (_, i) => request(READ, { cookie: BigInt(i), length: MIB }))))
    await ended(() => server.connections[0]!.unsentBytes >= 3 * MIB)
    expect(disk.log.length).toBeLessThan(16)
    expect(heldBytes()).toBeLessThanOrEqual(33 * MIB)
    const other = await RawClient.enter(path)
    other.write(request(WRITE, { payload: Buffer.alloc(32 * MIB) }))
    expect((await other.simple()).error).toBe(0)
    expect(server.connections.length).toBe(1)
    other.end()
    greedy.end()
  })

  it('that read slowly get every byte in the end', async () => {
    bench = await createBench()
    const disk = bench.addDisk('ram0', { numBlocks: 131_072 })
    for (let i = 0; i < disk.bytes.length; i += 4096) disk.bytes[i] = i / 4096
    const { path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }], limits: { unsentBytes: MIB, requests: 16 } })
    const client = await RawClient.enter(path)
    client.socket.pause()
    const count = 400
    client.write(Buffer.concat(Array.from({ length: count }, (_, i) => request(READ, { cookie: BigInt(i), offset: i * 65_536, length: 65_536 }))))
    client.socket.resume()
    for (let i = 0; i < count; i++) {
      const { cookie, data } = await client.simple(65_536)
      expect([cookie, data[0], data[4096]]).toEqual([BigInt(i), (i * 16) & 255, (i * 16 + 1) & 255])
    }
    client.end()
  })

  it('that do not finish the handshake are dropped, those connected and silent are not', async () => {
    bench = await createBench()
    bench.addDisk('ram0')
    const { server, path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }], limits: { handshakeTimeoutMs: 60 } })
    const silent = await RawClient.enter(path)
    const slow = await RawClient.hello(path)
    await slow.closed
    await ended(() => server.connections.length === 1)
    expect((await silent.ok(READ, { length: 512 }, 512)).error).toBe(0)
    silent.end()
  })
})

describe('limits', () => {
  it('turn away connections beyond their number', async () => {
    bench = await createBench()
    bench.addDisk('ram0')
    const { path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }], limits: { connections: 2 } })
    const first = await RawClient.enter(path)
    const second = await RawClient.enter(path)
    const third = await RawClient.connect({ path })
    expect(await third.rest()).toHaveLength(0)
    first.end()
    second.end()
  })

  it('wait for I/Os of the framework instead of failing', async () => {
    bench = await createBench({ bdevIoPoolSize: 8, bdevIoCacheSize: 4 })
    const disk = bench.addDisk('ram0')
    const { path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }] })
    const client = await RawClient.enter(path)
    disk.hold = true
    const full = new Promise<void>(resolve => {
      disk.onIo = () => disk.held.length === 8 && resolve()
    })
    client.write(Buffer.concat(Array.from({ length: 40 }, (_, i) => request(READ, { cookie: BigInt(i), offset: i * 512, length: 512 }))))
    await full
    disk.onIo = null
    bench.release(disk)
    for (let i = 0; i < 40; i++) expect((await client.simple(512)).error).toBe(0)
    client.end()
  })
})

/** Waits until a condition on the server holds. */
async function ended(condition: () => boolean): Promise<void> {
  await vi.waitFor(() => expect(condition()).toBe(true), { timeout: 8000, interval: 5 })
}
