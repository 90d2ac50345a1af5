// SPDX-License-Identifier: Apache-2.0
// Keeps the dirty map on the members. Two copies are written in turn, and each is bound to a sequence number of the superblock:
// before a superblock with a new number is written, a copy with that number is. One record is written at a time.
import { IoStatus, PollerRc } from '@bdevkit/module-sdk'
import type { BdevIo, Poller } from '@bdevkit/module-sdk'
import { flushBase } from './base-io.js'
import type { DirtyMap } from './dirty-map.js'
import { encodeDirtyRecord } from './dirty-record.js'
import { encodeRecord } from './own-record.js'
import type { RaidBdev } from './raid-bdev.js'
import { resumeWrite, type RaidIo } from './raid-io.js'
import type { RaidMember } from './raid-member.js'
import { writeRecord } from './record-io.js'
import { EntryState } from './superblock.js'

/** How often regions that are not written any more get clean. */
const SWEEP_US = 5_000_000

/** What writes down the dirty map of an array that has a superblock. */
export class DirtyMapKeeper {
  readonly #raid: RaidBdev
  readonly #map: DirtyMap
  readonly #poller: Poller
  /** Of the record that was written last. */
  #generation: number
  #seqNumber = 0
  #turn: Promise<unknown> = Promise.resolve()
  #marking = false
  /** The map is clean with the next superblock. */
  #forgets = false
  #sweeping: Promise<void> | null = null
  #closed = false
  /** Members whose answer nobody waits for once they begin to leave: they may hang. */
  readonly #leaving = new Map<RaidMember, PromiseWithResolvers>()

  constructor(raid: RaidBdev, map: DirtyMap, generation: number) {
    this.#raid = raid
    this.#map = map
    this.#generation = generation
    map.wanted = () => raid.host.appThread.sendMsg(markWanted, this) // cold: once for a region that was clean
    this.#poller = raid.host.appThread.registerPoller(onSweep, this, SWEEP_US, `${raid.name}_dirty_map`)
  }

