// SPDX-License-Identifier: Apache-2.0
import { randomInt } from 'node:crypto'
import { constants, open } from 'node:fs/promises'
import { BdevError, defineBdevModule, IO_TYPE_NAMES, IoType, RpcError, type JsonObject, type RpcCall } from '@bdevkit/module-sdk'
import { DelayIo } from './delay-queue.js'
import { Latency, parseSamples, Random, Sampler, type Distribution } from './latency.js'
import { rpc, type DelayCreateParams, type SetDistributionParams, type UpdateLatencyParams } from './rpc.js'
import { delayAttach, QueueAt, type Delay, type DelaySettings } from './vbdev-delay.js'

const FILE_MAX_BYTES = 32 << 20
const INVALID_REQUEST = -32600
const INVALID_PARAMS = -32602

const MEMBERS = ['avg_read_latency', 'p99_read_latency', 'avg_write_latency', 'p99_write_latency'] as const

/** Bdevs that answer the reads and writes of a base bdev later. SPDK's `module/bdev/delay`. */
export default defineBdevModule({
  name: 'delay',
  sdk: '0.1',
  rpc,
  setup(host) {
    const settings = new Map<string, DelaySettings>()
    const delays = host.vbdevs<DelayCreateParams, Delay>({
      attach: (base, params) => delayAttach(host, base, params, settings.get(params.name)!),
      uuidNamespace: '4009b574-6430-4f1b-bc40-ace811091027',
      onResize: 'follow',
    })

    async function create(params: DelayCreateParams): Promise<string> {
      const { name } = params
      for (const direction of ['read', 'write'] as const) {
        const avg = params[`avg_${direction}_latency`]
        const p99 = params[`p99_${direction}_latency`]
        if (p99 < avg) throw new BdevError('EINVAL', `delay bdev "${name}": p99_${direction}_latency ${p99} is below avg_${direction}_latency ${avg}`)
      }
      const samples = await Promise.all((params.distributions ?? []).map(readSamples))
      if (delays.params(name) !== undefined) throw new BdevError('EEXIST', `delay bdev "${name}": there is one of that name; choose another`)
      const seed = params.seed ?? randomInt(2 ** 32)
      const made: DelaySettings = { queueMs: Float64Array.from(MEMBERS, member => params[member] / 1000), latencies: [] }
      made.latencies[IoType.Read] = new Latency(QueueAt.AvgRead, new Random(seed, IoType.Read))
      made.latencies[IoType.Write] = new Latency(QueueAt.AvgWrite, new Random(seed, IoType.Write))
      for (const [i, distribution] of (params.distributions ?? []).entries()) {
        const random = new Random(distribution.seed ?? seed, IO_TYPE_NAMES.indexOf(distribution.io_type))
        setSampler(made, distribution.io_type, new Sampler(distribution, samples[i]!, random))
      }
      settings.set(name, made)
      try {
        return delays.create({ ...params })
      } catch (thrown) {
        settings.delete(name)
        throw thrown
      }
    }

    function updateLatency({ delay_bdev_name: name, latency_type: type, latency_us: us }: UpdateLatencyParams): boolean {
      const params = delays.params(name)
      const found = settings.get(name)
      if (params === undefined || found === undefined) {
        if (host.bdevByName(name) === undefined) throw new RpcError(INVALID_PARAMS, 'The requested bdev does not exist.')
        throw new RpcError(INVALID_REQUEST, 'The requested bdev is not a delay bdev.')
      }
      const member = `${type}_latency` as const
      params[member] = us
      found.queueMs[MEMBERS.indexOf(member)] = us / 1000
      return true
    }

    async function setDistribution({ delay_bdev_name: name, ...spec }: SetDistributionParams): Promise<boolean> {
      const { io_type: ioType, distribution: kind, ...numbers } = spec
      const samples = kind === 'none' ? null : await readSamples({ ...numbers, io_type: ioType, distribution: kind })
      const params = delays.params(name)
      const found = settings.get(name)
      if (params === undefined || found === undefined) throw new BdevError('ENODEV', `distribution of "${name}": there is no such delay bdev`)
      const others = (params.distributions ?? []).filter(other => other.io_type !== ioType)
      if (kind === 'none') {
        setSampler(found, ioType, null)
      } else {
        const distribution: Distribution = { io_type: ioType, distribution: kind, ...numbers }
        const random = new Random(numbers.seed ?? params.seed ?? randomInt(2 ** 32), IO_TYPE_NAMES.indexOf(ioType))
        setSampler(found, ioType, new Sampler(distribution, samples!, random))
        others.push(distribution)
      }
      if (others.length > 0) params.distributions = others
      else delete params.distributions
      return true
    }

    return {
      handlers: {
        bdev_delay_create: create,
        async bdev_delay_delete({ name }) {
          const own = settings.get(name)
          await delays.delete(name)
          if (settings.get(name) === own) settings.delete(name)
          return true
        },
        bdev_delay_update_latency: updateLatency,
        bdev_delay_set_distribution: setDistribution,
      },
      configJson: () => delays.createCalls('bdev_delay_create', ['name', 'base_bdev_name', 'uuid', ...MEMBERS]).flatMap(loadable),
      createIoContext: () => new DelayIo(),
    }
  },
})

/** An update may set a p99 below its average, which create refuses: such a one is saved as an update, too. */
function loadable({ method, params }: RpcCall): RpcCall[] {
  const create = { ...(params as DelayCreateParams) }
  const updates: RpcCall[] = []
  for (const direction of ['read', 'write'] as const) {
    const p99 = create[`p99_${direction}_latency`]
    if (p99 >= create[`avg_${direction}_latency`]) continue
    create[`p99_${direction}_latency`] = create[`avg_${direction}_latency`]
    updates.push({ method: 'bdev_delay_update_latency', params: { delay_bdev_name: create.name, latency_type: `p99_${direction}`, latency_us: p99 } })
  }
  return [{ method, params: create as unknown as JsonObject }, ...updates]
}

/** Gives an I/O type its distribution, or takes it away. */
function setSampler({ latencies }: DelaySettings, ioType: string, sampler: Sampler | null): void {
  const type = IO_TYPE_NAMES.indexOf(ioType)
  const latency = latencies[type]
  if (sampler === null && type !== IoType.Read && type !== IoType.Write) latencies[type] = undefined
  else if (latency !== undefined) latency.sampler = sampler
  else if (sampler !== null) {
    const made = new Latency(QueueAt.Drawn, new Random(0))
    made.sampler = sampler
    latencies[type] = made
  }
}

/** The samples of an empirical distribution; none for the others. */
async function readSamples({ distribution, file }: Distribution): Promise<Float64Array> {
  if (distribution !== 'empirical' || file === undefined) return new Float64Array(0)
  let text: string
  try {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const found = await handle.stat()
      if (!found.isFile() || found.size > FILE_MAX_BYTES) throw new Error(`wanted a regular file of at most ${FILE_MAX_BYTES} bytes`)
      text = await handle.readFile('utf8')
    } finally {
      await handle.close()
    }
  } catch (cause) {
    throw new BdevError('EINVAL', `samples of ${file}: cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
  return parseSamples(text, file)
}
