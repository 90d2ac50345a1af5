// SPDX-License-Identifier: Apache-2.0
import { builtinCiphers, DmaHeap } from '@bdevkit/accel'
import type { BdevModule, BdevSpec, Dma, DmaBuffer, IoChannel as SdkIoChannel, Logger, OpenAsyncOptions, OpenOptions, RpcCall } from '@bdevkit/module-sdk'
import { BdevError, MODULE_BRAND } from '@bdevkit/module-sdk'
import { CryptoKeys } from '../accel/crypto-keys.js'
import { HostAccel } from '../accel/host-accel.js'
import { Bdev } from '../bdev/bdev.js'
import { BdevRegistry } from '../bdev/bdev-registry.js'
import { unregisterBdev } from '../bdev/bdev-unregister.js'
import { forEachBdev, forEachBdevByName, type BdevVisit } from '../bdev/for-each.js'
import { parseUuid, randomUuid } from '../bdev/uuid.js'
import type { BdevChannel } from '../channel/bdev-channel.js'
import { SharedResource } from '../channel/shared-resource.js'
import { Desc } from '../descriptor/desc.js'
import { AsyncOpens } from '../descriptor/open-async.js'
import { Examine } from '../examine/examine.js'
import { IoBudget } from '../io/io-budget.js'
import { IO_CACHE_SIZE, IO_POOL_SIZE, ZERO_BUFFER_BYTES } from '../limits.js'
import { consoleSink, createLogger, describeThrown, type LogSink } from '../log.js'
import { finishModules, initModules } from '../module/module-lifecycle.js'
import { checkContract, ModuleRecord } from '../module/module-record.js'
import { Offload } from '../offload/offload.js'
import { qosConfigJson } from '../qos/qos-control.js'
import { SDK_VERSION } from '../sdk-version.js'
import { histogramConfigJson } from '../stat/histogram-control.js'
import { systemClock } from '../thread/clock.js'
import { Reactor } from '../thread/reactor.js'
import type { SpdkThread } from '../thread/thread.js'
import { exitThread } from '../thread/thread-exit.js'
import { BdevControl } from './bdev-control.js'
import { BdevHandle, type BdevOpenOptions } from './bdev-handle.js'
import { createDma } from './dma.js'
import type { BdevOptions, HostOptions, HostState, HostUsage } from './host-options.js'
import { Iobuf } from './iobuf.js'
import { ModuleHost } from './module-host.js'
import { Notifications } from './notifications.js'
import { leaksOf, pendingOf } from './pending.js'
import { Waits, type PendingWait } from './waits.js'

/**
 * The framework in one process: modules, bdevs, threads. All state hangs off it; two hosts do not see each other.
 * `use` modules, then `init`, then work, then `finish`.
 */
export class Host {
  /** Version of `@bdevkit/module-sdk` that it offers to modules. */
  readonly sdk: string = SDK_VERSION
  /** Whether modules are checked for misuse: see `HostOptions.strict`. */
  readonly strict: boolean
  /** Where all messages go. @internal */
  readonly logSink: LogSink
  /** Log of the bdev layer, source `bdev`. */
  readonly log: Logger
  /** Runs its threads. */
  readonly reactor: Reactor
  /** The first thread, `id` 1, made with the host: `currentThread` answers it outside of any. */
  readonly appThread: SpdkThread
  /** The heap that I/O buffers come from. @internal */
  readonly heap: DmaHeap
  /** Kernels for data: copies, checksums, parity, protection information, AES-XTS. */
  readonly accel: HostAccel
  /** Keys of AES-XTS: the same as `accel.keys`. */
  readonly keys: CryptoKeys
  /** Memory for I/O from the heap; what was taken is to be freed. */
  readonly dma: Dma
  /** Buffers for I/O. */
  readonly iobuf: Iobuf
  /** Blocking work of modules, on I/O workers. @internal */
  readonly offload: Offload
  /** Bdevs by name, alias and UUID. @internal */
  readonly registry = new BdevRegistry()
  /** Shows new bdevs to modules. @internal */
  readonly examine: Examine
  /** Waits of the control plane; `pending` shows them. @internal */
  readonly waits: Waits
  /** How many I/Os there may be, and who has them. @internal */
  readonly budget: IoBudget
  /** Modules in list order: those that examine first, newest first; then the others, oldest first. */
  readonly modules: ModuleRecord[] = []
  /** Where it is in its life. */
  state: HostState = 'startup'
  /** What happened to bdevs. */
  readonly notifications = new Notifications((where, thrown) => this.reportThrow(where, thrown))
  /** Limits and numbers of bdevs. */
  readonly control = new BdevControl(this)
  /** Opens that wait for their bdev. @internal */
  readonly asyncOpens = new AsyncOpens(this)
  readonly #shared = new Map<SdkIoChannel, SharedResource>()
  readonly #unregistering = new Set<Promise<void>>()
  #initialised: Promise<boolean> | null = null
  #zeroes: DmaBuffer | undefined
  #ownBytes = 0

