// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { DmaHeap } from '@bdevkit/accel'
import { expect, it } from 'vitest'
import type { SpdkThread } from '../src/index.js'
import { IoBudget } from '../src/io/io-budget.js'
import { queueIoWaiter } from '../src/io/io-wait.js'
import { IobufPool, type PoolBuffer } from '../src/io/iobuf-pool.js'
import { makeHost, on } from './support/harness.js'

// Run once with 20,000 and 4,000: no counterexample.
const THREADS = 3

const step = fc.record({ what: fc.constantFrom('take', 'take', 'take', 'give', 'give', 'wait', 'wait'), thread: fc.nat(THREADS - 1), pick: fc.nat(40) })

it('a pool of buffers lends no more than it has, starves nobody, and has everything at the end', () => {
  const { host, drain } = makeHost([])
  const threads = [host.appThread, host.createThread('one'), host.createThread('two')]
  const heap = new DmaHeap({ sizeBytes: 1 << 24 })
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 8 }), fc.nat(3), fc.array(step, { maxLength: 80 }), (count, cacheSize, steps) => {
      const pool = new IobufPool(heap, true, 4096, count)
      const caches = threads.map(thread => pool.addCache(thread, cacheSize))
      const lent: PoolBuffer[] = []
      let next = 0
      const served: number[] = []
      const got = (id: number, buffer: PoolBuffer | null): void => {
        served.push(id)
        lent.push(buffer!)
      }
      /** A request for more than one buffer now and then; never more than can be served. */
      const lengthOf = (pick: number): number => (pick % 7 === 0 ? Math.min(3, pool.maxBytes / 4096) * 4096 : 100)
      const check = (): void => {
        const used = lent.reduce((sum, buffer) => sum + buffer.rights, 0)
        expect(caches.reduce((sum, cache) => sum + cache.used, 0)).toBeGreaterThanOrEqual(used)
        expect(pool.free).toBeGreaterThanOrEqual(0)
        expect(caches.reduce((sum, cache) => sum + Math.max(cache.used, cache.reserve), pool.free)).toBe(count)
        expect(new Set(lent.map(buffer => buffer.off)).size).toBe(lent.length)
      }
      for (const { what, thread, pick } of steps) {
        const cache = caches[thread]!
        on(threads[thread]!, () => {
          if (what === 'take') {
            const buffer = cache.get(lengthOf(pick), null)
            if (buffer !== null) lent.push(buffer)
          } else if (what === 'give' && lent.length > 0) {
            const [buffer] = lent.splice(pick % lent.length, 1)
            buffer!.owner!.give(buffer!)
          } else if (what === 'wait') {
            const lengthBytes = lengthOf(pick)
            const buffer = cache.get(lengthBytes, null)
            if (buffer !== null) lent.push(buffer)
            else cache.wait({ fn: got, arg: next++, lengthBytes, bdev: null, next: null, buffer: null })
          }
        })
        drain()
        check()
      }
      // Everything comes back: everybody is served.
      while (lent.length > 0) {
        const buffer = lent.pop()!
        on(threads[0]!, () => buffer.owner!.give(buffer))
        drain()
        check()
      }
      expect(served).toHaveLength(next)
      expect(pool.waiting).toEqual([])
      expect(caches.every(cache => cache.used === 0 && cache.head === null)).toBe(true)
      pool.resize(4096, count, 0)
      expect(heap.inUseBytes).toBe(0)
    }),
    { numRuns: 400 },
  )
})

it('credits of I/Os are never more than the pool has, and a thread that waits is served as soon as one comes back', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 }), fc.nat(3), fc.array(step, { maxLength: 80 }), (reserve, more, steps) => {
      const { host, drain } = makeHost([], { bdevIoPoolSize: 10, bdevIoCacheSize: 0 })
      const threads: SpdkThread[] = [host.appThread, host.createThread('one'), host.createThread('two')]
      const size = reserve * THREADS + more + 1
      const budget = new IoBudget(size, reserve)
      for (const thread of threads) budget.addThread(thread)
      const inUse = threads.map(() => 0)
      let waits = 0
      let served = 0
      const take = (thread: number): boolean => {
        const self = threads[thread]!
        if (self.ioWaitHead !== null && !self.ioWaking) return false
        if (self.ioCredits === 0 && !budget.refill(self)) return false
        self.ioCredits--
        inUse[thread]!++
        return true
      }
      const give = (thread: number): void => {
        inUse[thread]!--
        const self = threads[thread]!
        if (++self.ioCredits > self.ioCreditsMax) budget.creditGiven(self)
      }
      const check = (): void => {
        const total = inUse.reduce((sum, count) => sum + count, 0)
        expect(budget.inUse).toBe(total)
        expect(total).toBeLessThanOrEqual(size)
        expect(budget.free).toBeGreaterThanOrEqual(0)
        for (const [i, thread] of threads.entries()) {
          expect(thread.ioCredits).toBeGreaterThanOrEqual(0)
          expect(thread.ioCredits + inUse[i]!).toBe(thread.ioRights)
          // Nobody waits for what lies unused.
          if (thread.ioWaitHead !== null) expect([budget.free, thread.ioCredits]).toEqual([0, 0])
        }
        if (threads.every(thread => thread.ioWaitHead === null)) return
        for (const thread of threads) expect(Math.min(thread.ioCredits, thread.ioRights - reserve)).toBeLessThanOrEqual(0)
      }
      for (const { what, thread } of steps) {
        const self = threads[thread]!
        on(self, () => {
          if (what === 'take') take(thread)
          else if (what === 'give' && inUse[thread]! > 0) give(thread)
          else if (what === 'wait' && !budget.hasFor(self)) {
            waits++
            queueIoWaiter(self, { fn: () => { served++; take(thread) }, arg: null, next: null, parent: null })
          }
        })
        drain()
        check()
      }
      for (let guard = 0; inUse.some(count => count > 0); guard++) {
        expect(guard).toBeLessThan(1000)
        const thread = inUse.findIndex(count => count > 0)
        on(threads[thread]!, () => give(thread))
        drain()
        check()
      }
      expect(served).toBe(waits)
      host.reactor.stop()
    }),
    { numRuns: 60 },
  )
})
