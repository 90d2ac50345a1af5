// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { PollerRc, type Poller } from '@bdevkit/module-sdk'
import { makeHost } from './support/harness.js'

function setup() {
  const test = makeHost([])
  const one = test.host.createThread('one')
  const two = test.host.createThread('two')
  return { ...test, one, two }
}

describe('messages', () => {
  it('run in the order in which they were sent, on their thread', async () => {
    const { host, clock, one, two } = setup()
    const seen: string[] = []
    for (let i = 0; i < 3; i++) {
      one.sendMsg(n => void seen.push(`${host.currentThread().name} ${n}`), i)
      two.sendMsg(n => void seen.push(`${host.currentThread().name} ${n}`), i)
    }
    expect(seen).toEqual([])
    await clock.settle()
    expect(seen.filter(line => line.startsWith('one'))).toEqual(['one 0', 'one 1', 'one 2'])
    expect(seen.filter(line => line.startsWith('two'))).toEqual(['two 0', 'two 1', 'two 2'])
  })

  it('sent to its own thread run after the sender has returned', async () => {
    const { clock, one } = setup()
    const seen: string[] = []
    one.sendMsg(() => {
      one.sendMsg(() => void seen.push('inner'), null)
      seen.push('outer')
    }, null)
    await clock.settle()
    expect(seen).toEqual(['outer', 'inner'])
  })

  it('all arrive, in order, when there are more than the queue first holds', async () => {
    const { clock, one } = setup()
    const seen: number[] = []
    for (let i = 0; i < 5000; i++) one.sendMsg(n => void seen.push(n), i)
    await clock.settle()
    expect(seen).toEqual(Array.from({ length: 5000 }, (_, i) => i))
  })

  it('keep their order when the queue grows with its oldest entry in the middle', async () => {
    const { clock, one } = setup()
    const seen: number[] = []
    const push = (n: number): void => void seen.push(n)
    for (let i = 0; i < 700; i++) one.sendMsg(() => {}, null)
    await clock.settle()
    for (let i = 0; i < 1500; i++) one.sendMsg(push, i)
    await clock.settle()
    expect(seen).toEqual(Array.from({ length: 1500 }, (_, i) => i))
  })

  it('that throw are named with their thread, and the next one runs', async () => {
    const { clock, one, lines } = setup()
    const seen: string[] = []
    one.sendMsg(() => {
      throw new Error('broken message')
    }, null)
    one.sendMsg(() => void seen.push('next'), null)
    await clock.settle()
    expect(seen).toEqual(['next'])
    expect(lines('error').join()).toContain('a message of thread "one" threw: Error: broken message')
  })

  it('that keep sending messages leave the event loop its turn', async () => {
    const { clock, one } = setup()
    let ran = 0
    let stop = false
    const again = (): void => {
      ran++
      if (!stop) one.sendMsg(again, null)
    }
    one.sendMsg(again, null)
    await clock.pass()
    expect(ran).toBeGreaterThan(0)
    const before = ran
    await clock.pass()
    expect(ran).toBeGreaterThan(before)
    stop = true
    await clock.settle()
    expect(clock.asleep).toBe(true)
  })
})

describe('execMsg', () => {
  it('runs at once on the current thread', async () => {
    const { clock, one } = setup()
    const seen: string[] = []
    one.sendMsg(() => {
      one.execMsg(() => void seen.push('inner'), null)
      seen.push('outer')
    }, null)
    await clock.settle()
    expect(seen).toEqual(['inner', 'outer'])
  })

  it('runs at once where no thread is current, as that thread, with all that follows from it', () => {
    const { host, one, two } = setup()
    const seen: string[] = []
    one.execMsg(() => {
      seen.push(host.currentThread().name)
      two.sendMsg(() => void seen.push(host.currentThread().name), null)
    }, null)
    expect(seen).toEqual(['one', 'two'])
  })

  it('is a message to a thread that is not the current one', async () => {
    const { clock, one, two } = setup()
    const seen: string[] = []
    one.sendMsg(() => {
      two.execMsg(() => void seen.push('two'), null)
      seen.push('one')
    }, null)
    await clock.settle()
    expect(seen).toEqual(['one', 'two'])
  })

  it('names what throws and does not pass it to the event loop', () => {
    const { one, lines } = setup()
    expect(() =>
      one.execMsg(() => {
        throw new Error('broken event')
      }, null),
    ).not.toThrow()
    expect(lines('error').join()).toContain('an event on thread "one" threw: Error: broken event')
  })
})

