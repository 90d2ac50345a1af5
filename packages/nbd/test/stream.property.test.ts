// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { RawClient, request } from './client.js'
import { createBench, type Bench, type RamDisk } from './ram-disk.js'

// However a stream of requests is cut into packets, and whatever order the bdev completes in, each request gets its one answer.

const SIZE = 1024 * 512
let bench: Bench
let disk: RamDisk
let lender: RamDisk
let path: string
let slow: RamDisk
let narrow: string

beforeAll(async () => {
  bench = await createBench()
  disk = bench.addDisk('ram0', { numBlocks: 1024 })
  lender = bench.addDisk('lender', { numBlocks: 1024, lendsReadBuffers: true })
  const served = await bench.serve({
    exports: [
      { name: 'own', bdevName: 'ram0' },
      { name: 'lent', bdevName: 'lender' },
    ],
  })
  slow = bench.addDisk('slow', { numBlocks: 65_536 })
  narrow = (await bench.serve({ exports: [{ name: '', bdevName: 'slow' }], limits: { requests: 16 } }, 'narrow.sock')).path
  path = served.path
})

afterAll(() => bench.close())

const op = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('read' as const), block: fc.nat(1030), blocks: fc.nat(200) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('write' as const), block: fc.nat(1030), blocks: fc.nat(200) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('zero' as const), block: fc.nat(1030), blocks: fc.nat(200) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('flush' as const), block: fc.constant(0), blocks: fc.constant(0) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('unknown' as const), block: fc.constant(0), blocks: fc.constant(0) }) },
)
const types = { read: 0, write: 1, zero: 6, flush: 3, unknown: 99 } as const

it('gives the same answers however the stream is cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(op, { minLength: 1, maxLength: 25, size: 'max' }),
      fc.array(fc.integer({ min: 1, max: 70_000 }), { maxLength: 40 }),
      fc.boolean(),
      fc.boolean(),
      async (ops, cuts, structured, lends) => {
        const ram = lends ? lender : disk
        ram.bytes.fill(0)
        const model = new Uint8Array(SIZE)
        const client = await RawClient.enter(path, lends ? 'lent' : 'own', { structured })
        const stream: Buffer[] = []
        const wanted: { error: number; data: Uint8Array; isRead: boolean; raced: boolean }[] = []
        ops.forEach(({ kind, block, blocks }, i) => {
          const offset = block * 512
          const length = blocks * 512
          const payload = kind === 'write' ? Buffer.alloc(length, i + 1) : Buffer.alloc(0)
          stream.push(request(types[kind], { cookie: BigInt(i), offset, length, payload }))
          const beyond = offset + length > SIZE
          const error = kind === 'unknown' ? 22 : beyond ? (kind === 'read' ? 22 : 28) : 0
          if (error === 0 && kind === 'write') model.fill(i + 1, offset, offset + length)
          if (error === 0 && kind === 'zero') model.fill(0, offset, offset + length)
          wanted.push({ error, data: kind === 'read' && error === 0 ? model.slice(offset, offset + length) : new Uint8Array(0), isRead: kind === 'read', raced: lends && racesWithLater(ops, i) })
        })
        const all = Buffer.concat(stream)
        let at = 0
        for (const cut of cuts) {
          client.write(all.subarray(at, at + cut))
          at += cut
          await new Promise(resolve => setImmediate(resolve))
        }
        client.write(all.subarray(at))
        const seen = new Set<bigint>()
        for (let n = 0; n < ops.length; n++) {
          const answer = structured ? await structuredAnswer(client, wanted) : await simpleAnswer(client, wanted)
          const want = wanted[Number(answer.cookie)]!
          expect(answer.error).toBe(want.error)
          expect(answer.data.length).toBe(want.data.length)
          if (!want.raced) expect(Buffer.compare(answer.data, want.data)).toBe(0)
          seen.add(answer.cookie)
        }
        expect(seen.size).toBe(ops.length)
        expect(Buffer.compare(ram.bytes, model)).toBe(0)
        client.write(request(2))
        expect(await client.rest()).toHaveLength(0)
      },
    ),
    { numRuns: 60 },
  )
})

