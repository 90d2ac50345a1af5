// SPDX-License-Identifier: Apache-2.0
// data plane
import { assert } from '@bdevkit/module-sdk'
import type { BdevHost, DmaBuffer, Iov } from '@bdevkit/module-sdk'

/** Stripes under way on one channel at most, as in SPDK; fewer where they would take more memory than this. */
const STRIPES_MAX = 64
const STRIPES_BYTES = 64 * 1024 * 1024

/** The iovecs of one member's strip. */
export interface Chunk {
  /** Grows, and is used again. */
  readonly iovs: Iov[]
  count: number
  /** Memory of its own, for parity and for what is read to reconstruct; made when it is needed. */
  buffer: DmaBuffer | null
  /** The same for separate metadata; `null` without. */
  md: DmaBuffer | null
}

/** One stripe under way: a write, or the reconstruction of what a member cannot give. Pooled. */
export class Stripe {
  readonly pool: StripePool
  readonly chunks: Chunk[] = []
  /** For xor: the chunks' first iovecs, one after the other. */
  readonly sources: Iov[]
  /** First block on the members, counted from their data. */
  offsetBlocks = 0
  /** The member that has the parity of a write. */
  parity = 0

  constructor(pool: StripePool) {
    this.pool = pool
    this.sources = pool.host.allocIovs(pool.numMembers)
    for (let i = 0; i < pool.numMembers; i++) this.chunks.push({ iovs: pool.host.allocIovs(4), count: 0, buffer: null, md: null })
  }

  /** The buffer of a member. */
  bufferOf(slot: number): DmaBuffer {
    return this.chunks[slot].buffer!
  }

  /** Cuts a stripe of user data into the strips of all members but the one with the parity. */
  cut(iovs: readonly Iov[], iovCnt: number, parity: number): void {
    this.parity = parity
    let at = 0
    let inIov = 0
    for (let slot = 0; slot < this.chunks.length; slot++) {
      if (slot === parity) continue
      const chunk = this.chunks[slot]
      chunk.count = 0
      let left = this.pool.stripBytes
      while (left > 0) {
        assert(at < iovCnt, 'a stripe has less data than it should')
        const from = iovs[at]
        const len = Math.min(left, from.len - inIov)
        const iov = this.#nextIov(chunk)
        iov.buf = from.buf
        iov.off = from.off + inIov
        iov.len = len
        left -= len
        inIov += len
        if (inIov === from.len) {
          at++
          inIov = 0
        }
      }
    }
    const own = this.chunks[parity]
    const buffer = this.bufferOf(parity)
    own.count = 0
    const iov = this.#nextIov(own)
    iov.buf = buffer.buf
    iov.off = buffer.off
    iov.len = this.pool.stripBytes
  }

  /** Where the metadata of a data member's strip begins in that of the whole stripe, in bytes. */
  mdOffset(slot: number): number {
    return (slot < this.parity ? slot : slot - 1) * this.pool.stripMdBytes
  }

  /** The parity of the separate metadata of a stripe. */
  computeMdParity(mdBuf: Uint8Array, mdOff: number): void {
    const { host, stripMdBytes } = this.pool
    const { buf, off } = this.chunks[this.parity].md!
    host.accel.copy(buf, off, mdBuf, mdOff, stripMdBytes)
    for (let i = 1; i < this.chunks.length - 1; i++) host.accel.xor(buf, off, mdBuf, mdOff + i * stripMdBytes, stripMdBytes)
  }

  /** The parity of what `cut` has cut. */
  computeParity(): void {
    const { parity } = this
    const { accel } = this.pool.host
    const { buf, off } = this.bufferOf(parity)
    let plain = true
    let count = 0
    for (let slot = 0; slot < this.chunks.length; slot++) {
      if (slot === parity) continue
      const chunk = this.chunks[slot]
      if (chunk.count !== 1) plain = false
      const source = this.sources[count++]
      const iov = chunk.iovs[0]
      source.buf = iov.buf
      source.off = iov.off
      source.len = iov.len
    }
    if (plain) accel.xorInto(buf, off, this.sources, count, this.pool.stripBytes)
    else this.#xorPieces(parity, buf, off)
  }

