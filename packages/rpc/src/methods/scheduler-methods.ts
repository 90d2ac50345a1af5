// SPDX-License-Identifier: Apache-2.0
import { RpcError, type RpcCall } from '@bdevkit/module-sdk'
import { JSONRPC_INTERNAL_ERROR, JSONRPC_INVALID_PARAMS } from '../errors.js'
import type { RpcRegistry } from '../registry.js'

/** The scheduler that moves no thread: SPDK's own by default, and the only one with one reactor. */
const STATIC = 'static'
const INVALID_PARAMETERS = { code: JSONRPC_INVALID_PARAMS, message: 'Invalid parameters' }
const uint = { type: 'integer', minimum: 0 }

/**
 * Adds the methods of `lib/event` about schedulers, processors and PCI devices, as far as clients ask them at start: there is one
 * reactor, which no scheduler moves threads from, and no device is taken from the kernel. Answers the saved configuration.
 */
export function registerSchedulerMethods(registry: RpcRegistry): () => RpcCall[] {
  let periodUs = 0
  registry.register(
    'framework_set_scheduler',
    {
      states: 'any',
      description: 'Sets the scheduler: static, which leaves threads where they are.',
      result: { type: 'boolean' },
      // As SPDK: the options belong to the scheduler, and what is unknown is not looked at.
      params: {
        type: 'object',
        additionalProperties: true,
        required: ['name'],
        properties: {
          name: { type: 'string' },
          period: { ...uint, description: 'Microseconds' },
          load_limit: uint,
          core_limit: uint,
          core_busy: uint,
          mappings: { type: 'string' },
        },
      },
      decodeError: INVALID_PARAMETERS,
      cli: { positional: ['name'], flags: { period: '-p' } },
    },
    ({ name, period, load_limit, core_limit, core_busy, mappings }: SetSchedulerParams) => {
      // SPDK sets a second where none is given, so that a configuration saved after it was loaded is another one.
      if (period !== undefined && period !== 0) periodUs = period
      const custom =
        [load_limit, core_limit, core_busy].some(limit => limit !== undefined && limit !== 0) || mappings !== undefined
      // SPDK asks strerror for the text of a negative number.
      if (name !== STATIC || custom) throw new RpcError(JSONRPC_INTERNAL_ERROR, 'Unknown error -22')
      return true
    },
  )
  registry.register(
    'framework_get_scheduler',
    { result: { type: 'object' }, states: 'any', description: 'The scheduler and its period in microseconds.' },
    () => ({ scheduler_name: STATIC, scheduler_period: periodUs, isolated_core_mask: '0', scheduling_core: 0 }),
    { sentParams: { refuse: "'rpc_get_scheduler' requires no arguments" } },
  )
  registry.register(
    'framework_get_governor',
    { result: { type: 'object' }, description: 'The governor of the processors: none.' },
    () => ({}),
    {
      sentParams: { refuse: "'rpc_get_governor' requires no arguments" },
    },
  )
  registry.register(
    'framework_get_pci_devices',
    { result: { type: 'array', items: { type: 'object' } }, description: 'PCI devices taken from the kernel: none.' },
    () => [],
    {
      sentParams: { refuse: "framework_get_pci_devices doesn't accept any parameters.\n" },
    },
  )
  return () => [{ method: 'framework_set_scheduler', params: { name: STATIC, ...(periodUs === 0 ? {} : { period: periodUs }) } }]
}

/** Parameters of `framework_set_scheduler`. */
export interface SetSchedulerParams {
  name: string
  /** Microseconds; 0 leaves it as it is. */
  period?: number
  load_limit?: number
  core_limit?: number
  core_busy?: number
  mappings?: string
}
