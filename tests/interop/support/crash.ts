// SPDX-License-Identifier: Apache-2.0
// A server that is killed under load, and tests/crash/client.py, which knows what that may lose.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RpcClient } from '@bdevkit/rpc'
import { expect } from 'vitest'
import { type Call, writeStack } from './files.js'
import { run, start } from './run.js'
import { bdev } from './server.js'

const client = fileURLToPath(new URL('../../crash/client.py', import.meta.url))

/** A Python that has libnbd: Debian's own, where another one comes first on the path. */
async function findPython(): Promise<string | undefined> {
  for (const python of ['python3', '/usr/bin/python3']) {
    const { status } = await run(python, ['-c', 'import nbd']).catch(() => ({ status: 1 }))
    if (status === 0) return python
  }
  return undefined
}
const python = await findPython()
/** Why the client cannot run here; empty where it can. */
export const noClient = python === undefined ? 'no Python with libnbd (python3-libnbd)' : ''

/** What a client saw before the server was gone. */
export interface Summary {
  readonly acked: number
  readonly flushed: number
  readonly failure: string | null
}

/** A server that will be killed. */
export interface Doomed {
  readonly uri: string
  rpc<T = unknown>(method: string, params?: object): Promise<T>
  log(): string
  kill(): Promise<void>
}

/** Starts the server in `folder` as an operator would after a crash: same folder, same sockets. */
export async function serve(folder: string, calls: readonly Call[], exportName: string): Promise<Doomed> {
  const rpcSocket = join(folder, 'r')
  const args = ['serve', '-c', writeStack(folder, calls), '--json', '-r', rpcSocket, '--nbd', `unix:${join(folder, 'n')}`]
  const running = start(bdev, args)
  const ready = await new Promise<{ pid: number; exports: { name: string; uris: string[] }[] }>((resolve, reject) => {
    running.child.stdout!.on('data', () => running.output.stdout.includes('\n') && resolve(JSON.parse(running.output.stdout)))
    running.child.on('close', () => reject(new Error(`the server has ended: ${running.output.stderr}`)))
  })
  const found = ready.exports.find(({ name }) => name === exportName)
  if (found === undefined) throw new Error(`wanted an export ${exportName}, found ${JSON.stringify(ready.exports)}\n${running.output.stderr}`)
  return {
    uri: found.uris[0]!,
    async rpc<T>(method: string, params?: object) {
      const connection = await RpcClient.connect(rpcSocket)
      try {
        return (await connection.call(method, params)) as T
      } finally {
        await connection.close()
      }
    },
    log: () => running.output.stderr,
    async kill() {
      process.kill(ready.pid, 'SIGKILL')
      await running.ended
    },
  }
}

/** A client that writes until its server is gone. */
export interface Load {
  /** Settles when it has had that many answers. */
  acked(count: number): Promise<void>
  /** What it saw, when it has ended. */
  seen(): Promise<Summary>
}

/** Starts a client; what it was answered it keeps in the file `state`. */
export function load(uri: string, state: string, seed: number): Load {
  const writer = start(python!, [client, 'load', uri, state, String(seed)])
  return {
    acked: count =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const told = [...writer.output.stdout.matchAll(/^acked (\d+)/gm)].at(-1)
          if (Number(told?.[1] ?? 0) >= count) resolve()
        }
        writer.child.stdout!.on('data', look)
        writer.child.on('close', () => reject(new Error(`the client has ended: ${writer.output.stdout}${writer.output.stderr}`)))
        look()
      }),
    async seen() {
      const { status, stdout, stderr } = await writer.ended
      expect(status, stdout + stderr).toBe(0)
      return JSON.parse(stdout.trim().split('\n').at(-1)!) as Summary
    },
  }
}

/** Every write that was acknowledged before the server was killed must be there; what is there is the new beginning. */
export async function verify(uri: string, state: string, what: string): Promise<void> {
  const { status, stdout, stderr } = await run(python!, [client, 'verify', uri, state, 'kill'], { timeoutMs: 60_000 })
  expect(status, `${what}: ${stdout}${stderr}`).toBe(0)
}
