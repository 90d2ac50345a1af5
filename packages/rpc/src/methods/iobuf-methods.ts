// SPDX-License-Identifier: Apache-2.0
import type { Host } from '@bdevkit/core'
import type { RpcCall } from '@bdevkit/module-sdk'
import { DECODE_FAILED, JSONRPC_INVALID_PARAMS } from '../errors.js'
import type { RpcRegistry } from '../registry.js'

/** Parameters of `iobuf_set_options`; what is left out stays. */
export interface SetIobufOptionsParams {
  small_pool_count?: number
  large_pool_count?: number
  small_bufsize?: number
  large_bufsize?: number
  enable_numa?: boolean
}

const uint64 = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER }
const uint32 = { type: 'integer', minimum: 0, maximum: 0xffff_ffff }

/** Adds `iobuf_set_options` and `iobuf_get_stats`. Answers the saved configuration. */
export function registerIobufMethods(registry: RpcRegistry, host: Host): () => RpcCall[] {
  registry.register(
    'iobuf_set_options',
    {
      states: 'startup',
      description: 'Sizes of the pools of I/O buffers. There is one pool of each size, whatever enable_numa says.',
      result: { type: 'boolean' },
      params: {
        type: 'object',
        properties: {
          small_pool_count: uint64,
          large_pool_count: uint64,
          small_bufsize: uint32,
          large_bufsize: uint32,
          enable_numa: { type: 'boolean' },
        },
      },
      decodeError: { code: JSONRPC_INVALID_PARAMS, message: DECODE_FAILED },
    },
    (params: SetIobufOptionsParams) => {
      host.iobuf.setOptions({
        ...(params.small_pool_count === undefined ? {} : { smallPoolCount: params.small_pool_count }),
        ...(params.large_pool_count === undefined ? {} : { largePoolCount: params.large_pool_count }),
        ...(params.small_bufsize === undefined ? {} : { smallBufBytes: params.small_bufsize }),
        ...(params.large_bufsize === undefined ? {} : { largeBufBytes: params.large_bufsize }),
      })
      return true
    },
  )
  registry.register(
    'iobuf_get_stats',
    { result: { type: 'array', items: { type: 'object' } }, description: 'Use of the pools of I/O buffers.' },
    () => host.iobuf.statsJson(),
    {
      sentParams: 'ignore',
    },
  )
  return () => host.iobuf.configJson()
}
