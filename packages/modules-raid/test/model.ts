// SPDX-License-Identifier: Apache-2.0
// Random sequences of I/O, failures, removals, rebuilds and crashes on one array, held against what each block may be.
import { BdevEventType, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevDesc, BdevIo, DescChannel } from '@bdevkit/module-sdk'
import { BLOCK_BYTES, stamp, versionOf } from './model-blocks.js'
import { carryOut, Disk, type Rig } from './support.js'

/** What the model has to know of a level. */
export interface ModelLevel {
  readonly level: string
  readonly numMembers: number
  /** Whether it has all its data with the members that are there, by slot. */
  worksWith(there: readonly boolean[]): boolean
  /** Parameters of `bdev_raid_create`. */
  readonly params: object
  /** Blocks that writes come in. */
  readonly writeUnitBlocks: number
  /** Whether what a crash may have torn takes the redundancy of its regions, until they are resynced. */
  readonly crashTakesRedundancy?: boolean
  /** What does not agree on the members' data, of blocks of `BLOCK_BYTES`; `undefined` where all does. Levels without redundancy have none. */
  readonly disagreement?: (data: readonly Uint8Array[]) => string | undefined
}

/** Blocks before the data of a member with a superblock. */
const DATA_OFFSET = 256
const DATA_BLOCKS = 24
const OUTSTANDING_MAX = 6

/** mulberry32. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state + 0x6d2b_79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

/** One block: versions that a read may answer now, and after a crash. Version 0 is zeros. */
class Block {
  legal = new Set([0])
  afterCrash = new Set([0])
  /** An I/O to it is under way: the sequence keeps others away. */
  busy = 0
  /** What it was read as, of several that it may be: that does not change as long as no member leaves and nobody writes it. */
  seen: number | undefined
}

interface Flight {
  readonly type: number
  readonly first: number
  readonly count: number
  readonly version: number
  readonly buf: Uint8Array
  /** For FLUSH: what every block may be, when it was sent. */
  readonly before: readonly Set<number>[]
  /** How many members had left when it was sent. */
  readonly leaves: number
  readonly run: Sequence
}

/** One sequence. */
export class Sequence {
  readonly #rig: Rig
  readonly #level: ModelLevel
  readonly #random: (below: number) => number
  readonly #name: string
  #disks: Disk[] = []
  #blocks: Block[] = []
  #held: BdevIo[] = []
  #flights = new Set<Flight>()
  #leaves = 0
  #version = 0
  /** A resync may not have ended since power went. */
  #doubtful = false
  #desc: BdevDesc | null = null
  #channel: DescChannel | null = null
  /** Something that the sequence has found wrong, from a callback. */
  #wrong: string | undefined
  readonly #story: string[] = []

  constructor(rig: Rig, level: ModelLevel, seed: number) {
    this.#rig = rig
    this.#level = level
    this.#random = randomFrom(seed)
    this.#name = `${level.level}_${seed}`
  }

  /** What it did, for whoever looks for the reason of a failure. */
  get story(): string {
    return this.#story.join('\n')
  }

  async run(): Promise<void> {
    for (let i = 0; i < this.#level.numMembers; i++) this.#disks.push(this.#newDisk(`${this.#name}_m${i}`))
    for (const disk of this.#disks) await this.#whilePumping(this.#rig.plug(disk))
    await this.#whilePumping(this.#rig.rpc('bdev_raid_create', {
      name: this.#name, raid_level: this.#level.level, superblock: true, base_bdevs: this.#disks.map(({ name }) => name), ...this.#level.params,
    }))
    this.#open()
    for (let i = 0; i < this.#channel!.bdev.numBlocks; i++) this.#blocks.push(new Block())
    const steps = 25 + this.#random(25)
    for (let step = 0; step < steps; step++) {
      await this.#step()
      if (this.#wrong !== undefined) throw new Error(this.#wrong)
    }
    await this.#whenWhole()
    await this.#drain()
    await this.#readAll()
    await this.#takeDown()
  }

  async #step(): Promise<void> {
    const dice = this.#random(100)
    if (dice < 40) this.#write()
    else if (dice < 60) this.#read()
    else if (dice < 68) this.#flush()
    else if (dice < 72) await this.#failMember()
    else if (dice < 75) await this.#pullMember()
    else if (dice < 80) await this.#bringBack()
    else if (dice < 83) await this.#crash()
    else if (dice < 85) this.#badBlock()
    else if (dice < 89) await this.#pauseOrResume()
    else if (dice < 91) this.#timePasses()
    else if (dice < 93) await this.#whenWhole()
    else if (dice < 94) await this.#scrub()
    await this.#pump(this.#random(4))
  }

