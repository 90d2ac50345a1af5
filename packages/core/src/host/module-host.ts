// SPDX-License-Identifier: Apache-2.0
import type {
  Bdev as SdkBdev, BdevDesc, BdevHost, BdevModuleInstance, BdevSpec, IoDeviceSpec, Iov as SdkIov, MediaEvent, OpenAsyncOptions,
  OpenOptions, PartBaseSpec, VbdevParams, Vbdevs as SdkVbdevs, VbdevsSpec,
} from '@bdevkit/module-sdk'
import { BdevError } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { notifyBlockcntChange } from '../bdev/bdev-resize.js'
import { notifyMediaManagement, pushMediaEvents } from '../bdev/media-events.js'
import { uuidV5 } from '../bdev/uuid.js'
import type { Desc } from '../descriptor/desc.js'
import { Iov } from '../io/bdev-io.js'
import { quiesce, unquiesce } from '../lba-range/quiesce.js'
import type { ModuleRecord } from '../module/module-record.js'
import { PartBase } from '../part/part-base.js'
import { IoDevice } from '../thread/io-device.js'
import { Vbdevs } from '../vbdev/vbdevs.js'
import type { Host } from './host.js'
import { readBlocks } from './read-blocks.js'

const NO_BYTES = new Uint8Array(0)

/** The host as one module sees it. */
export class ModuleHost implements BdevHost {
  readonly #host: Host
  readonly #module: ModuleRecord
  #vbdevs: Vbdevs<any, any> | null = null

  constructor(host: Host, module: ModuleRecord) {
    this.#host = host
    this.#module = module
  }

  get sdk() { return this.#host.sdk }
  get log() { return this.#module.log }
  get accel() { return this.#host.accel }
  get dma() { return this.#host.dma }
  get iobuf() { return this.#host.iobuf }
  get offload() { return this.#host.offload }
  get appThread() { return this.#host.appThread }

  currentThread() {
    return this.#host.currentThread()
  }

  nowMs(): number {
    return this.#host.reactor.clock.nowMs()
  }

  allocIovs(count: number): SdkIov[] {
    return Array.from({ length: count }, () => new Iov(NO_BYTES, 0, 0))
  }

  uuidV5(namespace: string, bytes: Uint8Array): string {
    return uuidV5(namespace, bytes)
  }

  registerBdev<Ctx, Ch, IoCtx>(spec: BdevSpec<Ctx, Ch, IoCtx>): SdkBdev<Ctx> {
    return this.#host.registerBdev(this.#module, spec)
  }

  async unregisterBdev(name: string): Promise<void> {
    this.#host.assertAppThread(`unregister of bdev "${name}" by module "${this.#module.name}"`)
    const bdev = this.#host.bdevByName(name)
    if (bdev === undefined) throw new BdevError('ENODEV', `unregister of bdev "${name}": there is no such bdev`)
    if (bdev.module !== this.#module) throw new BdevError('ENODEV', `unregister of bdev "${name}" by module "${this.#module.name}": it belongs to module "${bdev.module.name}"`)
    await this.#host.unregisterBdev(bdev)
  }

  ownBdevs(): readonly SdkBdev[] {
    return this.#host.bdevs.filter(bdev => bdev.module === this.#module)
  }

  bdevByName(name: string): SdkBdev | undefined {
    return this.#host.bdevByName(name)
  }

  openBdev(name: string, options: OpenOptions): Desc {
    return this.#host.openFor(name, options, `module "${this.#module.name}"`, this.#module)
  }

  readBlocks(desc: BdevDesc, offsetBlocks: number, numBlocks: number): Promise<Uint8Array> {
    return readBlocks(desc as Desc, offsetBlocks, numBlocks)
  }

  openBdevAsync(name: string, options: OpenAsyncOptions): Promise<Desc> {
    return this.#host.asyncOpens.open(name, options, options.timeoutMs ?? 0, `module "${this.#module.name}"`, this.#module)
  }

  pushMediaEvents(bdev: SdkBdev, events: readonly MediaEvent[]): number {
    return pushMediaEvents(this.#own(bdev, 'media events'), events)
  }

  notifyMediaManagement(bdev: SdkBdev): void {
    notifyMediaManagement(this.#own(bdev, 'media events'))
  }

  notifyBlockcntChange(bdev: SdkBdev, numBlocks: number): void {
    notifyBlockcntChange(this.#module, bdev as Bdev, numBlocks)
  }

  async quiesce(bdev: SdkBdev): Promise<void> {
    await quiesce(this.#own(bdev, 'quiesce'))
  }

  async unquiesce(bdev: SdkBdev): Promise<void> {
    await unquiesce(this.#own(bdev, 'unquiesce'))
  }

  async quiesceRange(bdev: SdkBdev, offsetBlocks: number, numBlocks: number): Promise<void> {
    await quiesce(this.#own(bdev, 'quiesce'), { offsetBlocks, numBlocks })
  }

  async unquiesceRange(bdev: SdkBdev, offsetBlocks: number, numBlocks: number): Promise<void> {
    await unquiesce(this.#own(bdev, 'unquiesce'), { offsetBlocks, numBlocks })
  }

  registerIoDevice<Ctx>(spec: IoDeviceSpec<Ctx>): IoDevice<Ctx> {
    return new IoDevice(this.#host, spec)
  }

  openPartBase<Ctx>(name: string, spec: PartBaseSpec<Ctx> = {}): PartBase {
    this.#host.assertAppThread(`module "${this.#module.name}": parts of bdev "${name}"`)
    return new PartBase(this.#host, this.#module, name, spec)
  }

  vbdevs<Params extends VbdevParams, Ctx>(spec: VbdevsSpec<Params, Ctx>): SdkVbdevs<Params> {
    if (this.#vbdevs !== null) throw new BdevError('EALREADY', `module "${this.#module.name}": vbdevs() was called twice; one association serves all vbdevs of a module`)
    const vbdevs = new Vbdevs<Params, Ctx>(this.#host, this.#module, spec)
    this.#vbdevs = vbdevs
    return vbdevs
  }

  #own(bdev: SdkBdev, what: string): Bdev {
    const own = bdev as Bdev
    if (own.module !== this.#module) throw new BdevError('EINVAL', `module "${this.#module.name}": ${what} of bdev "${own.name}": it belongs to module "${own.module.name}"`)
    return own
  }

  /** Joins the hooks of the services that the module asked for to its own. */
  attachHooks(instance: BdevModuleInstance): void {
    const vbdevs = this.#vbdevs
    if (vbdevs === null) return
    const own = instance.examineConfig
    instance.examineConfig = bdev => {
      vbdevs.examine(bdev as Bdev)
      return own?.call(instance, bdev)
    }
    this.#module.bdevGone = bdev => vbdevs.bdevGone(bdev)
  }
}
