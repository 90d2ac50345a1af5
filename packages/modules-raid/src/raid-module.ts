// SPDX-License-Identifier: Apache-2.0
import { BdevError } from '@bdevkit/module-sdk'
import type { Bdev, BdevHost, RpcCall } from '@bdevkit/module-sdk'
import { afterDegraded } from './journal/degrading.js'
import { levelsByName } from './levels/index.js'
import { RaidBdev } from './raid-bdev.js'
import { configureMember, startTorn } from './raid-configure.js'
import { offerFormer } from './raid-examine.js'
import { deleteRaid, removeMember } from './raid-leave.js'
import type { RaidMember } from './raid-member.js'
import { startResync } from './resync.js'
import type { RaidCreateParams, RaidOptions } from './rpc.js'
import { Spares } from './spares.js'

/** Default of `dirty_region_size_kb`: large enough that few writes of a stream meet a clean region, small enough to resync at once. */
const DIRTY_REGION_SIZE_KB = 16_384

/** The arrays of one host. */
export class RaidModule {
  readonly host: BdevHost
  /** In the order in which they were made. */
  readonly raids: RaidBdev[] = []
  readonly spares: Spares
  options: RaidOptions = {
    process_window_size_kb: 1024,
    process_max_bandwidth_mb_sec: 0,
    dirty_region_size_kb: DIRTY_REGION_SIZE_KB,
    start_dirty_degraded: false,
  }
  /** The host shuts down. */
  finishing = false
  #chain: Promise<unknown> = Promise.resolve()

  constructor(host: BdevHost) {
    this.host = host
    this.spares = new Spares(this)
  }

  /** Examinations with a superblock go one after the other: two members of one array appear together. */
  oneByOne<Result>(step: () => Promise<Result>): Promise<Result> {
    const done = this.#chain.then(step)
    this.#chain = done.catch(() => undefined)
    return done
  }

  /** @throws BdevError EEXIST an array has the name. */
  add(raid: RaidBdev): RaidBdev {
    if (this.raids.some(({ name }) => name === raid.name)) throw new BdevError('EEXIST', `${raid.who}: there is one of that name already`)
    this.raids.push(raid)
    return raid
  }

  forget(raid: RaidBdev): void {
    const at = this.raids.indexOf(raid)
    if (at >= 0) this.raids.splice(at, 1)
  }

  /** A resync may have waited for the end of another process. */
  processEnded(raid: RaidBdev): void {
    startResync(raid)
  }

  /** A rebuild has ended: another member may wait for one. What has failed is not tried again by itself. */
  rebuildEnded(raid: RaidBdev, whole: boolean): void {
    raid.resyncFailed = false
    if (whole && raid.journal !== null) void afterDegraded(raid.journal)
    this.processEnded(raid)
    void this.spares.fill(raid).then(() => (whole ? offerFormer(this, raid) : undefined))
  }

  /** What was not started may be now. */
  async optionsChanged(): Promise<void> {
    if (!this.options.start_dirty_degraded) return
    for (const raid of [...this.raids]) await startTorn(raid)
  }

  /** Tells operators what became of an array. */
  notice(raid: RaidBdev, what: string): void {
    this.host.log.notice(`${raid.who} ${what}`)
  }

  /** The array and the slot that hold `bdev`. */
  memberOf(bdev: Bdev): { raid: RaidBdev; member: RaidMember } | undefined {
    for (const raid of this.raids) {
      const member = raid.members.find(({ desc }) => desc?.bdev === bdev)
      if (member !== undefined) return { raid, member }
    }
    return undefined
  }

  find(name: string): RaidBdev | undefined {
    return this.raids.find(raid => raid.name === name)
  }

  /** `bdev_raid_create`. */
  async create(params: RaidCreateParams): Promise<true> {
    const { base_bdevs: names } = params
    const raid = this.add(new RaidBdev(this, {
      name: params.name,
      level: levelsByName.get(params.raid_level.toLowerCase())!.number,
      stripSizeKb: params.strip_size_kb ?? 0,
      numMembers: names.length,
      superblock: params.superblock ?? false,
      ...(params.uuid !== undefined && { uuid: params.uuid }),
      ...(params.journal !== undefined && { journal: params.journal }),
    }))
    raid.numOperational = names.length
    for (const member of raid.members) member.name = names[member.slot]
    try {
      await raid.inTurn(async () => {
        for (const member of raid.members) {
          try {
            await configureMember(raid, member, false)
          } catch (thrown) {
            if ((thrown as BdevError).code !== 'ENODEV') throw thrown
            member.name = names[member.slot]
          }
        }
      })
    } catch (thrown) {
      await deleteRaid(raid, true)
      throw thrown
    }
    return true
  }

  /**
   * `bdev_raid_add_base_bdev`. `begin` is called when nothing is in the way any more.
   * @throws BdevError EPERM another one is being rebuilt; EINVAL no slot is empty; what `configureMember` throws.
   */
  async addMember(raid: RaidBdev, name: string, begin?: () => void): Promise<true> {
    await raid.inTurn(async () => {
      if (raid.rebuild !== null) fail('EPERM', `${raid.who}: a rebuild is under way; add bdev "${name}" when it has ended`)
      const uuid = raid.state === 'configuring' ? this.host.bdevByName(name)?.uuid : undefined
      const empty = raid.members.filter(member => member.name === null)
      const member = empty.find(one => one.uuid !== null && one.uuid === uuid) ?? empty.find(one => one.uuid === null)
      if (member === undefined) fail('EINVAL', `${raid.who}: it has no empty slot for bdev "${name}"`)
      begin?.()
      member.name = name
      try {
        await configureMember(raid, member, false)
      } catch (thrown) {
        if ((thrown as BdevError).code === 'ENODEV' && raid.state === 'configuring') member.name = name
        else if (member.desc === null) member.name = null
        throw thrown
      }
    })
    return true
  }

  /** `bdev_raid_remove_base_bdev`, of a spare, too. @throws BdevError ENODEV no such bdev, or no member. */
  async removeMember(name: string): Promise<true> {
    if (this.spares.remove(name)) return true
    const bdev = this.host.bdevByName(name) ?? fail('ENODEV', `there is no bdev "${name}"`)
    const { raid, member } = this.memberOf(bdev) ?? fail('ENODEV', `bdev "${name}" is a member of no raid bdev`)
    await removeMember(raid, member)
    return true
  }

  /** The host shuts down: arrays that are not online let their members go. */
  finiStart(): void {
    this.finishing = true
    this.spares.close()
    for (const raid of [...this.raids]) {
      if (raid.state === 'online' || raid.bdev !== null) continue
      for (const member of raid.members) member.release(true)
    }
  }

  moduleFini(): void {
    this.raids.length = 0
  }

  configJson(): readonly RpcCall[] {
    const { options } = this
    // SPDK takes the configuration, too, as long as it has nothing that only we know.
    const { dirty_region_size_kb: regionSizeKb, start_dirty_degraded: startTornArrays, ...known } = options
    const params = {
      ...known,
      ...(regionSizeKb !== DIRTY_REGION_SIZE_KB && { dirty_region_size_kb: regionSizeKb }),
      ...(startTornArrays && { start_dirty_degraded: true }),
    }
    return [{ method: 'bdev_raid_set_options', params }, ...this.spares.calls()]
  }
}

function fail(code: 'ENODEV' | 'EINVAL' | 'EPERM', message: string): never {
  throw new BdevError(code, message)
}
