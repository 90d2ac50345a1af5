// SPDX-License-Identifier: Apache-2.0
import type { Bdev as SdkBdev, BdevFnTable, BdevGeometry, BdevSpec, DifContext } from '@bdevkit/module-sdk'
import { BdevError, DifPiFormat, DifType, IO_TYPE_NAMES, IO_TYPE_SINCE, IoType } from '@bdevkit/module-sdk'
import { checkLimits, resolveLimits, type ResolvedLimits } from './bdev-limits.js'
import { BdevChannel, ChannelFlag } from '../channel/bdev-channel.js'
import { BdevClaims } from '../descriptor/claim.js'
import type { Desc } from '../descriptor/desc.js'
import type { Host } from '../host/host.js'
import { IoFlag, type BdevIo } from '../io/bdev-io.js'
import { LbaRanges } from '../lba-range/lba-range.js'
import { inheritLocks } from '../lba-range/lba-range-lock.js'
import type { Qos } from '../qos/qos.js'
import { attachHistogram, type HistogramSettings } from '../stat/histogram-control.js'
import { addStat, createStat, IO_ERROR_NAMES } from '../stat/io-stat.js'
import { QdSampling } from '../stat/qd-sampling.js'
import { SIZE_MAX } from '../limits.js'
import { RepeatedMessage } from '../repeated-message.js'
import type { ModuleRecord } from '../module/module-record.js'
import { IoDevice } from '../thread/io-device.js'
import type { SpdkThread } from '../thread/thread.js'

/** Where a bdev is in its life (`enum spdk_bdev_status`). */
export type BdevStatus = 'ready' | 'unregistering' | 'removing'

/** Functions of the table whose answer is needed at once. */
type PlainFn = 'dumpInfoJson' | 'writeConfigJson' | 'getModuleCtx' | 'resetDeviceStat' | 'dumpDeviceStatJson'

/** A registered bdev (`struct spdk_bdev`). */
export class Bdev<Ctx = any> implements SdkBdev<Ctx> {
  /** The host that it is registered in. */
  readonly host: Host
  /** Its module. @internal */
  readonly module: ModuleRecord
  readonly name: string
  readonly uuid: string
  readonly productName: string
  readonly ctx: Ctx
  /** Its module's function table. @internal */
  readonly fn: BdevFnTable<Ctx>
  readonly blockSizeBytes: number
  numBlocks: number
  readonly physBlockSizeBytes: number
  readonly writeCache: boolean
  readonly requiredAlignmentBytes: number
  readonly optimalIoBoundaryBlocks: number
  readonly writeUnitSizeBlocks: number
  readonly acwuBlocks: number
  readonly preferredWriteAlignmentBlocks: number
  readonly preferredWriteGranularityBlocks: number
  readonly optimalWriteSizeBlocks: number
  readonly preferredUnmapAlignmentBlocks: number
  readonly preferredUnmapGranularityBlocks: number
  readonly mdSizeBytes: number
  readonly mdInterleave: boolean
  readonly difType: number
  readonly difIsHeadOfMd: boolean
  readonly difPiFormat: number
  readonly difCheckFlags: number
  /** Format of its metadata; `null` where there is none, or it lies apart and holds no protection information. */
  readonly difContext: DifContext | null
  /** NUMA node, -1 = any; `undefined` where the module says nothing. */
  readonly numaId: number | undefined
  readonly lendsReadBuffers: boolean
  /** Seconds that a RESET waits for outstanding I/O before it reaches the module; 0 = sent at once. See `BdevSpec`. */
  readonly resetIoDrainTimeoutS: number
  /** Types that the module serves, as bits. */
  readonly supportedTypes: number
  /** Types that may be submitted: those of the module and those that the framework makes of others. */
  readonly allowedTypes: number
  /** Types that go to the module as they come. @internal */
  readonly fastTypes: number
  /** What the module takes at once; what is more is split. @internal */
  readonly limits: ResolvedLimits
  /** Other names that it is found by, in the order in which they were added. */
  readonly aliases: string[] = []
  /** Where it is in its life. */
  status: BdevStatus = 'ready'
  /** Settles with its unregistration, once that has begun. @internal */
  gone: Promise<void> | null = null
  /** Open descriptors, oldest first. @internal */
  readonly descs: Desc[] = []
  /** Its channels on all threads, oldest first. @internal */
  readonly channels: BdevChannel[] = []
  /** Who has claimed it, and how. @internal */
  readonly claims: BdevClaims
  /** Counters of channels that are gone. @internal */
  readonly stat = createStat()
  /** Failures by status, see `IO_ERROR_NAMES`. @internal */
  readonly ioErrors = new Float64Array(IO_ERROR_NAMES.length)
  /** Warnings of writes that are no whole write units. @internal */
  readonly unitWarnings = new RepeatedMessage()
  /** Buffers of the pool that its I/O holds, while its module has bases. @internal */
  buffersHeld = 0
  /** What makes its channel on a thread. @internal */
  readonly device: IoDevice<BdevChannel>
  /** Locks of blocks. @internal */
  readonly ranges = new LbaRanges()
  /** The RESET under way; `null` while there is none. @internal */
  resetInProgress: BdevIo | null = null
  /** RESETs that wait for the one under way, oldest first. @internal */
  readonly queuedResets: BdevIo[] = []
  /** New I/O is aborted, because a reset is under way and has not been answered yet. @internal */
  frozen = false
  /** Ends the entry of the reset among the host's waits. @internal */
  resetWait: (() => void) | null = null
  /** Rate limits; `null` where there are none. @internal */
  qos: Qos | null = null
  /** A change of rate limits is under way. @internal */
  qosChanging = false
  /** How latencies are counted, or were; `null` where they never were. @internal */
  histogram: HistogramSettings | null = null
  /** The histogram is being turned on or off. @internal */
  histogramChanging = false
  /** Sampling of its queue depth. */
  readonly qdSampling = new QdSampling(this)
  /** Whether the device reports media management events. */
  readonly mediaEvents: boolean
  /** Called when the last descriptor closes, a reset ends, a lock ends or the last channel goes, for whoever waits. @internal */
  changed: (() => void) | null = null