  constructor(options: HostOptions = {}) {
    this.strict = options.strict ?? false
    this.logSink = options.log ?? consoleSink
    this.log = createLogger(this.logSink, 'bdev')
    const { onNotification } = options
    if (onNotification !== undefined) this.notifications.listen(({ type, ctx }) => onNotification(type, ctx))
    const clock = options.clock ?? systemClock
    this.reactor = new Reactor(clock, (where, thrown) => this.reportThrow(where, thrown), message => this.misuse(message))
    this.budget = new IoBudget(options.bdevIoPoolSize ?? IO_POOL_SIZE, options.bdevIoCacheSize ?? IO_CACHE_SIZE)
    this.waits = new Waits(clock, this.log)
    this.examine = new Examine(this)
    this.examine.auto = options.autoExamine ?? true
    this.heap = new DmaHeap()
    this.accel = new HostAccel(
      this.heap,
      accel =>
        new CryptoKeys({
          accel,
          ciphers: options.ciphers === undefined ? (builtinCiphers() ?? null) : options.ciphers,
          currentThread: () => this.currentThread(),
          reportThrow: (where, thrown) => this.reportThrow(where, thrown),
        }),
    )
    this.keys = this.accel.keys
    this.dma = createDma(this.heap)
    this.iobuf = new Iobuf(this)
    this.offload = new Offload(this)
    this.appThread = this.createThread('app_thread')
  }

  /**
   * Adds a cooperative thread (`spdk_thread_create`).
   * @throws BdevError ENOMEM the I/O pool is too small for one more thread.
   */
  createThread(name: string): SpdkThread {
    if (this.budget.free < this.budget.reservePerThread) {
      throw new BdevError('ENOMEM', `thread "${name}": wanted ${this.budget.reservePerThread} I/Os in reserve, found ${this.budget.free} left of bdev_io_pool_size ${this.budget.size}; make the pool larger`)
    }
    const thread = this.reactor.createThread(name)
    this.budget.addThread(thread)
    this.iobuf.channelOf(thread)
    return thread
  }

  /** Ends a thread: see {@link exitThread}. */
  exitThread(thread: SpdkThread): Promise<void> { return exitThread(this, thread) }

  /** The thread whose code runs now; the app thread where none does. */
  currentThread(): SpdkThread {
    return this.reactor.current ?? this.appThread
  }

  /**
   * Checks a rule of the control plane: what makes, changes or takes away modules and bdevs is called on the app thread, or
   * where no thread is current. `who` begins the message.
   * @throws BdevError EINVAL another thread is current.
   */
  assertAppThread(who: string): void {
    const current = this.currentThread()
    if (current === this.appThread) return
    throw new BdevError('EINVAL', `${who}: wanted a call on thread "${this.appThread.name}", where the control plane runs, found "${current.name}"; send it there by appThread.sendMsg`)
  }

