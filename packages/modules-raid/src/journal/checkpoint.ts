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

  /** Never rejects. */
  async #run(): Promise<boolean> {
    const journal = this.#journal
    const { raid } = journal
    const marked = journal.members.filter(member => member !== null)
    for (const { ring } of marked) ring.mark()
    const doneSeq = journal.committedSeq
    await this.#inPlace()
    let why = raid.stripes.torn.size > 0 ? `${raid.stripes.torn.size} stripe(s) could not be written in place, and only the journal has them whole` : ''
    if (why === '') why = await this.#onEach(marked, async ({ leg }) => flushBase(leg))
    if (why === '') why = await this.#onEach(marked, async member => saveJournalRecord(journal, member, { doneSeq, tailSeq: member.ring.markSeq, tailPosition: member.ring.markHead }))
    if (why !== '') {
      for (const { ring } of marked) ring.markHead = -1
      if (why !== this.#why) raid.host.log.error(`${raid.who}: the journal cannot be emptied: ${why}; writes fail when it is full`)
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

  /** Carries out `step` on the members; one that fails leaves. Answers why the array cannot do without, or nothing. */
  async #onEach(members: readonly MemberJournal[], step: (member: MemberJournal) => Promise<void>): Promise<string> {
    const { raid } = this.#journal
    const failed: number[] = []
    let why = ''
    await Promise.all(members.map(async member => {
      // One that left meanwhile counts no more.
      if (this.#journal.members[member.slot] !== member) return
      try {
        await step(member)
      } catch (thrown) {
        if (this.#journal.members[member.slot] !== member) return
        why = (thrown as Error).message
        failed.push(member.slot)
      }
    }))
    return failed.length === 0 || (await raid.failMembers(failed)) ? '' : why
  }
}
