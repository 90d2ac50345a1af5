// SPDX-License-Identifier: Apache-2.0
// What goes on in the background: a member is rebuilt, and single ranges are repaired.
import { BdevError, PollerRc } from '@bdevkit/module-sdk'
import type { BdevIo, DescChannel, DmaBuffer, Iov, JsonObject, Poller } from '@bdevkit/module-sdk'
import { borrowBase, flushBase, readBase, writeBase, type BaseMd } from './base-io.js'
import type { RaidBdev } from './raid-bdev.js'
import { rebuildDone } from './raid-configure.js'
import type { RaidMember } from './raid-member.js'
import { EntryState } from './superblock.js'
import { leave } from './raid-leave.js'
import { saveProgress } from './record-io.js'

/** How often a rebuild writes down how far it has come, in milliseconds. */
const SAVE_PROGRESS_MS = 1000
/** Ranges that wait for their repair, at most: beyond, the next read that fails asks again. */
const REPAIRS_MAX = 64

/** Buffers of metadata are counted from here. */
const MD_BUFFERS = 256

/** A range of a member's data, in memory: the member's own, or a buffer. */
interface Piece {
  readonly buf: Uint8Array
  readonly off: number
  /** Separate metadata, where the array has it. */
  readonly md?: BaseMd
  /** What lends it, to be freed. */
  readonly lender: BdevIo | null
}

/** A range of a member's data. */
export interface MemberPart {
  readonly member: RaidMember
  readonly offsetBlocks: number
  readonly numBlocks: number
}

/** The same ranges, those that follow one another on one member as one. */
function joined(parts: readonly MemberPart[]): MemberPart[] {
  const out: MemberPart[] = []
  for (const part of parts) {
    const last = out.at(-1)
    const follows = last !== undefined && last.member === part.member && last.offsetBlocks + last.numBlocks === part.offsetBlocks
    if (follows) out[out.length - 1] = { ...last, numBlocks: last.numBlocks + part.numBlocks }
    else out.push(part)
  }
  return out
}

/** A level's hold on the members while it makes one member's part of a range anew. One range at a time. */
export class RebuildJob {
  readonly raid: RaidBdev
  readonly target: RaidMember
  readonly numMembers: number
  /** What the target is to have. */
  #piece: Piece | null = null
  readonly #buffers = new Map<number, DmaBuffer>()
  readonly #iovs: Iov[]

  constructor(raid: RaidBdev, target: RaidMember) {
    this.raid = raid
    this.target = target
    this.numMembers = raid.members.length
    this.#iovs = raid.host.allocIovs(this.numMembers)
  }

  /**
   * Reads a range of any member's data.
   * @throws BdevError EIO none could be read.
   */
  readAny(offsetBlocks: number, numBlocks: number): Promise<void> {
    return this.readFrom(this.raid.members, offsetBlocks, numBlocks)
  }

  /**
   * Reads a range of the data of one of `members`, the first that can be read.
   * @throws BdevError EIO none could be read.
   */
  async readFrom(members: readonly RaidMember[], offsetBlocks: number, numBlocks: number): Promise<void> {
    let failure: unknown = new BdevError('EIO', `${this.raid.who}: no member is left to read from`)
    for (const source of this.#sources(members)) {
      try {
        this.#piece = await this.#read(source, offsetBlocks, numBlocks, 0)
        return
      } catch (thrown) {
        failure = thrown
      }
    }
    throw failure
  }

