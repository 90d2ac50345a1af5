// SPDX-License-Identifier: Apache-2.0
import type { JsonSchema, Logger, RpcCli, RpcMethodSpec } from '@bdevkit/module-sdk'
import {
  DECODE_FAILED,
  JSONRPC_INTERNAL_ERROR,
  JSONRPC_INVALID_PARAMS,
  JSONRPC_INVALID_STATE,
  JSONRPC_METHOD_NOT_FOUND,
  mapHandlerError,
  reasonText,
  RpcCallError,
  type RpcErrorObject,
} from './errors.js'
import type { JsonFlaw, JsonObject } from './json-parse.js'
import { printable, stderrLog } from './log.js'
import { explainFlaw, paramCheck, type ParamCheck } from './param-check.js'

/** SPDK's two states: before and after the subsystems are initialised. */
export type RpcState = 'startup' | 'runtime'

/** When a method may be called. */
export type RpcStates = NonNullable<RpcMethodSpec['states']>

/** What only methods of our own need, to answer as SPDK's do. */
export interface RpcRegisterOptions {
  /**
   * For a method without `params`: ignore what is sent, or refuse it with this text (-32602).
   * Default: refuse with "<method> requires no parameters", as most of SPDK's do.
   */
  readonly sentParams?: 'ignore' | { readonly refuse: string }
  /** The method is made to wait: a call that lasts is no sign of trouble. Default false. */
  readonly mayWait?: boolean
}

/** Options of {@link RpcRegistry}. */
export interface RpcRegistryOptions {
  /** Default: errors and warnings to standard error. */
  readonly log?: Logger
  /** Told when a handler starts to wait; calls what it gets back when the handler has ended: a host's `waits`. */
  readonly waits?: { begin(what: string, who: string): () => void }
}

/** Implementation of a method. Returning nothing answers `true`. Called on the app thread. */
export type RpcHandler<Params = never, Result = unknown> = (params: Params) => Result | Promise<Result>

/** A registered method as {@link RpcRegistry.list} and {@link RpcRegistry.get} show it. */
export interface RpcMethodInfo {
  readonly name: string
  readonly states: RpcStates
  readonly description?: string
  readonly params?: JsonSchema
  readonly result?: JsonSchema
  readonly cli?: RpcCli
  /** What stands for parameters that do not decode. */
  readonly decodeError: RpcErrorObject
  /** The method this name is another name of. */
  readonly aliasOf?: string
}

/**
 * The end of a call: a result, or an error answer. `reason` is what the answer, whose texts are SPDK's, does not say: the
 * parameter that does not fit, the error that was thrown. It goes to the log and to callers in this process.
 */
export type RpcOutcome = { readonly result: unknown } | { readonly error: RpcErrorObject; readonly reason?: string }

type Refusal = Extract<RpcOutcome, { readonly error: RpcErrorObject }>

interface Entry {
  readonly info: RpcMethodInfo
  readonly handler: RpcHandler
  readonly check: ParamCheck | undefined
  readonly sentParams: 'ignore' | { readonly refuse: string }
  readonly mayWait: boolean
}

const ONLY_AFTER = 'Method may only be called after framework is initialized using framework_start_init RPC.'
const ONLY_BEFORE =
  'Method may only be called before framework is initialized. Use --wait-for-rpc command line parameter and then issue ' +
  'this RPC before the framework_start_init RPC.'

/**
 * Methods by name, with their parameter checks and the state that decides which may be called. One registry belongs to one
 * host; the socket server, configuration files and in-process callers all go through it.
 */
export class RpcRegistry {
  readonly log: Logger
  readonly #waits: RpcRegistryOptions['waits']
  readonly #entries = new Map<string, Entry>()
  readonly #aliasesWarned = new Set<string>()
  #allowed: ReadonlySet<string> | undefined
  #guard: ((who: string) => void) | undefined
  #state: RpcState = 'startup'
  #runtimeWaiters: (() => void)[] = []

  constructor(options: RpcRegistryOptions = {}) {
    this.log = options.log ?? stderrLog
    this.#waits = options.waits
  }

  /** State the host is in. */
  get state(): RpcState {
    return this.#state
  }

