// SPDX-License-Identifier: Apache-2.0
import { createHost, type Host } from '@bdevkit/core'
import type { BdevModule, RpcMethodSpec } from '@bdevkit/module-sdk'
import { RpcRegistry, type RpcHandler } from '@bdevkit/rpc'
import { check, ConformanceFailure, within } from './failure.js'
import { kitModule, type Kit } from './kit-module.js'
import type { Rpc } from './options.js'

const LIMIT_MS = 4_000
const RAM_BYTES = 16 * 1024 * 1024
const quiet = { error() {}, warn() {}, notice() {}, info() {}, debug() {} }

/** Options of {@link startTestHost} beside the modules. */
export interface TestHostOptions {
  /** Check for misuse of I/O objects and buffers (`createHost({ strict })`). Default true. */
  strict?: boolean
  /** A shutdown that takes longer counts as one that never ends, in milliseconds. Default 4000. */
  limitMs?: number
}

/** Size of a bdev that {@link TestHost.createRamBdev} makes. */
export interface RamBdevSize {
  /** Default: 16 MiB. */
  numBlocks?: number
  /** In bytes, default 512. */
  blockSizeBytes?: number
}

/** A running host for tests. `await using test = await startTestHost(myModule)` stops it at the end of the block. */
export class TestHost implements AsyncDisposable {
  /** The host. */
  readonly host: Host
  /** What modules and host said with level `error`: nothing that a good module makes happen. */
  readonly errors: string[]
  /** The kit's own module in this host. @internal */
  readonly kit: Kit
  readonly #registry: RpcRegistry
  readonly #limitMs: number
  #stopped = false

  /** Use {@link startTestHost}. @internal */
  constructor(host: Host, kit: Kit, registry: RpcRegistry, errors: string[], limitMs: number) {
    this.host = host
    this.kit = kit
    this.errors = errors
    this.#registry = registry
    this.#limitMs = limitMs
  }

  /** Calls a method as a client would, but in this process: parameters are checked against its schema. */
  readonly rpc: Rpc = (method, params) => this.#registry.call(method, params)

  /** Registers a RAM disk that serves every I/O type of the kit and answers each I/O by a later message: a base for vbdevs. */
  createRamBdev(name: string, size: RamBdevSize = {}): void {
    const { blockSizeBytes = 512, numBlocks = RAM_BYTES / blockSizeBytes } = size
    this.kit.createBase(name, new Uint8Array(numBlocks * blockSizeBytes), blockSizeBytes)
  }

  /**
   * Takes everything down and looks for what was left behind. Twice does nothing.
   * @throws ConformanceFailure it does not end, an error was logged, or something is still in use.
   */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    await within(this.#limitMs, this.host.finish(), 'shutdown does not end', 'moduleFini, finiStart and destruct must settle')
    if (this.errors.length > 0) {
      throw new ConformanceFailure(`the host logged an error:\n  ${this.errors.join('\n  ')}`, 'a good module causes none')
    }
    for (const [what, count] of Object.entries(this.host.usage())) {
      check(count === 0, `${count} ${what} are in use after shutdown`, 'give back in destruct and moduleFini what was taken')
    }
  }

  /** As {@link TestHost.stop}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

/**
 * Starts a host with these modules: quiet, strict, with their RPC methods callable.
 * @throws what `setup` or `moduleInit` of a module throws.
 */
export async function startTestHost(modules: BdevModule | readonly BdevModule[], options: TestHostOptions = {}): Promise<TestHost> {
  const errors: string[] = []
  const host = createHost({
    strict: options.strict ?? true,
    log: (severity, source, message) => void (severity === 'error' && errors.push(`${source}: ${message}`)),
  })
  let kit: Kit | undefined
  for (const module of [modules].flat()) host.use(module)
  host.use(kitModule(made => (kit = made)))
  await host.init()
  const registry = new RpcRegistry({ log: quiet })
  registry.enterRuntime()
  for (const module of host.modules) {
    const handlers = (module.instance.handlers ?? {}) as Record<string, RpcHandler>
    for (const [name, spec] of Object.entries((module.value.rpc ?? {}) as Record<string, RpcMethodSpec>)) {
      registry.register(name, spec, handlers[name] as RpcHandler)
    }
  }
  registry.compileSchemas()
  return new TestHost(host, kit as unknown as Kit, registry, errors, options.limitMs ?? LIMIT_MS)
}
