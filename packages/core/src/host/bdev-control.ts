// SPDX-License-Identifier: Apache-2.0
import { withBdev } from '../bdev/for-each.js'
import { getQosLimits, setQosLimits, type QosLimits } from '../qos/qos-control.js'
import { getChannelStats, getDeviceStat, resetDeviceStat, type BdevIoStat, type ChannelIoStat } from '../stat/device-stat.js'
import { disableHistogram, enableHistogram, getHistogram, type HistogramOptions } from '../stat/histogram-control.js'
import type { Histogram } from '../stat/histogram.js'
import type { StatResetMode } from '../stat/io-stat.js'
import { getCurrentQd } from '../stat/qd-sampling.js'
import type { Host } from './host.js'

/**
 * Limits and numbers of bdevs, for applications. Each method takes a name, alias or UUID, and holds the bdev while it works;
 * each rejects with a `BdevError` ENODEV where there is none, or it is being removed.
 */
export class BdevControl {
  readonly #host: Host

  constructor(host: Host) {
    this.#host = host
  }

  /**
   * Sets rate limits, at any time; what `limits` leaves out stays, 0 takes a limit off.
   * @throws BdevError EAGAIN another change is under way; EINVAL a limit is no integer of 0 or more.
   */
  setQosLimits(name: string, limits: QosLimits): Promise<void> {
    return withBdev(this.#host, name, bdev => setQosLimits(bdev, limits))
  }

  /** The rate limits, 0 = off. They outlive the last close of the bdev. */
  getQosLimits(name: string): Promise<Required<QosLimits>> {
    return withBdev(this.#host, name, getQosLimits)
  }

  /**
   * Counts the latency of each I/O from now on.
   * @throws BdevError EAGAIN it is being turned on or off; EINVAL, ENOMEM options out of range.
   */
  enableHistogram(name: string, options: HistogramOptions = {}): Promise<void> {
    return withBdev(this.#host, name, bdev => enableHistogram(bdev, options))
  }

  /**
   * Stops counting latencies and forgets them.
   * @throws BdevError EAGAIN it is being turned on or off.
   */
  disableHistogram(name: string): Promise<void> {
    return withBdev(this.#host, name, disableHistogram)
  }

  /**
   * The latencies of all channels together.
   * @throws BdevError EFAULT they are not counted.
   */
  getHistogram(name: string): Promise<Histogram> {
    return withBdev(this.#host, name, getHistogram)
  }

  /** Samples the queue depth every `periodUs` microseconds, 0 = never; the samples show in `Bdev.qdSampling`. */
  setQdSamplingPeriod(name: string, periodUs: number): Promise<void> {
    return withBdev(this.#host, name, bdev => bdev.qdSampling.setPeriod(periodUs))
  }

  /** I/Os with the module now. */
  getCurrentQd(name: string): Promise<number> {
    return withBdev(this.#host, name, getCurrentQd)
  }

  /** Counters since registration or since they were set back; `reset` sets back what it reads. */
  getIoStat(name: string, reset: StatResetMode = 'none'): Promise<BdevIoStat> {
    return withBdev(this.#host, name, bdev => getDeviceStat(bdev, reset))
  }

  /** Counters of each open channel. */
  getChannelIoStats(name: string, reset: StatResetMode = 'none'): Promise<ChannelIoStat[]> {
    return withBdev(this.#host, name, bdev => getChannelStats(bdev, reset))
  }

  /** Sets counters back, the module's own included. */
  resetIoStat(name: string, mode: StatResetMode = 'all'): Promise<void> {
    return withBdev(this.#host, name, bdev => resetDeviceStat(bdev, mode))
  }
}