  /** Checks the spec and asks the module for its types; `Host` puts it into the registry. @internal */
  constructor(host: Host, module: ModuleRecord, spec: BdevSpec<Ctx>, uuid: string) {
    checkSpec(module, spec)
    this.host = host
    this.module = module
    this.name = spec.name
    this.uuid = uuid
    this.productName = spec.productName
    this.ctx = spec.ctx
    this.fn = spec.fn
    this.blockSizeBytes = spec.blockSizeBytes
    this.numBlocks = spec.numBlocks
    this.mdSizeBytes = spec.mdSizeBytes ?? 0
    this.mdInterleave = this.mdSizeBytes > 0 && (spec.mdInterleave ?? false)
    this.difType = this.mdSizeBytes > 0 ? (spec.difType ?? DifType.Disable) : DifType.Disable
    this.difIsHeadOfMd = this.difType !== DifType.Disable && (spec.difIsHeadOfMd ?? false)
    this.difPiFormat = spec.difPiFormat ?? DifPiFormat.Guard16
    this.difCheckFlags = this.difType === DifType.Disable ? 0 : (spec.difCheckFlags ?? 0)
    this.difContext = makeDifContext(this, module, spec)
    this.physBlockSizeBytes = spec.physBlockSizeBytes ?? this.dataBlockSizeBytes
    this.writeCache = spec.writeCache ?? false
    this.requiredAlignmentBytes = spec.requiredAlignmentBytes ?? 1
    this.optimalIoBoundaryBlocks = spec.optimalIoBoundaryBlocks ?? 0
    this.writeUnitSizeBlocks = spec.writeUnitSizeBlocks || 1
    this.acwuBlocks = spec.acwuBlocks || this.writeUnitSizeBlocks
    this.preferredWriteAlignmentBlocks = spec.preferredWriteAlignmentBlocks ?? 0
    this.preferredWriteGranularityBlocks = spec.preferredWriteGranularityBlocks ?? 0
    this.optimalWriteSizeBlocks = spec.optimalWriteSizeBlocks ?? 0
    this.preferredUnmapAlignmentBlocks = spec.preferredUnmapAlignmentBlocks ?? 0
    this.preferredUnmapGranularityBlocks = spec.preferredUnmapGranularityBlocks ?? 0
    this.numaId = spec.numaId
    this.lendsReadBuffers = spec.lendsReadBuffers ?? false
    this.resetIoDrainTimeoutS = spec.resetIoDrainTimeoutS ?? 0
    this.mediaEvents = spec.mediaEvents ?? false
    this.claims = new BdevClaims(this)
    this.supportedTypes = askTypes(module, spec)
    const has = (type: number): boolean => (this.supportedTypes & (1 << type)) !== 0
    let allowed = this.supportedTypes | (1 << IoType.Reset)
    if (has(IoType.Write)) allowed |= 1 << IoType.WriteZeroes
    if (has(IoType.Read)) allowed |= 1 << IoType.Compare
    if (has(IoType.Read) && has(IoType.Write)) allowed |= (1 << IoType.Copy) | (1 << IoType.CompareAndWrite)
    if (has(IoType.NvmeIo) || has(IoType.NvmeIoMd)) allowed |= 1 << IoType.NvmeIovMd
    allowed |= (1 << IoType.SeekData) | (1 << IoType.SeekHole)
    this.allowedTypes = allowed
    this.limits = resolveLimits(spec, this.supportedTypes, host.iobuf.largeBufBytes)
    this.fastTypes = this.supportedTypes & ~(1 << IoType.Reset) & ~this.limits.splitTypes
    this.device = new IoDevice(host, {
      name: `bdev_${spec.name}`,
      createChannel: thread => this.#createChannel(thread as SpdkThread),
      destroyChannel: ch => this.#channelUnused(ch),
    })
  }

