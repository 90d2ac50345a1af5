// SPDX-License-Identifier: Apache-2.0
// data plane
import { BdevError } from '@bdevkit/module-sdk'
import type { BdevHost, DescChannel, DmaBuffer, Iov, IoWaitEntry } from '@bdevkit/module-sdk'
import { JOURNAL_RING_BYTES_AT } from '../own-record.js'
import type { RaidMember } from '../raid-member.js'
import { BATCH_CRC_SEED, BatchHeader, HEADER_BYTES_MAX, INVOLVED_BYTES } from './batch-codec.js'
import type { Journal } from './journal.js'
import { JournalRing } from './journal-ring.js'

/** Where the ring of a member lies, in blocks of the member. */
export function ringPlace(dataOffsetBlocks: number, blockSizeBytes: number): { firstBlock: number; numBlocks: number } {
  const firstBlock = Math.ceil(JOURNAL_RING_BYTES_AT / blockSizeBytes)
  return { firstBlock, numBlocks: Math.max(0, dataOffsetBlocks - firstBlock) }
}

/** The journal's part of one member that is written: its ring, and the batch that goes there next. The app thread's. */
export class MemberJournal {
  readonly journal: Journal
  readonly slot: number
  readonly leg: DescChannel
  readonly firstBlock: number
  readonly ring: JournalRing
  readonly header: BatchHeader
  /** The vectored write of a batch: its header, then payload where it lies. */
  readonly iovs: Iov[]
  iovCnt = 1
  /** Where the batch goes, in blocks of the ring. */
  position = 0
  /** What the record says. */
  recorded = { doneSeq: 0, tailSeq: 0, tailPosition: 0 }
  /** How many records were written, to the one and the other copy in turn. */
  generation = 0
  /** The first batch that it has part in; 0: from the beginning. */
  joinSeq = 0
  /** The batch under way could not be made to last on it. */
  failed = false
  /** A reset of the array has ended its write: to be sent again. */
  again = false
  /** It is being written. */
  writing = false
  #left = false
  readonly wait: IoWaitEntry<MemberJournal>
  readonly #host: BdevHost
  readonly #memory: DmaBuffer
  readonly #blockSizeBytes: number

  /** @throws BdevError ENOMEM. */
  constructor(journal: Journal, member: RaidMember, generation: number) {
    const { host } = journal.raid
    const { bdev } = member.leg!
    this.journal = journal
    this.generation = generation
    const place = ringPlace(member.dataOffsetBlocks, bdev.blockSizeBytes)
    this.#host = host
    this.#blockSizeBytes = bdev.blockSizeBytes
    this.slot = member.slot
    this.leg = member.leg!
    this.firstBlock = place.firstBlock
    this.ring = new JournalRing(place.numBlocks)
    const headerBytes = Math.ceil(HEADER_BYTES_MAX / bdev.blockSizeBytes) * bdev.blockSizeBytes
    const memory = host.dma.alloc(headerBytes, 4096)
    if (memory === undefined) throw new BdevError('ENOMEM', `${journal.raid.who}: no memory for the journal of bdev "${bdev.name}"`)
    this.#memory = memory
    this.header = new BatchHeader(memory.buf, memory.off, bdev.blockSizeBytes, host.accel.crc32c.bind(host.accel))
    this.iovs = host.allocIovs(8)
    this.wait = { fn: nothing, arg: this }
  }

  /** Begins the next batch. */
  clear(): void {
    this.header.clear()
    this.iovCnt = 1
    this.failed = false
    this.again = false
  }

  /** Takes a transaction into the batch. */
  add(index: number, offsetBlocks: number, numBlocks: number, involved: Uint8Array, iovs: readonly Iov[], iovCnt: number): void {
    const { accel } = this.#host
    let crc = BATCH_CRC_SEED
    for (let i = 0; i < iovCnt; i++) {
      const { buf, off, len } = iovs[i]
      crc = accel.crc32c(crc, buf, off, len)
      if (this.iovCnt === this.iovs.length) this.iovs.push(...this.#host.allocIovs(this.iovs.length)) // cold: it doubles
      const iov = this.iovs[this.iovCnt++]
      iov.buf = buf
      iov.off = off
      iov.len = len
    }
    this.header.add(index, offsetBlocks, numBlocks, crc, involved)
  }

  /** Everything is added: the batch has its place. */
  seal(seq: number): void {
    const { header, ring } = this
    this.position = ring.placeOf(header.numBlocks)
    header.seal(seq, ring.lastSeq, this.position)
    const iov = this.iovs[0]
    iov.buf = this.#memory.buf
    iov.off = this.#memory.off
    iov.len = header.headerBlocks * this.#blockSizeBytes
  }

  /** What was sent has been answered. */
  answered(): void {
    this.writing = false
    if (this.#left) this.#host.dma.free(this.#memory)
  }

  /** cold: the member is none any more. Its memory goes back when nothing is under way. */
  close(): void {
    if (this.#left) return
    this.#left = true
    if (!this.writing) this.#host.dma.free(this.#memory)
  }
}

/** The first value of `MemberJournal.wait.fn`. */
function nothing(_member: MemberJournal): void {}

/** A bitmap of slots, as transactions have it. */
export function setSlot(bits: Uint8Array, slot: number): void {
  bits[slot >> 3] |= 1 << (slot & 7)
}

/** An empty one. */
export function noSlots(): Uint8Array {
  return new Uint8Array(INVOLVED_BYTES)
}
