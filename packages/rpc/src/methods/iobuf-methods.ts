// SPDX-License-Identifier: Apache-2.0
import type { Host } from '@bdevkit/core'
import { BdevError, type JsonObject, type RpcCall } from '@bdevkit/module-sdk'
import { DECODE_FAILED, JSONRPC_INVALID_PARAMS } from '../errors.js'
import type { RpcRegistry } from '../registry.js'

/** Options of SPDK's pools of buffers. */
export interface IobufOptions {
  small_pool_count: number
  large_pool_count: number
  small_bufsize: number
  large_bufsize: number
  enable_numa: boolean
}

const DEFAULTS: IobufOptions = { small_pool_count: 8192, large_pool_count: 1024, small_bufsize: 8192, large_bufsize: 135_168, enable_numa: false }
const LEAST = { small_pool_count: 64, large_pool_count: 8, small_bufsize: 4096, large_bufsize: 8192 }

const uint64 = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER }
const uint32 = { type: 'integer', minimum: 0, maximum: 0xffff_ffff }

/**
 * Adds `iobuf_set_options` and `iobuf_get_stats`. Buffers come from the DMA heap, which has no such pools: the options are kept
 * for the saved configuration, which this answers, and nothing ever waits for a buffer of a pool.
 */
export function registerIobufMethods(registry: RpcRegistry, host: Host): () => RpcCall[] {
  const options = { ...DEFAULTS }
  registry.register(
    'iobuf_set_options',
    {
      states: 'startup',
      description: "Keeps SPDK's sizes of its pools of buffers for the saved configuration; nothing here has such pools.",
      params: {
        type: 'object',
        properties: { small_pool_count: uint64, large_pool_count: uint64, small_bufsize: uint32, large_bufsize: uint32, enable_numa: { type: 'boolean' } },
      },
      decodeError: { code: JSONRPC_INVALID_PARAMS, message: DECODE_FAILED },
    },
    (params: Partial<IobufOptions>) => {
      const wanted = { ...options, ...params }
      for (const [name, least] of Object.entries(LEAST) as [keyof typeof LEAST, number][]) {
        if (wanted[name] < least) throw new BdevError('EINVAL', `iobuf_set_options: wanted ${name} to be at least ${least}, found ${wanted[name]}`)
      }
      Object.assign(options, wanted)
      return true
    },
  )
  registry.register(
    'iobuf_get_stats',
    { description: "Use of SPDK's pools of buffers by its users here: none, buffers come from the DMA heap." },
    () => {
      const { iobufSmallCacheSize, iobufLargeCacheSize } = host.options
      const pool = (cacheSize: number): JsonObject => ({ cache: 0, main: 0, retry: 0, cache_size: cacheSize })
      return ['accel', 'bdev'].map(module => ({ module, small_pool: pool(iobufSmallCacheSize), large_pool: pool(iobufLargeCacheSize) }))
    },
    { sentParams: 'ignore' },
  )
  return () => [{ method: 'iobuf_set_options', params: { ...options } }]
}