  /**
   * Writes the map for a superblock with a new number, and then that: `save` is told the members that refused the map. After a
   * crash in between either number finds its map.
   */
  rebind<Result>(seqNumber: number, save: (refused: readonly number[]) => Promise<Result>): Promise<Result> {
    return this.#inTurn(async () => {
      this.#seqNumber = seqNumber
      if (this.#forgets) this.#map.cleanAll()
      this.#forgets = false
      const refused: number[] = []
      await this.#put(refused)
      return save(refused)
    })
  }

  /** Everything is in place and flushed: what is not to be resynced is clean with the next superblock, and not before. */
  forget(): void {
    this.#forgets = true
  }

  /** Before the array has another size. Regions that grow are dirty as a whole where a part of them was. */
  resize(numBlocks: number): Promise<void> {
    return this.#inTurn(() => {
      this.#map.resize(numBlocks)
      return this.#putMarks()
    })
  }

  /** Writes down what writes wait for. */
  mark(): void {
    if (!this.#marking) void this.#mark()
  }

  /** Regions that were not written for a while get clean, where every member is there. */
  sweep(): void {
    if (this.#closed || !this.#isWhole()) return
    this.#sweeping ??= this.#sweep().finally(() => (this.#sweeping = null))
  }

  /** A member begins to leave. */
  memberLeaves(member: RaidMember): void {
    this.#leaving.get(member)?.resolve()
    this.#leaving.delete(member)
  }

  /** No sweep begins any more. */
  stop(): void {
    if (!this.#closed) this.#poller.unregister()
    this.#closed = true
  }

  /** The bdev has no channel any more. Where all went well, everything is clean. Never rejects. */
  async close(): Promise<void> {
    this.stop()
    await this.#sweeping
    await this.#turn
    if (this.#raid.members.some(({ gone }) => gone) || !this.#map.isDirty) return
    try {
      await this.#flush()
      this.#map.cleanAll()
      await this.#inTurn(() => this.#put([], !this.#raid.torn))
    } catch (thrown) {
      this.#raid.host.log.warn(`${this.#raid.who}: it is compared anew when it is found again: ${(thrown as Error).message}`)
    }
  }

  /** Never rejects. */
  async #mark(): Promise<void> {
    this.#marking = true
    while (this.#map.hasWaiting) {
      await this.#inTurn(() => {
        this.#map.beginMarking()
        return this.#putMarks()
      })
    }
    this.#marking = false
  }

  /** Writes the map; what waited for that goes on. */
  async #putMarks(): Promise<void> {
    const refused: number[] = []
    const marked = await this.#put(refused)
    for (const io of this.#map.endMarking(marked)) io.thread.execMsg(marked ? resumeWrite : failWrite, io)
    // Not waited for: that waits for its turn, which may wait for this.
    if (refused.length > 0) void this.#raid.failMembers(refused)
  }

  async #sweep(): Promise<void> {
    const { host, bdev } = this.#raid
    const ranges = this.#map.beginCleaning()
    if (ranges.length === 0) return
    try {
      // Writes that have been under way since before end here; later ones find their region dirty again.
      for (const { offsetBlocks, numBlocks } of ranges) {
        await host.quiesceRange(bdev!, offsetBlocks, numBlocks)
        await host.unquiesceRange(bdev!, offsetBlocks, numBlocks)
      }
      await this.#flush()
    } catch (thrown) {
      this.#map.endCleaning(false)
      if (!this.#closed) host.log.info(`${this.#raid.who}: regions stay dirty: ${(thrown as Error).message}`)
      return
    }
    await this.#inTurn(() => {
      this.#map.endCleaning(this.#isWhole())
      return this.#putMarks()
    })
  }

  /** As long as a member is missing, what it will have missed stays dirty. */
  #isWhole(): boolean {
    return this.#raid.members.every(({ configured, leaving }) => configured && leaving === null)
  }

  /**
   * Writes the map to every member that takes part. Answers whether one in sync has it: the newest there is counts, and an array
   * is not assembled without one of those that its superblock calls good. Adds those that refuse it to `refused`.
   */
  async #put(refused: number[], clean = false): Promise<boolean> {
    const raid = this.#raid
    const { regionBlocks, numRegions } = this.#map
    const generation = ++this.#generation
    const degraded = raid.members.some(({ slot }) => !raid.superblock!.entries.some(entry => entry.slot === slot && entry.state === EntryState.Configured))
    const kind = generation % 2 === 0 ? 'dirtyMapA' : 'dirtyMapB'
    const payload = encodeDirtyRecord({ generation, regionBlocks, numRegions, degraded, clean, bits: this.#map.bits() })
    const record = encodeRecord(kind, { raidUuid: raid.uuid, seqNumber: this.#seqNumber }, payload)
    let kept = false
    await this.#onEach(async member => {
      try {
        await writeRecord(member.leg!, kind, record)
        kept ||= member.inSync
      } catch (thrown) {
        raid.host.log.error(`${raid.who}: the dirty map could not be written to bdev "${member.name}": ${(thrown as Error).message}`)
        refused.push(member.slot)
      }
    })
    return kept
  }

  /** @throws BdevError EIO. */
  #flush(): Promise<void> {
    return this.#onEach(({ leg }) => flushBase(leg!))
  }

  /** What begins to leave is not waited for. */
  async #onEach(work: (member: RaidMember) => Promise<void>): Promise<void> {
    const members = this.#raid.members.filter(({ configured, leaving }) => configured && leaving === null)
    await Promise.all(members.map(member => Promise.race([work(member), this.#left(member)])))
  }

  #left(member: RaidMember): Promise<void> {
    let leaving = this.#leaving.get(member)
    if (leaving === undefined) this.#leaving.set(member, (leaving = promiseWithResolvers()))
    return leaving.promise
  }

  #inTurn<Result>(step: () => Promise<Result>): Promise<Result> {
    const done = this.#turn.then(step)
    this.#turn = done.catch(() => undefined)
    return done
  }
}

interface PromiseWithResolvers {
  readonly promise: Promise<void>
  readonly resolve: () => void
}

function promiseWithResolvers(): PromiseWithResolvers {
  let resolve!: () => void
  const promise = new Promise<void>(settle => (resolve = settle))
  return { promise, resolve }
}

function markWanted(keeper: DirtyMapKeeper): void {
  keeper.mark()
}

function onSweep(keeper: DirtyMapKeeper): PollerRc {
  keeper.sweep()
  return PollerRc.Idle
}

function failWrite(io: BdevIo<RaidIo>): void {
  io.complete(IoStatus.Failed)
}
