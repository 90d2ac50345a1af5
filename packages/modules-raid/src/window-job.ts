// SPDX-License-Identifier: Apache-2.0
// What background work reads and writes, one window at a time: control plane.
import { BdevError } from '@bdevkit/module-sdk'
import type { BdevIo, DmaBuffer, Iov } from '@bdevkit/module-sdk'
import { borrowBase, flushBase, readBase, writeBase, type BaseMd } from './base-io.js'
import type { RaidBdev } from './raid-bdev.js'
import type { RaidMember } from './raid-member.js'

/** Buffers of metadata are counted from here. */
const MD_BUFFERS = 1024

/** A range of a member's data, in memory: the member's own, or a buffer. */
export interface Piece {
  readonly buf: Uint8Array
  readonly off: number
  /** Separate metadata, where the array has it. */
  readonly md?: BaseMd
  /** What lends it, to be freed; then nobody may change it. */
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

/** The members of an array and memory for a window of each. */
export class WindowJob {
  readonly raid: RaidBdev
  readonly numMembers: number
  /** One for each member, for kernels that take several. */
  readonly iovs: Iov[]
  readonly #buffers = new Map<number, DmaBuffer>()

  constructor(raid: RaidBdev) {
    this.raid = raid
    this.numMembers = raid.members.length
    this.iovs = raid.host.allocIovs(this.numMembers)
  }

  /** Reads a range of a member's data. A member that lends its memory is not copied. @throws BdevError EIO. */
  async read({ leg, dataOffsetBlocks }: RaidMember, offsetBlocks: number, numBlocks: number, index: number): Promise<Piece> {
    if (leg!.bdev.lendsReadBuffers && this.raid.mdSizeBytes === 0) {
      const lender = await borrowBase(leg!, dataOffsetBlocks + offsetBlocks, numBlocks)
      const { buf, off, len } = lender.iovs[0]
      if (lender.iovCnt === 1 && len === numBlocks * leg!.bdev.blockSizeBytes) return { buf, off, lender }
      lender.free()
    }
    const piece = this.memory(index, numBlocks)
    await readBase(leg!, piece.buf, piece.off, dataOffsetBlocks + offsetBlocks, numBlocks, piece.md)
    return piece
  }

  /** Memory for a range, known by `index`; the next call with that index may have the same. @throws BdevError ENOMEM. */
  memory(index: number, numBlocks: number): Piece {
    const { blockSizeBytes, mdSizeBytes } = this.raid
    const { buf, off } = this.#buffer(index, numBlocks * blockSizeBytes)
    if (mdSizeBytes === 0) return { buf, off, lender: null }
    return { buf, off, lender: null, md: this.#buffer(MD_BUFFERS + index, numBlocks * mdSizeBytes) }
  }

  /** The xor of `pieces`, their metadata too, into the memory with that index. */
  xor(pieces: readonly Piece[], index: number, numBlocks: number): Piece {
    const { host, blockSizeBytes, mdSizeBytes } = this.raid
    const into = this.memory(index, numBlocks)
    for (const [i, { buf, off }] of pieces.entries()) Object.assign(this.iovs[i], { buf, off, len: numBlocks * blockSizeBytes })
    host.accel.xorInto(into.buf, into.off, this.iovs, pieces.length, numBlocks * blockSizeBytes)
    if (into.md === undefined) return into
    for (const [i, { md }] of pieces.entries()) Object.assign(this.iovs[i], { ...md, len: numBlocks * mdSizeBytes })
    host.accel.xorInto(into.md.buf, into.md.off, this.iovs, pieces.length, numBlocks * mdSizeBytes)
    return into
  }

  /** Gives the memory back. */
  free(): void {
    for (const buffer of this.#buffers.values()) this.raid.host.dma.free(buffer)
    this.#buffers.clear()
  }

  /** A buffer as large as it has to be. */
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

/** A level's hold on the members while it makes one member's part of a range anew. One range at a time. */
export class RebuildJob extends WindowJob {
  readonly target: RaidMember
  /** What the target is to have. */
  #piece: Piece | null = null

  constructor(raid: RaidBdev, target: RaidMember) {
    super(raid)
    this.target = target
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
        this.#piece = await this.read(source, offsetBlocks, numBlocks, 0)
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
    const piece = this.memory(0, parts.reduce((sum, part) => sum + part.numBlocks, 0))
    let at = 0
    const reads = parts.map(part => {
      const [source] = this.#sources([part.member])
      if (source === undefined) throw new BdevError('EIO', `${who}: the member in slot ${part.member.slot} is not there to read from`)
      const md = piece.md && { buf: piece.md.buf, off: piece.md.off + at * mdSizeBytes }
      const read = { leg: source.leg!, first: source.dataOffsetBlocks + part.offsetBlocks, numBlocks: part.numBlocks, off: piece.off + at * blockSizeBytes, md }
      at += part.numBlocks
      return read
    })
    const results = await Promise.allSettled(reads.map(({ leg, off, first, numBlocks, md }) => readBase(leg, piece.buf, off, first, numBlocks, md)))
    const failed = results.find(result => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    this.#piece = piece
  }

  /**
   * Reads the same range of every other member's data, and takes their xor.
   * @throws BdevError EIO one is missing, or could not be read.
   */
  async readXor(offsetBlocks: number, numBlocks: number): Promise<void> {
    const sources = this.#sources(this.raid.members)
    if (sources.length !== this.numMembers - 1) throw new BdevError('EIO', `${this.raid.who}: ${sources.length} of ${this.numMembers - 1} other members are there to read from`)
    const results = await Promise.allSettled(sources.map((source, i) => this.read(source, offsetBlocks, numBlocks, i + 1)))
    const pieces = results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
    const failed = results.find(result => result.status === 'rejected')
    if (failed === undefined) this.#piece = this.xor(pieces, 0, numBlocks)
    for (const { lender } of pieces) lender?.free()
    if (failed !== undefined) throw failed.reason
  }

  /** What the target is to have, made by the level; memory of the job. */
  hand(piece: Piece): void {
    this.#piece = piece
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

  #sources(members: readonly RaidMember[]): RaidMember[] {
    return members.filter(member => member !== this.target && member.inSync)
  }
}

/** Makes one range of one member anew, with no other I/O to it meanwhile. @throws BdevError EIO. */
export async function makeAnew(job: RebuildJob, offsetBlocks: number, numBlocks: number): Promise<void> {
  const { raid } = job
  await raid.host.quiesceRange(raid.bdev!, offsetBlocks, numBlocks)
  try {
    await raid.level.rebuildWindow!(job, offsetBlocks, numBlocks)
  } finally {
    job.rangeDone()
    await raid.host.unquiesceRange(raid.bdev!, offsetBlocks, numBlocks)
  }
}
