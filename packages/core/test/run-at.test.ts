// SPDX-License-Identifier: Apache-2.0
import { IoStatus, PollerRc } from '@bdevkit/module-sdk'
import { expect, it } from 'vitest'
import { FakeModule } from './support/fake-bdev.js'
import { openRw, read, startHost } from './support/harness.js'

it('a poller with a period of Infinity runs at the time that it is told, once, and lets the process sleep before and after', async () => {
  const { host, clock } = await startHost([])
  const runs: number[] = []
  const poller = host.appThread.registerPoller(() => (runs.push(clock.nowMs()), PollerRc.Busy), null, Infinity, 'due')
  await clock.advance(50)
  expect(runs).toEqual([])
  const dueMs = clock.nowMs() + 20
  poller.runAt(dueMs)
  await clock.settle()
  expect(clock.asleep).toBe(true)
  await clock.advance(100)
  expect(runs).toHaveLength(1)
  expect(runs[0]! - dueMs).toBeGreaterThanOrEqual(0)
  expect(runs[0]! - dueMs).toBeLessThan(0.5)
  expect(clock.asleep).toBe(true)
  expect(clock.nextTimerMs).toBe(Infinity)
  await host.finish()
})

it('runAt inside the poller\'s own run counts, an earlier time wins over a later one, and one far away does not wake early', async () => {
  const { host, clock } = await startHost([])
  const startMs = clock.nowMs()
  const runs: number[] = []
  const poller = host.appThread.registerPoller(() => {
    runs.push(Math.round(clock.nowMs() - startMs))
    if (runs.length === 1) poller.runAt(clock.nowMs() + 10)
    return PollerRc.Idle
  }, null, Infinity, 'due')
  poller.runAt(startMs + 40)
  poller.runAt(startMs + 5)
  await clock.advance(30)
  expect(runs).toEqual([5, 15])
  poller.runAt(startMs + 2 ** 40)
  await clock.settle()
  expect(clock.nextTimerMs - clock.nowMs()).toBeLessThanOrEqual(0x7fff_ffff)
  expect(() => host.appThread.registerPoller(() => PollerRc.Idle, null, 0, 'each').runAt(1)).toThrow(RangeError)
  await host.finish()
})

it('removeStarted lets a module end what it holds back when a removal begins; its throw does not stop the removal', async () => {
  const fake = new FakeModule()
  const { host, lines } = await startHost([fake])
  const disk = fake.create('Disk0', { hold: true })
  const { fn } = disk.bdev as unknown as { fn: { removeStarted?: (ctx: unknown) => void } }
  fn.removeStarted = ctx => {
    expect(ctx).toBe(disk)
    disk.completeAll(IoStatus.Aborted)
    throw new Error('no matter')
  }
  try {
    const opened = openRw(host, 'Disk0', { onEvent: () => opened.close() })
    const held = read(opened.channel, 0, 1)
    await host.unregisterBdev(host.bdevByName('Disk0')!)
    expect(held).toMatchObject({ calls: 1, status: IoStatus.Aborted })
    expect(lines('error').join()).toContain('removeStarted of module "fake" for bdev "Disk0" threw')
  } finally {
    delete fn.removeStarted
  }
  await host.finish()
})
