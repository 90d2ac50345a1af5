// SPDX-License-Identifier: Apache-2.0
import type { Json, JsonObject, RpcCall } from '@bdevkit/module-sdk'
import { ConfigError, type ConfigCall, type ConfigFile } from './config-file.js'
import { METHODS_WITHOUT_MEANING } from './config-load.js'
import type { RpcRegistry } from './registry.js'

/** One object that calls of a configuration make: a bdev, a key, an export. */
interface Thing {
  /** The call that makes it. */
  readonly call: RpcCall
  /** Method and name. */
  readonly key: string
  /** What other calls name it by; parts of a split begin with it. */
  readonly name: string
  readonly where?: string
}

/** What has to be called, in this order, for the running configuration to become another one. */
export interface ConfigPlan {
  /** Names of what goes, dependents first; with `create` under the same name it is made anew. */
  readonly remove: readonly PlannedCall[]
  /** What is made, bases first. */
  readonly create: readonly PlannedCall[]
  /** Settings of what is there that change. */
  readonly set: readonly PlannedCall[]
  /** Names of what stays as it is, with all I/O to it. */
  readonly keep: readonly string[]
  /** Settings that only a restart can change. */
  readonly needsRestart: readonly PlannedCall[]
}

/** One call of a plan. */
export interface PlannedCall {
  readonly name: string
  readonly method: string
  readonly params?: JsonObject
  /** Why: what differs, or what it stands on. */
  readonly reason: string
}

/** How a thing is taken away, where it is not `bdev_foo_delete` with its name. */
const REMOVALS: Readonly<Record<string, (params: JsonObject, name: string) => RpcCall>> = {
  accel_crypto_key_create: (_params, name) => ({ method: 'accel_crypto_key_destroy', params: { key_name: name } }),
  bdev_split_create: params => ({ method: 'bdev_split_delete', params: { base_bdev: params['base_bdev'] as string } }),
  nbd_start_disk: (_params, name) => ({ method: 'nbd_stop_disk', params: { nbd_device: name } }),
  nbd_server_start: (_params, name) => ({ method: 'nbd_server_stop', params: { name } }),
  nbd_server_add_export: ({ server = 'nbd0' }, name) => ({
    method: 'nbd_server_remove_export',
    params: { server, name: name.slice(name.indexOf(' ') + 1) },
  }),
}

/** The setting as it is when nobody has set it. */
const UNSET: Readonly<Record<string, (params: JsonObject) => JsonObject>> = {
  bdev_set_qos_limit: ({ name }) => ({
    name: name as Json,
    rw_ios_per_sec: 0,
    rw_mbytes_per_sec: 0,
    r_mbytes_per_sec: 0,
    w_mbytes_per_sec: 0,
  }),
  bdev_enable_histogram: ({ name }) => ({ name: name as Json, enable: false }),
}

const MAKES = /^(?:bdev_\w+_create|accel_crypto_key_create|nbd_start_disk|nbd_server_start|nbd_server_add_export)$/
/** They order the loading of a file and set nothing. */
const ORDER_ONLY = new Set(['bdev_wait_for_examine', 'bdev_examine'])

/**
 * Compares what runs, as the calls that would bring it back, with a configuration. What the configuration leaves out of a call stays as
 * it is; what stands on something that is made anew is made anew, too; nothing else is touched.
 * @throws ConfigError the configuration names a method or subsystem wrongly, or one thing twice; with file, line and method.
 */
export function planConfig(
  running: readonly RpcCall[],
  wanted: ConfigFile,
  registry: RpcRegistry,
  hasSubsystem: (name: string) => boolean,
): ConfigPlan {
  const calls = wantedCalls(wanted, registry, hasSubsystem)
  const now = things(running.map(call => ({ ...call, where: '' })))
  const then = things(calls)
  const goes = new Map<string, string>()
  for (const [key, thing] of now) {
    const next = then.get(key)
    if (next === undefined) goes.set(key, 'not in the configuration')
    else {
      const difference = differenceOf(thing.call.params ?? {}, next.call.params ?? {})
      if (difference !== undefined) goes.set(key, difference)
    }
  }
  addDependents(now, goes)
  const removed = byDependency([...now.values()].filter(({ key }) => goes.has(key))).reverse()
  const made = byDependency([...then.values()].filter(({ key }) => !now.has(key) || goes.has(key)))
  const settings = planSettings(running, calls, registry, new Set(made.map(({ name }) => name)))
  return {
    remove: removed.map(thing => ({ name: thing.name, ...removalOf(thing, registry), reason: goes.get(thing.key) as string })),
    create: made.map(({ name, key, call }) => ({ name, ...call, reason: goes.get(key) ?? 'new' })),
    keep: [...now.values()].filter(({ key }) => !goes.has(key)).map(({ name }) => name),
    ...settings,
  }
}

function wantedCalls({ subsystems }: ConfigFile, registry: RpcRegistry, hasSubsystem: (name: string) => boolean): ConfigCall[] {
  const calls: ConfigCall[] = []
  for (const { subsystem, entries } of subsystems) {
    for (const call of entries.flatMap(entry => entry.calls)) {
      if (registry.get(call.method) === undefined) {
        if (!hasSubsystem(subsystem) || METHODS_WITHOUT_MEANING.includes(call.method)) continue
        throw new ConfigError(call.where, `${call.method}: there is no such method`)
      }
      if (call.flaw !== undefined) throw new ConfigError(call.flaw.where, `${call.method}: ${call.flaw.problem}`)
      const problem = registry.problemOf(call.method, call.params)
      if (problem !== undefined) throw new ConfigError(call.where, `${call.method}: ${problem}`)
      calls.push(call)
    }
  }
  return calls
}

