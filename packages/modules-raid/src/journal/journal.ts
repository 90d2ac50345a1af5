// SPDX-License-Identifier: Apache-2.0
// data plane
// The redo journal of an array: what a stripe operation is going to write lies in the rings of the members before it is
// written in place. Operations of all threads come to the app thread; one batch is under way, the next one gathers meanwhile.
import { ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevIo } from '@bdevkit/module-sdk'
import type { StripeJournal } from '../parity/journal-hook.js'
import type { StripeOp } from '../parity/stripe-op.js'
import { stripeLogged } from '../parity/stripe-write.js'
import type { RaidBdev } from '../raid-bdev.js'
import { TRANSACTIONS_MAX, type JournalEpoch } from './batch-codec.js'
import { Checkpoints, NOT_LOGGED } from './checkpoint.js'
import { noSlots, setSlot, type MemberJournal } from './member-journal.js'

/** What the journal may do with a member that an operation writes. */
const Part = { Logged: 0, Leaving: 1, None: 2 } as const

export class Journal implements StripeJournal {
  readonly raid: RaidBdev
  /** Whether every write goes through it; if not, those of a degraded array do. */
  readonly always: boolean
  /** Whether writes go through it now. */
  active = false
  /** By slot: members that have a ring of this epoch. */
  readonly members: (MemberJournal | null)[]
  epoch: JournalEpoch
  /** The last batch. */
  lastSeq = 0
  /** The last batch that is there to stay. */
  committedSeq = 0
  /** Every batch up to this one is in place on all members, and flushed: as the records say. */
  doneSeq = 0
  /** By slot: number of the last record on the member, which the next one has to exceed. Control plane. */
  readonly generations: number[] = []
  /** The superblock's number that records are bound to. Control plane. */
  boundSeq = 0
  readonly checkpoints: Checkpoints
  /** Operations that wait to be written down. */
  #head: StripeOp | null = null
  #tail: StripeOp | null = null
  /** A message to begin a batch is on its way. */
  #called = false
  /** The batch under way. */
  #batch: StripeOp | null = null
  #left = 0
  /** A member that has a part in the batch is about to leave: that has to be on disk first. */
  #leaving = false
  /** A reset of the array ended writes of the batch: they are sent again when it is over. */
  #parked = false
  readonly #involved = noSlots()

  constructor(raid: RaidBdev, always: boolean, epoch: number) {
    this.raid = raid
    this.always = always
    this.members = raid.members.map(() => null) // cold: once
    this.epoch = { raidUuid: raid.uuid, number: epoch, nonce: new Uint8Array(8) }
    this.checkpoints = new Checkpoints(this)
  }

  wanted(_op: StripeOp): boolean {
    return this.active
  }

  append(op: StripeOp): void {
    this.raid.host.appThread.execMsg(enqueue, op)
  }

  wrote(op: StripeOp): void {
    this.checkpoints.opEnded(op)
  }

