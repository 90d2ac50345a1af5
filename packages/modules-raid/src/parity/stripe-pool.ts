// SPDX-License-Identifier: Apache-2.0
// data plane
import type { BdevHost, BdevIo, DmaBuffer } from '@bdevkit/module-sdk'
import type { RaidChannel } from '../raid-channel.js'
import type { RaidIo } from '../raid-io.js'
import type { ParityGeometry } from './geometry.js'
import { StripeOp, StripePhase, StripePlan } from './stripe-op.js'

/** Operations with memory on one channel at most, as SPDK has stripes; fewer where they would take more memory than this. */
const STRIPES_MAX = 64
const STRIPES_BYTES = 64 * 1024 * 1024
const ALIGN_BYTES = 4096

/** The stripe operations of one channel, and what they have in common. `RaidChannel.ctx` of levels with parity. */
export class StripePool {
  readonly host: BdevHost
  readonly ch: RaidChannel
  readonly geometry: ParityGeometry
  /** Strips of data in a stripe. */
  readonly numData: number
  /** Blocks of data in a stripe. */
  readonly stripeBlocks: number
  readonly blockBytes: number
  /** Separate metadata of a block; 0 = none. */
  readonly mdBytes: number
  /** From one strip's memory to the next one's. */
  readonly #strideBytes: number
  readonly #mdStrideBytes: number
  readonly #free: StripeOp[] = []
  /** Of operations that are over. */
  readonly #freeBuffers: DmaBuffer[] = []
  readonly #freeMd: DmaBuffer[] = []
  readonly #max: number
  #made = 0

  constructor(ch: RaidChannel, geometry: ParityGeometry) {
    const { host, blockSizeBytes, mdSizeBytes } = ch.raid
    this.host = host
    this.ch = ch
    this.geometry = geometry
    this.numData = ch.numMembers - geometry.numParity
    this.stripeBlocks = ch.stripBlocks * this.numData
    this.blockBytes = blockSizeBytes
    this.mdBytes = mdSizeBytes
    this.#strideBytes = Math.ceil((ch.stripBlocks * blockSizeBytes) / ALIGN_BYTES) * ALIGN_BYTES
    this.#mdStrideBytes = ch.stripBlocks * mdSizeBytes
    this.#max = Math.min(STRIPES_MAX, Math.max(2, Math.floor(STRIPES_BYTES / (ch.numMembers * this.#strideBytes))))
  }

  /** An operation for `io`, which lies in `stripe`. */
  take(io: BdevIo<RaidIo>, stripe: number, isWrite: boolean): StripeOp {
    const op = this.#free.pop() ?? new StripeOp(this)
    this.ch.raid.stripes.outstanding++
    op.stripe = stripe
    op.io = io
    op.isWrite = isWrite
    op.plan = StripePlan.Plain
    const { numMembers } = this.ch
    for (let role = 0; role < numMembers; role++) {
      const strip = op.strips[this.geometry.slotOf(stripe, role, numMembers)]
      strip.role = role
      strip.numRows = 0
      strip.readRows = 0
      strip.lost = false
      op.byRole[role] = strip
    }
    return op
  }

  /**
   * Gives an operation memory for each strip. Returns whether it has; if not, all is in use, and one that has some will end
   * without more; or the heap is exhausted.
   */
  lend(op: StripeOp): boolean {
    if (op.buffer !== null) return true
    op.buffer = this.#freeBuffers.pop() ?? this.#make()
    if (op.buffer === null) return false
    if (this.mdBytes > 0) op.md = this.#freeMd.pop()!
    for (let slot = 0; slot < op.strips.length; slot++) {
      op.strips[slot].bufferOff = op.buffer.off + slot * this.#strideBytes
      op.strips[slot].mdBufferOff = op.md === null ? 0 : op.md.off + slot * this.#mdStrideBytes
    }
    return true
  }

  /** An operation is over. */
  give(op: StripeOp): void {
    if (op.buffer !== null) this.#freeBuffers.push(op.buffer)
    if (op.md !== null) this.#freeMd.push(op.md)
    op.buffer = null
    op.md = null
    op.io = null
    op.phase = StripePhase.Free
    this.#free.push(op)
    this.ch.raid.stripes.ended()
  }

  /** Gives the memory back; every operation is over by now. */
  close(): void {
    for (const buffer of this.#freeBuffers) this.host.dma.free(buffer)
    for (const md of this.#freeMd) this.host.dma.free(md)
    this.#freeBuffers.length = 0
    this.#freeMd.length = 0
  }

  /** cold: at most 64 times for a channel. */
  #make(): DmaBuffer | null {
    if (this.#made === this.#max) return null
    const { dma } = this.host
    const { numMembers } = this.ch
    const buffer = dma.alloc(numMembers * this.#strideBytes, ALIGN_BYTES)
    if (buffer === undefined) return null
    if (this.mdBytes > 0) {
      const md = dma.alloc(numMembers * this.#mdStrideBytes)
      if (md === undefined) {
        dma.free(buffer)
        return null
      }
      this.#freeMd.push(md)
    }
    this.#made++
    return buffer
  }
}
