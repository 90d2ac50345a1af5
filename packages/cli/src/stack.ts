// SPDX-License-Identifier: Apache-2.0
import { createHost, createLogger, type Host, type LogLevel, type LogSink } from '@bdevkit/core'
import {
  discoverModules,
  inspectModules,
  ModuleLoadError,
  type DiscoverOptions,
  type LoadedModule,
  type ModuleCandidate,
  type ModuleInspection,
} from '@bdevkit/core/node'
import {
  loadConfig,
  missingModuleText,
  readConfigFile,
  registerHostMethods,
  RpcRegistry,
  type AppCallbacks,
  type ConfigFile,
  type RpcSubsystem,
} from '@bdevkit/rpc'
import { CLI_PACKAGE_JSON, CliError, cliVersion, stderrSink } from './output.js'

/** Options of every command that looks for modules. */
export interface ModuleOptions {
  /** The stack file. */
  config?: string
  /** Values of `--module`. */
  module?: string[]
  /** False after `--no-discover`. */
  discover: boolean
}

/** Options of every command that runs a stack. */
export interface StackOptions extends ModuleOptions {
  strict?: boolean
  logLevel: LogLevel
}

/** A host with its modules, and the bdevs that the stack file asks for. */
export interface Stack {
  readonly host: Host
  readonly registry: RpcRegistry
  readonly modules: readonly LoadedModule[]
}

/** What happens while a stack comes up. */
export interface StackHooks extends AppCallbacks {
  /** After the calls for STARTUP, before the modules are initialised: where SPDK creates its RPC socket. */
  beforeInit?(registry: RpcRegistry): Promise<void>
}

/** How long a host may take to finish, in milliseconds. */
export const FINISH_TIMEOUT_MS = 5000

/** Finds and loads modules for a stack file, which may be absent; refusals are part of the result. */
export async function findModules(options: ModuleOptions, config: ConfigFile | undefined): Promise<ModuleInspection> {
  return inspectModules(whereToLook(options, config))
}

/** As {@link findModules}, but runs no code of a module. */
export function findCandidates(options: ModuleOptions, config: ConfigFile | undefined): readonly ModuleCandidate[] {
  return discoverModules(whereToLook(options, config)).candidates
}

function whereToLook(options: ModuleOptions, config: ConfigFile | undefined): DiscoverOptions {
  return {
    stackFile: config === undefined ? undefined : { path: config.path, modules: config.modules },
    methods: config?.subsystems.flatMap(({ entries }) => entries.flatMap(({ calls }) => calls.map(({ method }) => method))),
    specs: options.module,
    noDiscover: !options.discover,
    builtinPackageJson: CLI_PACKAGE_JSON,
  }
}

/**
 * Loads the modules, makes a host, and runs the stack file's calls in SPDK's two passes.
 * @throws ConfigError, ModuleLoadError, BdevError, RpcListenError: with everything that is wrong in the text.
 */
export async function openStack(options: StackOptions, hooks: StackHooks = {}): Promise<Stack> {
  const config = options.config === undefined ? undefined : await readConfigFile(options.config)
  const { loaded, failures, discovery } = await findModules(options, config)
  if (failures.length > 0) throw new ModuleLoadError(failures)

  const sink = stderrSink(options.logLevel)
  const host = createHost({ log: sink, strict: options.strict ?? false })
  for (const module of loaded) host.use(module.value)
  const { held, log } = holdBack(sink)
  const registry = new RpcRegistry({ log: createLogger(log, 'rpc'), waits: host.waits })
  const subsystems = registerMethods(registry, host, hooks)
  const load = async (): Promise<void> => {
    if (config === undefined) return
    await loadConfig(config, {
      registry,
      hasSubsystem: name => subsystems.some(subsystem => subsystem.name === name),
      missingMethod: method => missingModuleText(method, discovery.lookedIn),
      log: createLogger(sink, 'rpc'),
    })
  }
  try {
    await load()
    await hooks.beforeInit?.(registry)
    await host.init()
    registry.enterRuntime()
    await load()
    await host.waitForExamine()
  } catch (thrown) {
    held.release(thrown)
    if (host.state === 'running') await finishHost(host)
    throw thrown
  }
  held.release()
  return { host, registry, modules: loaded }
}

function registerMethods(registry: RpcRegistry, host: Host, app: AppCallbacks): readonly RpcSubsystem[] {
  try {
    return registerHostMethods(registry, host, { identity: { name: 'bdevkit', version: cliVersion() }, ...app })
  } catch (cause) {
    throw new CliError(`${(cause as Error).message}; load only one of the modules, or report it to the author`, { cause })
  }
}

/** Finishes the host, for {@link FINISH_TIMEOUT_MS} at most. Returns whom it still waits for; nothing where it has ended. */
export async function finishHost(host: Host): Promise<string[]> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<string[]>(resolve => {
    timer = setTimeout(() => {
      const waits = host.waits.list().map(({ what, who }) => `${what}: waits for ${who}`)
      resolve(waits.length > 0 ? waits : ['a module that does not finish'])
    }, FINISH_TIMEOUT_MS)
  })
  try {
    return await Promise.race([host.finish().then(() => []), late])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * The registry logs why a call fails, and the error that ends the start says the same with file and line. So its messages
 * wait until the start is over, and those that the error repeats are dropped.
 */
function holdBack(sink: LogSink): { held: { release(thrown?: unknown): void }; log: LogSink } {
  let messages: Parameters<LogSink>[] | undefined = []
  return {
    held: {
      release(thrown) {
        const said = thrown instanceof Error ? thrown.message : ''
        const left = messages?.filter(([, , message]) => !said.includes(message))
        messages = undefined
        for (const message of left ?? []) sink(...message)
      },
    },
    log: (...message) => (messages === undefined ? sink(...message) : void messages.push(message)),
  }
}
