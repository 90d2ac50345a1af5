// SPDX-License-Identifier: Apache-2.0
// A server process with a JSON-RPC socket, and clients that send bytes.
import { spawn, type ChildProcess } from 'node:child_process'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RpcClient } from '@bdevkit/rpc'
import { onTestFinished } from 'vitest'

export const MAIN = fileURLToPath(new URL('../../packages/cli/dist/main.js', import.meta.url))

export interface RpcServerProcess {
  readonly child: ChildProcess
  readonly socket: string
  /** Lines of standard error so far. */
  readonly stderr: () => string
  call<Result = unknown>(method: string, params?: object): Promise<Result>
  /** Ends it by SIGTERM; answers its exit status. */
  stop(): Promise<number | null>
}

/** Starts `bdev serve` in a folder, and waits until its socket answers. */
export async function startRpcServer(folder: string, args: readonly string[], name = 'rpc.sock'): Promise<RpcServerProcess> {
  const socket = join(folder, name)
  const child = spawn(process.execPath, [MAIN, 'serve', '-r', socket, '--json', '--log-level', 'error', ...args], {
    cwd: folder,
    stdio: 'pipe',
  })
  // A test that fails does not come to its stop().
  onTestFinished(() => void child.kill('SIGKILL'))
  let stderr = ''
  let stdout = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const ended = new Promise<number | null>(resolve => child.once('exit', resolve))
  await Promise.race([
    new Promise<void>(resolve =>
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk.toString()
        if (stdout.includes('\n')) resolve()
      }),
    ),
    ended.then(status => Promise.reject(new Error(`bdev serve ended with status ${status}: ${stderr}`))),
  ])
  const client = await RpcClient.connect(socket)
  return {
    child,
    socket,
    stderr: () => stderr,
    call: (method, params) => client.call(method, params) as Promise<any>,
    async stop() {
      await client.close()
      child.kill('SIGTERM')
      return ended
    },
  }
}

/** A connection that keeps what it has received. */
export class RawClient {
  readonly socket: Socket
  received = ''
  isClosed = false
  #checks: (() => void)[] = []

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      this.received += chunk
      this.#wake()
    })
    const end = (): void => {
      this.isClosed = true
      this.#wake()
    }
    socket.on('end', end)
    socket.on('close', end)
    socket.on('error', end)
  }

  static open(path: string): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ path, allowHalfOpen: true })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new RawClient(socket))
      })
    })
  }

  send(text: string | Uint8Array): void {
    this.socket.write(text)
  }

  /** Resolves with everything when `count` lines, or the end, have come. */
  lines(count: number): Promise<string> {
    return this.#when(() => this.isClosed || this.received.split('\n').length > count)
  }

  /** Resolves with everything when the server has closed. */
  closed(): Promise<string> {
    return this.#when(() => this.isClosed)
  }

  close(): void {
    this.socket.destroy()
  }

  #when(done: () => boolean): Promise<string> {
    return new Promise(resolve => {
      const check = (): void => {
        if (!done()) return
        this.#checks = this.#checks.filter(other => other !== check)
        resolve(this.received)
      }
      this.#checks.push(check)
      check()
    })
  }

  #wake(): void {
    for (const check of [...this.#checks]) check()
  }
}