  get dataBlockSizeBytes(): number {
    return this.mdInterleave ? this.blockSizeBytes - this.mdSizeBytes : this.blockSizeBytes
  }

  get moduleName(): string {
    return this.module.name
  }

  get claimType(): number {
    return this.claims.type
  }

  ioTypeSupported(type: number): boolean {
    if (!(type > 0 && type < 32)) return false
    const asWrite = type === IoType.WriteZeroes ? 1 << IoType.Write : 0
    return (this.supportedTypes & ((1 << type) | asWrite)) !== 0
  }

  geometry(): BdevGeometry {
    return {
      blockSizeBytes: this.blockSizeBytes,
      numBlocks: this.numBlocks,
      physBlockSizeBytes: this.physBlockSizeBytes,
      writeCache: this.writeCache,
      requiredAlignmentBytes: this.requiredAlignmentBytes,
      optimalIoBoundaryBlocks: this.optimalIoBoundaryBlocks,
      writeUnitSizeBlocks: this.writeUnitSizeBlocks,
      acwuBlocks: this.acwuBlocks,
      preferredWriteAlignmentBlocks: this.preferredWriteAlignmentBlocks,
      preferredWriteGranularityBlocks: this.preferredWriteGranularityBlocks,
      optimalWriteSizeBlocks: this.optimalWriteSizeBlocks,
      preferredUnmapAlignmentBlocks: this.preferredUnmapAlignmentBlocks,
      preferredUnmapGranularityBlocks: this.preferredUnmapGranularityBlocks,
      mdSizeBytes: this.mdSizeBytes,
      mdInterleave: this.mdInterleave,
      difType: this.difType,
      difIsHeadOfMd: this.difIsHeadOfMd,
      difPiFormat: this.difPiFormat,
      difCheckFlags: this.difCheckFlags,
      ...(this.numaId === undefined ? {} : { numaId: this.numaId }),
    }
  }

  /** Calls an optional function of the table that must answer plainly; `undefined` where it is missing or fails. @internal */
  callPlain<Answer>(hook: PlainFn, arg: unknown): Answer | undefined {
    const fn = this.fn[hook] as ((arg: unknown) => Answer) | undefined
    if (fn === undefined) return undefined
    return this.module.plainly(`${hook} of module "${this.module.name}" for bdev "${this.name}"`, () => fn.call(this.fn, arg))
  }

  /** The module has misused an I/O. @internal */
  distrustChannels(): void {
    for (const ch of this.channels) {
      ch.flags |= ChannelFlag.Distrusted
      for (let io = ch.submitted.next!; io !== ch.submitted; io = io.next!) io.flags |= IoFlag.Retire
      ch.pool.abandon()
    }
  }

  /** A reset has ended. @internal */
  resetEnded(): void {
    this.changed?.()
  }

  /** The last I/O of a channel that nobody holds has gone. @internal */
  channelIdle(ch: BdevChannel): void {
    ch.flags &= ~ChannelFlag.Unused
    this.#destroyChannel(ch)
  }

