// SPDX-License-Identifier: Apache-2.0
import {
  bdevInfoJson,
  ioStatJson,
  moduleStatJson,
  TICK_RATE,
  type Bdev,
  type BdevIoStat,
  type Host,
  type StatResetMode,
} from '@bdevkit/core'
import { BdevError, RpcError, type JsonObject } from '@bdevkit/module-sdk'
import { JSONRPC_INVALID_PARAMS } from '../errors.js'
import type { RpcRegistry } from '../registry.js'
import { BDEV_INFO, IOSTAT } from '../result-schemas.js'

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
  reset_mode?: StatResetMode
}

/** Parameters of `bdev_reset_iostat`. */
export interface ResetIostatParams {
  /** Without it all bdevs. */
  name?: string
  mode?: StatResetMode
}

/** Parameters of `bdev_set_options`. */
export interface SetOptionsParams {
  bdev_io_pool_size?: number
  bdev_io_cache_size?: number
  bdev_auto_examine?: boolean
  iobuf_small_cache_size?: number
  iobuf_large_cache_size?: number
}

const resetMode = { enum: ['all', 'maxmin', 'error', 'none'] }
const uint32 = { type: 'integer', minimum: 0, maximum: 0xffff_ffff }
const uint64 = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER }

/** Adds the generic methods of `lib/bdev/bdev_rpc.c` that this stack has. */
export function registerBdevMethods(registry: RpcRegistry, host: Host): void {
  registry.register(
    'bdev_get_bdevs',
    {
      description: 'Describes all bdevs, or one by name, alias or UUID.',
      cli: { flags: { name: '-b', timeout: '-t --timeout-ms' } },
      result: { type: 'array', items: BDEV_INFO },
      params: { type: 'object', properties: { name: { type: 'string' }, timeout: uint64 } },
    },
    (params: GetBdevsParams) => getBdevs(host, params),
    { mayWait: true },
  )
  registry.register(
    'bdev_get_iostat',
    {
      description: 'Counters of all bdevs, or of those named.',
      cli: { flags: { per_channel: '-c' } },
      result: IOSTAT,
      params: {
        type: 'object',
        properties: {
          names: { type: 'array', maxItems: 1024, items: { type: 'string' } },
          per_channel: { type: 'boolean' },
          reset_mode: resetMode,
        },
      },
    },
    (params: GetIostatParams) => getIostat(host, params),
  )
  registry.register(
    'bdev_reset_iostat',
    {
      description: 'Sets the counters of all bdevs, or of one, back; those that its module keeps included.',
      cli: { flags: { name: '-b', mode: '-m' } },
      result: { type: 'boolean' },
      params: { type: 'object', properties: { name: { type: 'string' }, mode: resetMode } },
    },
    (params: ResetIostatParams) => resetIostat(host, params),
  )
  registry.register(
    'bdev_wait_for_examine',
    { result: { type: 'boolean' }, description: 'Answers when no module examines a bdev any more.' },
    async () => host.waitForExamine().then(() => true),
  )
  registry.register(
    'bdev_examine',
    {
      description: 'Examines a bdev, now or when it appears, where bdev_auto_examine is off.',
      cli: { flags: { name: '-b' } },
      result: { type: 'boolean' },
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
      cli: { flags: { bdev_io_pool_size: '-p', bdev_io_cache_size: '-c', bdev_auto_examine: '--auto-examine' } },
      result: { type: 'boolean' },
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
    (params: SetOptionsParams) => setOptions(host, params),
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
  const infos: JsonObject[] = []
  if (name === undefined) {
    await host.forEachBdev(bdev => void infos.push(bdevInfoJson(bdev)))
    return infos
  }
  const desc = await host.openBdevAsync(name, { timeoutMs: timeout, owner: 'RPC bdev_get_bdevs', onEvent: () => undefined })
  infos.push(bdevInfoJson(desc.bdev))
  desc.close()
  return infos
}

async function getIostat(host: Host, { names, per_channel = false, reset_mode = 'none' }: GetIostatParams): Promise<JsonObject> {
  if (per_channel && names?.length !== 1) {
    throw new BdevError('EINVAL', `wanted exactly one name with per_channel, found ${names?.length ?? 'none'}`)
  }
  for (const name of names ?? []) if (findOpenable(host, name) === undefined) throw noSuchBdev(name)
  const clock = { tick_rate: TICK_RATE, ticks: Math.round((host.reactor.clock.nowMs() * TICK_RATE) / 1000) }
  if (per_channel) {
    const name = names?.[0] as string
    const stats = await host.control.getChannelIoStats(name, reset_mode)
    const channels = stats.map(({ threadId, stat }) => ({ thread_id: threadId, ...ioStatJson(stat) }))
    return { ...clock, name: host.bdevByName(name)?.name ?? name, channels }
  }
  const bdevs: JsonObject[] = []
  const visit = async (bdev: Bdev): Promise<void> => {
    bdevs.push(ioioStatJson(bdev, await host.control.getIoStat(bdev.name, reset_mode)))
  }
  await (names === undefined ? host.forEachBdev(visit) : host.forEachBdevByName(names, visit))
  return { ...clock, bdevs }
}

function ioioStatJson(bdev: Bdev, stat: BdevIoStat): JsonObject {
  const { periodUs, queueDepth = 0, ioTimeUs, weightedIoTimeUs } = bdev.qdSampling
  const specific = moduleStatJson(bdev)
  return {
    name: bdev.name,
    ...ioStatJson(stat),
    ...(periodUs === 0
      ? {}
      : { queue_depth_polling_period: periodUs, queue_depth: queueDepth, io_time: ioTimeUs, weighted_io_time: weightedIoTimeUs }),
    ...(specific === undefined ? {} : { driver_specific: specific }),
  }
}

async function resetIostat(host: Host, { name, mode = 'all' }: ResetIostatParams): Promise<boolean> {
  if (mode === 'none') return true
  if (name === undefined) await host.forEachBdev(bdev => host.control.resetIoStat(bdev.name, mode))
  else await host.control.resetIoStat(name, mode)
  return true
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

function setOptions(host: Host, params: SetOptionsParams): boolean {
  const { bdev_io_pool_size: poolSize, bdev_io_cache_size: cacheSize } = params
  try {
    host.setOptions({
      ...(poolSize === undefined ? {} : { bdevIoPoolSize: poolSize }),
      ...(cacheSize === undefined ? {} : { bdevIoCacheSize: cacheSize }),
      ...(params.bdev_auto_examine === undefined ? {} : { bdevAutoExamine: params.bdev_auto_examine }),
      ...(params.iobuf_small_cache_size === undefined ? {} : { iobufSmallCacheSize: params.iobuf_small_cache_size }),
      ...(params.iobuf_large_cache_size === undefined ? {} : { iobufLargeCacheSize: params.iobuf_large_cache_size }),
    })
  } catch (cause) {
    if ((cause as { code?: unknown }).code !== 'EINVAL') throw cause
    const { size, reservePerThread } = host.budget
    throw new RpcError(
      JSONRPC_INVALID_PARAMS,
      `Pool size ${poolSize ?? size} too small for cache size ${cacheSize ?? reservePerThread}`,
      { cause },
    )
  }
  return true
}