  /** Enters RUNTIME: the host's subsystems are initialised. Resolves every {@link whenRuntime}. */
  enterRuntime(): void {
    this.#state = 'runtime'
    for (const wake of this.#runtimeWaiters.splice(0)) wake()
  }

  /** Resolves once the state is RUNTIME. */
  whenRuntime(): Promise<void> {
    if (this.#state === 'runtime') return Promise.resolve()
    return new Promise(resolve => this.#runtimeWaiters.push(resolve))
  }

  /**
   * Adds a method.
   * @throws Error when the name is taken or the schema is not one of an object. What else is wrong with a schema shows when it
   * is first used, or in {@link compileSchemas}.
   */
  register<Params, Result>(
    name: string,
    spec: RpcMethodSpec,
    handler: RpcHandler<Params, Result>,
    options: RpcRegisterOptions = {},
  ): void {
    this.#refuseTaken(name)
    const { code = JSONRPC_INTERNAL_ERROR, message = DECODE_FAILED } = spec.decodeError ?? {}
    this.#entries.set(name, {
      info: {
        name,
        states: spec.states ?? 'runtime',
        ...(spec.description === undefined ? {} : { description: spec.description }),
        ...(spec.params === undefined ? {} : { params: spec.params }),
        ...(spec.result === undefined ? {} : { result: spec.result }),
        ...(spec.cli === undefined ? {} : { cli: spec.cli }),
        decodeError: { code, message },
      },
      handler: handler as RpcHandler,
      check: spec.params === undefined ? undefined : paramCheck(name, spec.params),
      sentParams: options.sentParams ?? { refuse: `${name} requires no parameters` },
      mayWait: options.mayWait ?? false,
    })
  }

  /**
   * Adds a second, deprecated name of a method; its first use is logged.
   * @throws Error when the alias is taken, or `name` is unknown or an alias itself.
   */
  registerAlias(alias: string, name: string): void {
    this.#refuseTaken(alias)
    const entry = this.#entries.get(name)
    if (entry === undefined || entry.info.aliasOf !== undefined) {
      throw new Error(
        `alias "${alias}": wanted a method as target, found ${entry === undefined ? 'none' : 'an alias'} named "${name}"`,
      )
    }
    this.#entries.set(alias, { ...entry, info: { ...entry.info, name: alias, aliasOf: name } })
  }

  /** Removes a method and its aliases; false when there was none. Calls in work finish. */
  unregister(name: string): boolean {
    for (const [alias, entry] of this.#entries) {
      if (entry.info.aliasOf === name) this.#entries.delete(alias)
    }
    return this.#entries.delete(name)
  }

  /** Limits the methods that exist for callers to `names`; `undefined` allows all. */
  setAllowList(names: Iterable<string> | undefined): void {
    this.#allowed = names === undefined ? undefined : new Set(names)
  }

  /** Has `guard` look at each call first; what it throws is the answer. `registerHostMethods` sets one: handlers run on the app thread. */
  setGuard(guard: (who: string) => void): void {
    this.#guard = guard
  }

  /** A method that exists and is allowed. */
  get(name: string): RpcMethodInfo | undefined {
    return this.#find(name)?.info
  }

  /** Methods, newest registration first. `current`: only what the state permits. */
  list(options: { readonly current?: boolean; readonly includeAliases?: boolean } = {}): RpcMethodInfo[] {
    const infos: RpcMethodInfo[] = []
    for (const { info } of this.#entries.values()) {
      if (this.#allowed !== undefined && !this.#allowed.has(info.name)) continue
      if (info.aliasOf !== undefined && options.includeAliases !== true) continue
      if (options.current === true && !this.#permits(info)) continue
      infos.push(info)
    }
    return infos.reverse()
  }

  /**
   * Calls a method in this process, with the checks of the wire. Parameters are copied as JSON would carry them.
   * @throws RpcCallError with the code and text a client would get.
   */
  call<Result = unknown>(method: string, params?: object): Promise<Result> {
    const sent = params === undefined ? undefined : (JSON.parse(JSON.stringify(params)) as JsonObject)
    return new Promise((resolve, reject) => {
      this.invoke(method, sent, [], outcome => {
        if ('error' in outcome) reject(new RpcCallError(method, outcome.error, outcome.reason))
        else resolve(outcome.result as Result)
      })
    })
  }

  /**
   * Runs a method and reports its end once: before this returns when the handler is synchronous. Never throws.
   * `flaws` are what the parser found inside `params`.
   */
  invoke(method: string, params: unknown, flaws: readonly JsonFlaw[], done: (outcome: RpcOutcome) => void): void {
    const entry = this.#find(method)
    let refusal: Refusal | undefined
    try {
      this.#guard?.(`RPC ${method}`)
      refusal = entry === undefined ? this.#unknown(method) : this.#refusal(method, entry, params, flaws)
    } catch (thrown) {
      refusal = this.#thrown(method, thrown)
    }
    if (entry === undefined || refusal !== undefined) return done(refusal as Refusal)
    const fail = (thrown: unknown) => done(this.#thrown(method, thrown))
    const succeed = (result: unknown) => done({ result: result === undefined ? true : result })
    let returned: unknown
    try {
      returned = (entry.handler as RpcHandler<unknown>)(entry.check === undefined ? undefined : (params ?? {}))
    } catch (thrown) {
      return fail(thrown)
    }
    if (!isThenable(returned)) return succeed(returned)
    const ended = entry.mayWait ? undefined : this.#waits?.begin(`RPC ${method}`, 'its handler')
    returned.then(
      result => {
        ended?.()
        succeed(result)
      },
      (thrown: unknown) => {
        ended?.()
        fail(thrown)
      },
    )
  }

  /**
   * What is wrong with the parameters of a call, in words; `undefined` where they fit. The state does not matter here.
   * @throws Error there is no such method, or its schema is none.
   */
  problemOf(method: string, params: unknown): string | undefined {
    const entry = this.#find(method)
    if (entry === undefined) throw new Error(`"${printable(method)}": no such method`)
    if (entry.check !== undefined) return entry.check(params ?? {})
    return params === undefined || entry.sentParams === 'ignore' ? undefined : entry.sentParams.refuse
  }

  /**
   * Compiles every schema now, for tests and checks: a server compiles each when it is first used.
   * @throws Error naming the method whose schema is none.
   */
  compileSchemas(): void {
    for (const { check } of this.#entries.values()) check?.({})
  }

  #find(name: string): Entry | undefined {
    if (this.#allowed !== undefined && !this.#allowed.has(name)) return undefined
    return this.#entries.get(name)
  }

  #permits(info: RpcMethodInfo): boolean {
    return info.states === 'any' || info.states === this.#state
  }

  #unknown(method: string): Refusal {
    this.log.debug(`"${printable(method)}": no such method`)
    return { error: { code: JSONRPC_METHOD_NOT_FOUND, message: 'Method not found' } }
  }

  #refusal(method: string, entry: Entry, params: unknown, flaws: readonly JsonFlaw[]): Refusal | undefined {
    if (entry.info.aliasOf !== undefined && !this.#aliasesWarned.has(method)) {
      this.#aliasesWarned.add(method)
      this.log.warn(`RPC method ${method} is deprecated; use ${entry.info.aliasOf} instead`)
    }
    if (!this.#permits(entry.info)) {
      return { error: { code: JSONRPC_INVALID_STATE, message: this.#state === 'startup' ? ONLY_AFTER : ONLY_BEFORE } }
    }
    if (entry.check === undefined) {
      if (params === undefined || entry.sentParams === 'ignore') return undefined
      return { error: { code: JSONRPC_INVALID_PARAMS, message: entry.sentParams.refuse } }
    }
    const problem = flaws[0] === undefined ? entry.check(params ?? {}) : explainFlaw(flaws[0])
    if (problem === undefined) return undefined
    this.log.error(`${method}: ${problem}`)
    return { error: entry.info.decodeError, reason: problem }
  }

  #thrown(method: string, thrown: unknown): Refusal {
    const { error, unexpected } = mapHandlerError(thrown)
    const reason = reasonText(thrown)
    if (!unexpected) this.log.warn(`${method}: ${reason}`)
    else this.log.error(`${method}: its handler failed: ${thrown instanceof Error ? (thrown.stack ?? reason) : reason}`)
    return reason === error.message ? { error } : { error, reason }
  }

  #refuseTaken(name: string): void {
    if (this.#entries.has(name)) throw new Error(`method "${name}": wanted a free name, found it registered already`)
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
