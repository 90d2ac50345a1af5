// SPDX-License-Identifier: Apache-2.0
import type { BdevIo as SdkBdevIo } from '@bdevkit/module-sdk'
import { BdevError } from '@bdevkit/module-sdk'
import type { BdevChannel } from '../channel/bdev-channel.js'
import { walkChannels } from '../channel/walk-channels.js'
import type { Desc } from '../descriptor/desc.js'
import { IO_TIMEOUT_POLL_US } from '../limits.js'
import type { Poller } from '../thread/poller.js'
import { IoPhase, isPart, type BdevIo } from './bdev-io.js'

/** Tells the holder of a descriptor of I/O that takes too long, once a second for as long as it lasts. */
export class IoTimeout {
  readonly #desc: Desc
  readonly #timeoutMs: number
  readonly #onTimeout: (io: SdkBdevIo) => void
  readonly #poller: Poller<IoTimeout>
  #stopped = false
  #walking = false

  private constructor(desc: Desc, timeoutMs: number, onTimeout: (io: SdkBdevIo) => void) {
    this.#desc = desc
    this.#timeoutMs = timeoutMs
    this.#onTimeout = onTimeout
    this.#poller = desc.thread.registerPoller<IoTimeout>(look, this, IO_TIMEOUT_POLL_US, 'bdev_poll_timeout_io')
  }

  /** Starts to look, on the descriptor's thread; `null` for a timeout of 0. @throws BdevError EINVAL, EBADF: see the contract. */
  static create(desc: Desc, timeoutS: number, onTimeout: ((io: SdkBdevIo) => void) | null): IoTimeout | null {
    const who = `${desc.owner}: I/O timeout on bdev "${desc.bdev.name}"`
    const current = desc.bdev.host.currentThread()
    if (desc.closed) throw new BdevError('EBADF', `${who}: the descriptor is closed`)
    if (current !== desc.thread) throw new BdevError('EINVAL', `${who}: wanted a call on thread "${desc.thread.name}", where it was opened, found "${current.name}"; send it there by execMsg`)
    if (!(Number.isFinite(timeoutS) && timeoutS >= 0)) throw new BdevError('EINVAL', `${who}: wanted 0 or more seconds, found ${timeoutS}`)
    if (timeoutS === 0) return null
    if (typeof onTimeout !== 'function') throw new BdevError('EINVAL', `${who}: wanted onTimeout to be a function, found ${typeof onTimeout}`)
    return new IoTimeout(desc, timeoutS * 1000, onTimeout)
  }

  /** Ends it, on the descriptor's thread. A walk that is under way finds nothing any more. */
  stop(): void {
    this.#stopped = true
    this.#poller.unregister()
  }

  /** Body of the poller. */
  look(): number {
    if (this.#walking) return 0
    this.#walking = true
    walkChannels(
      this.#desc.bdev,
      this.#desc.thread,
      ch => (this.#stopped ? 1 : this.#visit(ch)),
      () => {
        this.#walking = false
      },
    )
    return 1
  }

  /** The submitted list is in the order of time: the first that is not late ends it. */
  #visit(ch: BdevChannel): 0 {
    const lateMs = ch.thread.reactor.clock.nowMs() - this.#timeoutMs
    const late: { io: BdevIo; generation: number }[] = []
    for (let io = ch.submitted.next!; io !== ch.submitted; io = io.next!) {
      if (isPart(io)) continue
      if (io.submitTickMs > lateMs) break
      if (io.channel.desc === this.#desc) late.push({ io, generation: io.generation })
    }
    // What the holder does about one (abort, reset, close) may end others of them.
    for (const { io, generation } of late) {
      if (this.#stopped) break
      if (io.generation !== generation || io.phase === IoPhase.Completed || io.phase === IoPhase.Free) continue
      try {
        this.#onTimeout(io)
      } catch (thrown) {
        ch.bdev.host.reportThrow(`the I/O timeout callback of ${this.#desc.owner} on bdev "${ch.bdev.name}"`, thrown)
      }
    }
    return 0
  }
}

function look(timeout: IoTimeout): number {
  return timeout.look()
}
