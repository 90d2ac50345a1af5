// SPDX-License-Identifier: Apache-2.0
// Rings get room again: what operations have written in place is flushed, then records say that the batches before are void.
// Counting the operations is data plane; the rest goes beside it.
import type { StripeOp } from '../parity/stripe-op.js'
import { flushBase } from '../base-io.js'
import type { Journal } from './journal.js'
import { saveJournalRecord } from './journal-io.js'
import type { MemberJournal } from './member-journal.js'

/** `StripeOp.journalCtx` of an operation that the journal has not written down. */
export const NOT_LOGGED = -1

export class Checkpoints {
  readonly #journal: Journal
  /** Operations that are logged and not yet in place: those of the checkpoint under way, and those since, in turn. */
  readonly #live = [0, 0]
  #generation = 0
  #drained: (() => void) | null = null
  #running: Promise<void> | null = null
  #turn: Promise<unknown> = Promise.resolve()
  /** What is under way on members. */
  readonly #waits = new Set<{ readonly slot: number; readonly end: () => void }>()
  /** Why the last one did not come to its end, as it was logged. */
  #why = ''

  constructor(journal: Journal) {
    this.#journal = journal
  }

  /** data plane: the operation is logged. */
  opBegins(op: StripeOp): void {
    op.journalCtx = this.#generation
    this.#live[this.#generation]++
  }

  /** data plane: the operation is in place, or has failed there; or it never was logged. */
  opEnded(op: StripeOp): void {
    const generation = op.journalCtx as number
    if (generation === NOT_LOGGED) return
    if (--this.#live[generation] === 0 && generation !== this.#generation) this.#drained?.()
  }

  /** data plane: begins one where a ring is half full. */
  consider(): void {
    if (this.#running !== null) return
    const { members } = this.#journal
    for (let slot = 0; slot < members.length; slot++) {
      const ring = members[slot]?.ring
      if (ring !== undefined && ring.usedBlocks * 2 > ring.numBlocks) {
        this.#start()
        return
      }
    }
  }

  /** An operation waits for room: there is some after the next one, or never. */
  needed(): void {
    if (this.#running !== null) return
    if (this.#isEmpty()) this.#journal.failWaiting()
    else this.#start()
  }

  #start(): void {
    this.#running = this.#run().then(done => {
      this.#running = null
      if (done) this.#journal.proceed()
      else if (this.#journal.waiting) this.#journal.failWaiting()
    })
  }

  /** With no operation under way: everything in the rings gets void. Answers whether it is. Never rejects. */
  async now(): Promise<boolean> {
    while (this.#running !== null) await this.#running
    if (this.#isEmpty()) return true
    const run = this.#run()
    this.#running = run.then(() => void (this.#running = null))
    return run
  }

  #isEmpty(): boolean {
    return this.#journal.members.every(member => member === null || member.ring.usedBlocks === 0)
  }

  /**
   * Binds the records to the number of a superblock that is about to be written, then writes that by `save`: SPDK, which knows
   * nothing of the journal, writes superblocks with other numbers. After a crash in between either number finds its records.
   */
  rebind<Result>(seqNumber: number, save: () => Promise<Result>): Promise<Result> {
    return this.#inTurn(async () => {
      const journal = this.#journal
      journal.boundSeq = seqNumber
      // One that fails will fail its superblock, too, or has no part in what is replayed.
      await this.#onEach(journal.members.filter(member => member !== null), member => saveJournalRecord(journal, member, member.recorded))
      return save()
    })
  }

  /** A member begins to leave: nobody waits for what it has to answer. */
  memberLeaves(slot: number): void {
    for (const wait of this.#waits) if (wait.slot === slot) wait.end()
  }

  /** Never rejects. */
  async #run(): Promise<boolean> {
    const journal = this.#journal
    const { raid } = journal
    const marked = journal.members.filter(member => member !== null)
    for (const { ring } of marked) ring.mark()
    const doneSeq = journal.committedSeq
    await this.#inPlace()
    let why = raid.stripes.torn.size > 0 ? `${raid.stripes.torn.size} stripe(s) could not be written in place, and only the journal has them whole` : ''
    if (why === '') why = await this.#without(await this.#onEach(marked, ({ leg }) => flushBase(leg)))
    if (why === '') {
      why = await this.#without(await this.#inTurn(() => this.#onEach(marked, member =>
        saveJournalRecord(journal, member, { doneSeq, tailSeq: member.ring.markSeq, tailPosition: member.ring.markHead }))))
    }
    if (why !== '') {
      for (const { ring } of marked) ring.markHead = -1
      if (raid.state !== 'online') raid.host.log.warn(`${raid.who}: its journal is not empty, and is replayed when it is found again: ${why}`)
      else if (why !== this.#why) raid.host.log.error(`${raid.who}: the journal cannot be emptied: ${why}; writes fail when it is full`)
      this.#why = why
      return false
    }
    for (const { ring } of marked) ring.release()
    journal.doneSeq = doneSeq
    this.#why = ''
    return true
  }

  /** Settles when every operation that is logged by now is in place. */
  #inPlace(): Promise<void> {
    const before = this.#generation
    this.#generation = 1 - before
    if (this.#live[before] === 0) return Promise.resolve()
    return new Promise<void>(resolve => (this.#drained = resolve)).then(() => void (this.#drained = null))
  }

  /** Carries out `step` on the members, and answers what failed. What has left, or begins to, is not waited for. */
  async #onEach(members: readonly MemberJournal[], step: (member: MemberJournal) => Promise<void>): Promise<Failures> {
    const failures: Failures = { slots: [], why: '' }
    await Promise.all(members.map(async member => {
      const { slot } = member
      if (this.#hasLeft(member)) return
      try {
        await this.#unlessLeft(slot, step(member))
      } catch (thrown) {
        if (this.#hasLeft(member)) return
        failures.why = (thrown as Error).message
        failures.slots.push(slot)
      }
    }))
    return failures
  }

  #hasLeft(member: MemberJournal): boolean {
    return this.#journal.members[member.slot] !== member || this.#journal.raid.members[member.slot].leaving !== null
  }

  /** Settles with `work`, or when the member begins to leave. */
  async #unlessLeft(slot: number, work: Promise<void>): Promise<void> {
    let wait: { slot: number; end: () => void } | undefined
    const left = new Promise<void>(resolve => this.#waits.add((wait = { slot, end: resolve })))
    try {
      await Promise.race([work, left])
    } finally {
      this.#waits.delete(wait!)
    }
  }

  /** Members that failed leave. Answers why the array cannot do without, or nothing. */
  async #without({ slots, why }: Failures): Promise<string> {
    return slots.length === 0 || (await this.#journal.raid.failMembers(slots)) ? '' : why
  }

  /** Records are written one after the other. Whoever is in turn must not wait for a member to leave. */
  #inTurn<Result>(step: () => Promise<Result>): Promise<Result> {
    const done = this.#turn.then(step)
    this.#turn = done.catch(() => undefined)
    return done
  }
}

interface Failures {
  readonly slots: number[]
  why: string
}
