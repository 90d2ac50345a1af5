// SPDX-License-Identifier: Apache-2.0
import { RpcError, type RpcCall } from '@bdevkit/module-sdk'
import { JSONRPC_INVALID_PARAMS } from '../errors.js'
import type { RpcRegistry } from '../registry.js'

/** Options of a socket implementation, as `sock_impl_get_options` answers them. */
export interface SockImplOptions {
  recv_buf_size: number
  send_buf_size: number
  enable_recv_pipe: boolean
  enable_quickack: boolean
  enable_placement_id: number
  enable_zerocopy_send_server: boolean
  enable_zerocopy_send_client: boolean
  zerocopy_threshold: number
  tls_version: number
  enable_ktls: boolean
}

const MIB = 1024 * 1024
const POSIX: SockImplOptions = {
  recv_buf_size: 2 * MIB,
  send_buf_size: 2 * MIB,
  enable_recv_pipe: true,
  enable_quickack: false,
  enable_placement_id: 0,
  enable_zerocopy_send_server: true,
  enable_zerocopy_send_client: false,
  zerocopy_threshold: 0,
  tls_version: 0,
  enable_ktls: false,
}

const uint32 = { type: 'integer', minimum: 0, maximum: 0xffff_ffff }
const boolean = { type: 'boolean' }
const invalid = () => new RpcError(JSONRPC_INVALID_PARAMS, 'Invalid parameters')
const decodeError = { code: JSONRPC_INVALID_PARAMS, message: 'Invalid parameters' }
const implName = { type: 'string', description: 'posix, ssl or uring' }

/**
 * Adds the methods of `lib/sock/sock_rpc.c`. The event loop has its own sockets; the options are kept for those who set and read
 * them, and in the saved configuration, which this answers.
 */
export function registerSockMethods(registry: RpcRegistry): () => RpcCall[] {
  let defaultImpl = 'posix'
  // In the order in which SPDK saves them.
  const impls = new Map<string, SockImplOptions>([
    ['uring', { ...POSIX, enable_zerocopy_send_server: false }],
    ['ssl', { ...POSIX, recv_buf_size: 4096, send_buf_size: 4096 }],
    ['posix', { ...POSIX }],
  ])
  const find = (name: string): SockImplOptions => {
    const options = impls.get(name)
    if (options === undefined) throw invalid()
    return options
  }
  const implOnly = { type: 'object', required: ['impl_name'], properties: { impl_name: implName } }
  registry.register(
    'sock_impl_get_options',
    {
      result: { type: 'object' },
      states: 'any',
      description: 'Options of a socket implementation.',
      params: implOnly,
      decodeError,
      cli: { flags: { impl_name: '-i --impl' } },
    },
    ({ impl_name }: { impl_name: string }) => ({ ...find(impl_name) }),
  )
  registry.register(
    'sock_impl_set_options',
    {
      states: 'startup',
      description: 'Keeps options of a socket implementation for the saved configuration; nothing here has them.',
      result: { type: 'boolean' },
      params: {
        type: 'object',
        required: ['impl_name'],
        properties: {
          impl_name: implName,
          ...Object.fromEntries(
            Object.entries(POSIX).map(([name, value]) => [name, typeof value === 'boolean' ? boolean : uint32]),
          ),
        },
      },
      decodeError,
      cli: { flags: SOCK_FLAGS },
    },
    ({ impl_name, ...options }: { impl_name: string } & Partial<SockImplOptions>) => {
      Object.assign(find(impl_name), options)
      return true
    },
  )
  registry.register(
    'sock_set_default_impl',
    {
      result: { type: 'boolean' },
      states: 'startup',
      description: 'Keeps the name of the socket implementation to use.',
      params: implOnly,
      decodeError,
      cli: { flags: { impl_name: '-i --impl' } },
    },
    ({ impl_name }: { impl_name: string }) => {
      find(impl_name)
      defaultImpl = impl_name
      return true
    },
  )
  registry.register(
    'sock_get_default_impl',
    { result: { type: 'object' }, states: 'any', description: 'Name of the socket implementation.' },
    () => ({ impl_name: defaultImpl }),
  )
  return () => [
    { method: 'sock_set_default_impl', params: { impl_name: defaultImpl } },
    ...[...impls].map(([impl_name, options]) => ({ method: 'sock_impl_set_options', params: { impl_name, ...options } })),
  ]
}

const SOCK_FLAGS = {
  impl_name: '-i --impl',
  recv_buf_size: '-r',
  send_buf_size: '-s',
  enable_placement_id: '-p',
  enable_recv_pipe: '--recv-pipe',
  enable_quickack: '--quickack',
  enable_zerocopy_send_server: '--zerocopy-send-server',
  enable_zerocopy_send_client: '--zerocopy-send-client',
  enable_ktls: '--ktls',
}
