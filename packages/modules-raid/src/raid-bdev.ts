// SPDX-License-Identifier: Apache-2.0
import { BdevError, IoType } from '@bdevkit/module-sdk'
import type { Bdev, BdevFnTable, BdevHost, IoDevice, JsonObject, RpcCall } from '@bdevkit/module-sdk'
import type { DirtyMapKeeper } from './dirty-keeper.js'
import type { DirtyMap } from './dirty-map.js'
import { levelsByNumber, type RaidLevelEntry } from './levels/index.js'
import type { Journal } from './journal/journal.js'
import type { RaidLevel } from './levels/level.js'
import type { RaidChannel } from './raid-channel.js'
import type { RaidIo } from './raid-io.js'
import { destructRaid, failMembers } from './raid-leave.js'
import { StripeLocks } from './parity/stripe-locks.js'
import { NO_METADATA, RaidMember, type MemberFormat } from './raid-member.js'
import type { RaidModule } from './raid-module.js'
import { Repairs } from './repairs.js'
import type { Rebuild } from './rebuild.js'
import type { Resync } from './resync.js'
import type { Scrub, ScrubResult } from './scrub.js'
import { NAME_BYTES, type Superblock } from './superblock.js'

/** `enum raid_bdev_state`, by the names of the RPC. */
export type RaidState = 'online' | 'configuring' | 'offline'

/** What an array is made of. */
export interface RaidSpec {
  readonly name: string
  readonly level: number
  readonly stripSizeKb: number
  readonly numMembers: number
  readonly superblock: boolean
  /** Default: random. */
  readonly uuid?: string
  /** Whether every write goes through the journal, for a new array of a level that has one; default: as the level has it. */
  readonly journal?: boolean
}

const NO_UUID = '00000000-0000-0000-0000-000000000000'

/** Refuses what no array can be. @throws BdevError EINVAL. */
function levelFor(spec: RaidSpec): RaidLevelEntry {
  const refuse = (why: string): never => {
    throw new BdevError('EINVAL', `raid bdev "${spec.name}": ${why}`)
  }
  if (Buffer.byteLength(spec.name) >= NAME_BYTES) refuse(`wanted a name of at most ${NAME_BYTES - 1} bytes`)
  const entry = levelsByNumber.get(spec.level) ?? refuse(`there is no raid level ${spec.level}`)
  const { level } = entry
  const kb = spec.stripSizeKb
  if (!level.striped && kb !== 0) refuse(`${level.name} has no strips, but strip_size_kb is ${kb}; leave it out`)
  if (level.striped && (kb === 0 || (kb & (kb - 1)) !== 0)) refuse(`wanted strip_size_kb to be a power of two, found ${kb}`)
  if (spec.numMembers < level.membersMin) refuse(`${level.name} needs ${level.membersMin} base bdevs or more, found ${spec.numMembers}`)
  if (spec.journal !== undefined && (level.journal !== 'always' || !spec.superblock)) {
    refuse(`"journal" is for raid5 and raid6 with a superblock, found ${level.name} ${spec.superblock ? 'with' : 'without'} one; leave it out`)
  }
  if (spec.numMembers > 255) refuse(`wanted at most 255 base bdevs, found ${spec.numMembers}`)
  return entry
}

/**
 * An array (`struct raid_bdev`). Changes of its membership go one after the other (`#inTurn`); what the data plane has to know
 * of them is in its channels.
 */
export class RaidBdev {
  readonly host: BdevHost
  readonly module: RaidModule
  readonly name: string
  readonly uuid: string
  readonly level: RaidLevel
  readonly stripSizeKb: number
  readonly superblockEnabled: boolean
  readonly members: RaidMember[] = []
  /** By slot; shared with the channels. */
  readonly dataOffsets: number[] = []
  state: RaidState = 'configuring'
  superblock: Superblock | null = null
  /** Members that are known to work, or expected to. */
  numOperational = 0
  stripSizeBlocks = 0
  /** Of a block, with its metadata where that is interleaved; 0 until the first member is there. */
  blockSizeBytes = 0
  /** Of a block's data. */
  dataBlockSizeBytes = 0
  /** Metadata and protection information of every member. */
  format: MemberFormat = NO_METADATA
  /** Separate metadata of a block; 0 = none. */
  mdSizeBytes = 0
  device: IoDevice<RaidChannel> | null = null
  bdev: Bdev<RaidBdev> | null = null
  /** Regions where copies may differ or parity not fit; `null`: nobody knows. */
  dirtyMap: DirtyMap | null = null
  /** What keeps it on disk. */
  dirtyKeeper: DirtyMapKeeper | null = null
  /** It was found with regions whose writes were interrupted, while every member was there: what is dirty may be torn. */
  torn = false
  /** A resync has failed, and waits for a change of membership. */
  resyncFailed = false
  /** What goes on in the background. */
  process: Rebuild | Resync | Scrub | null = null
  /** What the last check or repair found. */
  lastScrub: ScrubResult | null = null
  /** RESETs under way. */
  resets = 0
  /** Stripes in use, of levels with parity. */
  readonly stripes = new StripeLocks()
  /** What stripe writes go through first; `null` where the level has none, or the array no superblock. */
  journal: Journal | null = null
  /** Something was written that a missing member lacks. */
  missedWrites = false
  /** The superblock's sequence number as it was found; `null` for an array that was created. */
  assembledSeq: number | null = null
  /** Whether a new array is to write everything through its journal. */
  readonly journalWanted: boolean
  /** First block of what the journal gave back at assembly: a rebuild that a restart interrupted does it again. */
  replayedFromBlocks = Infinity
  /** Redundancy may not fit the data anywhere: the journal that knew where is lost. */
  redundancySuspect = false
  /** The function table of its level. */
  readonly fn: BdevFnTable<RaidBdev, RaidChannel, RaidIo>
  /** `bdev_raid_delete` was called. */
  deleting = false
  /** Every member is given back when the bdev goes. */
  releaseAll = false
  /** The removal of the bdev, while it lasts. */
  unregistering: Promise<void> | null = null
  /** Settles as `false` when the bdev is being removed: nobody waits for members any longer. */
  readonly ending: Promise<false>
  /** Ranges that a member could not read. */
  readonly repairs = new Repairs(this)
  #end!: (value: false) => void
  #turn: Promise<unknown> = Promise.resolve()

