// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { RpcCallError, RpcClient, RpcConnectionError, type OpenRpcDocument, type OpenRpcMethod } from '@bdevkit/rpc'
import {
  loadConfigInto,
  saveConfig,
  SavedConfigError,
  saveSubsystemConfig,
  type SavedConfig,
  type SavedSubsystem,
} from '@bdevkit/rpc/client'
import { CliError, out, UsageError } from './output.js'
import { methodHelp, parseMethodArgs, parseNamed, type TrailingOptions } from './rpc-args.js'

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
export async function callRpc(name: string, args: readonly string[], given: RpcOptions): Promise<number> {
  const described = COMMANDS[name]?.method ?? shippedMethod(name)
  if (described !== undefined) return callDescribed(described, args, given)
  // A method of somebody's module: its server can tell how it is called, unless all is said by name already.
  const named = parseNamed(args)
  if (named !== undefined) {
    const options = withTrailing(given, named.trailing)
    const params = await paramsToSend(options, Object.fromEntries(named.pairs.map(parsePair)))
    return withClient(options, async client => show(options, await call(client, name, params)))
  }
  const method = await withClient(given, client => discover(client, name))
  return callDescribed(method, args, given)
}

async function callDescribed(method: OpenRpcMethod, args: readonly string[], given: RpcOptions): Promise<number> {
  const { filter, rest } = method.name === 'bdev_get_bdevs' ? takeProduct(args) : { filter: undefined, rest: args }
  const { params, trailing } = parseMethodArgs(method, rest)
  if (trailing.help === true) {
    out(methodHelp(method))
    return 0
  }
  const options = withTrailing(given, trailing)
  const command = COMMANDS[method.name]
  if (command !== undefined) return withClient(options, async client => show(options, await command.run(client, params)))
  // The server reads the file, from where it was started: a path means the same here and there.
  if (method.name.startsWith('bdevkit_config_') && typeof params['path'] === 'string') params['path'] = resolve(params['path'])
  const sent = await paramsToSend(options, params)
  return withClient(options, async client => {
    const result = await call(client, method.name, sent)
    return show(options, filter === undefined ? result : filter(result))
  })
}

/** What is sent: `--params`, or what the arguments say; nothing where they say nothing. */
async function paramsToSend({ params: json }: RpcOptions, params: Record<string, unknown>): Promise<object | undefined> {
  const sent = json === undefined ? (Object.keys(params).length === 0 ? undefined : params) : await readJsonParams(json, params)
  if (json === undefined) for (const [key, value] of Object.entries(params)) refuseUnsafe(value, key)
  else refuseUnsafe(sent, '--params')
  return sent
}

function show(options: RpcOptions, result: unknown): number {
  out(JSON.stringify(result, null, options.json === true ? undefined : 2))
  return 0
}

