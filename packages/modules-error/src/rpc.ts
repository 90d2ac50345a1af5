// SPDX-License-Identifier: Apache-2.0
import { ERRNO, method } from '@bdevkit/module-sdk'
import type { JsonObject } from '@bdevkit/module-sdk'
import type { ErrorType, RuleParams } from './rule.js'

/** Parameters of `bdev_error_create`. */
export type ErrorCreateParams = { base_name: string; uuid?: string }

/** Parameters of `bdev_error_inject_error`. */
export type InjectErrorParams = {
  name: string
  io_type: 'clear' | 'read' | 'write' | 'unmap' | 'flush' | 'all'
  error_type: Exclude<ErrorType, 'errno'>
  num?: number
  queue_depth?: number
  corrupt_offset?: number
  corrupt_value?: number
  nvme_sct?: number
  nvme_sc?: number
}

/** Parameters of `bdev_error_set_rules`. */
export type SetRulesParams = { name: string; rules: RuleParams[] }

const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
const string = (description: string) => ({ type: 'string', description })
const integer = (maximum: number, description: string, minimum = 0) => ({ type: 'integer', minimum, maximum, description })
const uint32 = (description: string) => integer(0xffff_ffff, description)
const uint64 = (description: string) => integer(Number.MAX_SAFE_INTEGER, description)
const object = (required: string[], properties: object) => ({ type: 'object', additionalProperties: false, required, properties })
const name = string('Name of the bdev, `EE_` and its base')
const INJECTED = ['failure', 'pending', 'corrupt_data', 'nomem', 'nvme_failure']
const decodeError = { code: -32602 }

const rule = {
  io_type: { enum: ['read', 'write', 'unmap', 'flush', 'write_zeroes', 'compare', 'all'] },
  error_type: { enum: [...INJECTED, 'errno'] },
  offset_blocks: uint64('First block, default 0'),
  num_blocks: integer(Number.MAX_SAFE_INTEGER, 'Blocks, default all', 1),
  every: integer(Number.MAX_SAFE_INTEGER, 'Hit each nth I/O that fits', 1),
  probability: { type: 'number', exclusiveMinimum: 0, maximum: 1, description: 'Hit with this probability' },
  seed: uint32('Seed of the probability'),
  count: integer(Number.MAX_SAFE_INTEGER, 'Hits after which the rule ends', 1),
  heal_on_write: { type: 'boolean', description: 'A block that was written is good again' },
  nvme_sct: integer(7, 'NVMe status code type'),
  nvme_sc: integer(255, 'NVMe status code'),
  errno: { enum: Object.keys(ERRNO), description: 'Name of an errno' },
  corrupt_offset: uint64('Byte of the I/O that is changed'),
  corrupt_value: integer(255, 'What it is XORed with'),
}

export const rpc = {
  bdev_error_create: method<ErrorCreateParams, boolean>({
    description: 'Create the error injection bdev `EE_<base>`, now or when the base appears',
    cli: { positional: ['base_name'] },
    result: { type: 'boolean' },
    decodeError,
    params: object(['base_name'], {
      base_name: string('Name, alias or UUID of the base bdev; it may appear later'),
      uuid: { type: 'string', pattern: UUID, description: 'Taken, saved and without effect, as in SPDK' },
    }),
  }),
  bdev_error_delete: method<{ name: string }, boolean>({
    description: 'Delete an error injection bdev, or forget one that still waits for its base',
    cli: { positional: ['name'] },
    result: { type: 'boolean' },
    decodeError,
    params: object(['name'], { name }),
  }),
  bdev_error_inject_error: method<InjectErrorParams, boolean>({
    description: 'Let the next I/Os of a type go wrong',
    cli: {
      positional: ['name', 'io_type', 'error_type'],
      flags: { num: '-n', queue_depth: '-q', corrupt_offset: '-o', corrupt_value: '-v' },
    },
    result: { type: 'boolean' },
    decodeError,
    params: object(['name', 'io_type', 'error_type'], {
      name,
      io_type: { enum: ['clear', 'read', 'write', 'unmap', 'flush', 'all'], description: 'Type of I/O; `clear` ends all injections' },
      error_type: { enum: INJECTED, description: 'What happens to it' },
      num: { ...uint32('I/Os that are hit'), default: 1 },
      queue_depth: { ...uint64('Hit only while a channel has this many I/Os with the base'), default: 0 },
      corrupt_offset: { ...uint64('`corrupt_data`: byte of the I/O that is changed'), default: 0 },
      corrupt_value: { ...integer(255, '`corrupt_data`: what it is XORed with, not 0'), default: 0 },
      nvme_sct: { ...uint32('`nvme_failure`: status code type'), default: 0 },
      nvme_sc: { ...uint32('`nvme_failure`: status code'), default: 0 },
    }),
  }),
  bdev_error_resume_pending: method<{ name: string }, boolean>({
    description: 'Send the I/Os that are held back on to the base, and hold back no more',
    cli: { positional: ['name'] },
    result: { type: 'boolean' },
    decodeError,
    params: object(['name'], { name }),
  }),
  bdev_error_set_rules: method<SetRulesParams, boolean>({
    description: 'Replace the rules of an error injection bdev; an empty list clears them. Not in SPDK',
    cli: { positional: ['name'] },
    result: { type: 'boolean' },
    params: object(['name', 'rules'], {
      name,
      rules: {
        type: 'array',
        maxItems: 64,
        items: object(['io_type', 'error_type'], rule),
        description: 'Rules, see below; the first one that hits decides',
      },
    }),
  }),
  bdev_error_get_rules: method<{ name: string }, JsonObject[]>({
    description: 'The rules of an error injection bdev with what they saw and hit. Not in SPDK',
    cli: { positional: ['name'] },
    result: { type: 'array', items: { type: 'object' } },
    params: object(['name'], { name }),
  }),
}