  /**
   * Adds a module, before `init`.
   * @throws BdevError EINVAL no module, no name, or its methods and handlers differ; BDEV_E_MODULE_ABI it was built with another SDK;
   * EEXIST its name is taken; EBUSY `init` was called; also EINVAL another thread than the app thread is current.
   */
  use(value: BdevModule): void {
    this.assertAppThread(`module "${value?.name}": use`)
    if (this.state !== 'startup') throw new BdevError('EBUSY', `module "${value?.name}": the host is ${this.state}; use modules before init`)
    if (value?.[MODULE_BRAND] !== 1) throw new BdevError('EINVAL', `use: wanted a module made by defineBdevModule, found ${typeof value}`)
    checkContract(value, this.sdk)
    if (this.modules.some(module => module.name === value.name)) throw new BdevError('EEXIST', `module "${value.name}": the host has a module of that name`)
    const record = new ModuleRecord(this, value)
    const moduleHost = new ModuleHost(this, record)
    record.instance = { ...value.setup(moduleHost) }
    moduleHost.attachHooks(record.instance)
    const handlers: Record<string, unknown> = record.instance.handlers ?? {}
    const declared = Object.keys((value.rpc ?? {}) as object)
    for (const name of new Set([...declared, ...Object.keys(handlers)])) {
      if (!declared.includes(name)) throw new BdevError('EINVAL', `module "${value.name}": handler "${name}" has no method in rpc; declare it with method({ … })`)
      if (typeof handlers[name] !== 'function') throw new BdevError('EINVAL', `module "${value.name}": method "${name}" has no handler; return one from setup`)
    }
    const create = record.instance.createIoContext
    if (create !== undefined) record.createIoContext = () => create.call(record.instance)
    if (record.examines) this.modules.unshift(record)
    else this.modules.push(record)
  }

  /**
   * Sets options of the bdev layer before `init` (`spdk_bdev_set_opts`); what is left out stays.
   * @throws BdevError EINVAL no integer of 0 or more, or the pool is smaller than the cache of all threads and one more;
   * EBUSY `init` was called, or I/O is in use.
   */
  setOptions(options: BdevOptions): void {
    if (this.state !== 'startup') throw new BdevError('EBUSY', `options of the bdev layer: the host is ${this.state}; set them before init`)
    const { bdevIoPoolSize = this.budget.size, bdevIoCacheSize = this.budget.reservePerThread } = options
    const { iobufSmallCacheSize = this.iobuf.smallCacheSize, iobufLargeCacheSize = this.iobuf.largeCacheSize } = options
    for (const [name, value] of Object.entries({ bdevIoPoolSize, bdevIoCacheSize, iobufSmallCacheSize, iobufLargeCacheSize })) {
      if (!(Number.isSafeInteger(value) && value >= 0)) throw new BdevError('EINVAL', `options of the bdev layer: wanted ${name} to be an integer of 0 or more, found ${String(value)}`)
    }
    const threads = this.reactor.threads
    const least = bdevIoCacheSize * (threads.length + 1)
    if (bdevIoPoolSize < least) {
      throw new BdevError('EINVAL', `options of the bdev layer: wanted bdevIoPoolSize to be at least ${least} for bdevIoCacheSize ${bdevIoCacheSize} and ${threads.length} thread(s), found ${bdevIoPoolSize}`)
    }
    if (bdevIoPoolSize !== this.budget.size || bdevIoCacheSize !== this.budget.reservePerThread) {
      const { bdevIos, ioWaiters } = this.usage()
      if (bdevIos + ioWaiters > 0) throw new BdevError('EBUSY', `options of the bdev layer: ${bdevIos} I/O(s) are in use; set the pool before the first`)
      this.budget.resize(bdevIoPoolSize, bdevIoCacheSize)
    }
    this.examine.auto = options.bdevAutoExamine ?? this.examine.auto
    this.iobuf.setOptions({ smallCacheSize: iobufSmallCacheSize, largeCacheSize: iobufLargeCacheSize })
  }