async function withClient<Result>(options: RpcOptions, use: (client: RpcClient) => Promise<Result>): Promise<Result> {
  const client = await RpcClient.connect(options.socket, { timeoutMs: options.timeout * 1000 })
  try {
    return await use(client)
  } catch (thrown) {
    if (thrown instanceof SavedConfigError) throw new CliError(thrown.message, { cause: thrown })
    if (!(thrown instanceof RpcCallError)) throw thrown
    throw new CliError(`${thrown.method}: ${thrown.rpcMessage} (code ${thrown.rpcCode})`, { cause: thrown })
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

/** A method of a server with the modules that ship with this command. */
function shippedMethod(name: string): OpenRpcMethod | undefined {
  const path = createRequire(import.meta.url).resolve('@bdevkit/rpc/openrpc.json')
  const document = JSON.parse(readFileSync(path, 'utf8')) as OpenRpcDocument
  return document.methods.find(method => method.name === name)
}

async function discover(client: RpcClient, name: string): Promise<OpenRpcMethod> {
  const known = (await client.call('rpc.discover').catch(() => undefined)) as OpenRpcDocument | undefined
  const found = known?.methods.find(method => method.name === name)
  if (found !== undefined) return found
  if (known !== undefined) throw new CliError(`${name}: Method not found (code -32601)`)
  throw new UsageError(`${name}: the server does not say how it is called; wanted parameters as name=value or --params JSON`)
}

/** `-p malloc`: the source documents have it; it selects what the server has answered, by module or product. */
function takeProduct(args: readonly string[]): { filter?: (result: unknown) => unknown; rest: readonly string[] } {
  const at = args.findIndex(arg => arg === '-p' || arg === '--product')
  if (at < 0) return { rest: args }
  const wanted = args[at + 1]?.toLowerCase()
  if (wanted === undefined) throw new UsageError('bdev_get_bdevs -p: wanted the name of a module or product behind it')
  const filter = (result: unknown): unknown =>
    (result as { product_name: string }[]).filter(({ product_name }) => {
      const product = product_name.toLowerCase()
      return product === wanted || product.split(' ')[0] === wanted
    })
  return { filter, rest: [...args.slice(0, at), ...args.slice(at + 2)] }
}

function withTrailing(given: RpcOptions, trailing: TrailingOptions): RpcOptions {
  const timeout = trailing.timeout === undefined ? given.timeout : Number(trailing.timeout)
  if (!(timeout >= 0)) throw new UsageError(`--timeout: wanted a number of seconds, at least 0, found ${trailing.timeout}`)
  return {
    socket: trailing.socket ?? given.socket,
    timeout,
    json: trailing.json ?? given.json ?? false,
    ...(trailing.params === undefined && given.params === undefined ? {} : { params: trailing.params ?? given.params }),
  }
}

async function readJsonParams(json: string, params: Record<string, unknown>): Promise<object> {
  const [first] = Object.keys(params)
  if (first !== undefined) throw new UsageError(`parameters are given as --params and as "${first}"; choose one way`)
  const source = json === '-' ? await text(process.stdin) : json
  let value: unknown
  try {
    value = JSON.parse(source)
  } catch (cause) {
    throw new UsageError(`--params: wanted JSON: ${(cause as Error).message}`, { cause })
  }
  if (typeof value !== 'object' || value === null)
    throw new UsageError(`--params: wanted an object or an array, found ${source.trim()}`)
  return value
}

/** `key=value`: the value is JSON where it is some, text where it is not. */
function parsePair(pair: string): [string, unknown] {
  const at = pair.indexOf('=')
  if (at <= 0) throw new UsageError(`"${pair}": wanted key=value`)
  const source = pair.slice(at + 1)
  try {
    return [pair.slice(0, at), JSON.parse(source)]
  } catch {
    return [pair.slice(0, at), source]
  }
}

/** An integer that a double cannot hold would reach the server as another one. */
function refuseUnsafe(value: unknown, where: string): void {
  if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new UsageError(`${where}: wanted integers up to 2^53-1, found ${value} or a neighbour of it`)
  }
  if (typeof value !== 'object' || value === null) return
  for (const [key, member] of Object.entries(value)) refuseUnsafe(member, `${where}: ${key}`)
}

interface ClientCommand {
  readonly method: OpenRpcMethod
  run(client: RpcClient, params: Record<string, unknown>): Promise<unknown>
}

const option = (name: string, description: string, type = 'string'): OpenRpcMethod['params'][number] => ({
  name,
  description,
  schema: { type },
})
const command = (
  name: string,
  summary: string,
  params: OpenRpcMethod['params'],
  flags: Record<string, string>,
): OpenRpcMethod => ({
  name,
  summary,
  paramStructure: 'by-name',
  params,
  result: { name: 'result', schema: {} },
  errors: [],
  'x-states': 'any',
  'x-cli': { flags },
})
const FILE = option('json_conf', 'File with the configuration; default standard input')

/** What rpc.py does by several calls. */
const COMMANDS: Readonly<Record<string, ClientCommand>> = {
  save_config: {
    method: command(
      'save_config',
      'Prints the configuration of the server',
      [option('subsystems', 'Only these and what they depend on', 'array')],
      { subsystems: '-s' },
    ),
    run: (client, { subsystems }) => saveConfig(client, subsystems as string[] | undefined),
  },
  save_subsystem_config: {
    method: command(
      'save_subsystem_config',
      'Prints the configuration of one subsystem',
      [{ ...option('name', 'The subsystem'), required: true }],
      { name: '-n' },
    ),
    run: (client, { name }) => saveSubsystemConfig(client, String(name ?? '')),
  },
  load_config: {
    method: command('load_config', 'Loads a saved configuration into the server', [FILE], { json_conf: '-j' }),
    run: async (client, { json_conf }) =>
      loadConfigInto(client, await readConfig<SavedConfig>(json_conf, 'subsystems')).then(() => true),
  },
  load_subsystem_config: {
    method: command('load_subsystem_config', 'Loads one saved subsystem into the server', [FILE], { json_conf: '-j' }),
    run: async (client, { json_conf }) => {
      const subsystem = await readConfig<SavedSubsystem>(json_conf, 'config')
      return loadConfigInto(client, { subsystems: [subsystem] }).then(() => true)
    },
  },
}

async function readConfig<Config>(file: unknown, member: string): Promise<Config> {
  const source = file === undefined ? await text(process.stdin) : await readFile(String(file), 'utf8')
  let value: unknown
  try {
    value = JSON.parse(source)
  } catch (cause) {
    throw new CliError(`the configuration: wanted JSON: ${(cause as Error).message}`, { cause })
  }
  const found = (value as Record<string, unknown> | null)?.[member]
  if (!Array.isArray(found))
    throw new CliError(`the configuration: wanted an object with an array "${member}"; bdev rpc save_config prints one`)
  return value as Config
}
