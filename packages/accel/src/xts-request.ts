// SPDX-License-Identifier: Apache-2.0
// data plane
import type { Iov } from './accel.js'

const NO_BYTES = new Uint8Array(0)
const NO_IOVS: readonly Iov[] = []

function noCallback(): void {}

/** One encryption or decryption in work. Pooled; the fields are the engine's. */
export class XtsRequest {
  next: XtsRequest | null = null
  cb: (arg: any, errno: number) => void = noCallback
  arg: any = null
  errno = 0
  lengthBytes = 0
  /** Number of the next data unit, and how many are left. */
  unit = 0
  unitsLeft = 0
  /** Units that take part in the batch under way. */
  batchUnits = 0
  /** What is left of the source as one range of memory 0, or -1: then the iovecs from `srcIndex`, `srcAt` on. */
  srcOff = -1
  iovs: readonly Iov[] = NO_IOVS
  srcIndex = 0
  srcAt = 0
  /** What is left of the destination as one range of memory 0, or -1: then `dst`, or where that is empty the iovecs. */
  dstOff = -1
  dst: Uint8Array = NO_BYTES
  dstAt = 0
  dstIndex = 0

  /** Lets go of everything that it refers to. */
  clear(): void {
    this.next = null
    this.cb = noCallback
    this.arg = null
    this.errno = 0
    this.iovs = NO_IOVS
    this.dst = NO_BYTES
  }

  /** Whether the destination is the iovecs of the source. */
  get inPlace(): boolean {
    return this.dst.length === 0
  }
}

/** Requests in the order of submission. */
export class XtsQueue {
  head: XtsRequest | null = null
  tail: XtsRequest | null = null

  append(request: XtsRequest): void {
    if (this.tail === null) this.head = request
    else this.tail.next = request
    this.tail = request
  }

  /** Takes the oldest one out. */
  shift(): XtsRequest {
    const request = this.head!
    this.head = request.next
    if (request.next === null) this.tail = null
    request.next = null
    return request
  }
}
