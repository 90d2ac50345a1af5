// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { Socket, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NbdServer, nbdUri } from '../src/index.js'
import { RawClient, bytes, infoData, option, request } from './client.js'
import { createBench, type Bench, type RamDisk } from './ram-disk.js'

const READ = 0
const WRITE = 1
const MIB = 1024 * 1024

let bench: Bench

beforeEach(async () => {
  bench = await createBench()
})

afterEach(() => bench.close())

function nextIo(disk: RamDisk, count = 1): Promise<void> {
  return new Promise(resolve => {
    disk.onIo = () => disk.held.length >= count && resolve()
  })
}

describe('removal of the bdev', () => {
  it('answers what is in flight, closes the connections and lets the bdev go', async () => {
    const disk = bench.addDisk('ram0')
    const { server, path } = await bench.serve({ exports: [{ name: 'x', bdevName: 'ram0' }] })
    const busy = await RawClient.enter(path, 'x')
    const idle = await RawClient.enter(path, 'x')
    disk.hold = true
    const came = nextIo(disk)
    busy.write(request(READ, { length: 512 }))
    await came
    const removed = bench.removeDisk('ram0')
    await idle.closed
    bench.release(disk)
    expect((await busy.simple(512)).error).toBe(0)
    expect(await busy.rest()).toHaveLength(0)
    await removed
    expect(server.connections).toEqual([])
    expect(bench.host.usage()).toMatchObject({ bdevs: 0, descriptors: 0, channels: 0, bdevIos: 0 })
  })

  it('ends within a second where the client has stopped reading, and sends no byte of lent memory afterwards', async () => {
    const disk = bench.addDisk('ram0', { numBlocks: 65_536, lendsReadBuffers: true })
    disk.bytes.fill(1)
    const { path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }], limits: { unsentBytes: 16 * MIB, removeTimeoutMs: 5000 } })
    const client = await RawClient.enter(path)
    client.socket.pause()
    const came = new Promise<void>(resolve => {
      disk.onIo = () => disk.log.length === 8 && resolve()
    })
    client.write(Buffer.concat(Array.from({ length: 8 }, () => request(READ, { length: 4 * MIB }))))
    await came
    const before = performance.now()
    await bench.removeDisk('ram0')
    expect(performance.now() - before).toBeLessThan(1000)
    // The memory is another bdev's now.
    disk.bytes.fill(2)
    client.socket.resume()
    const all = await client.rest()
    expect(all.length).toBeLessThan(32 * MIB)
    expect(all.includes(Buffer.alloc(64, 2))).toBe(false)
    expect(bench.host.usage()).toMatchObject({ bdevs: 0, channels: 0, bdevIos: 0 })
  })

  it('ends within a second where the client has stopped reading copies', async () => {
    const disk = bench.addDisk('ram0', { numBlocks: 65_536 })
    const { path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }], limits: { removeTimeoutMs: 200 } })
    const client = await RawClient.enter(path)
    client.socket.pause()
    const came = new Promise<void>(resolve => {
      disk.onIo = () => resolve()
    })
    client.write(request(READ, { length: 16 * MIB }))
    await came
    const before = performance.now()
    await bench.removeDisk('ram0')
    expect(performance.now() - before).toBeLessThan(1000)
    client.end()
  })

  it('under load ends each client with an error or a closed connection, and a new bdev of that name is served', async () => {
    const disk = bench.addDisk('ram0', { numBlocks: 65_536, lendsReadBuffers: true })
    disk.bytes.fill(5)
    const { path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }] })
    const clients = await Promise.all(Array.from({ length: 4 }, () => RawClient.enter(path)))
    const some = new Promise<void>(resolve => {
      disk.onIo = () => disk.log.length === 200 && resolve()
    })
    const loads = clients.map(async (client, i) => {
      for (;;) {
        const length = i % 2 === 0 ? 4096 : 131_072
        client.write(request(READ, { length }))
        client.write(request(WRITE, { payload: Buffer.alloc(8192, 5) }))
        await client.simple(length)
        await client.simple()
      }
    })
    const outcomes = Promise.allSettled(loads)
    await some
    await bench.removeDisk('ram0')
    for (const outcome of await outcomes) expect(String((outcome as PromiseRejectedResult).reason)).toContain('the server closed')
    expect(bench.host.usage()).toMatchObject({ bdevs: 0, descriptors: 0, channels: 0, bdevIos: 0 })
    const lost = await RawClient.hello(path)
    expect((await lost.ask(7, infoData('')))[0]!.type).toBe(0x80000006)
    expect((await lost.ask(3)).map(reply => reply.type)).toEqual([1])
    lost.end()
    bench.addDisk('ram0')
    const client = await RawClient.enter(path)
    expect((await client.ok(READ, { length: 4096 }, 4096)).data.equals(Buffer.alloc(4096))).toBe(true)
    client.end()
  })

  it('cuts a connection whose I/O hangs in the bdev, and gives the rest back when the I/O ends', async () => {
    const disk = bench.addDisk('ram0')
    const { server, path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }], limits: { removeTimeoutMs: 50 } })
    const client = await RawClient.enter(path)
    disk.hold = true
    const came = nextIo(disk)
    client.write(request(WRITE, { payload: Buffer.alloc(512) }))
    await came
    const removed = bench.removeDisk('ram0')
    await client.closed
    expect(server.connections.map(conn => [conn.state, conn.inFlight])).toEqual([['dead', 1]])
    bench.release(disk)
    await removed
    expect(server.connections).toEqual([])
  })
})

