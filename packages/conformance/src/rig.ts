// SPDX-License-Identifier: Apache-2.0
import type { Host } from '@bdevkit/core'
import type { Bdev, Json, JsonObject, PartBase, RpcCall, Thread } from '@bdevkit/module-sdk'
import { Driver } from './driver.js'
import { check, ConformanceFailure, textOf, within } from './failure.js'
import { halfOffsetBlocks, type Kit, type Level } from './kit-module.js'
import { kitRamGrow, type KitRam } from './kit-ram.js'
import { firstDifference } from './memory.js'
import type { ConformanceDisks, ConformanceOptions } from './options.js'
import { Subject } from './subject.js'
import { startTestHost, type TestHost } from './test-host.js'

const BASE_BYTES = 16 * 1024 * 1024
const BASE_BLOCK_BYTES = 512
/** Half of it still has room for the longest case. */
const SIZE_MIN_BYTES = 8 * 1024 * 1024
const LIMIT_MS = 4_000
const GUARD_SEED = 0x6a4d
const TOP = 'conformance_top'
/** Enough for an event that goes through a few layers, each of which sends a message. */
const SETTLE_TURNS = 16

/** One host with the module under test and the kit's own: each case has a fresh one. */
export class Rig {
  readonly kit: Kit
  readonly bases: readonly string[]
  /** What takes longer counts as lost, in milliseconds. */
  readonly limitMs: number
  readonly #options: ConformanceOptions
  readonly #level: Level
  readonly #test: TestHost
  readonly #host: Host
  #name: string | undefined
  #parts: PartBase | undefined
  #driver: Driver | undefined
  #subject: Subject | undefined
  #stopped = false

  private constructor(options: ConformanceOptions, level: Level, test: TestHost) {
    this.#options = options
    this.#level = level
    this.#test = test
    this.#host = test.host
    this.kit = test.kit
    this.bases = options.bases ?? []
    this.limitMs = options.limitMs ?? LIMIT_MS
  }