  /**
   * Initialises all modules and waits for examination to end (`spdk_bdev_initialize`).
   * @throws BdevError of the first module that failed, named; EALREADY it was called before; EINVAL another thread than the app
   * thread is current.
   */
  async init(): Promise<void> {
    this.assertAppThread('init')
    if (this.state !== 'startup') throw new BdevError('EALREADY', `init: the host is ${this.state}`)
    this.state = 'initializing'
    const done = initModules(this)
    this.#initialised = done.then(() => true, () => false)
    const ok = await this.#initialised
    // A finish may have begun meanwhile.
    if (this.state === 'initializing') this.state = ok ? 'running' : 'failed'
    await done
  }

  /**
   * Unregisters every bdev, virtual ones before their bases, and ends the modules (`spdk_bdev_finish`). Reports what is
   * still in use to the log. An `init` under way ends first. The host is of no use afterwards.
   * @throws BdevError EALREADY it was called before; EINVAL another thread than the app thread is current.
   */
  async finish(): Promise<void> {
    this.assertAppThread('finish')
    if (this.state === 'finishing' || this.state === 'finished') throw new BdevError('EALREADY', `finish: the host is ${this.state}`)
    this.state = 'finishing'
    this.asyncOpens.cancelAll()
    await this.#initialised
    await finishModules(this)
    await this.offload.close()
    const left = leaksOf(this)
    if (left.length > 0) this.log.error(`finish: still in use: ${left.join(', ')}`)
    this.reactor.stop()
    this.state = 'finished'
  }

  /** All bdevs, in the order of registration. */
  get bdevs(): readonly Bdev[] {
    return this.registry.bdevs
  }

  /** A bdev by name, alias or UUID. */
  bdevByName(name: string): Bdev | undefined {
    return this.registry.find(name)
  }

  /** Settles when no module has an examination under way (`spdk_bdev_wait_for_examine`). */
  waitForExamine(): Promise<void> {
    return this.examine.wait()
  }

  /**
   * Opens a bdev for the data plane, for code that is no module (`spdk_bdev_open_ext`).
   * @throws BdevError as `BdevHost.openBdev`.
   */
  openBdev(name: string, options: OpenOptions & { owner?: string }): Desc {
    return this.openFor(name, options, options.owner ?? 'application', null)
  }

  /**
   * As `openBdev`, for a bdev that may not be there yet (`spdk_bdev_open_async`): tries at once, then every 100 ms.
   * @throws BdevError as `BdevHost.openBdevAsync`.
   */
  openBdevAsync(name: string, options: OpenAsyncOptions & { owner?: string }): Promise<Desc> {
    return this.asyncOpens.open(name, options, options.timeoutMs ?? 0, options.owner ?? 'application', null)
  }

  /**
   * Visits every bdev in the order of registration, one after the other; it cannot go away before `visit` has ended. Those
   * under removal are skipped. The first answer other than `undefined` ends the walk and is returned.
   */
  forEachBdev<Stop = void>(visit: BdevVisit<Stop>): Promise<Stop | undefined> {
    return forEachBdev(this, false, visit)
  }

  /** As `forEachBdev`, only bdevs that nobody claims. */
  forEachBdevLeaf<Stop = void>(visit: BdevVisit<Stop>): Promise<Stop | undefined> {
    return forEachBdev(this, true, visit)
  }

  /**
   * As `forEachBdev`, the named bdevs in that order.
   * @throws BdevError ENODEV the first that is unknown or being removed.
   */
  forEachBdevByName<Stop = void>(names: readonly string[], visit: BdevVisit<Stop>): Promise<Stop | undefined> {
    return forEachBdevByName(this, names, visit)
  }

  /**
   * Opens a bdev for applications: a handle whose methods return promises.
   * @throws BdevError ENODEV unknown or being removed; EPERM write asked while claimed; ENOMEM no channel; with `timeoutMs`
   * ETIMEDOUT instead of the first two, and ESHUTDOWN where the host finishes.
   */
  async open(name: string, options: BdevOpenOptions = {}): Promise<BdevHandle> {
    return BdevHandle.open(this, name, options)
  }

