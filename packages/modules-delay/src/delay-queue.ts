// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus } from '@bdevkit/module-sdk'
import type { BdevIo } from '@bdevkit/module-sdk'
import type { DelayChannel } from './vbdev-delay.js'

/** What delay keeps with each I/O (`io.ctx`): made once per pooled object, and an element of a queue by itself. */
export class DelayIo {
  io: BdevIo<DelayIo> | null = null
  channel: DelayChannel | null = null
  /** Queue that it goes to when the base has answered. */
  queueAt = 0
  /** Delay drawn for it; only of the queue for distributions. */
  delayMs = 0.5
  /** When it is answered. */
  dueMs = 0.5
  /** Queue that it is in, `null` while it is with the base. */
  queue: DelayQueue | null = null
  prev: DelayIo | null = null
  next: DelayIo | null = null
  /** How the base answered. */
  status: number = IoStatus.Pending
  nvmeSct = 0
  nvmeSc = 0
  aioErrno = 0

  /** Keeps the answer of the base: the child is freed before it is passed on. */
  keep(child: BdevIo): void {
    this.status = child.status
    this.nvmeSct = child.nvmeSct
    this.nvmeSc = child.nvmeSc
    this.aioErrno = child.aioErrno
  }

  /** Answers as the base did. */
  answer(): void {
    const io = this.io!
    if (this.status === IoStatus.NvmeError && (this.nvmeSct | this.nvmeSc) !== 0) io.completeNvme(0, this.nvmeSct, this.nvmeSc)
    else if (this.status === IoStatus.AioError && this.aioErrno !== 0) io.completeAio(this.aioErrno)
    else io.complete(this.status)
  }
}

/** I/O that waits, the next one due first: a list through the I/Os' own contexts, so that waiting allocates nothing. */
export class DelayQueue {
  head: DelayIo | null = null
  #tail: DelayIo | null = null

  /** Adds at the end: within one latency the order of the base's answers stays. */
  append(one: DelayIo): void {
    this.#insertBehind(this.#tail, one)
  }

  /** Adds by due time, for latencies that differ from I/O to I/O: behind those due no later, found from the end. */
  insert(one: DelayIo): void {
    let at = this.#tail
    while (at !== null && at.dueMs > one.dueMs) at = at.prev
    this.#insertBehind(at, one)
  }

  /** Takes one out. */
  remove(one: DelayIo): void {
    const { prev, next } = one
    if (prev === null) this.head = next
    else prev.next = next
    if (next === null) this.#tail = prev
    else next.prev = prev
    one.prev = null
    one.next = null
    one.queue = null
  }

  #insertBehind(at: DelayIo | null, one: DelayIo): void {
    const next = at === null ? this.head : at.next
    one.queue = this
    one.prev = at
    one.next = next
    if (at === null) this.head = one
    else at.next = one
    if (next === null) this.#tail = one
    else next.prev = one
  }
}