  /** @throws BdevError EINVAL what no array can be. */
  constructor(module: RaidModule, spec: RaidSpec) {
    const { level, fn } = levelFor(spec)
    this.module = module
    this.host = module.host
    this.name = spec.name
    this.uuid = (spec.uuid ?? crypto.randomUUID()).toLowerCase()
    this.level = level
    this.fn = fn
    this.ending = new Promise(resolve => (this.#end = resolve))
    this.stripSizeKb = spec.stripSizeKb
    this.superblockEnabled = spec.superblock
    this.journalWanted = spec.journal ?? level.journal === 'always'
    for (let slot = 0; slot < spec.numMembers; slot++) {
      this.members.push(new RaidMember(slot))
      this.dataOffsets.push(0)
    }
  }

  get numDiscovered(): number {
    return this.members.filter(({ configured }) => configured).length
  }

  /** The rebuild that goes on, if one does. */
  get rebuild(): Rebuild | null {
    return this.process?.type === 'rebuild' ? this.process : null
  }

  /** Whether all data is there with those members for which `there` holds. */
  worksWith(there: (member: RaidMember) => boolean): boolean {
    return this.level.worksWith(this.members.map(there)) // cold: changes of membership
  }

  /** For messages. */
  get who(): string {
    return `raid bdev "${this.name}"`
  }

  /** Runs `change` after the changes before it. It must not wait for the removal of the bdev, which may wait for it. */
  inTurn<Result>(change: () => Promise<Result>): Promise<Result> {
    const done = this.#turn.then(change)
    this.#turn = done.catch(() => undefined)
    return done
  }

  /** Whether `type` goes to the members: READ and WRITE always, others where the level and all members have them. */
  ioTypeSupported(type: IoType): boolean {
    if (type === IoType.Read || type === IoType.Write) return true
    if (type !== IoType.Reset && !this.level.rangeTypes.includes(type)) return false
    return this.members.every(({ desc }) => desc === null || desc.bdev.ioTypeSupported(type))
  }

  /** Members of the data plane: see `failMembers`. */
  failMembers(slots: readonly number[]): Promise<boolean> {
    return Promise.race([failMembers(this, slots), this.ending])
  }

  /** Whether a write waits until the disks call its regions dirty. */
  get tracksWrites(): boolean {
    return this.dirtyKeeper !== null && this.journal?.always !== true
  }

  /** Members of the data plane: a write has failed, and may have reached some members. */
  writeFailed(offsetBlocks: number, numBlocks: number): void {
    if (this.dirtyMap === null) return
    this.dirtyMap.unsync(offsetBlocks, numBlocks)
    this.host.appThread.sendMsg(processEnded, this)
  }

  /** A member could not be read, and another one could: what it lacks is written to it. */
  repairLater(slot: number, offsetBlocks: number, numBlocks: number): void {
    this.repairs.add(slot, offsetBlocks, numBlocks)
  }

  /** The bdev is being removed, by whomever. */
  removeStarted(): void {
    this.state = 'offline'
    this.#end(false)
    this.process?.stop()
    this.repairs.stop()
  }

  destruct(): Promise<void> {
    return destructRaid(this)
  }

  /** Members of `bdev_raid_get_bdevs`, in SPDK's order. */
  infoJson(): JsonObject {
    return {
      uuid: this.uuid,
      strip_size_kb: this.stripSizeKb,
      state: this.state,
      raid_level: this.level.name,
      superblock: this.superblockEnabled,
      ...(this.journal !== null && this.level.journal === 'always' && { journal: this.journal.always }),
      num_base_bdevs: this.members.length,
      num_base_bdevs_discovered: this.numDiscovered,
      num_base_bdevs_operational: this.numOperational,
      ...this.#processJson(),
      ...(this.lastScrub !== null && { last_scrub: { ...this.lastScrub } }),
      base_bdevs_list: this.members.map(member => ({
        name: member.name,
        uuid: member.uuid ?? NO_UUID,
        is_configured: member.configured,
        data_offset: member.dataOffsetBlocks,
        data_size: member.dataSizeBlocks,
      })),
    }
  }

  /** A member that comes is no less a target before its rebuild has begun: it counts, and its data is not there. */
  #processJson(): JsonObject {
    const coming = this.rebuild === null ? this.members.find(({ configured, target }) => configured && target) : undefined
    if (coming !== undefined) return { process: { type: 'rebuild', target: coming.name, progress: { blocks: 0, percent: 0 } } }
    return this.process === null ? {} : { process: this.process.infoJson() }
  }

  /** The call that makes it again; one with a superblock is found on its members. */
  createCalls(): readonly RpcCall[] {
    if (this.superblockEnabled) return []
    return [{
      method: 'bdev_raid_create',
      params: {
        name: this.name,
        uuid: this.uuid,
        ...(this.stripSizeKb !== 0 && { strip_size_kb: this.stripSizeKb }),
        raid_level: this.level.name,
        base_bdevs: this.members.map(({ name, slot }) => name ?? `removed_base_bdev_${slot}`),
      },
    }]
  }
}

function processEnded(raid: RaidBdev): void {
  raid.module.processEnded(raid)
}
