// SPDX-License-Identifier: Apache-2.0
import { RpcError, type RpcCall } from '@bdevkit/module-sdk'
import { JSONRPC_INVALID_PARAMS } from '../errors.js'
import type { RpcRegistry } from '../registry.js'
import { CALLS } from '../result-schemas.js'

/** A part of the application that has a configuration of its own: `struct spdk_subsystem`. */
export interface RpcSubsystem {
  readonly name: string
  /** Subsystems that are initialised before this one. */
  readonly dependsOn: readonly string[]
  /** Calls that bring the present state back. */
  configJson(): readonly RpcCall[]
}

/**
 * Adds `framework_get_subsystems` and `framework_get_config`, from which clients make `save_config`. `subsystems` stand in
 * the order of initialisation; a list that grows later is seen.
 */
export function registerFrameworkMethods(registry: RpcRegistry, subsystems: readonly RpcSubsystem[]): void {
  registry.register(
    'framework_get_subsystems',
    {
      result: { type: 'array', items: { type: 'object' } },
      description: 'Subsystems in the order of initialisation, and what each needs.',
    },
    () => subsystems.map(({ name, dependsOn }) => ({ subsystem: name, depends_on: dependsOn })),
    { sentParams: { refuse: "'framework_get_subsystems' requires no arguments" } },
  )
  registry.register(
    'framework_get_config',
    {
      description: 'Calls that bring the configuration of one subsystem back.',
      cli: { positional: ['name'] },
      result: CALLS,
      params: {
        type: 'object',
        required: ['name'],
        properties: {
          name: { type: 'string' },
          with_batches: { type: 'boolean', description: 'Allow arrays of calls; there are none here.' },
        },
      },
      decodeError: { code: JSONRPC_INVALID_PARAMS, message: 'Invalid arguments' },
    },
    ({ name }: { name: string }) => {
      const subsystem = subsystems.find(candidate => candidate.name === name)
      if (subsystem === undefined) throw new RpcError(JSONRPC_INVALID_PARAMS, `Subsystem '${name}' not found`)
      return subsystem.configJson()
    },
  )
}
