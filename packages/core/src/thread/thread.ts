// SPDX-License-Identifier: Apache-2.0
// data plane
import type { PollerRc, Thread } from '@bdevkit/module-sdk'
import { BdevError } from '@bdevkit/module-sdk'
import { RING_SIZE } from '../limits.js'
import type { IoBudget } from '../io/io-budget.js'
import type { IoWaiter } from '../io/io-wait.js'
import { Poller } from './poller.js'
import type { Reactor } from './reactor.js'

/** A message: a function and its argument. */
export type Message = (arg: any) => void

/** What a thread shows of a channel that it holds. */
export interface ThreadIoChannel {
  /** What it is a channel of. */
  readonly device: { readonly name: string }
  /** How many hold it. */
  readonly refs: number
}

function noop(): void {}

/** A cooperative executor (`struct spdk_thread`): a queue of messages and a set of pollers, run by a reactor. */
export class SpdkThread implements Thread {
  readonly id: number
  readonly name: string
  /** Runs it. */
  readonly reactor: Reactor
  tickMs = 0
  /** Once exited it runs nothing. */
  state: 'running' | 'exiting' | 'exited' = 'running'
  /** I/Os that this thread may still take without asking the shared pool. @internal */
  ioCredits = 0
  /** Credits and I/Os in use: what the thread has of the pool. @internal */
  ioRights = 0
  /** More credits than this are looked at. @internal */
  ioCreditsMax = 0
  /** The host's pool of I/Os; `null` until the host has given it a share. @internal */
  ioBudget: IoBudget | null = null
  /** Submitters that wait for an I/O, oldest first. @internal */
  ioWaitHead: IoWaiter | null = null
  /** The newest of them. @internal */
  ioWaitTail: IoWaiter | null = null
  /** Waiters are being called: what they take is theirs. @internal */
  ioWaking = false
  /** Its pollers, oldest first. */
  readonly pollers: Poller<any>[] = []
  /** Channels of devices that this thread holds, oldest first. */
  readonly ioChannels = new Set<ThreadIoChannel>()
  /** What the channel that is being made has got so far; `null` while none is. @internal */
  acquired: { put(): void }[] | null = null
  #nextPollerId = 1
  #fns: Message[] = new Array<Message>(RING_SIZE).fill(noop)
  #args: unknown[] = new Array<unknown>(RING_SIZE).fill(null)
  #head = 0
  #tail = 0
  #mask = RING_SIZE - 1

  /** Made by `Host.createThread`. @internal */
  constructor(reactor: Reactor, id: number, name: string) {
    this.reactor = reactor
    this.id = id
    this.name = name
  }

  /** Whether messages wait. */
  get hasMessages(): boolean {
    return this.#head !== this.#tail
  }

  sendMsg<Arg>(fn: (arg: Arg) => void, arg: Arg): void {
    const tail = this.#tail
    const next = (tail + 1) & this.#mask
    this.#fns[tail] = fn as Message
    this.#args[tail] = arg
    this.#tail = next
    if (next === this.#head) this.#grow()
    if (!this.reactor.running) this.reactor.wake()
  }

  execMsg<Arg>(fn: (arg: Arg) => void, arg: Arg): void {
    const reactor = this.reactor
    if (reactor.current === this) fn(arg)
    else if (reactor.current === null) reactor.enter(this, fn as Message, arg)
    else this.sendMsg(fn, arg)
  }

  registerPoller<Arg>(fn: (arg: Arg) => PollerRc, arg: Arg, periodUs: number, name = fn.name): Poller<Arg> {
    if (this.state === 'exited') throw new BdevError('EINVAL', `poller "${name}": thread "${this.name}" has exited; register it on another one`)
    const poller = new Poller(this, this.#nextPollerId++, fn, arg, periodUs, name)
    this.pollers.push(poller)
    this.reactor.pollerAdded(poller)
    return poller
  }

  /** Runs at most `max` messages; a message that throws is reported and the next one runs. Returns how many ran. @internal */
  runMessages(max: number): number {
    let ran = 0
    for (;;) {
      try {
        while (this.#head !== this.#tail && ran < max) {
          const at = this.#head
          this.#head = (at + 1) & this.#mask
          ran++
          this.#fns[at]!(this.#args[at])
        }
        return ran
      } catch (thrown) {
        this.reactor.reportThrow(`a message of thread "${this.name}"`, thrown)
      }
    }
  }

  /** It has exited: a ring of one entry is full at each message, so that none is taken in silence. @internal */
  close(): void {
    this.state = 'exited'
    this.#fns = [noop]
    this.#args = [null]
    this.#head = 0
    this.#tail = 0
    this.#mask = 0
  }

  /** Called with a full ring, whose head and tail meet: doubles it, oldest entry first. */
  #grow(): void {
    if (this.state === 'exited') {
      this.#args[0] = null
      this.reactor.reportMisuse(`a message to thread "${this.name}", which has exited, is dropped`)
      return
    }
    const size = this.#mask + 1
    const fns = new Array<Message>(size * 2).fill(noop)
    const args = new Array<unknown>(size * 2).fill(null)
    for (let i = 0; i < size; i++) {
      const at = (this.#head + i) & this.#mask
      fns[i] = this.#fns[at]!
      args[i] = this.#args[at]
    }
    this.#fns = fns
    this.#args = args
    this.#head = 0
    this.#tail = size
    this.#mask = size * 2 - 1
  }
}