  /**
   * Reads ranges of the data of several members, one behind the other.
   * @throws BdevError EIO one could not be read.
   */
  async readParts(ranges: readonly MemberPart[]): Promise<void> {
    const parts = joined(ranges)
    if (parts.length === 1) return this.readFrom([parts[0].member], parts[0].offsetBlocks, parts[0].numBlocks)
    const { who, blockSizeBytes, mdSizeBytes } = this.raid
    const numBlocks = parts.reduce((sum, part) => sum + part.numBlocks, 0)
    const data = this.#buffer(0, numBlocks * blockSizeBytes)
    const md = mdSizeBytes === 0 ? undefined : this.#buffer(MD_BUFFERS, numBlocks * mdSizeBytes)
    let at = 0
    const reads = parts.map(part => {
      const [source] = this.#sources([part.member])
      if (source === undefined) throw new BdevError('EIO', `${who}: the member in slot ${part.member.slot} is not there to read from`)
      const beside = md && { buf: md.buf, off: md.off + at * mdSizeBytes }
      const read = { ...source, ...part, off: data.off + at * blockSizeBytes, beside }
      at += part.numBlocks
      return read
    })
    const results = await Promise.allSettled(reads.map(read =>
      readBase(read.leg, data.buf, read.off, read.dataOffsetBlocks + read.offsetBlocks, read.numBlocks, read.beside)))
    const failed = results.find(result => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    this.#piece = { buf: data.buf, off: data.off, lender: null, ...(md !== undefined && { md }) }
  }

  /**
   * Reads the same range of every other member's data, and takes their xor.
   * @throws BdevError EIO one is missing, or could not be read.
   */
  async readXor(offsetBlocks: number, numBlocks: number): Promise<void> {
    const sources = this.#sources(this.raid.members)
    if (sources.length !== this.numMembers - 1) throw new BdevError('EIO', `${this.raid.who}: ${sources.length} of ${this.numMembers - 1} other members are there to read from`)
    const results = await Promise.allSettled(sources.map((source, i) => this.#read(source, offsetBlocks, numBlocks, i + 1)))
    const pieces = results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
    const failed = results.find(result => result.status === 'rejected')
    if (failed === undefined) this.#piece = this.#xor(pieces, numBlocks)
    for (const { lender } of pieces) lender?.free()
    if (failed !== undefined) throw failed.reason
  }

  #xor(pieces: readonly Piece[], numBlocks: number): Piece {
    const { accel } = this.raid.host
    const lengthBytes = numBlocks * this.raid.blockSizeBytes
    for (const [i, { buf, off }] of pieces.entries()) Object.assign(this.#iovs[i], { buf, off, len: lengthBytes })
    const into = this.#buffer(0, lengthBytes)
    accel.xorInto(into.buf, into.off, this.#iovs, pieces.length, lengthBytes)
    const mdBytes = numBlocks * this.raid.mdSizeBytes
    if (mdBytes === 0) return { buf: into.buf, off: into.off, lender: null }
    for (const [i, { md }] of pieces.entries()) Object.assign(this.#iovs[i], { ...md, len: mdBytes })
    const intoMd = this.#buffer(MD_BUFFERS, mdBytes)
    accel.xorInto(intoMd.buf, intoMd.off, this.#iovs, pieces.length, mdBytes)
    return { buf: into.buf, off: into.off, md: intoMd, lender: null }
  }

  /** Writes what was read to a range of the target's data. @throws BdevError EIO. */
  async writeTarget(offsetBlocks: number, numBlocks: number): Promise<void> {
    const { leg, dataOffsetBlocks, name } = this.target
    if (leg === null) throw new BdevError('ENODEV', `${this.raid.who}: bdev "${name}" is gone`)
    const { buf, off, md } = this.#piece!
    await writeBase(leg, buf, off, dataOffsetBlocks + offsetBlocks, numBlocks, md)
  }

  /** Makes what was written to the target last. @throws BdevError EIO. */
  async flushTarget(): Promise<void> {
    const { leg, name } = this.target
    if (leg === null) throw new BdevError('ENODEV', `${this.raid.who}: bdev "${name}" is gone`)
    await flushBase(leg)
  }

  /** The range is done: what was lent goes back. */
  rangeDone(): void {
    this.#piece?.lender?.free()
    this.#piece = null
  }

  /** Gives the memory back. */
  free(): void {
    for (const buffer of this.#buffers.values()) this.raid.host.dma.free(buffer)
    this.#buffers.clear()
  }

  #sources(members: readonly RaidMember[]): { leg: DescChannel; dataOffsetBlocks: number }[] {
    return members
      .filter(member => member !== this.target && member.inSync)
      .map(({ leg, dataOffsetBlocks }) => ({ leg: leg!, dataOffsetBlocks }))
  }

  /** A member that lends its memory is not copied. */
  async #read(source: { leg: DescChannel; dataOffsetBlocks: number }, offsetBlocks: number, numBlocks: number, index: number): Promise<Piece> {
    const { leg, dataOffsetBlocks } = source
    if (leg.bdev.lendsReadBuffers && this.raid.mdSizeBytes === 0) {
      const lender = await borrowBase(leg, dataOffsetBlocks + offsetBlocks, numBlocks)
      const { buf, off, len } = lender.iovs[0]
      if (lender.iovCnt === 1 && len === numBlocks * leg.bdev.blockSizeBytes) return { buf, off, lender }
      lender.free()
    }
    const { buf, off } = this.#buffer(index, numBlocks * this.raid.blockSizeBytes)
    const md = this.raid.mdSizeBytes === 0 ? undefined : this.#buffer(MD_BUFFERS + index, numBlocks * this.raid.mdSizeBytes)
    await readBase(leg, buf, off, dataOffsetBlocks + offsetBlocks, numBlocks, md)
    return { buf, off, lender: null, ...(md !== undefined && { md }) }
  }

  /** A buffer for the member with that index, as large as it has to be. */
  #buffer(index: number, lengthBytes: number): DmaBuffer {
    const known = this.#buffers.get(index)
    if (known !== undefined && known.len >= lengthBytes) return known
    if (known !== undefined) this.raid.host.dma.free(known)
    this.#buffers.delete(index)
    const buffer = this.raid.host.dma.alloc(lengthBytes, 4096)
    if (buffer === undefined) throw new BdevError('ENOMEM', `${this.raid.who}: no memory for a window of ${lengthBytes} bytes; make process_window_size_kb smaller`)
    this.#buffers.set(index, buffer)
    return buffer
  }
}

/** Makes one range of one member anew, with no other I/O to it meanwhile. */
async function makeAnew(job: RebuildJob, offsetBlocks: number, numBlocks: number): Promise<void> {
  const { raid } = job
  await raid.host.quiesceRange(raid.bdev!, offsetBlocks, numBlocks)
  try {
    await raid.level.rebuildWindow!(job, offsetBlocks, numBlocks)
  } finally {
    job.rangeDone()
    await raid.host.unquiesceRange(raid.bdev!, offsetBlocks, numBlocks)
  }
}

/** A rebuild (`struct raid_bdev_process`): window by window, from the first block to the last. */
export class Rebuild {
  readonly raid: RaidBdev
  readonly target: RaidMember
  /** Where the next window begins: what is below is done. */
  offsetBlocks = 0
  readonly #job: RebuildJob
  readonly #poller: Poller
  readonly #ended: Promise<void>
  #end!: () => void
  #stopping = false
  #paused = false
  /** Continues the loop, where it waits. */
  #wake: (() => void) | null = null
  #dueMs = 0
  #savedMs: number
  /** Of the target, which may leave before the end. */
  readonly #name: string | null
  #shownPercent = 0

  constructor(raid: RaidBdev, target: RaidMember, offsetBlocks = 0) {
    this.raid = raid
    this.target = target
    this.offsetBlocks = offsetBlocks
    this.#job = new RebuildJob(raid, target)
    this.#savedMs = raid.host.nowMs()
    this.#name = target.name
    this.#ended = new Promise(resolve => (this.#end = resolve))
    this.#poller = raid.host.appThread.registerPoller(onTimer, this, Infinity, `${raid.name}_rebuild`)
  }

  get paused(): boolean {
    return this.#paused
  }

  get percent(): number {
    return Math.floor((this.offsetBlocks * 100) / this.raid.bdev!.numBlocks)
  }

  /** As `bdev_raid_get_bdevs` has it. */
  infoJson(): JsonObject {
    return {
      type: 'rebuild',
      target: this.#name,
      progress: { blocks: this.offsetBlocks, percent: this.percent },
      ...(this.#paused && { paused: true }),
    }
  }

  /** After the window under way; how far it has come is written down. */
  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.wake()
  }

  /** Ends it where it is. */
  stop(): void {
    this.#stopping = true
    this.wake()
  }

  /** Ends it; settles when none of its I/O is under way. */
  stopped(): Promise<void> {
    this.stop()
    return this.#ended
  }

  /** Continues where it waits. */
  wake(): void {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }

  /** From here to the end. Never rejects. */
  async run(): Promise<void> {
    const { raid, target } = this
    const from = this.offsetBlocks === 0 ? '' : `, from block ${this.offsetBlocks} on, where a restart stopped it`
    raid.module.notice(raid, `rebuilds base bdev "${target.name}" in slot ${target.slot}${from}`)
    let failure: unknown
    try {
      await this.#windows()
    } catch (thrown) {
      failure = thrown
    }
    this.#job.free()
    this.#poller.unregister()
    this.#end()
    await raid.inTurn(() => this.#conclude(failure)).catch((thrown: unknown) => {
      raid.host.log.error(`${raid.who}: the end of a rebuild: ${(thrown as Error).message}`)
    })
  }

  async #windows(): Promise<void> {
    const { raid } = this
    while (!this.#stopping && this.offsetBlocks < raid.bdev!.numBlocks) {
      if (this.#paused) {
        await this.#save()
        await this.#wait(Infinity)
        continue
      }
      if (this.#dueMs > raid.host.nowMs()) {
        await this.#wait(this.#dueMs)
        continue
      }
      const numBlocks = Math.min(this.#windowBlocks(), raid.bdev!.numBlocks - this.offsetBlocks)
      this.#pay(numBlocks)
      await makeAnew(this.#job, this.offsetBlocks, numBlocks)
      this.offsetBlocks += numBlocks
      this.#show()
      if (raid.host.nowMs() >= this.#savedMs + SAVE_PROGRESS_MS) await this.#save()
    }
    // Before the superblock calls it good, it is: host I/O may have been flushed when it was not there.
    if (!this.#stopping) await this.#job.flushTarget()
    else if (this.target.leaving === null) await this.#save()
  }

  /** Writes down how far it has come: after a restart it goes on there. */
  async #save(): Promise<void> {
    await saveProgress(this.raid, this.target, this.offsetBlocks)
    this.#savedMs = this.raid.host.nowMs()
  }

  /** Whole units of the level, one at least. */
  #windowBlocks(): number {
    const { raid } = this
    const wanted = Math.ceil((raid.module.options.process_window_size_kb * 1024) / raid.dataBlockSizeBytes)
    const unit = raid.level.rebuildUnitBlocks!(raid.members.length, raid.stripSizeBlocks)
    return Math.max(1, Math.floor(wanted / unit)) * unit
  }

  /** Bandwidth: when the next window may begin. */
  #pay(numBlocks: number): void {
    const mbPerS = this.raid.module.options.process_max_bandwidth_mb_sec
    if (mbPerS === 0) return
    const ms = (numBlocks * this.raid.blockSizeBytes) / (mbPerS * 1024 * 1024) * 1000
    this.#dueMs = Math.max(this.#dueMs, this.raid.host.nowMs()) + ms
  }

  #wait(dueMs: number): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
      if (dueMs !== Infinity) this.#poller.runAt(dueMs)
      else if (!this.#paused || this.#stopping) this.wake()
    })
  }

  /** A line for each tenth. */
  #show(): void {
    const { raid, percent } = this
    if (percent < this.#shownPercent + 10) return
    this.#shownPercent = percent - (percent % 10)
    if (percent < 100) raid.module.notice(raid, `rebuild of "${this.target.name}": ${this.#shownPercent}%`)
  }

  async #conclude(failure: unknown): Promise<void> {
    const { raid, target } = this
    const stays = (): boolean => raid.state === 'online' && target.configured && target.leaving === null
    const whole = stays() && failure === undefined && !this.#stopping && (await rebuildDone(raid, target))
    raid.rebuild = null
    if (raid.state !== 'online') return
    const where = `base bdev "${this.#name}" in slot ${target.slot}`
    if (whole) {
      raid.module.notice(raid, `has rebuilt ${where}; ${raid.numDiscovered} of ${raid.members.length} members take part`)
    } else {
      const why = failure === undefined ? 'it was stopped' : (failure as Error).message
      raid.host.log.error(`${raid.who}: the rebuild of ${where} ended at block ${this.offsetBlocks}: ${why}`)
      if (stays()) await leave(raid, target, EntryState.Missing)
    }
    raid.module.rebuildEnded(raid, whole)
  }
}

