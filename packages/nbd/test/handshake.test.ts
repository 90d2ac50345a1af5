// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RawClient, bytes, infoData, metaData, option } from './client.js'
import { createBench, type Bench } from './ram-disk.js'

const ERR_UNSUP = 0x80000001
const ERR_INVALID = 0x80000003
const ERR_UNKNOWN = 0x80000006
const ERR_BLOCK_SIZE_REQD = 0x80000008
const ERR_TOO_BIG = 0x80000009
/** HAS_FLAGS, FLUSH, FUA, TRIM, WRITE_ZEROES, MULTI_CONN, CACHE, FAST_ZERO. */
const FLAGS = 1 | 4 | 8 | 32 | 64 | 256 | 1024 | 2048
const MIB = 1024 * 1024

let bench: Bench
let path: string

beforeAll(async () => {
  bench = await createBench()
  bench.addDisk('ram0')
  bench.addDisk('ram1', { types: [1, 2], blockSizeBytes: 4096, numBlocks: 16 })
  bench.addDisk('ram2', { optimalIoBoundaryBlocks: 256, physBlockSizeBytes: 8192, writeUnitSizeBlocks: 2 })
  const served = await bench.serve({
    exports: [
      { name: 'first', bdevName: 'ram0', description: 'the first one' },
      { name: 'ro', bdevName: 'ram0', readOnly: true },
      { name: 'big', bdevName: 'ram1', multiConn: false },
      { name: 'hints', bdevName: 'ram2' },
    ],
  })
  path = served.path
})

afterAll(() => bench.close())

describe('the first words', () => {
  it('are the newstyle greeting with fixed newstyle and no zeroes', async () => {
    const client = await RawClient.connect({ path })
    expect(await client.read(18)).toEqual(bytes('NBDMAGIC', 'IHAVEOPT', [2, 3]))
    client.end()
  })

  it('end where the client sets a flag that was not offered', async () => {
    const client = await RawClient.hello(path, 7)
    await client.closed
    expect(await client.rest()).toHaveLength(0)
  })

  it('end where an option does not start with IHAVEOPT', async () => {
    const client = await RawClient.hello(path)
    client.write(bytes('IWANTOPT', [4, 2], [4, 0]))
    expect(await client.rest()).toHaveLength(0)
  })
})

describe('NBD_OPT_EXPORT_NAME', () => {
  it('answers size, flags and 124 zeroes', async () => {
    const client = await RawClient.hello(path, 1)
    client.write(option(1, Buffer.from('first')))
    expect(await client.read(134)).toEqual(bytes([8, MIB], [2, FLAGS], Buffer.alloc(124)))
    expect((await client.ok(0, { length: 512 }, 512)).error).toBe(0)
    client.end()
  })

  it('leaves the zeroes out where both sides said so', async () => {
    const client = await RawClient.hello(path, 3)
    client.write(option(1, Buffer.from('first')))
    expect(await client.read(10)).toEqual(bytes([8, MIB], [2, FLAGS]))
    expect((await client.ok(0, { length: 512 }, 512)).error).toBe(0)
    client.end()
  })

  it('closes for an unknown name', async () => {
    const client = await RawClient.hello(path)
    client.write(option(1, Buffer.from('nope')))
    expect(await client.rest()).toHaveLength(0)
  })

  it('serves the first export for the empty name', async () => {
    const client = await RawClient.hello(path)
    client.write(option(1))
    expect(await client.read(10)).toEqual(bytes([8, MIB], [2, FLAGS]))
    client.end()
  })
})

describe('NBD_OPT_ABORT', () => {
  it('is acknowledged, then the connection ends', async () => {
    const client = await RawClient.hello(path)
    expect(await client.ask(2)).toEqual([{ option: 2, type: 1, data: Buffer.alloc(0) }])
    expect(await client.rest()).toHaveLength(0)
  })
})

describe('NBD_OPT_LIST', () => {
  it('names every export with its description', async () => {
    const client = await RawClient.hello(path)
    const replies = await client.ask(3)
    expect(replies.map(reply => reply.type)).toEqual([2, 2, 2, 2, 1])
    expect(replies.slice(0, 4).map(reply => reply.data)).toEqual([
      bytes([4, 5], 'first', 'the first one'),
      bytes([4, 2], 'ro'),
      bytes([4, 3], 'big'),
      bytes([4, 5], 'hints'),
    ])
    client.end()
  })

  it('takes no data', async () => {
    const client = await RawClient.hello(path)
    expect((await client.ask(3, Buffer.from('x')))[0]!.type).toBe(ERR_INVALID)
    expect((await client.ask(3)).at(-1)!.type).toBe(1)
    client.end()
  })
})

