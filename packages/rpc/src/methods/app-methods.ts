// SPDX-License-Identifier: Apache-2.0
import { BdevError, RpcError } from '@bdevkit/module-sdk'
import { JSONRPC_INTERNAL_ERROR, JSONRPC_INVALID_PARAMS, reasonText } from '../errors.js'
import type { RpcRegistry } from '../registry.js'

/** The SPDK whose wire this is, as `spdk_get_version` tells it: clients read it to know which methods they may use. */
export const SPDK_VERSION = { version: 'SPDK v26.09-pre', fields: { major: 26, minor: 9, patch: 0, suffix: '-pre' } } as const

/** Signals of `spdk_kill_instance`. */
export const KILL_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP', 'SIGKILL', 'SIGUSR1'] as const
/** One of {@link KILL_SIGNALS}. */
export type KillSignal = (typeof KILL_SIGNALS)[number]

/** What the application does for {@link registerAppMethods}. */
export interface AppCallbacks {
  /** Name and version of the application, as `bdevkit_get_version` tells it. */
  readonly identity?: { readonly name: string; readonly version: string }
  /** Ends the process as the signal would; called after the answer is on its way. Without it the method does not exist. */
  kill?(signal: KillSignal): void
  /**
   * Initialises the host for `framework_start_init`; the state is RUNTIME afterwards. Without it the method does not exist:
   * the application initialises by itself.
   */
  startInit?(): Promise<void>
}

const INVALID_PARAMETERS = { code: JSONRPC_INVALID_PARAMS, message: 'Invalid parameters' }

/** Adds the methods of the application: of `lib/rpc/rpc.c`, and those of `lib/event` that this stack needs. */
export function registerAppMethods(registry: RpcRegistry, app: AppCallbacks = {}): void {
  registry.register(
    'rpc_get_methods',
    {
      states: 'any',
      description: 'Names of the methods, newest registration first.',
      cli: { flags: { current: '-c', include_aliases: '-i' } },
      result: { type: 'array', items: { type: 'string' } },
      params: { type: 'object', properties: { current: { type: 'boolean' }, include_aliases: { type: 'boolean' } } },
      decodeError: INVALID_PARAMETERS,
    },
    ({ current = false, include_aliases = false }: { current?: boolean; include_aliases?: boolean }) =>
      registry.list({ current, includeAliases: include_aliases }).map(({ name }) => name),
  )
  registry.register(
    'spdk_get_version',
    { result: { type: 'object' }, states: 'any', description: 'Version of the SPDK whose RPC this speaks.' },
    () => SPDK_VERSION,
    {
      sentParams: { refuse: 'spdk_get_version method requires no parameters' },
    },
  )
  // An answer of SPDK's with members of our own would be another answer; who wants to know us asks for us.
  registry.register(
    'bdevkit_get_version',
    { result: { type: 'object' }, states: 'any', description: 'Name and version of this application; no method of SPDK.' },
    () => ({ ...(app.identity ?? { name: 'bdevkit', version: 'unknown' }), node: process.versions.node, pid: process.pid }),
  )
  registry.register(
    'framework_wait_init',
    { result: { type: 'boolean' }, states: 'any', description: 'Answers once the framework is initialised.' },
    async () => registry.whenRuntime().then(() => true),
    { sentParams: 'ignore', mayWait: true },
  )
  if (app.startInit !== undefined) registerStartInit(registry, () => app.startInit?.())
  if (app.kill === undefined) return
  registry.register(
    'spdk_kill_instance',
    {
      description: 'Ends the application as the signal would.',
      cli: { positional: ['sig_name'] },
      result: { type: 'boolean' },
      params: { type: 'object', required: ['sig_name'], properties: { sig_name: { enum: KILL_SIGNALS } } },
      decodeError: INVALID_PARAMETERS,
    },
    ({ sig_name }: { sig_name: KillSignal }) => {
      setImmediate(() => app.kill?.(sig_name))
      return true
    },
  )
}

function registerStartInit(registry: RpcRegistry, startInit: () => Promise<void> | undefined): void {
  let started = false
  registry.register(
    'framework_start_init',
    { result: { type: 'boolean' }, states: 'startup', description: 'Initialises the framework: from STARTUP to RUNTIME.' },
    async () => {
      if (started) throw new BdevError('EALREADY', 'the framework is being initialised already')
      started = true
      try {
        await startInit()
      } catch (cause) {
        registry.log.error(`framework_start_init: ${reasonText(cause)}`)
        throw new RpcError(JSONRPC_INTERNAL_ERROR, 'framework_initialization failed', { cause })
      }
      registry.enterRuntime()
      return true
    },
    { mayWait: true },
  )
}