  /**
   * Unregisters a bdev of any module; settles after its destruct.
   * @throws BdevError ENODEV unknown; EBUSY already under way; EINVAL another thread than the app thread is current.
   */
  async unregister(name: string): Promise<void> {
    this.assertAppThread(`unregister of bdev "${name}"`)
    const bdev = this.registry.find(name)
    if (bdev === undefined) throw new BdevError('ENODEV', `unregister of bdev "${name}": there is no such bdev`)
    await this.unregisterBdev(bdev)
  }

  /**
   * What does not go on, whom it waits for and since when, oldest first: waits of the control plane, I/O that lasts 5 s or
   * longer, I/O that a quiesce holds back, and claims of modules that present no bdev.
   */
  pending(): PendingWait[] {
    return pendingOf(this)
  }

  /** Counts of what is in use. */
  usage(): HostUsage {
    let ioWaiters = 0
    for (const thread of this.reactor.threads) {
      for (let waiter = thread.ioWaitHead; waiter !== null; waiter = waiter.next) ioWaiters++
    }
    return {
      bdevs: this.registry.bdevs.length,
      descriptors: this.registry.bdevs.reduce((sum, bdev) => sum + bdev.descs.length, 0),
      channels: this.registry.bdevs.reduce((sum, bdev) => sum + bdev.channels.length, 0),
      bdevIos: this.budget.inUse,
      ioWaiters,
      iobufs: this.iobuf.inUse,
      iobufWaiters: this.iobuf.waiters,
      dmaBytes: this.heap.inUseBytes - this.#ownBytes - this.iobuf.heapBytes - this.keys.scratchBytes,
    }
  }

  /** RPC calls that bring the bdev subsystem back, in SPDK's order (`framework_get_config`). */
  configJson(): RpcCall[] {
    const calls: RpcCall[] = [
      {
        method: 'bdev_set_options',
        params: {
          bdev_io_pool_size: this.budget.size,
          bdev_io_cache_size: this.budget.reservePerThread,
          bdev_auto_examine: this.examine.auto,
          iobuf_small_cache_size: this.iobuf.smallCacheSize,
          iobuf_large_cache_size: this.iobuf.largeCacheSize,
        },
      },
    ]
    for (const name of this.examine.allowList) calls.push({ method: 'bdev_examine', params: { name } })
    for (const module of this.modules) calls.push(...(module.callPlain('configJson') ?? []))
    for (const bdev of this.registry.bdevs) {
      calls.push(...(bdev.callPlain<readonly RpcCall[]>('writeConfigJson', bdev) ?? []))
      for (const call of [qosConfigJson(bdev), histogramConfigJson(bdev)]) if (call !== undefined) calls.push(call)
    }
    calls.push({ method: 'bdev_wait_for_examine' })
    return calls
  }

  // What follows serves the rest of core.

  /** Opens for a module or the application. @internal */
  openFor(name: string, options: OpenOptions, owner: string, module: ModuleRecord | null): Desc {
    const who = `${owner}: open of bdev "${name}"`
    if (typeof options?.onEvent !== 'function') throw new BdevError('EINVAL', `${who}: wanted onEvent to be a function; it must close the descriptor on Remove`)
    const bdev = this.registry.find(name)
    if (bdev === undefined) throw new BdevError('ENODEV', `${who}: there is no such bdev`)
    if (bdev.status !== 'ready') throw new BdevError('ENODEV', `${who}: it is being removed; try again when it is back`)
    if (options.write === true && bdev.claims.type !== 0) {
      throw new BdevError('EPERM', `${who}: wanted write permission, but it is under ${bdev.claims.describe()}; open it read-only, or use the bdev on top`)
    }
    return new Desc(bdev, owner, module, this.currentThread(), options)
  }

