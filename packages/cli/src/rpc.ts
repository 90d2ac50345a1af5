// SPDX-License-Identifier: Apache-2.0
import { text } from 'node:stream/consumers'
import { RpcCallError, RpcClient, RpcConnectionError } from '@bdevkit/rpc'
import { CliError, out, UsageError } from './output.js'

/** Options of `bdev rpc`. */
export interface RpcOptions {
  /** Path of the server's socket. */
  socket: string
  /** JSON, or `-` for standard input. */
  params?: string
  /** Seconds; 0 waits for ever. */
  timeout: number
  json?: boolean
}

/** `bdev rpc`: one call, its result as JSON. */
export async function callRpc(method: string, pairs: readonly string[], options: RpcOptions): Promise<number> {
  const params = await readParams(pairs, options.params)
  const client = await RpcClient.connect(options.socket, { timeoutMs: options.timeout * 1000 })
  try {
    const result = await call(client, method, params)
    out(JSON.stringify(result, null, options.json === true ? undefined : 2))
    return 0
  } catch (thrown) {
    if (!(thrown instanceof RpcCallError)) throw thrown
    throw new CliError(`${method}: ${thrown.rpcMessage} (code ${thrown.rpcCode})`, { cause: thrown })
  } finally {
    await client.close()
  }
}

async function call(client: RpcClient, method: string, params: object | undefined): Promise<unknown> {
  try {
    return await client.call(method, params)
  } catch (thrown) {
    // A server that has ended has done what it was asked, as SPDK's client sees it.
    if (method === 'spdk_kill_instance' && thrown instanceof RpcConnectionError && thrown.code === 'ECONNRESET') return true
    throw thrown
  }
}

async function readParams(pairs: readonly string[], json: string | undefined): Promise<object | undefined> {
  if (json === undefined) return pairs.length === 0 ? undefined : Object.fromEntries(pairs.map(parsePair))
  if (pairs.length > 0) throw new UsageError(`parameters are given as --params and as "${pairs[0]}"; choose one way`)
  const source = json === '-' ? await text(process.stdin) : json
  let value: unknown
  try {
    value = JSON.parse(source)
  } catch (cause) {
    throw new UsageError(`--params: wanted JSON: ${(cause as Error).message}`, { cause })
  }
  if (typeof value !== 'object' || value === null)
    throw new UsageError(`--params: wanted an object or an array, found ${source.trim()}`)
  refuseUnsafe(value, '--params')
  return value
}

/** `key=value`: the value is JSON where it is some, text where it is not. */
function parsePair(pair: string): [string, unknown] {
  const at = pair.indexOf('=')
  if (at <= 0) throw new UsageError(`"${pair}": wanted key=value`)
  const key = pair.slice(0, at)
  const source = pair.slice(at + 1)
  let value: unknown = source
  try {
    value = JSON.parse(source)
  } catch {
    return [key, source]
  }
  refuseUnsafe(value, key)
  return [key, value]
}

/** An integer that a double cannot hold would reach the server as another one. */
function refuseUnsafe(value: unknown, where: string): void {
  if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new UsageError(`${where}: wanted integers up to 2^53-1, found ${value} or a neighbour of it`)
  }
  if (typeof value !== 'object' || value === null) return
  for (const [key, member] of Object.entries(value)) refuseUnsafe(member, `${where}: ${key}`)
}
