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
  LogControl,
  missingModuleText,
  readConfigFile,
  registerHostMethods,
  RpcRegistry,
  type AppCallbacks,
  type ConfigFile,
  type HostMethodsOptions,
  type RpcSubsystem,
} from '@bdevkit/rpc'
import { CLI_PACKAGE_JSON, CliError, cliVersion, stderrSink, UsageError } from './output.js'

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
  logFormat?: 'text' | 'json'
  /** Name what fails in the stack file, and go on. */
  lenient?: boolean
  /** Initialise nothing before `framework_start_init` is called. */
  waitForRpc?: boolean
  /** The only methods that exist, for clients and the stack file. */
  rpcsAllowed?: string[]
}

/** A host with its modules, and the bdevs that the stack file asks for. */
export interface Stack {
  readonly host: Host
  readonly registry: RpcRegistry
  readonly modules: readonly LoadedModule[]
  /** The parts of the application that a configuration may name. */
  readonly subsystems: readonly RpcSubsystem[]
  /** Which messages are printed. */
  readonly log: LogControl
}

/** What happens while a stack comes up. */
export interface StackHooks extends Omit<AppCallbacks, 'startInit'> {
  /** Adds methods, and subsystems at the end of the list, before the first call. */
  register?(registry: RpcRegistry, host: Host, subsystems: RpcSubsystem[]): void
  /** After the calls for STARTUP, before the modules are initialised: where SPDK creates its RPC socket. */
  beforeInit?(registry: RpcRegistry): Promise<void>
  /** `framework_start_init` has been called; no further request is to be read until the stack is up. */
  initStarted?(): void
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

  const control = new LogControl(options.logLevel)
  const sink = options.logFormat === 'json' ? (await import('./log-json.js')).jsonSink(control) : stderrSink(control)
  const host = createHost({ log: sink, strict: options.strict ?? false })
  for (const module of loaded) host.use(module.value)
  const { held, log } = holdBack(sink)
  const registry = new RpcRegistry({ log: createLogger(log, 'rpc'), waits: host.waits })
  const gate = new InitGate(hooks)
  const subsystems = registerMethods(registry, host, { ...hooks, log: control, startInit: () => gate.opened() })
  hooks.register?.(registry, host, subsystems)
  allow(registry, options.rpcsAllowed)
  const load = async (): Promise<void> => {
    if (config === undefined) return
    await loadConfig(config, {
      registry,
      hasSubsystem: name => subsystems.some(subsystem => subsystem.name === name),
      ignoreErrors: options.lenient === true,
      missingMethod: method => missingModuleText(method, discovery.lookedIn),
      log: createLogger(sink, 'rpc'),
    })
  }
  try {
    await load()
    await hooks.beforeInit?.(registry)
    if (options.waitForRpc === true) {
      held.release()
      await gate.asked
    }
    await host.init()
    registry.enterRuntime()
    await load()
    await host.waitForExamine()
  } catch (thrown) {
    held.release(thrown)
    gate.fail(thrown)
    if (host.state === 'running') await finishHost(host)
    throw thrown
  }
  held.release()
  gate.done()
  return { host, registry, modules: loaded, subsystems, log: control }
}

/** Where a stack waits for `framework_start_init`, and that call for the stack. */
class InitGate {
  /** Settles when the call has come. */
  readonly asked: Promise<void>
  #ask: () => void = () => undefined
  readonly #up: Promise<void>
  #settle: (failure?: unknown) => void = () => undefined
  readonly #hooks: StackHooks

  constructor(hooks: StackHooks) {
    this.#hooks = hooks
    this.asked = new Promise(resolve => (this.#ask = resolve))
    this.#up = new Promise((resolve, reject) => {
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- what ended the start, as it is
      this.#settle = failure => (failure === undefined ? resolve() : reject(failure))
    })
    this.#up.catch(() => undefined)
  }

  /** The call: settles when the stack is up. */
  opened(): Promise<void> {
    this.#hooks.initStarted?.()
    this.#ask()
    return this.#up
  }

  done(): void {
    this.#settle()
  }

  fail(thrown: unknown): void {
    this.#settle(thrown)
  }
}

function allow(registry: RpcRegistry, names: readonly string[] | undefined): void {
  if (names === undefined) return
  const unknown = names.filter(name => registry.get(name) === undefined)
  if (unknown.length > 0) throw new UsageError(`--rpcs-allowed: there is no method ${unknown.map(name => `"${name}"`).join(', ')}`)
  registry.setAllowList(names)
}

function registerMethods(registry: RpcRegistry, host: Host, app: HostMethodsOptions): RpcSubsystem[] {
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
      const waits = host.pending().map(({ what, who }) => `${what}: waits for ${who}`)
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
