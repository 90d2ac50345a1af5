// SPDX-License-Identifier: Apache-2.0
import type { OpenOptions } from '@bdevkit/module-sdk'
import { BdevError } from '@bdevkit/module-sdk'
import type { Host } from '../host/host.js'
import { OPEN_RETRY_US } from '../limits.js'
import type { ModuleRecord } from '../module/module-record.js'
import type { Desc } from './desc.js'

/** Opens that wait for their bdev (`spdk_bdev_open_async`). */
export class AsyncOpens {
  readonly #host: Host
  readonly #cancels = new Set<() => void>()

  constructor(host: Host) {
    this.#host = host
  }

  /**
   * Tries at once and then every 100 ms, on the calling thread, whose descriptor it will be. Settles by message there.
   * @throws BdevError of the first try where `timeoutMs` is 0; ETIMEDOUT no try succeeded in time, with the last failure as
   * its cause; ESHUTDOWN the host is finishing; EINVAL options.
   */
  open(name: string, options: OpenOptions, timeoutMs: number, owner: string, module: ModuleRecord | null): Promise<Desc> {
    const host = this.#host
    const thread = host.currentThread()
    const clock = host.reactor.clock
    const who = `${owner}: open of bdev "${name}"`
    if (!(timeoutMs >= 0)) return Promise.reject(new BdevError('EINVAL', `${who}: wanted a timeout of 0 or more milliseconds, found ${timeoutMs}`))
    const deadlineMs = clock.nowMs() + timeoutMs
    return new Promise((resolve, reject) => {
      let failure: unknown
      const attempt = (): boolean => {
        try {
          thread.sendMsg(resolve, host.openFor(name, options, owner, module))
          return true
        } catch (thrown) {
          failure = thrown
        }
        if (timeoutMs > 0 && clock.nowMs() < deadlineMs && !isWrongCall(failure)) return false
        const timedOut = timeoutMs > 0 && !isWrongCall(failure)
        const cause = failure instanceof Error ? failure.message : String(failure)
        thread.sendMsg(reject, timedOut ? new BdevError('ETIMEDOUT', `${who}: wanted it within ${timeoutMs} ms, but the last try found: ${cause}`, { cause: failure }) : failure)
        return true
      }
      if (attempt()) return
      if (host.state === 'finishing' || host.state === 'finished') {
        thread.sendMsg(reject, shutdown(who, failure))
        return
      }
      const poller = thread.registerPoller(
        () => {
          if (attempt()) end()
          return 1
        },
        null,
        OPEN_RETRY_US,
        'bdev_open_async',
      )
      const ended = host.waits.begin(who, 'the bdev to appear, or to be free')
      const end = (): void => {
        poller.unregister()
        ended()
        this.#cancels.delete(cancel)
      }
      const cancel = (): void => {
        end()
        thread.sendMsg(reject, shutdown(who, failure))
      }
      this.#cancels.add(cancel)
    })
  }

  /** The host finishes: nobody waits any longer. */
  cancelAll(): void {
    for (const cancel of this.#cancels) cancel()
  }
}

function shutdown(who: string, cause: unknown): BdevError {
  return new BdevError('ESHUTDOWN', `${who}: wanted it to appear in time, but the host is finishing`, { cause })
}

/** A call that no later try can mend. */
function isWrongCall(thrown: unknown): boolean {
  return (thrown as { code?: unknown }).code === 'EINVAL'
}