describe('NBD_OPT_INFO and NBD_OPT_GO', () => {
  it('tell size, flags, name, description and block sizes as asked', async () => {
    const client = await RawClient.hello(path)
    const replies = await client.ask(6, infoData('', [0, 1, 2, 3, 77]))
    expect(replies).toEqual([
      { option: 6, type: 3, data: bytes([2, 0], [8, MIB], [2, FLAGS]) },
      { option: 6, type: 3, data: bytes([2, 1], 'first') },
      { option: 6, type: 3, data: bytes([2, 2], 'the first one') },
      { option: 6, type: 3, data: bytes([2, 3], [4, 512], [4, 4096], [4, 32 * MIB]) },
      { option: 6, type: 1, data: Buffer.alloc(0) },
    ])
    client.end()
  })

  it('go to transmission with GO, and structured replies add the DF flag', async () => {
    const client = await RawClient.hello(path)
    expect((await client.ask(8))[0]!.type).toBe(1)
    const replies = await client.ask(7, infoData('first'))
    expect(replies[0]!.data).toEqual(bytes([2, 0], [8, MIB], [2, FLAGS | 128]))
    client.write(bytes([4, 0x25609513], [2, 0], [2, 0], [8, 9], [8, 0], [4, 512]))
    expect(await client.chunk()).toMatchObject({ flags: 1, type: 1, cookie: 9n })
    client.end()
  })

  it('refuse a client that did not ask for block sizes, after telling them', async () => {
    for (const number of [6, 7]) {
      const client = await RawClient.hello(path)
      const replies = await client.ask(number, infoData('first', []))
      expect(replies.map(reply => reply.type)).toEqual([3, ERR_BLOCK_SIZE_REQD])
      expect(replies[0]!.data).toEqual(bytes([2, 3], [4, 512], [4, 4096], [4, 32 * MIB]))
      expect((await client.ask(7, infoData('first', [3]))).at(-1)!.type).toBe(1)
      client.end()
    }
  })

  it('serve such a client where the server was told to', async () => {
    const lenient = await bench.serve(
      { exports: [{ name: '512', bdevName: 'ram0' }, { name: '4096', bdevName: 'ram1' }], blockSizeRequiredAboveBytes: 512 },
      'lenient.sock',
    )
    const client = await RawClient.hello(lenient.path)
    expect((await client.ask(7, infoData('4096', []))).at(-1)!.type).toBe(ERR_BLOCK_SIZE_REQD)
    expect((await client.ask(7, infoData('512', []))).map(reply => reply.type)).toEqual([3, 1])
    client.end()
  })

  it('advertise what the bdev prefers', async () => {
    const client = await RawClient.hello(path)
    expect((await client.ask(6, infoData('hints')))[1]!.data).toEqual(bytes([2, 3], [4, 1024], [4, 131072], [4, 32 * MIB]))
    expect((await client.ask(6, infoData('big')))[1]!.data).toEqual(bytes([2, 3], [4, 4096], [4, 4096], [4, 32 * MIB]))
    client.end()
  })

  it('offer only what the bdev can', async () => {
    const client = await RawClient.hello(path)
    // Reads, writes and zeroes only, and one connection at a time.
    expect((await client.ask(6, infoData('big')))[0]!.data.readUInt16BE(10)).toBe(1 | 64 | 1024 | 2048)
    // Read-only: nothing that writes.
    expect((await client.ask(6, infoData('ro')))[0]!.data.readUInt16BE(10)).toBe(1 | 2 | 256 | 1024)
    client.end()
  })

  it('know no export of another name', async () => {
    const client = await RawClient.hello(path)
    expect((await client.ask(6, infoData('nope')))[0]).toMatchObject({ type: ERR_UNKNOWN })
    expect((await client.ask(7, infoData('nope')))[0]).toMatchObject({ type: ERR_UNKNOWN })
    expect((await client.ask(7, infoData('first'))).at(-1)!.type).toBe(1)
    client.end()
  })

  it('refuse lengths that do not fit and names with NUL', async () => {
    const client = await RawClient.hello(path)
    for (const data of [
      bytes([4, 0]),
      bytes([4, 100], 'first', [2, 0]),
      bytes([4, 5], 'first', [2, 3], [2, 3]),
      bytes([4, 5], 'first', [2, 0], [2, 3]),
      bytes([4, 5], 'fi\0st', [2, 1], [2, 3]),
      bytes([4, 0xffffffff], 'first', [2, 0]),
      infoData('x'.repeat(5000)),
    ]) {
      expect((await client.ask(7, data))[0]!.type).toBe(ERR_INVALID)
    }
    client.end()
  })
})

