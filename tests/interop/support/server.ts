// SPDX-License-Identifier: Apache-2.0
// `bdev serve`, as built, in a folder of its own.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RpcClient } from '@bdevkit/rpc'
import { afterAll, beforeAll } from 'vitest'
import { type Call, inFolder, writeStack } from './files.js'
import { type Running, start } from './run.js'

export const root = fileURLToPath(new URL('../../../', import.meta.url))
/** The launcher of the built CLI. */
export const bdev = join(root, 'bdev')

const READY_TIMEOUT_MS = 15_000
const STOP_TIMEOUT_MS = 12_000
const LOG_TIMEOUT_MS = 5000

export interface ServeOptions {
  /** What the stack file creates. */
  calls: readonly Call[]
  /** The stack file's `modules`. */
  modules?: readonly string[]
  /** More arguments of `bdev serve`. */
  args?: readonly string[]
  cwd?: string
  /** Program and arguments in place of the launcher. */
  command?: readonly string[]
  /** Whether the server must end with status 0 when it is stopped and leave nothing in use; default true. */
  cleanStop?: boolean
}

interface Export {
  readonly name: string
  readonly sizeBytes: number
  readonly uris: readonly string[]
}

/** A server that is ready. */
export interface Server {
  readonly pid: number
  readonly folder: string
  readonly exports: readonly Export[]
  /** Path of the NBD socket. */
  readonly socket: string
  /** URI of an export, by default the first. `tcp` says which address. */
  uri(name?: string, tcp?: boolean): string
  rpc<T = unknown>(method: string, params?: object): Promise<T>
  /** Names of the bdevs, by RPC. */
  bdevNames(): Promise<string[]>
  /** What it has logged. */
  log(): string
  /** Settles when `text` stands in the log. */
  logged(text: string | RegExp): Promise<void>
  alive(): boolean
  /** Memory that is resident, in bytes, and the most that ever was. */
  memory(): { rssBytes: number; peakBytes: number }
  /** Time on the CPU, all threads, in microseconds. */
  cpuUs(): number
}

/** Starts a server with a Unix socket for NBD and one for RPC, calls `use`, and stops it whatever happens. */
export async function withServer<T>(options: ServeOptions, use: (server: Server) => Promise<T>): Promise<T> {
  return inFolder(async folder => {
    const stack = writeStack(folder, options.calls, options.modules)
    const socket = join(folder, 'n')
    const rpcSocket = join(folder, 'r')
    const [program = bdev, ...before] = options.command ?? [bdev]
    const args = [
      ...before,
      'serve',
      '-c',
      stack,
      '--json',
      '-r',
      rpcSocket,
      '--nbd',
      `unix:${socket}`,
      ...(options.args ?? []),
    ]
    const running = start(program, args, options.cwd === undefined ? {} : { cwd: options.cwd })
    try {
      const ready = await readyLine(running)
      const result = await use(makeServer(running, folder, socket, rpcSocket, ready.pid, ready.exports))
      await stop(running, options.cleanStop ?? true)
      return result
    } finally {
      running.kill()
      await running.ended
    }
  })
}

/** One server for all tests of the `describe` that this is called in: they must not disturb each other. */
export function sharedServer<T extends ServeOptions>(prepare: (folder: string) => T): () => Server {
  let server: Server | undefined
  let finish = (): void => undefined
  let ended: Promise<unknown> = Promise.resolve()
  beforeAll(async () => {
    await new Promise<void>((resolve, reject) => {
      ended = inFolder(folder =>
        withServer(prepare(folder), async ready => {
          server = ready
          resolve()
          await new Promise<void>(done => {
            finish = done
          })
        }),
      )
      ended.catch(reject)
    })
  }, READY_TIMEOUT_MS)
  afterAll(async () => {
    finish()
    await ended
  }, STOP_TIMEOUT_MS)
  return () => {
    if (server === undefined) throw new Error('the server is not ready: call this inside a test')
    return server
  }
}

function makeServer(
  running: Running,
  folder: string,
  socket: string,
  rpcSocket: string,
  pid: number,
  exports: readonly Export[],
): Server {
  const rpc = async <T>(method: string, params?: object): Promise<T> => {
    const client = await RpcClient.connect(rpcSocket)
    try {
      return (await client.call(method, params)) as T
    } finally {
      await client.close()
    }
  }
  return {
    pid,
    folder,
    exports,
    socket,
    rpc,
    uri(name, tcp = false) {
      const found = name === undefined ? exports[0] : exports.find(exp => exp.name === name)
      const uri = found?.uris.find(candidate => candidate.startsWith('nbd://') === tcp)
      if (uri === undefined) throw new Error(`wanted a URI of export ${name ?? '(first)'}, found ${JSON.stringify(exports)}`)
      return uri
    },
    bdevNames: async () => (await rpc<{ name: string }[]>('bdev_get_bdevs')).map(({ name }) => name),
    log: () => running.output.stderr,
    logged: text => printed(running, 'stderr', text, LOG_TIMEOUT_MS),
    alive: () => existsSync(`/proc/${pid}`) && running.child.exitCode === null,
    memory() {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      const field = (name: string): number => 1024 * Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1])
      return { rssBytes: field('VmRSS'), peakBytes: field('VmHWM') }
    },
    cpuUs() {
      // proc(5): schedstat starts with the time on the CPU, in nanoseconds; stat counts in ticks of 10 ms, too coarse for idling.
      const tasks = readdirSync(`/proc/${pid}/task`)
      return (
        tasks.reduce(
          (sum, task) => sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]),
          0,
        ) / 1000
      )
    },
  }
}

async function readyLine(running: Running): Promise<{ pid: number; exports: Export[] }> {
  await printed(running, 'stdout', /\n/, READY_TIMEOUT_MS)
  return JSON.parse(running.output.stdout) as { pid: number; exports: Export[] }
}

/** Settles when `text` has been printed; fails when the server ends, or after `timeoutMs`. */
async function printed(running: Running, where: 'stdout' | 'stderr', text: string | RegExp, timeoutMs: number): Promise<void> {
  const there = (): boolean => {
    const sofar = running.output[where]
    return typeof text === 'string' ? sofar.includes(text) : text.test(sofar)
  }
  const stream = running.child[where]!
  await new Promise<void>((resolve, reject) => {
    const finish = (failure?: string): void => {
      clearTimeout(timer)
      stream.off('data', look).off('close', onClose)
      if (failure === undefined) resolve()
      else
        reject(
          new Error(
            `bdev serve: wanted ${String(text)} on ${where}, but ${failure}:\n${running.output.stdout}\n${running.output.stderr}`,
          ),
        )
    }
    const timer = setTimeout(() => finish(`${timeoutMs} ms have passed`), timeoutMs)
    const look = (): void => void (there() && finish())
    const onClose = (): void => finish(there() ? undefined : 'it has ended')
    stream.on('data', look).on('close', onClose)
    look()
  })
}

/** The host itself reports what is still in use when it ends. */
async function stop(running: Running, clean: boolean): Promise<void> {
  running.child.kill('SIGTERM')
  const timer = setTimeout(() => running.kill(), STOP_TIMEOUT_MS)
  const { status, stderr } = await running.ended.finally(() => clearTimeout(timer))
  if (!clean) return
  if (status !== 0) throw new Error(`bdev serve: wanted a clean stop, found exit status ${status}\n${stderr}`)
  if (stderr.includes('still in use')) throw new Error(`bdev serve: something leaked:\n${stderr}`)
}
