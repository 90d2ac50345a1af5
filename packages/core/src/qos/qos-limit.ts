// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoType } from '@bdevkit/module-sdk'
import { QOS_MIN_BYTES_PER_SLICE, QOS_MIN_IOS_PER_SLICE } from '../limits.js'

/** Kinds of data that are limited, see `dataTypeOf`, as bits. */
const QOS_TYPES = (1 << IoType.Read) | (1 << IoType.Write)
const SLICES_PER_SEC = 1_000

/** One of the four limits (`struct spdk_bdev_qos_limit`). Its unit is an I/O or a byte. */
export class QosLimit {
  /** Whether it counts I/Os; else bytes. */
  readonly countsIos: boolean
  /** I/O types that it counts, as bits. */
  readonly types: number
  /** As set, rounded; 0 = off. */
  perSecond = 0
  /** Quota of a timeslice; 0 = everything passes. */
  perSlice = 0
  /** What is left of the timeslice: negative where the last I/O was larger. */
  remaining = 0

  constructor(countsIos: boolean, types: number) {
    this.countsIos = countsIos
    this.types = types
  }

  /** Puts the limit as it is set now into force, with a whole quota. */
  apply(): void {
    if (this.perSecond === 0) {
      this.perSlice = 0
      return
    }
    const min = this.countsIos ? QOS_MIN_IOS_PER_SLICE : QOS_MIN_BYTES_PER_SLICE
    this.perSlice = Math.max(Math.floor(this.perSecond / SLICES_PER_SEC), min)
    this.remaining = this.perSlice
  }

  /** Lets everything pass until `apply`. */
  suspend(): void {
    this.perSlice = 0
    this.remaining = 0
  }

  /** Timeslices have ended: what was overdrawn counts, what was left over does not. */
  replenish(slices: number): void {
    this.remaining = Math.min(this.remaining, 0) + slices * this.perSlice
  }

  /** As `replenish` called for each of `slices` timeslices in turn. */
  replenishEach(slices: number): void {
    this.remaining = Math.min(Math.min(this.remaining, 0) + slices * this.perSlice, this.perSlice)
  }
}

/** The four limits of a bdev, off, in the order in which an I/O is charged. */
export function createQosLimits(): readonly QosLimit[] {
  return [
    new QosLimit(true, QOS_TYPES),
    new QosLimit(false, QOS_TYPES),
    new QosLimit(false, 1 << IoType.Read),
    new QosLimit(false, 1 << IoType.Write),
  ]
}