const sizesOfSlow = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 48, max: 64 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 150 }) },
)

it('keeps each payload until a slow bdev has written it, and each answer until a slow bdev has read it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(sizesOfSlow, { minLength: 1, maxLength: 200, size: 'max' }), fc.boolean(), async (sizes, newestFirst) => {
      slow.bytes.fill(0)
      slow.hold = true
      let due = false
      slow.onIo = () => {
        if (due) return
        due = true
        afterTurns(8, () => {
          due = false
          if (newestFirst) slow.held.reverse()
          bench.release(slow)
          slow.hold = true
        })
      }
      const client = await RawClient.enter(narrow)
      const places: { offset: number; payload: Buffer }[] = []
      let offset = 0
      for (const blocks of sizes) {
        places.push({ offset, payload: Buffer.alloc(blocks * 512, (places.length % 255) + 1) })
        offset += blocks * 512
      }
      client.write(Buffer.concat(places.map((place, i) => request(1, { cookie: BigInt(i), ...place }))))
      for (let i = 0; i < places.length; i++) expect((await client.simple()).error).toBe(0)
      const wanted = Buffer.concat(places.map(place => place.payload))
      expect(Buffer.compare(slow.bytes.subarray(0, wanted.length), wanted)).toBe(0)
      client.write(Buffer.concat(places.map((place, i) => request(0, { cookie: BigInt(i), offset: place.offset, length: place.payload.length }))))
      for (let i = 0; i < places.length; i++) {
        const answer = await simpleAnswer(client, places.map(place => ({ data: place.payload })))
        expect(Buffer.compare(answer.data, places[Number(answer.cookie)]!.payload)).toBe(0)
      }
      client.end()
      slow.onIo = null
    }),
    { numRuns: 15 },
  )
})

/** Calls `fn` when the event loop has gone round some times, so that sockets are read meanwhile. */
function afterTurns(turns: number, fn: () => void): void {
  setImmediate(() => (turns === 1 ? fn() : afterTurns(turns - 1, fn)))
}

/** Whether a request that writes is in flight at the same time as an earlier read of the same blocks: then either data is right. */
function racesWithLater(ops: readonly { kind: string; block: number; blocks: number }[], i: number): boolean {
  const { block, blocks } = ops[i]!
  return ops.slice(i + 1).some(op => (op.kind === 'write' || op.kind === 'zero') && op.block < block + blocks && block < op.block + op.blocks)
}

interface Answer {
  cookie: bigint
  error: number
  data: Uint8Array
}

async function simpleAnswer(client: RawClient, wanted: readonly { data: Uint8Array }[]): Promise<Answer> {
  const head = await client.read(16)
  const cookie = head.readBigUInt64BE(8)
  const error = head.readUInt32BE(4)
  expect(head.readUInt32BE(0)).toBe(0x67446698)
  return { cookie, error, data: error === 0 ? await client.read(wanted[Number(cookie)]!.data.length) : new Uint8Array(0) }
}

async function structuredAnswer(client: RawClient, wanted: readonly { isRead: boolean }[]): Promise<Answer> {
  const magic = (await client.read(4)).readUInt32BE(0)
  if (magic === 0x67446698) {
    const rest = await client.read(12)
    const cookie = rest.readBigUInt64BE(4)
    expect(wanted[Number(cookie)]!.isRead).toBe(false)
    return { cookie, error: rest.readUInt32BE(0), data: new Uint8Array(0) }
  }
  expect(magic).toBe(0x668e33ef)
  const head = await client.read(16)
  const data = await client.read(head.readUInt32BE(12))
  const cookie = head.readBigUInt64BE(4)
  const type = head.readUInt16BE(2)
  if (type === 0x8001) return { cookie, error: data.readUInt32BE(0), data: new Uint8Array(0) }
  return { cookie, error: 0, data: type === 0 ? data : data.subarray(8) }
}