  /** On the app thread. */
  enqueue(op: StripeOp): void {
    op.nextInJournal = null
    op.journalCtx = NOT_LOGGED
    if (this.#tail === null) this.#head = op
    else this.#tail.nextInJournal = op
    this.#tail = op
    this.proceed()
  }

  /** Begins a batch, where one can begin: by message, so that operations which come together are written together. */
  proceed(): void {
    if (this.#called || this.#batch !== null || this.#head === null) return
    this.#called = true
    this.raid.host.appThread.sendMsg(beginBatch, this)
  }

  /** Whether operations wait for room. */
  get waiting(): boolean {
    return this.#head !== null
  }

  /** Takes as many operations as there is room for, and writes them. */
  gather(): void {
    this.#called = false
    if (this.#batch !== null || this.#head === null) return
    for (let slot = 0; slot < this.members.length; slot++) this.members[slot]?.clear()
    this.#leaving = false
    this.#parked = false
    let count = 0
    let last: StripeOp | null = null
    for (let op: StripeOp | null = this.#head; op !== null && count < TRANSACTIONS_MAX && this.#fits(op); op = op.nextInJournal) {
      this.#add(op, count++)
      last = op
    }
    if (last === null) {
      this.checkpoints.needed()
      return
    }
    this.#batch = this.#head
    this.#head = last.nextInJournal
    if (this.#head === null) this.#tail = null
    last.nextInJournal = null
    this.lastSeq++
    this.#send()
  }

  #partOf(op: StripeOp, slot: number): number {
    const strip = op.strips[slot]
    if (strip.leg === null || strip.numRows === 0) return Part.None
    // Until the superblocks say that it left, it passes for good after a crash: it has its part, and does not get it.
    if (this.raid.members[slot].leaving !== null) return Part.Leaving
    return this.members[slot] === null ? Part.None : Part.Logged
  }

  /** Whether the rings have room for one more operation in the batch. */
  #fits(op: StripeOp): boolean {
    for (let slot = 0; slot < this.members.length; slot++) {
      if (this.#partOf(op, slot) !== Part.Logged) continue
      const { ring, header } = this.members[slot]!
      if (ring.placeOf(header.numBlocksWith(op.strips[slot].numRows)) < 0) return false
    }
    return true
  }

  #add(op: StripeOp, index: number): void {
    this.#involved.fill(0)
    for (let slot = 0; slot < this.members.length; slot++) {
      const part = this.#partOf(op, slot)
      if (part !== Part.None) setSlot(this.#involved, slot)
      if (part === Part.Leaving) this.#leaving = true
    }
    const firstBlock = op.stripe * op.ch.stripBlocks
    for (let slot = 0; slot < this.members.length; slot++) {
      if (this.#partOf(op, slot) !== Part.Logged) continue
      const { firstRow, numRows, iovs, iovCnt } = op.strips[slot]
      this.members[slot]!.add(index, firstBlock + firstRow, numRows, this.#involved, iovs, iovCnt)
    }
  }

  #send(): void {
    this.#left = 1
    for (let slot = 0; slot < this.members.length; slot++) {
      const member = this.members[slot]
      if (member === null || member.header.count === 0) continue
      member.seal(this.lastSeq)
      this.#left++
      sendBatch(member)
    }
    this.memberDone()
  }

  /** Sends what a reset has ended. */
  resetDone(): void {
    if (!this.#parked) return
    this.#parked = false
    this.#left = 1
    for (let slot = 0; slot < this.members.length; slot++) {
      const member = this.members[slot]
      if (member?.again !== true) continue
      member.again = false
      this.#left++
      sendBatch(member)
    }
    this.memberDone()
  }

  /** The batch lasts on one more member, or has failed there. */
  memberDone(): void {
    if (--this.#left > 0) return
    let failed: number[] | null = null
    for (let slot = 0; slot < this.members.length; slot++) {
      const member = this.members[slot]
      if (member === null || member.header.count === 0) continue
      if (member.again) this.#parked = true
      else if (member.failed && failed === null) failed = [slot] // cold: a failure
      else if (member.failed) failed!.push(slot)
    }
    if (this.#parked) {
      if (this.raid.resets === 0) this.resetDone()
    } else if (failed !== null || this.#leaving) this.#settle(failed ?? [])
    else this.#end(true)
  }

  /** cold: members have failed, or are leaving. That is on disk before anything is written in place. */
  #settle(failed: readonly number[]): void {
    this.raid.failMembers(failed).then(
      without => this.#end(without), // cold: a failure
      () => this.#end(false), // cold: the same
    )
  }

  /** The batch is there to stay; or it takes no room, and the next one overwrites it. */
  #end(success: boolean): void {
    for (let slot = 0; slot < this.members.length; slot++) {
      const member = this.members[slot]
      if (success && member !== null && member.header.count > 0 && !member.failed) member.ring.take(member.position, member.header.numBlocks, this.lastSeq)
    }
    if (success) this.committedSeq = this.lastSeq
    let op = this.#batch
    this.#batch = null
    while (op !== null) {
      const next: StripeOp | null = op.nextInJournal
      op.nextInJournal = null
      if (success) this.checkpoints.opBegins(op)
      op.ch.thread.execMsg(success ? logged : notLogged, op)
      op = next
    }
    this.checkpoints.consider()
    this.proceed()
  }

  /** cold: there is no room, and there will be none. */
  failWaiting(): void {
    let op = this.#head
    this.#head = null
    this.#tail = null
    while (op !== null) {
      const next: StripeOp | null = op.nextInJournal
      op.nextInJournal = null
      op.ch.thread.execMsg(notLogged, op)
      op = next
    }
  }
}

function enqueue(op: StripeOp): void {
  journalOf(op).enqueue(op)
}

function journalOf(op: StripeOp): Journal {
  return op.ch.raid.journal as Journal
}

function beginBatch(journal: Journal): void {
  journal.gather()
}

function logged(op: StripeOp): void {
  stripeLogged(op, true)
}

function notLogged(op: StripeOp): void {
  stripeLogged(op, false)
}

/** Writes the batch of one member; called again where it has to wait for an I/O. */
function sendBatch(member: MemberJournal): void {
  const { leg, iovs, iovCnt, firstBlock, position, header } = member
  member.writing = true
  member.wait.fn = sendBatch
  submitted(member, leg.writevBlocks(iovs, iovCnt, firstBlock + position, header.numBlocks, batchWritten, member))
}

function batchWritten(io: BdevIo, success: boolean, member: MemberJournal): void {
  const { status } = io
  io.free()
  const { bdev } = member.leg
  if (!success) sendFailed(member, status)
  else if (bdev.writeCache && bdev.ioTypeSupported(IoType.Flush)) flushBatch(member)
  else sendDone(member)
}

function flushBatch(member: MemberJournal): void {
  const { leg, firstBlock, position, header } = member
  member.wait.fn = flushBatch
  submitted(member, leg.flushBlocks(firstBlock + position, header.numBlocks, batchFlushed, member))
}

function batchFlushed(io: BdevIo, success: boolean, member: MemberJournal): void {
  const { status } = io
  io.free()
  if (success) sendDone(member)
  else sendFailed(member, status)
}

function submitted(member: MemberJournal, rc: number): void {
  if (rc === 0 || (rc === -ERRNO.ENOMEM && member.leg.queueIoWait(member.wait) === 0)) return
  sendFailed(member, IoStatus.Failed)
}

function sendFailed(member: MemberJournal, status: number): void {
  if (status === IoStatus.Aborted && member.journal.raid.resets > 0) member.again = true
  else member.failed = true
  sendDone(member)
}

function sendDone(member: MemberJournal): void {
  member.answered()
  member.journal.memberDone()
}
