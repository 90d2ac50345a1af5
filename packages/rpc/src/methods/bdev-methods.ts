// SPDX-License-Identifier: Apache-2.0
import { bdevInfoJson, bdevStat, ioErrorJson, statJson, TICK_RATE, type Bdev, type Host } from '@bdevkit/core'
import { BdevError, RpcError, type JsonObject } from '@bdevkit/module-sdk'
import { JSONRPC_INVALID_PARAMS } from '../errors.js'
import type { RpcRegistry } from '../registry.js'

const OPEN_RETRY_MS = 100

/** Parameters of `bdev_get_bdevs`. */
export interface GetBdevsParams {
  /** Name, alias or UUID; without it all bdevs are listed. */
  name?: string
  /** How long to wait for the bdev, milliseconds. Default 0. */
  timeout?: number
}

/** Parameters of `bdev_get_iostat`. */
export interface GetIostatParams {
  names?: string[]
  per_channel?: boolean
  reset_mode?: 'all' | 'maxmin' | 'error' | 'none'
}

/** Parameters of `bdev_set_options`. */
export interface SetOptionsParams {
  bdev_io_pool_size?: number
  bdev_io_cache_size?: number
  bdev_auto_examine?: boolean
  iobuf_small_cache_size?: number
  iobuf_large_cache_size?: number
}

const uint32 = { type: 'integer', minimum: 0, maximum: 0xffff_ffff }
const uint64 = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER }

/** Adds the generic methods of `lib/bdev/bdev_rpc.c` that this stack has. */
export function registerBdevMethods(registry: RpcRegistry, host: Host): void {
  registry.register(
    'bdev_get_bdevs',
    {
      description: 'Describes all bdevs, or one by name, alias or UUID.',
      params: { type: 'object', properties: { name: { type: 'string' }, timeout: uint64 } },
    },
    (params: GetBdevsParams) => getBdevs(host, params),
    { mayWait: true },
  )
  registry.register(
    'bdev_get_iostat',
    {
      description: 'Counters of all bdevs, or of those named.',
      params: {
        type: 'object',
        properties: {
          names: { type: 'array', maxItems: 1024, items: { type: 'string' } },
          per_channel: { type: 'boolean' },
          reset_mode: { enum: ['all', 'maxmin', 'error', 'none'] },
        },
      },
    },
    (params: GetIostatParams) => getIostat(host, params),
  )
  registry.register('bdev_wait_for_examine', { description: 'Answers when no module examines a bdev any more.' }, async () =>
    host.waitForExamine().then(() => true),
  )
  registry.register(
    'bdev_examine',
    {
      description: 'Examines a bdev, now or when it appears, where bdev_auto_examine is off.',
      params: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
      decodeError: { code: JSONRPC_INVALID_PARAMS },
    },
    ({ name }: { name: string }) => examine(host, name),
  )
  registry.register(
    'bdev_set_options',
    {
      states: 'startup',
      description: 'Options of the bdev layer.',
      params: {
        type: 'object',
        properties: {
          bdev_io_pool_size: uint32,
          bdev_io_cache_size: uint32,
          bdev_auto_examine: { type: 'boolean' },
          iobuf_small_cache_size: uint32,
          iobuf_large_cache_size: uint32,
        },
      },
      decodeError: { code: JSONRPC_INVALID_PARAMS, message: 'Invalid parameters' },
    },
    (params: SetOptionsParams) => setOptions(registry, host, params),
  )
}

// A bdev that is being removed cannot be opened any more: it is as good as gone.
function findOpenable(host: Host, name: string): Bdev | undefined {
  const bdev = host.bdevByName(name)
  return bdev?.status === 'ready' ? bdev : undefined
}

function noSuchBdev(name: string): BdevError {
  return new BdevError('ENODEV', `bdev "${name}": wanted, not found; bdev_get_bdevs lists what there is`)
}

async function getBdevs(host: Host, { name, timeout = 0 }: GetBdevsParams): Promise<JsonObject[]> {
  if (name === undefined) return host.bdevs.map(bdevInfoJson)
  const deadlineMs = performance.now() + timeout
  for (;;) {
    const bdev = findOpenable(host, name)
    if (bdev !== undefined) return [bdevInfoJson(bdev)]
    if (timeout === 0) throw noSuchBdev(name)
    if (performance.now() >= deadlineMs)
      throw new BdevError('ETIMEDOUT', `bdev "${name}": wanted within ${timeout} ms, not found`)
    await new Promise(wake => setTimeout(wake, Math.min(OPEN_RETRY_MS, deadlineMs - performance.now())))
  }
}

function getIostat(host: Host, { names, per_channel = false, reset_mode = 'none' }: GetIostatParams): JsonObject {
  if (per_channel && names?.length !== 1) {
    throw new BdevError('EINVAL', `wanted exactly one name with per_channel, found ${names?.length ?? 'none'}`)
  }
  if (reset_mode !== 'none') throw new BdevError('ENOTSUP', `reset_mode "${reset_mode}" is not there yet; use "none"`)
  const bdevs = names?.map(name => {
    const bdev = findOpenable(host, name)
    if (bdev === undefined) throw noSuchBdev(name)
    return bdev
  })
  const clock = { tick_rate: TICK_RATE, ticks: Math.round((performance.now() * TICK_RATE) / 1000) }
  if (!per_channel) return { ...clock, bdevs: (bdevs ?? host.bdevs).map(iostatJson) }
  const [bdev] = bdevs as [Bdev]
  const channels = bdev.channels.map(({ thread, stat }) => ({ thread_id: thread.id, ...statJson(stat), io_error: {} }))
  return { ...clock, name: bdev.name, channels }
}

function iostatJson(bdev: Bdev): JsonObject {
  const specific = bdev.fn.dumpDeviceStatJson?.(bdev.ctx)
  return {
    name: bdev.name,
    ...statJson(bdevStat(bdev)),
    io_error: ioErrorJson(bdev),
    ...(specific === undefined ? {} : { driver_specific: specific }),
  }
}

function examine(host: Host, name: string): boolean {
  const { examine: examination } = host
  if (examination.auto) {
    throw new BdevError('EINVAL', `bdev "${name}": every bdev is examined already; set bdev_auto_examine to false to choose`)
  }
  if (examination.allowList.has(name))
    throw new BdevError('EEXIST', `bdev "${name}": wanted once in the list, found there already`)
  examination.allowList.add(name)
  const bdev = findOpenable(host, name)
  if (bdev !== undefined) examination.run(bdev)
  return true
}

function setOptions(registry: RpcRegistry, host: Host, params: SetOptionsParams): boolean {
  const { size, reservePerThread } = host.budget
  const { bdev_io_pool_size: poolSize = size, bdev_io_cache_size: cacheSize = reservePerThread } = params
  if (poolSize < cacheSize * (host.reactor.threads.length + 1)) {
    throw new RpcError(JSONRPC_INVALID_PARAMS, `Pool size ${poolSize} too small for cache size ${cacheSize}`)
  }
  if (poolSize !== size || cacheSize !== reservePerThread) {
    registry.log.warn(
      `bdev_set_options: wanted bdev_io_pool_size ${poolSize} and bdev_io_cache_size ${cacheSize}, found a host made with ` +
        `${size} and ${reservePerThread}, which it keeps; they are options of createHost`,
    )
  }
  if (params.bdev_auto_examine !== undefined) host.examine.auto = params.bdev_auto_examine
  return true
}
