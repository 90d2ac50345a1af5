// SPDX-License-Identifier: Apache-2.0
import { BdevError } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { visitChannels, walkChannels } from '../channel/walk-channels.js'
import type { Desc } from '../descriptor/desc.js'
import type { Poller } from '../thread/poller.js'

/** Looks at the queue depth of a bdev again and again (`spdk_bdev_set_qd_sampling_period`). */
export class QdSampling {
  /** Microseconds between two samples; 0 = off. */
  periodUs = 0
  /** I/Os with the module at the last sample; `undefined` before the first. */
  queueDepth: number | undefined
  /** Time with I/O outstanding, in microseconds of whole periods. */
  ioTimeUs = 0
  /** The same, weighted with the queue depth. */
  weightedIoTimeUs = 0
  readonly #bdev: Bdev
  #wantedUs = 0
  #desc: Desc | null = null
  #poller: Poller<QdSampling> | null = null
  #sampling = false
  #sum = 0

  /** Off at first. @internal */
  constructor(bdev: Bdev) {
    this.#bdev = bdev
  }

  /**
   * Sets the period, 0 = off. While it is on, a descriptor of its own holds the bdev, and the thread that turned it on
   * samples; a change goes there, and waits for a sample that is under way.
   * @throws BdevError EINVAL no period; ENODEV the bdev is being removed.
   */
  setPeriod(periodUs: number): void {
    if (!(Number.isSafeInteger(periodUs) && periodUs >= 0)) {
      throw new BdevError('EINVAL', `queue-depth sampling of bdev "${this.#bdev.name}": wanted a period of 0 or more whole microseconds, found ${periodUs}`)
    }
    if (this.#wantedUs === periodUs) return
    if (this.#desc === null) {
      this.#desc = this.#bdev.host.openFor(this.#bdev.name, { onEvent: () => {} }, 'queue-depth sampling', null)
      this.#wantedUs = periodUs
      this.periodUs = periodUs
      this.#poll()
      return
    }
    this.#wantedUs = periodUs
    this.#desc.thread.sendMsg(update, this)
  }

  /** Body of the message of a change. @internal */
  update(): void {
    if (this.periodUs === this.#wantedUs || this.#sampling) return
    this.periodUs = this.#wantedUs
    this.#poller?.unregister()
    this.#poller = null
    if (this.periodUs !== 0) {
      this.#poll()
      return
    }
    this.#desc?.close()
    this.#desc = null
  }

  /** Body of the poller. @internal */
  sample(): number {
    if (this.#sampling) return 0
    this.#sampling = true
    this.#sum = 0
    walkChannels(
      this.#bdev,
      this.#desc!.thread,
      ch => {
        this.#sum += ch.outstanding
      },
      () => {
        this.queueDepth = this.#sum
        if (this.#sum > 0) {
          this.ioTimeUs += this.periodUs
          this.weightedIoTimeUs += this.periodUs * this.#sum
        }
        this.#sampling = false
        this.update()
      },
    )
    return 1
  }

  #poll(): void {
    this.#poller = this.#desc!.thread.registerPoller<QdSampling>(sample, this, this.periodUs, 'bdev_calculate_measured_queue_depth')
  }
}

/** I/Os with the module now, all channels together (`spdk_bdev_get_current_qd`). */
export async function getCurrentQd(bdev: Bdev): Promise<number> {
  let sum = 0
  await visitChannels(bdev, ch => {
    sum += ch.outstanding
  })
  return sum
}

function sample(sampling: QdSampling): number {
  return sampling.sample()
}

function update(sampling: QdSampling): void {
  sampling.update()
}
