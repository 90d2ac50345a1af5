// SPDX-License-Identifier: Apache-2.0
// data plane
import type { Accel, Iov } from './accel.js'
import { refuseShortIovs } from './foreign.js'

const NO_IOVS: readonly Iov[] = []
const NO_BYTES = new Uint8Array(0)

/** A place in a scatter list: `off` of `buf`, with `left` bytes until the element ends. Reused. */
export class IovCursor {
  buf: Uint8Array = NO_BYTES
  off = 0
  left = 0
  private iovs: readonly Iov[] = NO_IOVS
  private count = 0
  private next = 0
  private markBuf: Uint8Array = NO_BYTES
  private markOff = 0
  private markLeft = 0
  private markNext = 0

  constructor(private readonly accel: Accel) {}

  /** Goes to the start of the first `iovCnt` elements. @throws RangeError where they hold less than `lengthBytes`. */
  start(call: string, iovs: readonly Iov[], iovCnt: number, lengthBytes: number): void {
    let held = 0
    for (let i = 0; i < iovCnt; i++) {
      const iov = iovs[i]!
      this.accel.checkRange(call, 'buffer', iov.buf, iov.off, iov.len)
      held += iov.len
    }
    if (!(held >= lengthBytes)) refuseShortIovs(call, lengthBytes, lengthBytes - held, iovCnt)
    this.iovs = iovs
    this.count = iovCnt
    this.next = 0
    this.left = 0
    this.settle()
  }

  /** Goes on by at most what is left of the element. */
  step(bytes: number): void {
    this.off += bytes
    this.left -= bytes
    if (this.left === 0) this.settle()
  }

  /** Goes on by any number of bytes that are there. */
  skip(bytes: number): void {
    let rest = bytes
    while (rest > this.left) {
      rest -= this.left
      this.step(this.left)
    }
    this.step(rest)
  }

  /** Remembers this place. */
  mark(): void {
    this.markBuf = this.buf
    this.markOff = this.off
    this.markLeft = this.left
    this.markNext = this.next
  }

  /** Goes back to the place remembered. */
  rewind(): void {
    this.buf = this.markBuf
    this.off = this.markOff
    this.left = this.markLeft
    this.next = this.markNext
  }

  /** Lets go of the elements. */
  end(): void {
    this.iovs = NO_IOVS
    this.buf = NO_BYTES
    this.markBuf = NO_BYTES
    this.left = 0
  }

  /** Enters the next element that is not empty, if there is one. */
  private settle(): void {
    while (this.left === 0 && this.next < this.count) {
      const iov = this.iovs[this.next++]!
      this.buf = iov.buf
      this.off = iov.off
      this.left = iov.len
    }
  }
}