describe('NBD_OPT_STRUCTURED_REPLY', () => {
  it('takes no data, and is negotiated once', async () => {
    const client = await RawClient.hello(path)
    expect((await client.ask(8, Buffer.from('x')))[0]!.type).toBe(ERR_INVALID)
    expect((await client.ask(8))[0]!.type).toBe(1)
    expect((await client.ask(8))[0]!.type).toBe(ERR_INVALID)
    client.end()
  })
})

describe('meta contexts', () => {
  const context = (number: number, id: number) => ({ option: number, type: 4, data: bytes([4, id], 'base:allocation') })
  const ack = (number: number) => ({ option: number, type: 1, data: Buffer.alloc(0) })

  it('are listed, all, by wildcard and by name', async () => {
    const client = await RawClient.hello(path)
    await client.ask(8)
    for (const queries of [[], ['base:'], ['base:allocation'], ['x-other:y', 'base:', 'base:allocation']]) {
      expect(await client.ask(9, metaData('first', queries))).toEqual([context(9, 0), ack(9)])
    }
    expect(await client.ask(9, metaData('first', ['base:nothing', 'qemu:dirty-bitmap:x', 'nocolon']))).toEqual([ack(9)])
    client.end()
  })

  it('are set by name only, and only after structured replies', async () => {
    const client = await RawClient.hello(path)
    expect((await client.ask(10, metaData('first', ['base:allocation'])))[0]!.type).toBe(ERR_INVALID)
    await client.ask(8)
    expect(await client.ask(10, metaData('first', ['base:allocation']))).toEqual([context(10, 1), ack(10)])
    expect(await client.ask(10, metaData('first', ['base:']))).toEqual([ack(10)])
    expect(await client.ask(10, metaData('first', []))).toEqual([ack(10)])
    client.end()
  })

  it('refuse malformed requests and unknown exports', async () => {
    const client = await RawClient.hello(path)
    await client.ask(8)
    for (const data of [
      bytes([4, 5], 'first'),
      bytes([4, 50], 'first', [4, 0]),
      bytes([4, 5], 'first', [4, 1]),
      bytes([4, 5], 'first', [4, 1], [4, 100], 'base:'),
      bytes([4, 5], 'first', [4, 0xffffffff], [4, 5], 'base:'),
      bytes([4, 5], 'first', [4, 0], 'trailing'),
      bytes([4, 0xffffffff], 'first', [4, 0]),
    ]) {
      expect((await client.ask(10, data))[0]!.type).toBe(ERR_INVALID)
    }
    expect((await client.ask(9, metaData('nope', [])))[0]!.type).toBe(ERR_UNKNOWN)
    client.end()
  })

  it('hold for the export that they were set for, and go when set anew without success', async () => {
    for (const [set, go] of [
      ['first', 'ro'],
      ['first', 'first'],
    ] as const) {
      const client = await RawClient.hello(path)
      await client.ask(8)
      await client.ask(10, metaData(set, ['base:allocation']))
      if (set === go) await client.ask(10, metaData('nope', ['base:allocation']))
      await client.ask(7, infoData(go))
      client.write(bytes([4, 0x25609513], [2, 0], [2, 7], [8, 5], [8, 0], [4, 512]))
      const chunk = await client.chunk()
      expect([chunk.type, chunk.data.readUInt32BE(0)]).toEqual([0x8001, 22])
      client.end()
    }
  })
})

describe('other options', () => {
  it('are unsupported, STARTTLS politely so, and the next one is understood', async () => {
    const client = await RawClient.hello(path)
    expect(await client.ask(5)).toEqual([{ option: 5, type: ERR_UNSUP, data: Buffer.from('this server does not offer TLS') }])
    expect((await client.ask(5, Buffer.from('x')))[0]!.type).toBe(ERR_INVALID)
    expect((await client.ask(4))[0]!.type).toBe(ERR_UNSUP)
    expect((await client.ask(11))[0]!.type).toBe(ERR_UNSUP)
    expect((await client.ask(0xdeadbeef, Buffer.alloc(60_000)))[0]).toMatchObject({ type: ERR_UNSUP, option: 0xdeadbeef })
    expect((await client.ask(3)).at(-1)!.type).toBe(1)
    client.end()
  })

  it('with more data than is kept are skipped, with far more the connection ends', async () => {
    const client = await RawClient.hello(path)
    expect((await client.ask(3, Buffer.alloc(100_000)))[0]!.type).toBe(ERR_TOO_BIG)
    expect((await client.ask(3)).at(-1)!.type).toBe(1)
    client.write(bytes('IHAVEOPT', [4, 3], [4, 0xffffffff]))
    expect(await client.rest()).toHaveLength(0)
  })

  it('are bounded in number', async () => {
    const client = await RawClient.hello(path)
    let answered = 0
    for (let i = 0; i < 100; i++) client.write(option(99))
    await client.closed
    answered = (await client.rest()).length / 20
    expect(answered).toBe(32)
  })
})
