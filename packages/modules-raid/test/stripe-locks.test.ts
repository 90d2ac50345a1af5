// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { StripeLocks } from '../src/parity/stripe-locks.js'
import type { StripeOp } from '../src/parity/stripe-op.js'

/** As much of an operation as locks look at; started on a thread of its own making. */
function operation(stripe: number, isWrite: boolean, queue: (() => void)[]): StripeOp {
  const ch = { thread: { sendMsg: (fn: (op: StripeOp) => void, op: StripeOp) => void queue.push(() => fn(op)) } }
  return { stripe, isWrite, ch, wait: { fn: () => {} }, nextWaiting: null, phase: 0 } as unknown as StripeOp
}

it('a stripe has one write or several reads at a time, in the order in which they came; nobody is forgotten', () => {
  fc.assert(fc.property(fc.array(fc.record({ stripe: fc.nat(5), write: fc.boolean(), ends: fc.boolean() }), { maxLength: 60 }), steps => {
    const locks = new StripeLocks()
    const queue: (() => void)[] = []
    const running: StripeOp[] = []
    const asked: StripeOp[] = []
    const started: StripeOp[] = []
    const check = (): void => {
      for (const op of running.filter(({ isWrite }) => isWrite)) expect(running.filter(({ stripe }) => stripe === op.stripe)).toEqual([op])
    }
    const begin = (op: StripeOp): void => {
      started.push(op)
      running.push(op)
      check()
    }
    const end = (op: StripeOp): void => {
      running.splice(running.indexOf(op), 1)
      locks.release(op)
    }
    for (const { stripe, write, ends } of steps) {
      // Stripes of one bucket, and of others.
      const op = operation(stripe < 4 ? stripe * 1024 + 2 ** 40 : stripe, write, queue)
      asked.push(op)
      locks.acquire(op, begin)
      if (ends && running.length > 0) end(running[0]!)
      queue.shift()?.()
      expect([...locks.writers()].filter(writer => running.includes(writer))).toHaveLength(running.filter(({ isWrite }) => isWrite).length)
    }
    while (running.length > 0 || queue.length > 0) {
      for (const go of queue.splice(0)) go()
      if (running.length > 0) end(running[0]!)
    }
    for (const one of new Set(asked.map(({ stripe }) => stripe))) {
      expect(started.filter(({ stripe }) => stripe === one)).toEqual(asked.filter(({ stripe }) => stripe === one))
    }
    expect([...locks.writers()]).toEqual([])
  }), { numRuns: 300 })
})