describe('the current thread', () => {
  it('is the app thread outside of every turn', () => {
    const { host } = setup()
    expect(host.currentThread().name).toBe('app_thread')
    expect(host.appThread.id).toBe(1)
  })

  it('is the app thread again after an await and in a callback of the event loop', async () => {
    const { host, clock, one } = setup()
    const seen: string[] = []
    one.sendMsg(() => {
      void (async () => {
        seen.push(host.currentThread().name)
        await Promise.resolve()
        seen.push(host.currentThread().name)
      })()
    }, null)
    await clock.settle()
    await new Promise<void>(resolve => setImmediate(resolve))
    seen.push(host.currentThread().name)
    expect(seen).toEqual(['one', 'app_thread', 'app_thread'])
  })
})

describe('a poller of period 0', () => {
  it('that is idle runs after each event and lets the process sleep', async () => {
    const { clock, one } = setup()
    let ran = 0
    one.registerPoller(
      () => {
        ran++
        return PollerRc.Idle
      },
      null,
      0,
    )
    await clock.settle()
    expect(clock.asleep).toBe(true)
    const before = ran
    await clock.advance(1000)
    expect(ran).toBe(before)
    one.sendMsg(() => {}, null)
    await clock.settle()
    expect(ran).toBeGreaterThan(before)
    expect(clock.asleep).toBe(true)
  })

  it('that is busy keeps the loop turning, once a pass, until it is idle', async () => {
    const { clock, one } = setup()
    let busy = 10
    let ran = 0
    one.registerPoller(
      () => {
        ran++
        return --busy > 0 ? PollerRc.Busy : PollerRc.Idle
      },
      null,
      0,
    )
    for (let pass = 1; pass <= 5; pass++) {
      await clock.pass()
      expect(ran).toBe(pass)
    }
    await clock.settle()
    expect(ran).toBeGreaterThanOrEqual(10)
    expect(clock.asleep).toBe(true)
  })

  it('runs once a pass also after messages from outside', async () => {
    const { clock, one } = setup()
    let ran = 0
    one.sendMsg(() => {}, null)
    one.registerPoller(
      () => {
        ran++
        return PollerRc.Busy
      },
      null,
      0,
    )
    await clock.pass()
    await clock.pass()
    const before = ran
    for (let pass = 0; pass < 5; pass++) await clock.pass()
    expect(ran - before).toBe(5)
  })

  it('runs once a turn when another one unregisters an older one', async () => {
    const { clock, one } = setup()
    const seen: string[] = []
    const oldest = one.registerPoller(() => (seen.push('oldest'), 0), null, 0)
    one.registerPoller(() => (seen.push('middle'), 0), null, 0)
    one.registerPoller(() => (seen.push('newest'), oldest.unregister(), 0), null, 0)
    await clock.pass()
    expect(seen).toEqual(['newest', 'middle'])
  })
})