  /** A host that runs, with the base bdevs, without the bdev under test. */
  static async start(options: ConformanceOptions, level: Level, strict: boolean, baseTypes?: readonly number[]): Promise<Rig> {
    const test = await startTestHost([options.module, ...(options.modules ?? [])], { strict, limitMs: options.limitMs ?? LIMIT_MS })
    const rig = new Rig(options, level, test)
    await options.prepare?.(rig.kit.host, rig.#disks)
    const blockSizeBytes = options.baseBlockSizeBytes ?? BASE_BLOCK_BYTES
    for (const base of rig.bases) rig.#createBase(base, new Uint8Array(BASE_BYTES), blockSizeBytes, baseTypes)
    return rig
  }

  readonly #disks: ConformanceDisks = {
    add: (name, bytes, blockSizeBytes) => this.#createBase(name, bytes, blockSizeBytes),
    remove: async name => {
      if (this.#options.basesRelayed === true) await this.kit.relays.delete(name)
      await this.kit.host.unregisterBdev(this.#ramOf(name))
    },
  }

  #createBase(name: string, bytes: Uint8Array, blockSizeBytes: number, types?: readonly number[]): void {
    const ram = this.kit.createBase(this.#ramOf(name), bytes, blockSizeBytes, types)
    if (this.#options.basesRelayed === true) this.kit.relays.create({ name, base_bdev_name: ram.name })
  }

  /** Whether a configuration is to hold a call for the bdev. */
  get configured(): boolean {
    return this.#options.configured ?? true
  }

  /** Calls a method as a client would, but in this process. */
  readonly rpc = (method: string, params?: JsonObject): Promise<Json> => this.#test.rpc(method, params)

  /** Creates the bdev under test; answers its name. */
  async create(): Promise<string> {
    const hint = 'create must answer the name of the bdev, as SPDK\'s create methods do'
    const name = await within(this.limitMs, Promise.resolve(this.#options.create(this.rpc)), 'create does not end', hint)
    check(typeof name === 'string', `create answered ${JSON.stringify(name)}`, hint)
    await this.#host.waitForExamine()
    this.mustHave(name)
    this.#name = name
    return name
  }

  /** Removes it. */
  async remove(): Promise<void> {
    this.#name = undefined
    await this.#options.remove(this.rpc)
  }

  /** Unregisters the bases, as if their devices were pulled. */
  async removeBases(): Promise<void> {
    await Promise.all(this.bases.map(base => this.kit.host.unregisterBdev(this.#ramOf(base))))
  }

  /** Makes the devices below the bases larger. */
  growBases(): void {
    for (const base of this.bases) kitRamGrow(this.#host.bdevByName(this.#ramOf(base))!)
  }

  /** The next `count` I/Os to each device below a base end with `Nomem`, once. */
  exhaustBases(count: number): void {
    for (const base of this.bases) (this.#host.bdevByName(this.#ramOf(base))!.ctx as KitRam).nomem = count
  }

  /** Settles when messages that are under way have arrived, and what they led to. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < SETTLE_TURNS; turn++) await new Promise(resolve => setImmediate(resolve))
    await this.#host.waitForExamine()
  }

  /** One more thread of the host. */
  createThread(name: string): Thread {
    return this.#host.createThread(name)
  }

  /** The bdevs of the module under test. */
  ownBdevs(): Bdev[] {
    return this.#host.bdevs.filter(({ moduleName }) => moduleName === this.#options.module.name)
  }

  /** Errors up to here were made on purpose. */
  forgive(): void {
    this.#test.errors.length = 0
  }

  bdev(name: string): Bdev | undefined {
    return this.#host.bdevByName(name)
  }

  mustHave(name: string): Bdev {
    const bdev = this.bdev(name)
    check(bdev !== undefined, `there is no bdev "${name}"`, 'register it under the name that create answers')
    return bdev
  }

  /** What the module adds to `bdev_get_bdevs`. */
  driverSpecific(name: string): Json {
    const bdev = this.#host.bdevByName(name)
    return bdev === undefined ? null : (bdev.fn.dumpInfoJson?.(bdev.ctx) ?? {})
  }

  /** The calls of a saved configuration that are the modules'. */
  configuration(): RpcCall[] {
    const { module, modules = [] } = this.#options
    const methods = [module, ...modules].flatMap(({ rpc }) => Object.keys((rpc ?? {}) as object))
    return this.#host.configJson().filter(({ method }) => methods.includes(method))
  }

  /** Puts the kit's bdev of this level on top and opens it. */
  async stack(): Promise<Subject> {
    const bdev = this.mustHave(this.#name ?? '')
    const sizeBytes = bdev.numBlocks * bdev.blockSizeBytes
    const wanted = `create must make one of at least ${SIZE_MIN_BYTES} bytes`
    check(sizeBytes >= SIZE_MIN_BYTES, `bdev "${bdev.name}" has ${sizeBytes} bytes`, wanted)
    if (this.#level === 'relay') this.kit.relays.create({ name: TOP, base_bdev_name: bdev.name })
    if (this.#level === 'part') {
      await this.#guard(bdev, true)
      this.#parts = this.kit.cut(bdev, TOP)
    }
    const name = this.#level === 'bare' ? bdev.name : TOP
    await this.#host.waitForExamine()
    this.#driver = new Driver(this.kit.host, name, this.limitMs)
    this.#subject = new Subject(this.kit.host, this.mustHave(name), this.#driver, this.#options.keepsData ?? true)
    return this.#subject
  }

  /** Ends the I/O of `stack`. */
  close(): void {
    this.#driver?.close()
    this.#driver = undefined
    this.#subject?.release()
    this.#subject = undefined
  }

  /** Runs `body` with another host of the same kind. */
  async inFreshHost(body: (fresh: Rig) => Promise<void>): Promise<void> {
    const fresh = await Rig.start(this.#options, this.#level, this.#host.strict)
    await fresh.during(() => body(fresh))
  }

  /** Runs `body`, then stops; of two failures the first one counts. */
  async during(body: () => Promise<void>): Promise<void> {
    try {
      await body()
      if (this.#driver !== undefined) await this.#driver.drain()
    } catch (thrown) {
      await this.stop().catch(() => undefined)
      const said = this.#test.errors.join('\n  ')
      if (said !== '' && thrown instanceof ConformanceFailure) {
        throw new ConformanceFailure(`${thrown.reason}\n  the host logged:\n  ${said}`, thrown.hint)
      }
      throw thrown
    }
    await this.stop()
  }

  /** Takes everything down and looks for what was left behind. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.close()
    if (this.#parts !== undefined && this.#name !== undefined) {
      await this.#parts.close()
      await this.#guard(this.mustHave(this.#name), false)
    }
    await this.#test.stop()
  }

  /** The RAM disk at the bottom of a base. */
  #ramOf(base: string): string {
    return this.#options.basesRelayed === true ? `${base}_ram` : base
  }

  /** On the level of parts the blocks below the half are written first and must be the same in the end. */
  async #guard(bdev: Bdev, fill: boolean): Promise<void> {
    if ((this.#options.keepsData ?? true) === false) return
    const driver = new Driver(this.kit.host, bdev.name, this.limitMs)
    const subject = new Subject(this.kit.host, bdev, driver, true)
    try {
      const numBlocks = subject.blocks(8)
      for (const offsetBlocks of [0, halfOffsetBlocks(bdev.numBlocks, bdev.writeUnitSizeBlocks) - numBlocks]) {
        const wanted = subject.data(offsetBlocks, numBlocks, GUARD_SEED)
        if (fill) await subject.write(offsetBlocks, numBlocks, GUARD_SEED)
        else {
          const at = firstDifference(await subject.read(offsetBlocks, numBlocks), wanted)
          const block = offsetBlocks + Math.floor(at / bdev.blockSizeBytes)
          check(at === -1, `I/O to the upper half changed block ${block} of the lower half`,
            'the I/O starts at offsetBlocks of the bdev that it was submitted to')
        }
      }
    } finally {
      driver.close()
      subject.release()
    }
  }
}

/** Starts a rig, runs `body` and stops it. */
export async function inRig(
  options: ConformanceOptions,
  level: Level,
  strict: boolean,
  body: (rig: Rig) => Promise<void>,
  baseTypes?: readonly number[],
): Promise<void> {
  let rig: Rig
  try {
    rig = await Rig.start(options, level, strict, baseTypes)
  } catch (thrown) {
    throw new ConformanceFailure(`the module does not start: ${textOf(thrown)}`, 'setup and moduleInit must succeed')
  }
  await rig.during(() => body(rig))
}
