// SPDX-License-Identifier: Apache-2.0
import { method } from '@bdevkit/module-sdk'
import { MAX_US, type Distribution } from './latency.js'

/** Parameters of `bdev_delay_create`. */
export type DelayCreateParams = {
  name: string
  base_bdev_name: string
  uuid?: string
  avg_read_latency: number
  p99_read_latency: number
  avg_write_latency: number
  p99_write_latency: number
  seed?: number
  distributions?: Distribution[]
}

/** Parameters of `bdev_delay_update_latency`. */
export type UpdateLatencyParams = {
  delay_bdev_name: string
  latency_type: 'avg_read' | 'p99_read' | 'avg_write' | 'p99_write'
  latency_us: number
}

/** Parameters of `bdev_delay_set_distribution`. */
export type SetDistributionParams = Omit<Distribution, 'distribution'> & {
  delay_bdev_name: string
  distribution: Distribution['distribution'] | 'none'
}

const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
const string = (description: string) => ({ type: 'string', description })
const us = (description: string) => ({ type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description })
const drawnUs = (description: string) => ({ type: 'number', minimum: 0, maximum: MAX_US, description })
const seed = (description: string) => ({ type: 'integer', minimum: 0, maximum: 0xffff_ffff, description })
const object = (required: string[], properties: object) => ({ type: 'object', additionalProperties: false, required, properties })

const distribution = {
  io_type: { enum: ['read', 'write', 'unmap', 'flush', 'write_zeroes'], description: 'I/O type that it is for' },
  distribution: { enum: ['uniform', 'normal', 'pareto', 'empirical'], description: 'Kind of distribution' },
  min_us: drawnUs('uniform: least delay in microseconds'),
  max_us: drawnUs('uniform: greatest delay; the others: what no delay exceeds, default one minute'),
  mean_us: drawnUs('normal: mean; what would be negative is 0'),
  stddev_us: drawnUs('normal: standard deviation'),
  scale_us: drawnUs('pareto: least delay'),
  shape: { type: 'number', exclusiveMinimum: 0, maximum: 1000, description: 'pareto: tail index; the smaller, the heavier the tail' },
  file: string('empirical: file of samples in microseconds, a JSON array or one number per line; each is equally likely'),
  seed: seed('Seed of this sequence; default: that of the bdev'),
}

export const rpc = {
  bdev_delay_create: method<DelayCreateParams, string>({
    description: 'Create a bdev that answers reads and writes later than its base, now or when the base appears; answers its name',
    cli: {
      flags: {
        base_bdev_name: '-b', name: '-d', uuid: '-u', avg_read_latency: '-r',
        p99_read_latency: '-t --nine-nine-read-latency', avg_write_latency: '-w',
        p99_write_latency: '-n --nine-nine-write-latency',
      },
    },
    result: { type: 'string' },
    params: object(
      ['name', 'base_bdev_name', 'avg_read_latency', 'p99_read_latency', 'avg_write_latency', 'p99_write_latency'],
      {
        name: string('Name of the bdev'),
        base_bdev_name: string('Name, alias or UUID of the base bdev; it may appear later'),
        avg_read_latency: us('Delay of 99 in 100 reads, in microseconds'),
        p99_read_latency: us('Delay of 1 in 100 reads, in microseconds; at least `avg_read_latency`'),
        avg_write_latency: us('Delay of 99 in 100 writes, in microseconds'),
        p99_write_latency: us('Delay of 1 in 100 writes, in microseconds; at least `avg_write_latency`'),
        uuid: { type: 'string', pattern: UUID, description: 'UUID; default: derived from the base\'s' },
        seed: seed('Seed of everything that is drawn; default: another one at each start. Not in SPDK'),
        distributions: {
          type: 'array',
          maxItems: 5,
          items: object(['io_type', 'distribution'], distribution),
          description: 'Distributions, with the parameters of `bdev_delay_set_distribution`. Not in SPDK',
        },
      },
    ),
  }),
  bdev_delay_delete: method<{ name: string }, boolean>({
    description: 'Delete a delay bdev, or forget one that still waits for its base',
    cli: { positional: ['name'] },
    result: { type: 'boolean' },
    params: object(['name'], { name: string('Name of the bdev') }),
  }),
  bdev_delay_update_latency: method<UpdateLatencyParams, boolean>({
    description: 'Change a latency of a delay bdev, attached or waiting; I/O that its base answers from then on has it',
    cli: { positional: ['delay_bdev_name', 'latency_type', 'latency_us'] },
    result: { type: 'boolean' },
    params: object(['delay_bdev_name', 'latency_type', 'latency_us'], {
      delay_bdev_name: string('Name of the bdev'),
      latency_type: { type: 'string', description: 'Which latency', enum: ['avg_read', 'p99_read', 'avg_write', 'p99_write'] },
      latency_us: us('Delay in microseconds; a p99 below its average is taken, as by SPDK'),
    }),
  }),
  bdev_delay_set_distribution: method<SetDistributionParams, boolean>({
    description: 'Draw the delays of one I/O type from a distribution, or stop that. Not in SPDK',
    cli: { positional: ['delay_bdev_name', 'io_type'] },
    result: { type: 'boolean' },
    params: object(['delay_bdev_name', 'io_type', 'distribution'], {
      delay_bdev_name: string('Name of the bdev, attached or waiting'),
      ...distribution,
      distribution: {
        enum: [...distribution.distribution.enum, 'none'],
        description: 'Kind of distribution; `none` goes back to average and p99, or to no delay',
      },
    }),
  }),
}
