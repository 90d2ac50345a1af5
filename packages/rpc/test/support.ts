// SPDX-License-Identifier: Apache-2.0
import type { Logger } from '@bdevkit/module-sdk'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { RpcRegistry } from '../src/registry.js'

export interface TestLog extends Logger {
  readonly lines: string[]
}

export function testLog(): TestLog {
  const lines: string[] = []
  const add = (level: string) => (message: string) => void lines.push(`${level}: ${message}`)
  return { lines, error: add('error'), warn: add('warn'), notice: add('notice'), info: add('info'), debug: add('debug') }
}

/** A promise and the functions that settle it. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  let resolve!: (value: T) => void
  let reject!: (error: Error) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

/** Lets the event loop go round often enough for what has been written to be read, and would be answered. */
export async function eventLoopTurns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise(resolve => setImmediate(resolve))
}

/** A registry with an echo, a sum, a failure of each kind, and a log that keeps its lines. */
export function echoRegistry(): { registry: RpcRegistry; log: TestLog } {
  const log = testLog()
  const registry = new RpcRegistry({ log })
  registry.register(
    'echo',
    { states: 'any', params: { type: 'object', additionalProperties: true } },
    (params: unknown) => params,
  )
  registry.register(
    'sum',
    {
      states: 'any',
      params: {
        type: 'object',
        required: ['a', 'b'],
        properties: { a: { type: 'integer', minimum: 0 }, b: { type: 'integer' } },
      },
    },
    ({ a, b }: { a: number; b: number }) => a + b,
  )
  registry.register('later', { states: 'any' }, async () => {
    await Promise.resolve()
    return 'later'
  })
  registry.register('nodev', { states: 'any' }, () => {
    throw Object.assign(new Error('bdev "x": wanted, not found'), { code: 'ENODEV' })
  })
  registry.register('bug', { states: 'any' }, () => {
    throw new TypeError('secret detail')
  })
  return { registry, log }
}

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Runs after the test, last added first. */
export function cleanup(action: () => unknown): void {
  cleanups.push(action)
}

/** A fresh folder, removed after the test. */
export function tempFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'bdevkit-rpc-'))
  cleanup(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A raw client that keeps what it received. */
export interface RawClient {
  readonly socket: Socket
  received(): string
  /** Resolves when `count` lines have been received. */
  lines(count: number): Promise<string>
  /** Resolves with all that was received when the server has closed. */
  closed(): Promise<string>
}

export function rawClient(path: string): Promise<RawClient> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true })
    let text = ''
    let lineCount = 0
    let closed = false
    const checks = new Set<() => void>()
    const wake = () => checks.forEach(check => check())
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      text += chunk
      lineCount += chunk.split('\n').length - 1
      wake()
    })
    const end = () => {
      closed = true
      wake()
    }
    socket.on('end', end)
    socket.on('close', end)
    const when = (test: () => boolean) =>
      new Promise<string>(done => {
        const check = () => {
          if (!test()) return
          checks.delete(check)
          done(text)
        }
        checks.add(check)
        check()
      })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      socket.on('error', end)
      cleanup(() => socket.destroy())
      resolve({ socket, received: () => text, lines: count => when(() => lineCount >= count), closed: () => when(() => closed) })
    })
  })
}