function onTimer(rebuild: Rebuild): PollerRc {
  rebuild.wake()
  return PollerRc.Busy
}

/** What members could not read, and others could: it is written to them again, one range after the other. */
export class Repairs {
  readonly #raid: RaidBdev
  readonly #waiting: { slot: number; offsetBlocks: number; numBlocks: number }[] = []
  #running: Promise<void> | null = null

  constructor(raid: RaidBdev) {
    this.#raid = raid
  }

  add(slot: number, offsetBlocks: number, numBlocks: number): void {
    if (this.#waiting.length >= REPAIRS_MAX || this.#raid.state !== 'online') return
    const unit = this.#raid.level.rebuildUnitBlocks!(this.#raid.members.length, this.#raid.stripSizeBlocks)
    const first = offsetBlocks - (offsetBlocks % unit)
    const end = Math.ceil((offsetBlocks + numBlocks) / unit) * unit
    if (this.#waiting.some(one => one.slot === slot && one.offsetBlocks === first)) return
    this.#waiting.push({ slot, offsetBlocks: first, numBlocks: end - first })
    this.#running ??= this.#run().finally(() => (this.#running = null))
  }

  stop(): void {
    this.#waiting.length = 0
  }

  /** Settles when none is under way. */
  async stopped(): Promise<void> {
    this.stop()
    await this.#running
  }

  async #run(): Promise<void> {
    const raid = this.#raid
    for (let one = this.#waiting[0]; one !== undefined; one = this.#waiting[0]) {
      const member = raid.members[one.slot]
      const where = `${raid.who}: bdev "${member.name}" could not read blocks ${one.offsetBlocks} to ${one.offsetBlocks + one.numBlocks - 1} of the array`
      const job = new RebuildJob(raid, member)
      try {
        if (member.inSync && raid.state === 'online') {
          await makeAnew(job, one.offsetBlocks, one.numBlocks)
          await job.flushTarget()
          raid.host.log.warn(`${where}; they were written anew from the others`)
        }
      } catch (thrown) {
        raid.host.log.error(`${where}, and they cannot be written anew: ${(thrown as Error).message}`)
        void raid.failMembers([one.slot])
      }
      job.free()
      this.#waiting.shift()
    }
  }
}
