// SPDX-License-Identifier: Apache-2.0
import type { BdevEvent, BdevIo, DescChannel, Iov } from '@bdevkit/module-sdk'
import { createHost, type Desc, type Host, type HostOptions, type SpdkThread } from '../../src/index.js'
import type { FakeModule, RelayModule } from './fake-bdev.js'
import { VirtualClock } from './virtual-clock.js'

/** One message of the host's log. */
export interface LogLine {
  readonly level: string
  readonly source: string
  readonly message: string
}

/** A host under the virtual clock that keeps its log. */
export interface TestHost {
  readonly host: Host
  readonly clock: VirtualClock
  readonly log: LogLine[]
  /** Messages of a level, `source: message`. */
  lines(level: string): string[]
  /** Runs what is queued on every thread now. */
  drain(): void
}

/** Makes a host of the given modules, not initialised. */
export function makeHost(modules: readonly (FakeModule | RelayModule)[], options: HostOptions = {}): TestHost {
  const clock = new VirtualClock()
  const log: LogLine[] = []
  const host = createHost({ clock, log: (level, source, message) => void log.push({ level, source, message }), ...options })
  for (const module of modules) host.use(module.value)
  return {
    host,
    clock,
    log,
    lines: level => log.filter(line => line.level === level).map(line => `${line.source}: ${line.message}`),
    drain: () => {
      while (host.reactor.threads.some(thread => thread.hasMessages)) host.appThread.execMsg(() => {}, null)
    },
  }
}

/** Makes and initialises a host. */
export async function startHost(modules: readonly (FakeModule | RelayModule)[], options: HostOptions = {}): Promise<TestHost> {
  const test = makeHost(modules, options)
  await test.host.init()
  return test
}

/** An open descriptor that keeps its events. */
export interface Opened {
  readonly desc: Desc
  readonly channel: DescChannel
  readonly events: number[]
  /** Puts the channel and closes. */
  close(): void
}

/** Opens for writing, with a channel on the current thread. */
export function openRw(
  host: Host,
  name: string,
  options: { write?: boolean; onEvent?: (event: BdevEvent) => void } = {},
): Opened {
  const events: number[] = []
  const desc = host.openBdev(name, {
    write: options.write ?? true,
    owner: 'test',
    onEvent: event => {
      events.push(event.type)
      options.onEvent?.(event)
    },
  })
  const channel = desc.getIoChannel()!
  return {
    desc,
    channel,
    events,
    close: () => {
      channel.put()
      desc.close()
    },
  }
}

/** Runs `fn` on a thread, at once. */
export function on<Result>(thread: SpdkThread, fn: () => Result): Result {
  let result!: Result
  let failure: { thrown: unknown } | null = null
  thread.execMsg(() => {
    try {
      result = fn()
    } catch (thrown) {
      failure = { thrown }
    }
  }, null)
  if (failure !== null) throw (failure as { thrown: unknown }).thrown
  return result
}

/** What became of one submitted I/O. */
export class Result {
  /** What the submit call returned. */
  rc = 0
  /** How often the callback ran. */
  calls = 0
  status = 0
  success = false
  io: BdevIo | null = null
  /** Thread on which the callback ran. */
  thread: string | null = null
  /** Order of the callback among all of the process. */
  order = -1
  /** Runs inside the callback, before the I/O is freed. */
  whenDone: ((io: BdevIo) => void) | null = null
  /** Keeps the I/O instead of freeing it in the callback. */
  keep = false

  get done(): boolean {
    return this.calls > 0
  }
}

let order = 0

/** The callback of every I/O of {@link submit}. */
export function collect(io: BdevIo, success: boolean, result: Result): void {
  result.calls++
  result.status = io.status
  result.success = success
  result.io = io
  result.thread = io.thread.name
  result.order = order++
  result.whenDone?.(io)
  if (!result.keep) io.free()
}

/** Submits by `call`, which is given the callback and its argument. */
export function submit(call: (cb: typeof collect, result: Result) => number, result = new Result()): Result {
  result.rc = call(collect, result)
  return result
}

/** Reads `numBlocks` into `buf`, default memory of its own. */
export function read(
  channel: DescChannel,
  offsetBlocks: number,
  numBlocks: number,
  buf = new Uint8Array(numBlocks * channel.bdev.blockSizeBytes),
): Result & { buf: Uint8Array } {
  return Object.assign(
    submit((cb, result) => channel.readBlocks(buf, 0, offsetBlocks, numBlocks, cb, result)),
    { buf },
  )
}

/** Writes blocks filled with `value`. */
export function write(channel: DescChannel, offsetBlocks: number, numBlocks: number, value = 0xaa): Result {
  const buf = new Uint8Array(numBlocks * channel.bdev.blockSizeBytes).fill(value)
  return submit((cb, result) => channel.writeBlocks(buf, 0, offsetBlocks, numBlocks, cb, result))
}

/** Elements over new memory, of the given lengths, each filled with its number + 1. */
export function iovsOf(...lengths: number[]): Iov[] {
  return lengths.map((len, i) => ({ buf: new Uint8Array(len + 8).fill(i + 1), off: 4, len }))
}

/** The code of what `fn` throws or rejects with. */
export async function codeOf(fn: () => unknown): Promise<string> {
  try {
    await fn()
  } catch (thrown) {
    return (thrown as { code?: string }).code ?? String(thrown)
  }
  return 'nothing thrown'
}

/** All counts of `usage` at zero. */
export const NOTHING_IN_USE = { bdevs: 0, descriptors: 0, channels: 0, bdevIos: 0, ioWaiters: 0, iobufs: 0, iobufWaiters: 0, dmaBytes: 0 }