  /** Where iovecs end inside strips. */
  #xorPieces(parity: number, buf: Uint8Array, off: number): void {
    const { accel } = this.pool.host
    let first = true
    for (let slot = 0; slot < this.chunks.length; slot++) {
      if (slot === parity) continue
      const { iovs, count } = this.chunks[slot]
      let at = off
      for (let i = 0; i < count; i++) {
        const iov = iovs[i]
        if (first) accel.copy(buf, at, iov.buf, iov.off, iov.len)
        else accel.xor(buf, at, iov.buf, iov.off, iov.len)
        at += iov.len
      }
      first = false
    }
  }

  /** The xor of the buffers of all members but `missing`, into `iovs`. */
  xorToIovs(iovs: readonly Iov[], iovCnt: number, missing: number, lengthBytes: number): void {
    const { accel } = this.pool.host
    const first = missing === 0 ? 1 : 0
    const { buf, off } = this.bufferOf(first)
    for (let slot = first + 1; slot < this.chunks.length; slot++) {
      if (slot === missing) continue
      const other = this.bufferOf(slot)
      accel.xor(buf, off, other.buf, other.off, lengthBytes)
    }
    accel.copyToIovs(iovs, iovCnt, buf, off, lengthBytes)
  }

  /** As `xorToIovs`, for separate metadata. */
  xorMdTo(mdBuf: Uint8Array, mdOff: number, missing: number, lengthBytes: number): void {
    const { accel } = this.pool.host
    let first = true
    for (let slot = 0; slot < this.chunks.length; slot++) {
      if (slot === missing) continue
      const { buf, off } = this.chunks[slot].md!
      if (first) accel.copy(mdBuf, mdOff, buf, off, lengthBytes)
      else accel.xor(mdBuf, mdOff, buf, off, lengthBytes)
      first = false
    }
  }

  /** Gives it back to its pool. */
  release(): void {
    this.pool.give(this)
  }

  #nextIov(chunk: Chunk): Iov {
    if (chunk.count === chunk.iovs.length) chunk.iovs.push(this.pool.host.allocIovs(1)[0]) // cold: once for each size
    return chunk.iovs[chunk.count++]
  }
}

/** The stripes of one channel. */
export class StripePool {
  readonly host: BdevHost
  readonly numMembers: number
  readonly stripBytes: number
  /** Separate metadata of a strip; 0 = none. */
  readonly stripMdBytes: number
  readonly #free: Stripe[] = []
  readonly #max: number
  #made = 0

  constructor(host: BdevHost, numMembers: number, stripBytes: number, stripMdBytes: number) {
    this.host = host
    this.numMembers = numMembers
    this.stripBytes = stripBytes
    this.stripMdBytes = stripMdBytes
    this.#max = Math.min(STRIPES_MAX, Math.max(2, Math.floor(STRIPES_BYTES / (numMembers * stripBytes))))
  }

  /** A stripe with a buffer for each member, `null` where none is left: then one that is under way will be given back. */
  take(): Stripe | null {
    const stripe = this.#free.pop()
    if (stripe !== undefined) return stripe
    return this.#made === this.#max ? null : this.#make()
  }

  give(stripe: Stripe): void {
    this.#free.push(stripe)
  }

  /** Gives the memory back; every stripe is free by now. */
  close(): void {
    for (const stripe of this.#free) this.#freeBuffers(stripe)
    this.#free.length = 0
  }

  /** cold: at most 64 times for a channel. */
  #make(): Stripe | null {
    const stripe = new Stripe(this)
    for (const chunk of stripe.chunks) {
      chunk.buffer = this.host.dma.alloc(this.stripBytes, 4096) ?? null
      if (this.stripMdBytes > 0) chunk.md = this.host.dma.alloc(this.stripMdBytes) ?? null
      if (chunk.buffer === null || (this.stripMdBytes > 0 && chunk.md === null)) {
        this.#freeBuffers(stripe)
        return null
      }
    }
    this.#made++
    return stripe
  }

  #freeBuffers(stripe: Stripe): void {
    for (const chunk of stripe.chunks) {
      if (chunk.buffer !== null) this.host.dma.free(chunk.buffer)
      if (chunk.md !== null) this.host.dma.free(chunk.md)
      chunk.buffer = null
      chunk.md = null
    }
  }
}