describe('a new size', () => {
  it('is seen by new connections; open ones keep theirs', async () => {
    bench.addDisk('ram0', { numBlocks: 8 })
    const { path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }] })
    const old = await RawClient.enter(path)
    bench.resizeDisk('ram0', 16)
    expect((await old.ok(READ, { offset: 8 * 512, length: 512 })).error).toBe(22)
    const client = await RawClient.hello(path)
    expect((await client.ask(7, infoData('')))[0]!.data.readBigUInt64BE(2)).toBe(8192n)
    old.end()
    client.end()
  })
})

describe('stop', () => {
  it('answers what is in flight, reads no more, and reports that it drained', async () => {
    const disk = bench.addDisk('ram0')
    const { server, path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }] })
    const client = await RawClient.enter(path)
    const negotiating = await RawClient.hello(path)
    disk.hold = true
    const came = nextIo(disk)
    client.write(request(READ, { cookie: 1n, length: 512 }))
    await came
    const stopped = server.stop()
    client.write(request(READ, { cookie: 2n, length: 512 }))
    bench.release(disk)
    expect(await client.simple(512)).toMatchObject({ error: 0, cookie: 1n })
    expect(await client.rest()).toHaveLength(0)
    await negotiating.closed
    expect(await stopped).toEqual({ drained: true, cut: [] })
    expect(existsSync(path)).toBe(false)
    expect(bench.host.usage()).toMatchObject({ descriptors: 0, channels: 0, bdevIos: 0, dmaBytes: 0 })
    await expect(server.listen({ path })).rejects.toMatchObject({ code: 'ESHUTDOWN' })
  })

  it('cuts what is left at the deadline and tells which', async () => {
    const disk = bench.addDisk('ram0')
    const { server, path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }] })
    const client = await RawClient.enter(path)
    disk.hold = true
    const came = nextIo(disk)
    client.write(request(READ, { length: 512 }))
    await came
    const stopped = server.stop({ deadlineMs: 30 })
    await client.closed
    bench.release(disk)
    const { drained, cut } = await stopped
    expect(drained).toBe(false)
    expect(cut).toMatchObject([{ id: 1, inFlight: 1, state: 'draining', requests: 1 }])
  })
})

describe('exports', () => {
  it('come and go while others are served', async () => {
    bench.addDisk('ram0')
    bench.addDisk('ram1', { numBlocks: 8 })
    const { server, path } = await bench.serve({ exports: [{ name: 'a', bdevName: 'ram0' }] })
    const a = await RawClient.enter(path, 'a')
    server.addExport({ name: '', bdevName: 'ram1' })
    expect(server.exportNames).toEqual(['a', ''])
    const b = await RawClient.hello(path)
    expect((await b.ask(7, infoData('')))[0]!.data.readBigUInt64BE(2)).toBe(4096n)
    await server.removeExport('a')
    await a.closed
    expect(bench.host.bdevByName('ram0')!.descs.length).toBe(0)
    expect((await b.ok(READ, { length: 512 }, 512)).error).toBe(0)
    b.end()
    await expect(server.removeExport('a')).rejects.toMatchObject({ code: 'ENODEV' })
    expect(() => server.addExport({ name: '', bdevName: 'ram1' })).toThrow('there is one of that name')
  })

  it('of bdevs that are missing, claimed or of an odd block size are refused', async () => {
    bench.addDisk('odd', { blockSizeBytes: 520 })
    await bench.host.waitForExamine()
    expect(() => new NbdServer(bench.host, { exports: [{ name: '', bdevName: 'nope' }] })).toThrow('there is no such bdev')
    expect(() => new NbdServer(bench.host, { exports: [{ name: '', bdevName: 'odd' }] })).toThrow('power of two up to 65536, found 520')
    expect(bench.host.usage().descriptors).toBe(0)
  })

  it('hold the bdev open for writing only where they write', async () => {
    bench.addDisk('ram0')
    await bench.host.waitForExamine()
    const ro = new NbdServer(bench.host, { exports: [{ name: '', bdevName: 'ram0', readOnly: true }] })
    expect(bench.host.bdevByName('ram0')!.descs.map(desc => desc.write)).toEqual([false])
    await ro.stop()
  })
})