  #createChannel(thread: SpdkThread): BdevChannel {
    const moduleChannel = this.fn.getIoChannel(this.ctx)
    if (moduleChannel === null) {
      throw new BdevError('ENOMEM', `module "${this.module.name}" has no channel for bdev "${this.name}" on thread "${thread.name}"`)
    }
    if (typeof moduleChannel?.put !== 'function') {
      throw new BdevError('EINVAL', `getIoChannel of module "${this.module.name}" for bdev "${this.name}": wanted a channel or null, found ${String(moduleChannel)}`)
    }
    const shared = this.host.sharedResource(thread, moduleChannel)
    const ch = new BdevChannel(this, thread, moduleChannel, shared, this.host.budget)
    if (this.host.strict) ch.flags |= ChannelFlag.Strict
    if (this.module.distrusted) ch.flags |= ChannelFlag.Distrusted
    if (this.frozen) ch.flags |= ChannelFlag.Reset
    if (shared.queue.length > 0) ch.flags |= ChannelFlag.Nomem
    shared.channels.push(ch)
    this.channels.push(ch)
    if (this.qos?.limited === true) this.qos.enable(ch)
    attachHistogram(ch)
    inheritLocks(ch)
    return ch
  }

  #channelUnused(ch: BdevChannel): void {
    if (ch.idle) this.#destroyChannel(ch)
    else ch.flags |= ChannelFlag.Unused
  }

  #destroyChannel(ch: BdevChannel): void {
    addStat(this.stat, ch.stat)
    this.channels.splice(this.channels.indexOf(ch), 1)
    this.host.channelGone(ch)
    ch.moduleChannel.put()
    this.changed?.()
  }
}

function checkSpec(module: ModuleRecord, spec: BdevSpec): void {
  const who = `register of bdev "${String(spec.name)}" by module "${module.name}"`
  const wanted = (field: string, want: string, found: unknown): never => {
    throw new BdevError('EINVAL', `${who}: wanted ${field} ${want}, found ${String(found)}`)
  }
  if (typeof spec.name !== 'string' || spec.name === '') wanted('name', 'to be a non-empty string', spec.name)
  if (!(Number.isSafeInteger(spec.blockSizeBytes) && spec.blockSizeBytes > 0)) wanted('blockSizeBytes', 'to be a positive integer', spec.blockSizeBytes)
  if (!(Number.isSafeInteger(spec.numBlocks) && spec.numBlocks >= 0)) wanted('numBlocks', 'to be an integer from 0 to 2^53-1', spec.numBlocks)
  const md = spec.mdSizeBytes ?? 0
  if (!(Number.isSafeInteger(md) && md >= 0)) wanted('mdSizeBytes', 'to be an integer from 0', md)
  if (spec.mdInterleave === true && md >= spec.blockSizeBytes) wanted('mdSizeBytes', `to leave room for data in blocks of ${spec.blockSizeBytes} bytes`, md)
  const difType = spec.difType ?? DifType.Disable
  if (![DifType.Disable, DifType.Type1, DifType.Type2, DifType.Type3].some(type => type === difType)) wanted('difType', 'to be 0 to 3', difType)
  if (difType !== DifType.Disable && md === 0) wanted('mdSizeBytes', `to hold protection information of type ${difType}`, md)
  if (spec.numBlocks > SIZE_MAX / spec.blockSizeBytes) wanted('numBlocks * blockSizeBytes', 'to be at most 2^53-1', spec.numBlocks * spec.blockSizeBytes)
  for (const entry of ['destruct', 'submitRequest', 'ioTypeSupported', 'getIoChannel'] as const) {
    if (typeof spec.fn?.[entry] !== 'function') wanted(`fn.${entry}`, 'to be a function', typeof spec.fn?.[entry])
  }
  checkLimits(who, spec)
  const align = spec.requiredAlignmentBytes ?? 1
  if (!(align >= 1 && align <= 65_536 && (align & (align - 1)) === 0)) wanted('requiredAlignmentBytes', 'to be a power of two up to 65536', align)
}

/** @throws BdevError EINVAL there can be no such protection information. */
function makeDifContext(bdev: Bdev, module: ModuleRecord, spec: BdevSpec): DifContext | null {
  if (bdev.mdSizeBytes === 0 || (!bdev.mdInterleave && bdev.difType === DifType.Disable)) return null
  try {
    return bdev.host.accel.dif.context(bdev)
  } catch (thrown) {
    throw new BdevError('EINVAL', `register of bdev "${spec.name}" by module "${module.name}": ${(thrown as Error).message}`)
  }
}

/** Asks the module which types it serves; never about one that is younger than the SDK that it was built against. */
function askTypes(module: ModuleRecord, spec: BdevSpec): number {
  let bits = 0
  for (let type = 1; type < IO_TYPE_NAMES.length; type++) {
    const [major, minor] = IO_TYPE_SINCE[type]!
    if (module.sdkMajor < major || (module.sdkMajor === major && module.sdkMinor < minor)) continue
    const answer: unknown = spec.fn.ioTypeSupported(spec.ctx, type)
    if (typeof answer !== 'boolean') {
      throw new BdevError('EINVAL', `ioTypeSupported of module "${module.name}" for bdev "${spec.name}", type ${IO_TYPE_NAMES[type]}: wanted true or false, found ${typeof answer}`)
    }
    if (answer) bits |= 1 << type
  }
  return bits
}
