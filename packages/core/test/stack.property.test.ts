// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { IoStatus } from '@bdevkit/module-sdk'
import { FakeModule, RelayModule, type FakeDisk, type RelayOptions } from './support/fake-bdev.js'
import { openRw, Result, startHost, submit } from './support/harness.js'

const BLOCKS = 48
const BLOCK_BYTES = 512

/** How a layer of the stack passes I/O on. */
const LAYERS: Record<string, RelayOptions['submit']> = {
  forward: (base, io) => io.forward(base),
  look: (base, io) => io.forwardThen(base, (child, parent) => parent.completeFrom(child)),
  // Sends everything down twice, one after the other.
  twice: (base, io) => io.forwardThen(base, (child, parent) => parent.forward(child.channel)),
}

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      what: fc.constantFrom('write', 'read', 'zero', 'compare'),
      at: fc.nat(BLOCKS - 1),
      count: fc.integer({ min: 0, max: 8 }),
      cut: fc.nat(400),
    }),
  },
  { weight: 5, arbitrary: fc.record({ what: fc.constant('complete'), pick: fc.nat(63) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('nomem'), pick: fc.nat(63) }) },
)

it('any stack of vbdevs, with completions in any order, keeps the data of a map of blocks', async () => {
  const fake = new FakeModule()
  const created = new Map(Object.entries(LAYERS).map(([name, layer]) => [name, new RelayModule(name, { submit: layer! })]))
  const { host, drain, clock } = await startHost([fake, ...created.values()])
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...Object.keys(LAYERS)), { maxLength: 4 }),
      fc.array(step, { maxLength: 60 }),
      async (kinds, steps) => {
        run++
        const disk: FakeDisk = fake.create(`disk${run}`, { numBlocks: BLOCKS, hold: true })
        let top = `disk${run}`
        for (const [i, kind] of kinds.entries()) top = created.get(kind)!.create(`v${run}-${i}`, top)
        await clock.settle()
        const opened = openRw(host, top)
        const model = new Uint8Array(BLOCKS)
        const inFlight = new Map<Result, { at: number; count: number; changes: boolean; check: () => void }>()
        let value = 0
        /** Overlapping I/O has no defined outcome where one of it writes. */
        const clashes = (at: number, count: number, changes: boolean): boolean =>
          [...inFlight.values()].some(other => (changes || other.changes) && at < other.at + other.count && other.at < at + count)
        const finish = (result: Result): void => {
          const { check } = inFlight.get(result)!
          inFlight.delete(result)
          expect(result.status).toBe(IoStatus.Success)
          check()
        }
        for (const it of steps) {
          if (it.what === 'complete' || it.what === 'nomem') {
            if (disk.held.length === 0) continue
            const io = disk.held[it.pick % disk.held.length]!
            disk.complete(io, it.what === 'nomem' ? IoStatus.Nomem : undefined)
            drain()
            continue
          }
          const { what, at, cut } = it as { what: string; at: number; cut: number }
          const count = Math.min((it as { count: number }).count, BLOCKS - at)
          const changes = what === 'write' || what === 'zero'
          if (clashes(at, count, changes)) continue
          const bytes = count * BLOCK_BYTES
          const buf = new Uint8Array(bytes)
          const first = Math.min(cut, bytes)
          const iovs = [
            { buf, off: 0, len: first },
            { buf, off: first, len: bytes - first },
          ]
          const expected = (block: number): number => model[at + block]!
          let check = (): void => {}
          const result = new Result()
          result.whenDone = () => finish(result)
          if (what === 'write') {
            value = (value % 250) + 1
            buf.fill(value)
            model.fill(value, at, at + count)
            inFlight.set(result, { at, count, changes, check })
            submit((cb, r) => opened.channel.writevBlocks(iovs, 2, at, count, cb, r), result)
          } else if (what === 'zero') {
            model.fill(0, at, at + count)
            inFlight.set(result, { at, count, changes, check })
            submit((cb, r) => opened.channel.writeZeroesBlocks(at, count, cb, r), result)
          } else if (what === 'compare') {
            for (let i = 0; i < count; i++) buf.fill(expected(i), i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES)
            inFlight.set(result, { at, count, changes, check })
            submit((cb, r) => opened.channel.comparevBlocks(iovs, 2, at, count, cb, r), result)
          } else {
            const want = Array.from({ length: count }, (_, i) => expected(i))
            check = () =>
              expect(want.map((_, i) => [buf[i * BLOCK_BYTES], buf[(i + 1) * BLOCK_BYTES - 1]])).toEqual(
                want.map(byte => [byte, byte]),
              )
            inFlight.set(result, { at, count, changes, check })
            submit((cb, r) => opened.channel.readvBlocks(iovs, 2, at, count, cb, r), result)
          }
          expect(result.rc).toBe(0)
        }
        for (let i = 0; i < 20 && inFlight.size > 0; i++) {
          disk.completeAll()
          drain()
          if (inFlight.size > 0 && disk.held.length === 0) await clock.advance(12)
        }
        expect(inFlight.size).toBe(0)
        for (let block = 0; block < BLOCKS; block++) expect(disk.data[block * BLOCK_BYTES]).toBe(model[block])
        opened.close()
        const gone = host.unregister(`disk${run}`)
        await clock.settle()
        await gone
        for (const [i, kind] of kinds.entries()) await created.get(kind)!.vbdevs.delete(`v${run}-${i}`)
        expect(host.usage()).toMatchObject({ bdevs: 0, descriptors: 0, channels: 0, bdevIos: 0, ioWaiters: 0 })
      },
    ),
    { numRuns: 200 },
  )
})