  /** `BdevHost.registerBdev`, for a module of the host. @internal */
  registerBdev<Ctx>(module: ModuleRecord, spec: BdevSpec<Ctx>): Bdev<Ctx> {
    this.assertAppThread(`register of bdev "${spec.name}" by module "${module.name}"`)
    if (this.state === 'finishing' || this.state === 'finished') throw new BdevError('ESHUTDOWN', `register of bdev "${spec.name}": the host is ${this.state}`)
    const uuid = spec.uuid === undefined ? randomUuid() : parseUuid(spec.uuid)
    if (uuid === undefined) throw new BdevError('EINVAL', `register of bdev "${spec.name}": wanted uuid to be a UUID, found ${JSON.stringify(spec.uuid)}`)
    const bdev = new Bdev<Ctx>(this, module, spec, uuid)
    this.registry.add(bdev, spec.aliases ?? [])
    // Held until it has been examined: nobody may take it away under a module that looks at it.
    const hold = new Desc(bdev, 'examination', null, this.appThread, { onEvent: () => {} })
    this.examine.run(bdev)
    void this.examine.wait().then(() => {
      this.notify('bdev_register', bdev.name)
      hold.close()
    })
    return bdev
  }

  /** Unregisters; settles after its destruct. @internal */
  unregisterBdev(bdev: Bdev): Promise<void> {
    const done = unregisterBdev(bdev)
    bdev.gone ??= done
    this.#unregistering.add(done)
    const forget = (): void => void this.#unregistering.delete(done)
    done.then(forget, forget)
    return done
  }

  /** Whether an unregistration is under way. @internal */
  get unregistering(): boolean {
    return this.#unregistering.size > 0
  }

  /** Settles when no unregistration is under way. @internal */
  async unregistrations(): Promise<void> {
    while (this.#unregistering.size > 0) await Promise.allSettled([...this.#unregistering])
  }

  /** Tells those who listen to `notifications`. @internal */
  notify(type: 'bdev_register' | 'bdev_unregister' | 'bdev_resize', bdevName: string): void {
    this.notifications.send(type, bdevName)
  }

  /** A bdev has been destructed. @internal */
  bdevGone(bdev: Bdev): void {
    for (const module of this.modules) module.bdevGone?.(bdev)
  }

  /** What bdevs whose channels are one channel of their module share on `thread`; made at the first. @internal */
  sharedResource(thread: SpdkThread, moduleChannel: SdkIoChannel): SharedResource {
    let shared = this.#shared.get(moduleChannel)
    if (shared === undefined) {
      shared = new SharedResource(thread, moduleChannel)
      this.#shared.set(moduleChannel, shared)
    }
    return shared
  }

  /** A channel of a bdev is gone, and with the last its shared resource. @internal */
  channelGone(ch: BdevChannel): void {
    ch.shared.removeChannel(ch)
    if (ch.shared.channels.length === 0) this.#shared.delete(ch.moduleChannel)
  }

  /** 1 MiB of zeroes to write from. @internal */
  zeroBuffer(): DmaBuffer {
    if (this.#zeroes === undefined) {
      const zeroes = this.dma.alloc(ZERO_BUFFER_BYTES, 4096)
      this.#zeroes = zeroes ?? { buf: new Uint8Array(ZERO_BUFFER_BYTES), off: 0, len: ZERO_BUFFER_BYTES }
      if (zeroes !== undefined) this.#ownBytes += ZERO_BUFFER_BYTES
    }
    return this.#zeroes
  }

  /** Logs why a device made no channel. @internal */
  channelFailed(device: string, thread: SpdkThread, thrown: unknown): void {
    this.log.error(`channel of "${device}" on thread "${thread.name}": ${describeThrown(thrown)}`)
  }

  /** Logs a rule that was broken. @internal */
  misuse(message: string): void {
    this.log.error(message)
  }

  /** Logs what a callback threw, and where. @internal */
  reportThrow(where: string, thrown: unknown): void {
    this.log.error(`${where} threw: ${describeThrown(thrown)}`)
  }
}

/** Makes a host: see {@link Host}. */
export function createHost(options: HostOptions = {}): Host {
  return new Host(options)
}
