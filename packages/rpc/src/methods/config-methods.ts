// SPDX-License-Identifier: Apache-2.0
import { BdevError, RpcError, type JsonObject, type RpcCall } from '@bdevkit/module-sdk'
import { parseConfig, readConfigFile, type ConfigFile } from '../config-file.js'
import { planConfig, type ConfigPlan, type PlannedCall } from '../config-plan.js'
import { JSONRPC_INVALID_PARAMS, reasonText, RpcCallError } from '../errors.js'
import type { RpcRegistry } from '../registry.js'
import type { RpcSubsystem } from './framework-methods.js'

/** Parameters of `bdevkit_config_plan` and `bdevkit_config_apply`: one of the two. */
export interface ConfigPlanParams {
  /** A file that the server reads. */
  path?: string
  /** The configuration itself. */
  config?: JsonObject
}

const params = {
  type: 'object',
  properties: {
    path: { type: 'string', minLength: 1, description: 'A configuration file that the server reads' },
    config: { type: 'object', description: 'Or the configuration itself' },
  },
}
const result = {
  type: 'object',
  required: ['remove', 'create', 'set', 'keep', 'needs_restart'],
  properties: Object.fromEntries(
    ['remove', 'create', 'set', 'needs_restart', 'keep'].map(name => [
      name,
      { type: 'array', items: name === 'keep' ? { type: 'string' } : { type: 'object' } },
    ]),
  ),
}

/**
 * Adds `bdevkit_config_plan`, which says what a configuration would change, and `bdevkit_config_apply`, which changes it while all else
 * goes on: I/O to what stays is not touched. Methods of our own.
 */
export function registerConfigMethods(registry: RpcRegistry, subsystems: readonly RpcSubsystem[]): void {
  let applying = false
  registry.register(
    'bdevkit_config_plan',
    {
      description: 'What a configuration would remove, create, set and keep. Nothing is changed.',
      params,
      result,
      cli: { positional: ['path'], flags: { config: '--config' } },
    },
    async (given: ConfigPlanParams) => planJson(await plan(registry, subsystems, given)),
  )
  registry.register(
    'bdevkit_config_apply',
    {
      description:
        'Makes the running configuration another one: removes, creates and sets what differs, and leaves the rest alone.',
      params,
      result,
      cli: { positional: ['path'], flags: { config: '--config' } },
    },
    async (given: ConfigPlanParams) => {
      if (applying) throw new BdevError('EALREADY', 'bdevkit_config_apply: another one is under way')
      applying = true
      try {
        const planned = await plan(registry, subsystems, given)
        await apply(registry, planned)
        return planJson(planned)
      } finally {
        applying = false
      }
    },
  )
}

async function plan(registry: RpcRegistry, subsystems: readonly RpcSubsystem[], given: ConfigPlanParams): Promise<ConfigPlan> {
  try {
    const wanted = await readWanted(given)
    const running: RpcCall[] = subsystems.flatMap(({ configJson }) => configJson())
    return planConfig(running, wanted, registry, name => subsystems.some(subsystem => subsystem.name === name))
  } catch (cause) {
    throw invalid(reasonText(cause), cause)
  }
}

async function readWanted({ path, config }: ConfigPlanParams): Promise<ConfigFile> {
  if ((path === undefined) === (config === undefined)) throw new BdevError('EINVAL', 'wanted either path or config')
  return path === undefined ? parseConfig(JSON.stringify(config), 'config') : readConfigFile(path)
}

async function apply(registry: RpcRegistry, { remove, create, set }: ConfigPlan): Promise<void> {
  const calls = [...remove, ...create, ...set]
  for (const [index, { method, params: sent, name }] of calls.entries()) {
    try {
      await registry.call(method, sent)
    } catch (cause) {
      const rest = calls.slice(index + 1).map(call => `${call.method} of "${call.name}"`)
      const left = rest.length === 0 ? '' : `; not called: ${rest.join(', ')}`
      const text = cause instanceof RpcCallError ? cause.message : reasonText(cause)
      throw invalid(`${index} of ${calls.length} calls are done, then ${method} of "${name}" failed: ${text}${left}`, cause)
    }
  }
}

/** Said on the wire, too: no client of SPDK's waits for a text here. */
function invalid(text: string, cause: unknown): RpcError {
  return new RpcError(JSONRPC_INVALID_PARAMS, text, { cause })
}

function planJson({ remove, create, set, keep, needsRestart }: ConfigPlan): JsonObject {
  const list = (calls: readonly PlannedCall[]): JsonObject[] =>
    calls.map(call => ({ ...call, params: withoutSecrets(call.params) }))
  return { remove: list(remove), create: list(create), set: list(set), keep: [...keep], needs_restart: list(needsRestart) }
}

function withoutSecrets(sent: JsonObject = {}): JsonObject {
  return Object.fromEntries(Object.entries(sent).map(([name, value]) => [name, /^key2?$/.test(name) ? '…' : value]))
}
