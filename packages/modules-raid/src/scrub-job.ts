// SPDX-License-Identifier: Apache-2.0
import { BdevError } from '@bdevkit/module-sdk'
import { writeBase } from './base-io.js'
import type { RaidBdev } from './raid-bdev.js'
import type { RaidMember } from './raid-member.js'
import { WindowJob, type Piece } from './window-job.js'

/** What one member has of a window. */
export interface Row extends Piece {
  /** Blocks of it that could not be read, counted from its first one; `null` where all could. Their bytes are zeros. */
  readonly bad: ReadonlySet<number> | null
}

/** A level's hold on the members while it compares what should agree. One window at a time. */
export class ScrubJob extends WindowJob {
  /**
   * Whether parity may stand in for what cannot be read. After a crash it may not: a stripe whose write was interrupted would
   * give back bytes that nobody wrote.
   */
  readonly parityTrusted: boolean
  /** By slot: what `readRows` has read; `null` for a member that is not in sync. */
  readonly rows: (Row | null)[] = []
  /** Blocks of members that could not be read. */
  readErrors = 0
  /** Those of them that nothing can stand in for: they stay as they are. */
  lost = 0
  /** Where the rows begin on the members, counted from their data. */
  #rowsAt = 0

  constructor(raid: RaidBdev, parityTrusted: boolean) {
    super(raid)
    this.parityTrusted = parityTrusted
  }

  /** Reads the same range of every member in sync. What a member cannot read is found block by block. @throws BdevError ENODEV a member has left. */
  async readRows(offsetBlocks: number, numBlocks: number): Promise<void> {
    this.#rowsAt = offsetBlocks
    const results = await Promise.allSettled(this.raid.members.map(member => (member.inSync ? this.#readRow(member, numBlocks) : Promise.resolve(null))))
    for (const [slot, result] of results.entries()) this.rows[slot] = result.status === 'fulfilled' ? result.value : null
    const failed = results.find(result => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    if (this.raid.level.scrubsWhole === true && this.rows.includes(null)) throw new BdevError('ENODEV', `${this.raid.who}: a member has left`)
  }

  /**
   * Writes `numBlocks` blocks of `from`, which lie from block `fromBlock` on there, to a member: to its row, from block `block` on.
   * @throws BdevError EIO; the member leaves the array where that can do without.
   */
  async write(slot: number, block: number, numBlocks: number, from: Piece, fromBlock: number): Promise<void> {
    const { blockSizeBytes, mdSizeBytes } = this.raid
    const member = this.#there(this.raid.members[slot])
    const md = from.md === undefined ? undefined : { buf: from.md.buf, off: from.md.off + fromBlock * mdSizeBytes }
    try {
      await writeBase(member.leg!, from.buf, from.off + fromBlock * blockSizeBytes, member.dataOffsetBlocks + this.#rowsAt + block, numBlocks, md)
    } catch (thrown) {
      void this.raid.failMembers([slot])
      throw thrown
    }
  }

  /** The window is done: what was lent goes back. */
  windowDone(): void {
    for (const row of this.rows) row?.lender?.free()
    this.rows.length = 0
  }

  async #readRow(member: RaidMember, numBlocks: number): Promise<Row> {
    try {
      return { ...await this.read(member, this.#rowsAt, numBlocks, member.slot), bad: null }
    } catch {
      return this.#readBlocks(this.#there(member), numBlocks)
    }
  }

  async #readBlocks(member: RaidMember, numBlocks: number): Promise<Row> {
    const { host, blockSizeBytes, mdSizeBytes } = this.raid
    const row = this.memory(member.slot, numBlocks)
    const bad = new Set<number>()
    for (let block = 0; block < numBlocks; block++) {
      const at = row.off + block * blockSizeBytes
      try {
        const piece = await this.read(this.#there(member), this.#rowsAt + block, 1, this.numMembers + member.slot)
        host.accel.copy(row.buf, at, piece.buf, piece.off, blockSizeBytes)
        if (row.md !== undefined) host.accel.copy(row.md.buf, row.md.off + block * mdSizeBytes, piece.md!.buf, piece.md!.off, mdSizeBytes)
        piece.lender?.free()
      } catch {
        bad.add(block)
        host.accel.fill(row.buf, at, 0, blockSizeBytes)
        if (row.md !== undefined) host.accel.fill(row.md.buf, row.md.off + block * mdSizeBytes, 0, mdSizeBytes)
      }
    }
    this.#there(member)
    this.readErrors += bad.size
    return { ...row, bad: bad.size === 0 ? null : bad }
  }

  #there(member: RaidMember): RaidMember {
    if (!member.inSync || member.leg === null) throw new BdevError('ENODEV', `${this.raid.who}: the member in slot ${member.slot} has left`)
    return member
  }
}
