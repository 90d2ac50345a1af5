// SPDX-License-Identifier: Apache-2.0
import type { JsonSchema, RpcCli } from '@bdevkit/module-sdk'
import type { RpcMethodInfo, RpcRegistry, RpcStates } from './registry.js'

/** One parameter or result of a method in an OpenRPC document. */
export interface OpenRpcContent {
  readonly name: string
  readonly description?: string
  readonly required?: boolean
  readonly schema: JsonSchema
}

/** One method in an OpenRPC document, with members of our own. */
export interface OpenRpcMethod {
  readonly name: string
  readonly summary?: string
  readonly deprecated?: boolean
  readonly paramStructure: 'by-name'
  readonly params: readonly OpenRpcContent[]
  readonly result: OpenRpcContent
  readonly errors: readonly { readonly code: number; readonly message: string }[]
  /** When it may be called. */
  readonly 'x-states': RpcStates
  /** How a command line spells the parameters. */
  readonly 'x-cli'?: RpcCli
}

/** An OpenRPC document, https://spec.open-rpc.org. */
export interface OpenRpcDocument {
  readonly openrpc: string
  readonly info: { readonly title: string; readonly description: string; readonly version: string }
  readonly methods: readonly OpenRpcMethod[]
}

/** Describes the methods of a registry, by name. `version` is the application's. */
export function openRpcDocument(registry: RpcRegistry, version: string): OpenRpcDocument {
  const infos = registry.list({ includeAliases: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
  return {
    openrpc: '1.3.2',
    info: {
      title: 'bdevkit',
      description: "SPDK's JSON-RPC over a Unix socket, and methods of our own. Integers are at most 2^53-1.",
      version,
    },
    methods: infos.map(describe),
  }
}

function describe(info: RpcMethodInfo): OpenRpcMethod {
  const { name, description, states, params, result, cli, aliasOf, decodeError } = info
  const required = (params?.['required'] ?? []) as readonly string[]
  const properties = Object.entries((params?.['properties'] ?? {}) as Record<string, JsonSchema>)
  return {
    name,
    ...(description === undefined ? {} : { summary: description }),
    ...(aliasOf === undefined ? {} : { deprecated: true }),
    paramStructure: 'by-name',
    params: properties.map(([param, { description: about, ...schema }]) => ({
      name: param,
      ...(about === undefined ? {} : { description: String(about) }),
      required: required.includes(param),
      schema,
    })),
    result: { name: 'result', schema: result ?? {} },
    errors: params === undefined ? [] : [decodeError],
    'x-states': states,
    ...(cli === undefined ? {} : { 'x-cli': cli }),
  }
}

/** Adds `rpc.discover`, by which OpenRPC finds the methods of a server: those of its modules included. */
export function registerDiscover(registry: RpcRegistry, version: string): void {
  registry.register(
    'rpc.discover',
    { states: 'any', description: 'The methods of this server as an OpenRPC document.', result: { type: 'object' } },
    () => openRpcDocument(registry, version),
    { sentParams: 'ignore' },
  )
}