describe('a timed poller', () => {
  it('runs once per period, not before', async () => {
    const { host, clock, one } = setup()
    const at: number[] = []
    const start = clock.nowMs()
    one.registerPoller(() => (at.push(host.reactor.clock.nowMs() - start), 0), null, 10_000)
    await clock.advance(9.5)
    expect(at).toEqual([])
    await clock.advance(26)
    expect(at.length).toBe(3)
    for (const [i, ms] of at.entries()) {
      expect(ms).toBeGreaterThanOrEqual(10 * (i + 1))
      expect(ms).toBeLessThan(10 * (i + 1) + 1.5)
    }
  })

  it('runs on its thread, and wakes nothing between', async () => {
    const { host, clock, two } = setup()
    const names: string[] = []
    two.registerPoller(() => (names.push(host.currentThread().name), 0), null, 1_000_000)
    await clock.settle()
    const asked = clock.immediatesAsked
    await clock.advance(900)
    expect(clock.immediatesAsked).toBe(asked)
    await clock.advance(101)
    expect(names).toEqual(['two'])
  })

  it('does not run while it is paused, and runs a period after it is resumed', async () => {
    const { clock, one } = setup()
    let ran = 0
    const poller = one.registerPoller(() => (ran++, 0), null, 10_000)
    poller.pause()
    await clock.advance(100)
    expect(ran).toBe(0)
    poller.resume()
    await clock.advance(9)
    expect(ran).toBe(0)
    await clock.advance(2)
    expect(ran).toBe(1)
  })

  it('may unregister or pause itself', async () => {
    const { clock, one } = setup()
    const ran = { once: 0, paused: 0 }
    const once: Poller = one.registerPoller(() => (ran.once++, once.unregister(), 0), null, 1000)
    const paused: Poller = one.registerPoller(() => (ran.paused++, paused.pause(), 0), null, 1000)
    await clock.advance(20)
    expect(ran).toEqual({ once: 1, paused: 1 })
    paused.resume()
    await clock.advance(20)
    expect(ran).toEqual({ once: 1, paused: 2 })
  })

  it('of a shorter period is not delayed by one that was registered before', async () => {
    const { clock, one } = setup()
    const ran: string[] = []
    one.registerPoller(() => (ran.push('slow'), 0), null, 500_000)
    one.registerPoller(() => (ran.push('fast'), 0), null, 100_000)
    await clock.advance(450)
    expect(ran).toEqual(['fast', 'fast', 'fast', 'fast'])
  })
})

describe('a poller', () => {
  it('that throws is named and goes on', async () => {
    const { clock, one, lines } = setup()
    let ran = 0
    one.registerPoller(
      () => {
        ran++
        throw new Error('broken poller')
      },
      null,
      1000,
      'my_poller',
    )
    await clock.advance(5)
    expect(ran).toBeGreaterThan(1)
    expect(lines('error')[0]).toContain('poller "my_poller" of thread "one" threw: Error: broken poller')
  })

  it('that answers with a promise is named, and its rejection harms nothing', async () => {
    const { clock, one, lines } = setup()
    one.registerPoller(
      (async () => {
        throw new Error('late')
      }) as never,
      null,
      1000,
      'async_poller',
    )
    await clock.advance(3)
    expect(lines('error').join()).toContain('poller "async_poller" of thread "one" returned a promise')
  })

  it('with a negative period is refused', () => {
    const { one } = setup()
    expect(() => one.registerPoller(() => 0, null, -1, 'early')).toThrow(
      'poller "early": wanted a period of 0 or more microseconds, found -1',
    )
  })
})

describe('an idle reactor', () => {
  it('takes no turn while nothing happens', async () => {
    const { clock, one } = setup()
    one.sendMsg(() => {}, null)
    await clock.settle()
    const asked = clock.immediatesAsked
    await clock.advance(60_000)
    expect(clock.immediatesAsked).toBe(asked)
    expect(clock.asleep).toBe(true)
  })

  it('starts no turn after the host has finished', async () => {
    const { host, clock, one } = setup()
    await host.init()
    let ran = 0
    one.registerPoller(() => (ran++, PollerRc.Busy), null, 0)
    await clock.pass()
    await host.finish()
    const before = ran
    await clock.settle()
    expect(ran).toBe(before)
    expect(clock.asleep).toBe(true)
  })
})

it('a thread that the I/O pool has no reserve for is refused and leaves nothing behind', () => {
  const { host } = makeHost([], { bdevIoPoolSize: 100, bdevIoCacheSize: 60 })
  expect(() => host.createThread('second')).toThrow(
    'thread "second": wanted 60 I/Os in reserve, found 40 left of bdev_io_pool_size 100',
  )
  expect(host.reactor.threads.map(thread => thread.name)).toEqual(['app_thread'])
})