  // ---- disks

  #newDisk(name: string, uuid?: string): Disk {
    const disk = new Disk(name, DATA_OFFSET + DATA_BLOCKS, BLOCK_BYTES, uuid)
    disk.caches = true
    disk.holds = io => {
      this.#held.push(io)
      return true
    }
    return disk
  }

  /** Lets members answer, in any order, and everything that follows happen. */
  async #pump(turns: number): Promise<void> {
    for (let turn = 0; turn <= turns; turn++) {
      const answers = this.#held.length === 0 ? 0 : 1 + this.#random(this.#held.length)
      for (let n = 0; n < answers && this.#held.length > 0; n++) {
        const [io] = this.#held.splice(this.#random(this.#held.length), 1)
        io!.thread.execMsg(carryOut, io!)
      }
      await new Promise(resolve => setImmediate(resolve))
      if (this.#wrong !== undefined) throw new Error(this.#wrong)
    }
  }

  async #whilePumping<Result>(work: Promise<Result>): Promise<Result> {
    let settled = false
    work.then(() => (settled = true), () => (settled = true))
    for (let turn = 0; !settled; turn++) {
      if (turn > 5000) throw new Error(`it never ends: ${JSON.stringify(this.#rig.raidInfo(this.#name))}\n${this.#rig.log.slice(-20).join('\n')}`)
      await this.#pump(0)
    }
    return work
  }

  async #drain(): Promise<void> {
    for (let turn = 0; this.#flights.size > 0; turn++) {
      if (turn > 5000) throw new Error(`${this.#flights.size} I/O never end: ${JSON.stringify(this.#rig.raidInfo(this.#name))}\n${this.#rig.log.slice(-20).join('\n')}`)
      await this.#pump(0)
    }
  }

  // ---- the array

  #open(): void {
    this.#desc = this.#rig.own.openBdev(this.#name, {
      write: true,
      onEvent: ({ type }) => {
        if (type === BdevEventType.Remove) this.#close()
      },
    })
    this.#channel = this.#desc.getIoChannel()
  }

  #close(): void {
    this.#channel?.put()
    this.#desc?.close()
    this.#channel = null
    this.#desc = null
  }

  // ---- I/O

  #write(): void {
    const { writeUnitBlocks } = this.#level
    const units = this.#blocks.length / writeUnitBlocks
    const first = this.#random(units) * writeUnitBlocks
    const count = Math.min(this.#blocks.length - first, writeUnitBlocks * (1 + this.#random(3)))
    if (this.#channel === null || this.#flights.size >= OUTSTANDING_MAX || this.#isBusy(first, count)) return
    const version = ++this.#version
    const flight = this.#flight(IoType.Write, first, count, version)
    for (let i = 0; i < count; i++) stamp(flight.buf, i, first + i, version)
    for (const block of this.#range(first, count)) {
      block.legal.add(version)
      block.afterCrash.add(version)
      block.seen = undefined
    }
    this.#story.push(`write ${first}+${count} v${version}`)
    this.#sent(flight, this.#channel.writeBlocks(flight.buf, 0, first, count, onDone, flight))
  }

  #read(): void {
    const first = this.#random(this.#blocks.length)
    const count = Math.min(this.#blocks.length - first, 1 + this.#random(6))
    if (this.#channel === null || this.#flights.size >= OUTSTANDING_MAX || this.#isBusy(first, count)) return
    const flight = this.#flight(IoType.Read, first, count, 0)
    this.#sent(flight, this.#channel.readBlocks(flight.buf, 0, first, count, onDone, flight))
  }

  #flush(): void {
    if (this.#channel === null) return
    const flight = this.#flight(IoType.Flush, 0, 0, 0)
    this.#sent(flight, this.#channel.flushBlocks(0, this.#blocks.length, onDone, flight))
  }

  #flight(type: number, first: number, count: number, version: number): Flight {
    const before = type === IoType.Flush ? this.#blocks.map(({ legal }) => new Set(legal)) : []
    return { type, first, count, version, buf: new Uint8Array(count * BLOCK_BYTES), before, leaves: this.#leaves, run: this }
  }

  #sent(flight: Flight, rc: number): void {
    if (rc !== 0) throw new Error(`submit: ${rc}`)
    this.#flights.add(flight)
    for (const block of this.#range(flight.first, flight.count)) block.busy++
  }

  #range(first: number, count: number): Block[] {
    return this.#blocks.slice(first, first + count)
  }

  #isBusy(first: number, count: number): boolean {
    return this.#range(first, count).some(({ busy }) => busy > 0)
  }

  ended(flight: Flight, success: boolean): void {
    if (!this.#flights.delete(flight)) return // from before a crash
    for (const block of this.#range(flight.first, flight.count)) block.busy--
    if (!success) {
      this.#wrong ??= `type ${flight.type} at ${flight.first}+${flight.count} failed although redundancy lasts`
      return
    }
    if (flight.type === IoType.Write) {
      for (const block of this.#range(flight.first, flight.count)) {
        block.legal = new Set([flight.version])
      }
    } else if (flight.type === IoType.Read) {
      for (let i = 0; i < flight.count; i++) this.#check(flight, i)
    } else {
      for (const [i, block] of this.#blocks.entries()) {
        // Written since: those versions may still be lost.
        const since = [...block.afterCrash].filter(version => block.legal.has(version) && !flight.before[i]!.has(version))
        block.afterCrash = new Set([...flight.before[i]!, ...since, ...block.legal])
      }
    }
  }

  #check(flight: Flight, index: number): void {
    const at = flight.first + index
    const block = this.#blocks[at]!
    const version = versionOf(flight.buf, index, at)
    // What a member answers that leaves meanwhile, or will as soon as it is found out, another one need not answer.
    const stays = flight.leaves === this.#leaves && this.#disks.every(({ fails }) => fails === null)
    if (version === undefined) this.#wrong ??= `block ${at} reads garbage, may be ${[...block.legal].join(', ')}`
    else if (!block.legal.has(version)) this.#wrong ??= `block ${at} reads version ${version}, may be ${[...block.legal].join(', ')}`
    else if (!stays) block.seen = undefined
    else if (block.seen !== undefined && block.seen !== version) this.#wrong ??= `block ${at} reads version ${version}, and read ${block.seen} before`
    else if (this.#level.disagreement !== undefined) block.seen = version
  }

  /** A member leaves, or reads from another one are answered instead: blocks that may be one or the other may be the other now. */
  #forgetSeen(): void {
    this.#leaves++
    for (const block of this.#blocks) block.seen = undefined
  }

  // ---- what happens to members

  /** A member fails; often the next write meets that, and now and then power goes before all is settled. */
  async #failMember(): Promise<void> {
    const working = this.#disks.filter(({ fails }) => fails === null)
    const disk = working[this.#random(working.length)]
    if (disk === undefined || !this.#mayGo(disk)) return
    this.#story.push(`${disk.name} fails`)
    this.#forgetSeen()
    const reads = this.#random(2) === 0
    disk.fails = io => (io.type === IoType.Write || io.type === IoType.Flush || reads ? IoStatus.Failed : undefined)
    const dice = this.#random(4)
    if (dice === 0) return
    this.#write()
    await this.#pump(this.#random(6))
    if (dice === 1) await this.#crash()
  }

  /** Whether this one may go, too: the sequence never takes more than redundancy bears. */
  #mayGo(disk: Disk): boolean {
    const info = this.#rig.raidInfo(this.#name)
    if (info === undefined || info.state !== 'online') return false
    if (this.#doubtful && info.process !== undefined) return false
    this.#doubtful = false
    const good = new Set(this.#disks.filter(one => one !== disk && one.fails === null && one.name !== info.process?.target).map(({ name }) => name))
    return this.#level.worksWith(info.base_bdevs_list.map(({ name, is_configured }) => is_configured && good.has(name ?? '')))
  }

  async #pullMember(): Promise<void> {
    const present = this.#disks.filter(({ name }) => this.#rig.own.bdevByName(name) !== undefined)
    const disk = present[this.#random(present.length)]
    if (disk === undefined || (disk.fails === null && !this.#mayGo(disk))) return
    this.#story.push(`${disk.name} is pulled`)
    this.#forgetSeen()
    await this.#whilePumping(this.#rig.unplug(disk))
    this.#forgetSeen()
  }

  /** A disk that is bad or gone is replaced, or comes back mended. */
  async #bringBack(): Promise<void> {
    const info = this.#rig.raidInfo(this.#name)
    if (info === undefined || info.state !== 'online' || info.process !== undefined || info.num_base_bdevs_discovered === this.#level.numMembers) return
    for (const [i, disk] of this.#disks.entries()) {
      if (info.base_bdevs_list.some(({ name }) => name === disk.name)) continue
      const there = this.#rig.own.bdevByName(disk.name) !== undefined
      if (this.#random(2) === 0) {
        if (there) await this.#whilePumping(this.#rig.unplug(disk))
        this.#disks[i] = this.#newDisk(`${this.#name}_r${++this.#version}`)
        this.#story.push(`${disk.name} is replaced by ${this.#disks[i]!.name}`)
        await this.#whilePumping(this.#rig.plug(this.#disks[i]!))
        await this.#add(this.#disks[i]!)
      } else {
        disk.fails = null
        this.#story.push(`${disk.name} comes back`)
        if (there) await this.#add(disk)
        else await this.#whilePumping(this.#rig.plug(disk))
      }
      return
    }
  }

  /** Every member is there, and good. */
  #isWhole(): boolean {
    const info = this.#rig.raidInfo(this.#name)
    return info?.state === 'online' && info.num_base_bdevs_discovered === this.#level.numMembers && info.process?.target === undefined &&
      this.#disks.every(({ fails, name }) => fails === null && info.base_bdevs_list.some(one => one.name === name))
  }

  /** Where every member is there, and nothing is under way any more: what should agree does. */
  async #whenWhole(): Promise<void> {
    if (this.#level.disagreement === undefined || !this.#isWhole()) return
    await this.#drain()
    for (let turn = 0; ; turn++) {
      const process = this.#rig.raidInfo(this.#name)?.process
      if (process === undefined) break
      if (turn > 5000) throw new Error(`a process never ends: ${JSON.stringify(process)}\n${this.#rig.log.slice(-20).join('\n')}`)
      if (process.paused === true) await this.#rig.rpc('bdev_raid_resume_process', { name: this.#name })
      await this.#pump(0)
    }
    if (!this.#isWhole()) return
    const by = (name: string | null): Uint8Array => this.#disks.find(disk => disk.name === name)!.bytes.subarray(DATA_OFFSET * BLOCK_BYTES)
    const wrong = this.#level.disagreement(this.#rig.raidInfo(this.#name)!.base_bdevs_list.map(({ name }) => by(name)))
    if (wrong !== undefined) throw new Error(`every member is there and resynced, but ${wrong}`)
    this.#story.push('all agrees')
  }

  /** Regions that are not written any more get clean. */
  #timePasses(): void {
    this.#story.push('time passes')
    this.#rig.clock.move(5_001)
  }

  async #scrub(): Promise<void> {
    if (this.#level.disagreement === undefined || this.#channel === null) return
    const type = this.#random(2) === 0 ? 'check' : 'repair'
    try {
      await this.#whilePumping(this.#rig.rpc('bdev_raid_start_process', { name: this.#name, type }))
      this.#story.push(type)
    } catch (thrown) {
      if (!['EBUSY', 'EINVAL', 'ENODEV'].includes((thrown as { code?: string }).code ?? '')) throw thrown
    }
  }

  async #pauseOrResume(): Promise<void> {
    const process = this.#rig.raidInfo(this.#name)?.process
    if (process === undefined) return
    const what = process.paused === true && this.#random(2) === 0 ? 'resume' : 'pause'
    this.#story.push(`${what} the ${process.type} at ${process.progress.blocks}`)
    // ENODEV: it has not begun yet.
    await this.#rig.rpc(`bdev_raid_${what}_process`, { name: this.#name }).catch((thrown: { code?: string }) => {
      if (thrown.code !== 'ENODEV') throw thrown
    })
  }

  /** Refused where the array still lets go of it (EPERM), or another one was quicker (EPERM, EBUSY, EEXIST). */
  async #add(disk: Disk): Promise<void> {
    try {
      await this.#whilePumping(this.#rig.rpc('bdev_raid_add_base_bdev', { raid_bdev: this.#name, base_bdev: disk.name }))
    } catch (thrown) {
      const { rpcCode } = thrown as { rpcCode?: number }
      if (![-1, -16, -17, -22].includes(rpcCode ?? 0)) throw thrown
      this.#story.push(`  refused: ${((thrown as Error).cause as Error).message}`)
    }
  }

  /** One block of one member cannot be read until it is written. */
  #badBlock(): void {
    const disk = this.#disks[this.#random(this.#disks.length)]!
    if (this.#disks.some(({ fails }) => fails !== null) || !this.#mayGo(disk)) return
    const bad = DATA_OFFSET + this.#random(DATA_BLOCKS)
    this.#story.push(`${disk.name} cannot read block ${bad}`)
    this.#forgetSeen()
    disk.fails = io => {
      if (io.type !== IoType.Read && io.type !== IoType.Write) return undefined
      if (bad < io.offsetBlocks || bad >= io.offsetBlocks + io.numBlocks) return undefined
      if (io.type === IoType.Read) return IoStatus.Failed
      disk.fails = null
      return undefined
    }
  }

  /** Power goes; what was not flushed is kept in part, by block and member. Then everything is found again. */
  async #crash(): Promise<void> {
    this.#story.push('power goes')
    this.#forgetSeen()
    this.#flights.clear()
    const disks = this.#disks.map(disk => {
      const same = this.#newDisk(disk.name, disk.uuid)
      same.fails = disk.fails
      same.bytes = disk.bytes.slice()
      same.unflushed.push(...disk.unflushed)
      return same
    })
    const members = this.#rig.raidInfo(this.#name)?.base_bdevs_list.map(({ name }) => name) ?? []
    const wasThere = this.#disks.map(({ name }) => this.#rig.own.bdevByName(name) !== undefined)
    for (const io of this.#held.splice(0)) {
      const at = this.#disks.indexOf(io.bdev.ctx as Disk)
      if (at >= 0 && io.type === IoType.Write && disks[at]!.fails === null) interrupt(disks[at]!, io)
      io.thread.execMsg(failIo, io)
    }
    for (const disk of this.#disks) {
      disk.holds = null
      disk.fails = () => IoStatus.Failed
    }
    await this.#takeDown()
    for (const disk of disks) {
      disk.crash(() => this.#random(2) === 0)
      const needed = this.#level.crashTakesRedundancy === true && members.includes(disk.name)
      if (this.#random(2) === 0 || needed) disk.fails = null
    }
    this.#doubtful = this.#level.crashTakesRedundancy === true
    for (const block of this.#blocks) {
      block.busy = 0
      block.legal = new Set(block.afterCrash)
    }
    this.#disks = disks
    const order = disks.map((_, i) => i).filter(i => wasThere[i]! || disks[i]!.fails === null).toSorted(() => this.#random(3) - 1)
    for (const i of order) await this.#whilePumping(this.#rig.plug(disks[i]!))
    await this.#plugWhatIsWaitedFor()
    this.#open()
    if (this.#random(2) === 0) await this.#readBeforeResync()
  }

  /** While a resync has not begun: what is read twice is the same twice. */
  async #readBeforeResync(): Promise<void> {
    if (this.#rig.raidInfo(this.#name)?.process?.type !== 'resync') return
    await this.#rig.rpc('bdev_raid_pause_process', { name: this.#name })
    this.#story.push('the resync waits')
    for (let i = 0; i < 24; i++) {
      this.#read()
      if (this.#random(3) === 0) await this.#pump(0)
    }
  }

  /** An array that waits for a member waits for one that cannot be read: that is mended. */
  async #plugWhatIsWaitedFor(): Promise<void> {
    for (let round = 0; this.#rig.own.bdevByName(this.#name) === undefined; round++) {
      if (round > 3) throw new Error(`it is not found again: ${JSON.stringify(this.#rig.raidInfo(this.#name))}\n${this.#rig.log.slice(-20).join('\n')}`)
      for (const disk of this.#disks) {
        if (this.#rig.raidInfo(this.#name)?.base_bdevs_list.some(({ name }) => name === disk.name) === true) continue
        disk.fails = null
        if (this.#rig.own.bdevByName(disk.name) !== undefined) await this.#whilePumping(this.#rig.unplug(disk))
        await this.#whilePumping(this.#rig.plug(disk))
      }
    }
  }

  async #takeDown(): Promise<void> {
    if (this.#rig.raidInfo(this.#name) !== undefined) await this.#whilePumping(this.#rig.rpc('bdev_raid_delete', { name: this.#name }))
    this.#close()
    for (const disk of this.#disks) if (this.#rig.own.bdevByName(disk.name) !== undefined) await this.#whilePumping(this.#rig.unplug(disk))
  }

  async #readAll(): Promise<void> {
    if (this.#channel === null) return
    for (let at = 0; at < this.#blocks.length; at++) {
      const flight = this.#flight(IoType.Read, at, 1, 0)
      this.#sent(flight, this.#channel.readBlocks(flight.buf, 0, at, 1, onDone, flight))
      await this.#drain()
    }
  }
}

function onDone(io: BdevIo, success: boolean, flight: Flight): void {
  io.free()
  flight.run.ended(flight, success)
}

function failIo(io: BdevIo): void {
  io.complete(IoStatus.Failed)
}

/** A write that was under way when power went: it may have reached the disk in part. */
function interrupt(disk: Disk, io: BdevIo): void {
  let at = io.offsetBlocks * BLOCK_BYTES
  for (const { buf, off, len } of io.iovs.slice(0, io.iovCnt)) {
    disk.write(at, buf.slice(off, off + len))
    at += len
  }
}
