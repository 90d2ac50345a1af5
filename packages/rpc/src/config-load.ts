// SPDX-License-Identifier: Apache-2.0
import type { Logger } from '@bdevkit/module-sdk'
import { ConfigError, type ConfigCall, type ConfigEntry, type ConfigFile, type ConfigSubsystem } from './config-file.js'
import { RpcCallError } from './errors.js'
import type { RpcOutcome, RpcRegistry, RpcState, RpcStates } from './registry.js'

/** Options of {@link loadConfig}. */
export interface LoadConfigOptions {
  readonly registry: RpcRegistry
  /** False: the application has no such subsystem, and methods of it that are missing are skipped. Default: all exist. */
  readonly hasSubsystem?: (name: string) => boolean
  /** Go on after an error, as SPDK's --json-ignore-init-errors. Default false. */
  readonly ignoreErrors?: boolean
  /** What to say about a method that does not exist, beyond that: which module is missing, what to install. */
  readonly missingMethod?: (method: string) => string | undefined
  /** Default: the registry's. */
  readonly log?: Logger
}

/**
 * Runs the calls of a configuration that the present state asks for, in file order, one after another; calls of one batch at
 * the same time. SPDK walks the file twice: in STARTUP for the methods allowed there, and after initialisation in RUNTIME for
 * the rest. So call this twice, with the initialisation of the host and `registry.enterRuntime()` between.
 * @throws ConfigError at the first error, with file, line, column and method; nothing after it is run.
 */
export async function loadConfig(config: ConfigFile, options: LoadConfigOptions): Promise<void> {
  const loader = new Loader(options)
  for (const subsystem of config.subsystems) {
    for (const entry of subsystem.entries) {
      try {
        await loader.run(subsystem, entry)
      } catch (error) {
        if (options.ignoreErrors !== true || !(error instanceof ConfigError)) throw error
        loader.log.error(error.message)
      }
    }
  }
}

/** The module whose method `bdev_foo_create` is, by SPDK's naming: `foo`. `undefined` for other names. */
export function moduleOfMethod(method: string): string | undefined {
  return /^bdev_([a-z][a-z0-9_]*)_create$/.exec(method)?.[1]
}

/** The text for {@link LoadConfigOptions.missingMethod}: which module is missing, and where it was looked for. */
export function missingModuleText(method: string, lookedIn: readonly string[]): string | undefined {
  const module = moduleOfMethod(method)
  if (module === undefined) return undefined
  return `no module "${module}" (looked in ${lookedIn.join(', ')}); try: npm install bdev-module-${module}`
}

/**
 * Methods that a configuration saved by SPDK calls for parts of it that are not here, in subsystems that are. They set options
 * and make nothing: they are named and skipped where no module has them, like the methods of a subsystem that is not here.
 */
export const METHODS_WITHOUT_MEANING: readonly string[] = [
  'accel_set_driver',
  'bdev_iscsi_set_options',
  'bdev_nvme_set_hotplug',
  'bdev_nvme_set_options',
  'bdev_raid_set_options',
  'bdev_virtio_blk_set_hotplug',
  'keyring_linux_set_options',
  'scheduler_set_options',
]

class Loader {
  readonly log: Logger
  readonly #options: LoadConfigOptions
  readonly #registry: RpcRegistry

  constructor(options: LoadConfigOptions) {
    this.#options = options
    this.#registry = options.registry
    this.log = options.log ?? options.registry.log
  }

  async run(subsystem: ConfigSubsystem, entry: ConfigEntry): Promise<void> {
    const calls = entry.calls.filter(call => this.#exists(subsystem, call))
    if (calls.length === 0) return
    const states = calls.map(call => this.#registry.get(call.method)?.states as RpcStates)
    const inStartup = states.every(state => state !== 'runtime')
    if (!inStartup && !states.every(state => state !== 'startup')) {
      throw new ConfigError(entry.where, 'a batch may not mix methods for before and for after initialisation')
    }
    const due: RpcState = inStartup ? 'startup' : 'runtime'
    if (this.#registry.state !== due) return
    const flawed = calls.find(call => call.flaw !== undefined)
    if (flawed?.flaw !== undefined) throw new ConfigError(flawed.flaw.where, `${flawed.method}: ${flawed.flaw.problem}`)
    const outcomes = await Promise.all(calls.map(call => this.#invoke(call)))
    outcomes.forEach((outcome, index) => {
      if (!('error' in outcome)) return
      const { method, where } = calls[index] as ConfigCall
      const cause = new RpcCallError(method, outcome.error, outcome.reason)
      throw new ConfigError(where, cause.message, { cause, code: cause.code })
    })
  }

  #exists(subsystem: ConfigSubsystem, { method, where }: ConfigCall): boolean {
    if (this.#registry.get(method) !== undefined) return true
    if (this.#options.hasSubsystem?.(subsystem.subsystem) === false) {
      if (this.#registry.state === 'startup') {
        this.log.notice(
          `${where}: skipping method '${method}' because its subsystem '${subsystem.subsystem}' is not part of this application`,
        )
      }
      return false
    }
    if (METHODS_WITHOUT_MEANING.includes(method)) {
      if (this.#registry.state === 'startup')
        this.log.notice(`${where}: skipping method '${method}' because nothing here has these options`)
      return false
    }
    const hint = this.#options.missingMethod?.(method)
    throw new ConfigError(where, `${method}: ${hint ?? 'there is no such method'}`)
  }

  #invoke(call: ConfigCall): Promise<RpcOutcome> {
    return new Promise(resolve => this.#registry.invoke(call.method, call.params, [], resolve))
  }
}