function things(calls: readonly (RpcCall & { readonly where: string })[]): Map<string, Thing> {
  const found = new Map<string, Thing>()
  for (const { method, params = {}, where } of calls) {
    if (!MAKES.test(method)) continue
    const name = nameOf(method, params)
    const key = `${method} ${name}`
    if (found.has(key)) throw new ConfigError(where, `${method}: "${name}": wanted once, found twice`)
    found.set(key, { call: { method, params }, key, name, where })
  }
  return found
}

function nameOf(method: string, params: JsonObject): string {
  if (method === 'nbd_server_add_export')
    return `${String(params['server'] ?? 'nbd0')} ${String(params['name'] ?? params['bdev_name'])}`
  if (method === 'nbd_server_start') return String(params['name'] ?? 'nbd0')
  if (method === 'nbd_start_disk') return String(params['nbd_device'] ?? params['bdev_name'])
  if (method === 'bdev_error_create') return `EE_${String(params['base_name'])}`
  return String(params['name'] ?? params['base_bdev'] ?? '')
}

function removalOf({ call, name }: Thing, registry: RpcRegistry): RpcCall {
  const special = REMOVALS[call.method]
  const removal = special?.(call.params ?? {}, name) ?? { method: call.method.replace(/_create$/, '_delete'), params: { name } }
  if (registry.get(removal.method) === undefined) {
    throw new ConfigError(
      name,
      `${call.method}: wanted a method ${removal.method} to take it away, found none; restart to change it`,
    )
  }
  return removal
}

/** What the wanted parameters say otherwise, in words; `undefined` where they agree. */
function differenceOf(now: JsonObject, then: JsonObject): string | undefined {
  for (const [name, value] of Object.entries(then)) {
    // A saved call leaves out what is as it is by default.
    if (now[name] === undefined && (value === false || value === 0 || value === null)) continue
    if (!equal(now[name], value)) return `${name}: ${JSON.stringify(now[name]) ?? 'not set'} becomes ${JSON.stringify(value)}`
  }
  return undefined
}

function equal(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  return (
    keys.length === Object.keys(b).length &&
    keys.every(key => equal((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
  )
}

/** Whether a call names a thing, or a part of it: `Malloc0p1` of a split of `Malloc0`. */
function standsOn({ call }: Thing, base: Thing): boolean {
  const isKey = base.call.method === 'accel_crypto_key_create'
  const isServer = base.call.method === 'nbd_server_start'
  const isSplit = base.call.method === 'bdev_split_create'
  const params = call.params ?? {}
  const names = Object.entries(params).flatMap(([name, value]) => {
    if (name === 'name' || (name === 'key_name') !== isKey || (name === 'server') !== isServer) return []
    return (Array.isArray(value) ? value : [value]).filter(item => typeof item === 'string')
  })
  if (isSplit) return names.some(name => name.startsWith(`${base.name}p`) && /^p\d+$/.test(name.slice(base.name.length)))
  return names.includes(base.name)
}

function addDependents(all: ReadonlyMap<string, Thing>, goes: Map<string, string>): void {
  for (const key of goes.keys()) {
    const base = all.get(key) as Thing
    for (const thing of all.values()) {
      // A Map is walked to its end, with what is added meanwhile.
      if (thing !== base && !goes.has(thing.key) && standsOn(thing, base)) goes.set(thing.key, `stands on ${base.name}`)
    }
  }
}

/** Bases before what stands on them; otherwise as they come. */
function byDependency(list: readonly Thing[]): Thing[] {
  const sorted: Thing[] = []
  const seen = new Set<Thing>()
  const visit = (thing: Thing): void => {
    if (seen.has(thing)) return
    seen.add(thing)
    for (const base of list) if (base !== thing && standsOn(thing, base)) visit(base)
    sorted.push(thing)
  }
  list.forEach(visit)
  return sorted
}

/** Settings: of the framework, of modules, of bdevs. `made`: what is made anew has none. */
function planSettings(
  running: readonly RpcCall[],
  wanted: readonly ConfigCall[],
  registry: RpcRegistry,
  made: ReadonlySet<string>,
): { set: PlannedCall[]; needsRestart: PlannedCall[] } {
  const isSetting = ({ method }: RpcCall): boolean => !MAKES.test(method) && !ORDER_ONLY.has(method)
  const keyOf = ({ method, params }: RpcCall): string => `${method} ${String(params?.['name'] ?? params?.['impl_name'] ?? '')}`
  const now = new Map(running.filter(isSetting).map(call => [keyOf(call), call]))
  const then = wanted.filter(isSetting)
  const set: PlannedCall[] = []
  const needsRestart: PlannedCall[] = []
  for (const { method, params = {} } of then) {
    const name = String(params['name'] ?? method)
    const difference = differenceOf(now.get(keyOf({ method, params }))?.params ?? {}, params)
    if (difference === undefined && !made.has(name)) continue
    const planned = { name, method, params, reason: difference ?? 'made anew' }
    if (registry.get(method)?.states === 'startup') needsRestart.push(planned)
    else set.push(planned)
  }
  const kept = new Set(then.map(keyOf))
  for (const [key, { method, params = {} }] of now) {
    const unset = UNSET[method]
    const name = String(params['name'])
    const stays = wanted.some(call => MAKES.test(call.method) && nameOf(call.method, call.params ?? {}) === name)
    if (kept.has(key) || unset === undefined || !stays || made.has(name)) continue
    set.push({ name, method, params: unset(params), reason: 'not in the configuration' })
  }
  return { set, needsRestart }
}