describe('addresses', () => {
  it('of TCP are loopback by default, with the port that the system chose', async () => {
    bench.addDisk('ram0')
    const server = new NbdServer(bench.host, { exports: [{ name: 'disk 1', bdevName: 'ram0' }] })
    await server.listen({ port: 0 })
    const [address] = server.addresses as [{ host: string; port: number }]
    expect(address.host).toBe('127.0.0.1')
    expect(server.uri('disk 1')).toBe(`nbd://127.0.0.1:${address.port}/disk%201`)
    const client = await RawClient.connect({ port: address.port, host: '127.0.0.1' })
    expect((await client.read(18)).toString('latin1', 0, 8)).toBe('NBDMAGIC')
    client.end()
    expect(await server.stop()).toMatchObject({ drained: true })
  })

  it('in use by a live server are refused, stale sockets replaced, other files left alone', async () => {
    bench.addDisk('ram0')
    const { path } = await bench.serve({ exports: [{ name: '', bdevName: 'ram0' }] })
    await expect(bench.serve({}, 'nbd.sock')).rejects.toMatchObject({ code: 'EADDRINUSE' })
    const client = await RawClient.enter(path)
    client.end()
    const file = join(bench.dir, 'file')
    writeFileSync(file, 'precious')
    await expect(bench.serve({}, 'file')).rejects.toMatchObject({ code: 'EEXIST' })
    // A process that is killed leaves its socket behind.
    const stale = join(bench.dir, 'stale.sock')
    const child = spawn(process.execPath, ['-e', 'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, 9))', stale])
    await once(child, 'exit')
    expect(existsSync(stale)).toBe(true)
    await bench.serve({}, 'stale.sock')
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const server = new NbdServer(bench.host)
    await expect(server.listen({ port: (taken.address() as AddressInfo).port })).rejects.toMatchObject({ code: 'EADDRINUSE' })
    taken.close()
    await server.stop()
  })

  it('may be a pair of pipes, for one client', async () => {
    bench.addDisk('ram0')
    const [input, output] = ['in', 'out'].map(name => join(bench.dir, name)) as [string, string]
    execFileSync('mkfifo', [input, output])
    // Opened for both directions, so that opening does not wait for a peer.
    const fds = [input, output, output, input].map(path => openSync(path, 'r+')) as [number, number, number, number]
    const server = new NbdServer(bench.host, { exports: [{ name: '', bdevName: 'ram0' }] })
    const over = server.serveStdio(fds[0], fds[1])
    const client = new RawClient(new Socket({ fd: fds[2] }))
    const send = (data: Uint8Array): number => writeSync(fds[3], data)
    expect((await client.read(18)).toString('latin1', 0, 8)).toBe('NBDMAGIC')
    send(Buffer.concat([bytes([4, 3]), option(7, infoData(''))]))
    expect((await client.optionReplies()).at(-1)!.type).toBe(1)
    send(request(WRITE, { offset: 512, payload: Buffer.alloc(1024, 6) }))
    send(request(READ, { offset: 512, length: 1024 }))
    expect((await client.simple()).error).toBe(0)
    expect((await client.simple(1024)).data).toEqual(Buffer.alloc(1024, 6))
    send(request(2))
    await over
    expect(server.connections).toEqual([])
    expect(await server.stop()).toMatchObject({ drained: true })
    client.end()
    closeSync(fds[3])
  })

  it('make URIs', () => {
    expect(nbdUri({ path: '/tmp/a b.sock' }, '')).toBe('nbd+unix:///?socket=/tmp/a%20b.sock')
    expect(nbdUri({ path: '/tmp/x.sock' }, 'a/b')).toBe('nbd+unix:///a%2Fb?socket=/tmp/x.sock')
    expect(nbdUri({}, '')).toBe('nbd://127.0.0.1/')
    expect(nbdUri({ host: '::1', port: 10810 }, 'e')).toBe('nbd://[::1]:10810/e')
  })
})
