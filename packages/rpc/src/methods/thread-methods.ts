// SPDX-License-Identifier: Apache-2.0
import { performance } from 'node:perf_hooks'
import { TICK_RATE, type Host, type Poller, type SpdkThread } from '@bdevkit/core'
import { RpcError, type JsonObject } from '@bdevkit/module-sdk'
import { DECODE_FAILED, JSONRPC_INTERNAL_ERROR, JSONRPC_INVALID_PARAMS } from '../errors.js'
import type { RpcRegistry } from '../registry.js'

const TICKS_PER_MS = TICK_RATE / 1000
/** The one reactor, in SPDK's notation of a set of processors. */
const CPUMASK = '1'
const noArguments = (text: string) => ({ sentParams: { refuse: `${text} requires no arguments` } })

/**
 * Adds what `lib/event/app_rpc.c` tells of threads and reactors. All threads share one reactor, which is the event loop: the
 * times it was busy and idle are the event loop's, and stand for each of its threads.
 */
export function registerThreadMethods(registry: RpcRegistry, host: Host): void {
  const startedMs = host.reactor.clock.nowMs()
  const threads = (describe: (thread: SpdkThread) => JsonObject): JsonObject => ({
    tick_rate: TICK_RATE,
    threads: host.reactor.threads.map(describe),
  })
  registry.register(
    'thread_get_stats',
    { result: { type: 'object' }, description: 'Threads: how long they were busy and idle, and how many pollers they have.' },
    () => threads(thread => ({ ...identity(thread), cpumask: CPUMASK, ...loopTicks(), ...pollerCounts(thread) })),
    noArguments("'thread_get_stats'"),
  )
  registry.register(
    'thread_get_pollers',
    { result: { type: 'object' }, description: 'Pollers of each thread.' },
    () => threads(thread => ({ ...identity(thread), ...pollers(thread) })),
    noArguments("'thread_get_pollers'"),
  )
  registry.register(
    'thread_get_io_channels',
    { result: { type: 'object' }, description: 'Channels that each thread holds.' },
    () =>
      threads(({ name, ioChannels }) => ({
        name,
        io_channels: [...ioChannels].map(({ device, refs }) => ({ name: device.name, ref: refs })),
      })),
    noArguments("'thread_get_io_channels'"),
  )
  registerSetCpumask(registry, host)
  registry.register(
    'framework_get_reactors',
    { result: { type: 'object' }, description: 'The reactor, which is the event loop, and its threads.' },
    () => {
      const elapsed = Math.round((host.reactor.clock.nowMs() - startedMs) * TICKS_PER_MS)
      const { user, system } = process.cpuUsage()
      const reactor = {
        lcore: 0,
        numa_id: 0,
        tid: process.pid,
        ...loopTicks(),
        in_interrupt: true,
        irq: 0,
        // SPDK counts these in hundredths of a second, as /proc/stat does.
        sys: Math.round(system / 10_000),
        usr: Math.round(user / 10_000),
        lw_threads: host.reactor.threads.map(thread => ({ ...identity(thread), cpumask: CPUMASK, elapsed })),
      }
      return { tick_rate: TICK_RATE, pid: process.pid, reactors: [reactor] }
    },
    noArguments('`framework_get_reactors`'),
  )
}

function registerSetCpumask(registry: RpcRegistry, host: Host): void {
  registry.register(
    'thread_set_cpumask',
    {
      description: 'Moves a thread to other reactors. There is one, of mask 1: all that can be asked for is what is.',
      result: { type: 'boolean' },
      params: {
        type: 'object',
        required: ['id', 'cpumask'],
        properties: {
          id: { type: 'integer', minimum: 0 },
          cpumask: { type: 'string', description: 'Hexadecimal, or a list as [0]' },
        },
      },
      decodeError: { code: JSONRPC_INVALID_PARAMS, message: DECODE_FAILED },
      cli: { flags: { id: '-i', cpumask: '-m' } },
    },
    ({ id, cpumask }: { id: number; cpumask: string }) => {
      if (!host.reactor.threads.some(thread => thread.id === id))
        throw new RpcError(JSONRPC_INVALID_PARAMS, `Thread ${id} does not exist`)
      const mask = parseCpumask(cpumask)
      if (mask === undefined) throw new RpcError(JSONRPC_INTERNAL_ERROR, `Invalid cpumask ${cpumask}`)
      if ((mask & 1n) === 0n) throw new RpcError(JSONRPC_INTERNAL_ERROR, `No CPU is selected from reactor mask ${CPUMASK}`)
      return true
    },
  )
}

/** SPDK's two notations of a set of processors: `0x3` or `3`, and `[0,2-3]`. */
export function parseCpumask(text: string): bigint | undefined {
  const hex = /^(?:0[xX])?([0-9a-fA-F]{1,256})$/.exec(text.trim())
  if (hex !== null) return BigInt(`0x${hex[1]}`)
  const list = /^\[([0-9,\-\s]*)\]$/.exec(text.trim())?.[1]
  if (list === undefined) return undefined
  let mask = 0n
  for (const part of list.split(',')) {
    const range = /^\s*(\d{1,4})(?:\s*-\s*(\d{1,4}))?\s*$/.exec(part)
    const first = Number(range?.[1])
    const last = Number(range?.[2] ?? range?.[1])
    if (range === null || first > last || last > 1023) return undefined
    for (let cpu = first; cpu <= last; cpu++) mask |= 1n << BigInt(cpu)
  }
  return mask
}

function identity({ name, id }: SpdkThread): { name: string; id: number } {
  return { name, id }
}

function loopTicks(): { busy: number; idle: number } {
  const { active, idle } = performance.eventLoopUtilization()
  return { busy: Math.round(active * TICKS_PER_MS), idle: Math.round(idle * TICKS_PER_MS) }
}

function sorted(thread: SpdkThread): { active: Poller[]; timed: Poller[]; paused: Poller[] } {
  const live = thread.pollers.filter(({ state }) => state !== 'unregistered')
  const paused = live.filter(({ state }) => state === 'paused')
  const waiting = live.filter(({ state }) => state === 'waiting')
  return {
    active: waiting.filter(({ periodMs }) => periodMs === 0),
    timed: waiting.filter(({ periodMs }) => periodMs > 0),
    paused,
  }
}

function pollerCounts(thread: SpdkThread): JsonObject {
  const { active, timed, paused } = sorted(thread)
  return { active_pollers_count: active.length, timed_pollers_count: timed.length, paused_pollers_count: paused.length }
}

function pollers(thread: SpdkThread): JsonObject {
  const { active, timed, paused } = sorted(thread)
  const describe = ({ name, id, state, runCount, busyCount, periodMs }: Poller): JsonObject => ({
    name,
    id,
    state,
    run_count: runCount,
    busy_count: busyCount,
    ...(periodMs === 0 ? {} : { period_ticks: Math.round(periodMs * TICKS_PER_MS) }),
  })
  return { active_pollers: active.map(describe), timed_pollers: timed.map(describe), paused_pollers: paused.map(describe) }
}
