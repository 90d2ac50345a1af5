// SPDX-License-Identifier: Apache-2.0
// data plane
// AES-XTS (IEEE 1619) over node:crypto's ECB. A cipher object per data unit costs 2.5 µs, an ECB update() of 16 KiB about 4:
// so the units of all requests of a turn are whitened into one area (kernels), run through update() together, and
// whitened on the way to where they go. More than 16 KiB at once is slower: the result is then mmap'd anew each time.
import type { Accel } from './accel.js'
import type { EcbCipher } from './ciphers.js'
import { kernelsOf } from './heap.js'
import type { Kernels } from './wasm.js'
import type { XtsKey } from './xts-key.js'
import { type XtsQueue, XtsRequest } from './xts-request.js'

/** Bytes of one update(). */
const CHUNK_BYTES = 16_384
const CIPHER_BLOCK_BYTES = 16
/** Data units of one batch at most. */
const BATCH_UNITS = 512
/** Bytes of one batch, after which the thread's other messages have their turn; a single unit may be longer. */
const BATCH_BYTES = 262_144
const TWEAK_BYTES = BATCH_UNITS * CIPHER_BLOCK_BYTES

/** Counters of one operation, as `accel_get_stats` shows them. */
export interface CryptoOpStat {
  executed: number
  failed: number
  numBytes: number
}

/** The working memory of AES-XTS in one host, and the batches. One worker's threads share it: a batch runs to its end. */
export class XtsEngine {
  readonly encrypted: CryptoOpStat = { executed: 0, failed: 0, numBytes: 0 }
  readonly decrypted: CryptoOpStat = { executed: 0, failed: 0, numBytes: 0 }
  /** Bytes of the heap that it keeps. */
  readonly scratchBytes = 3 * CHUNK_BYTES + 2 * TWEAK_BYTES
  readonly accel: Accel
  readonly #reportThrow: (where: string, thrown: unknown) => void
  readonly #kernels: Kernels
  readonly #u8: Uint8Array
  /** Tweak inputs, encrypted tweaks, whitened data, the stream that whitened them, what AES made of them. */
  readonly #inputs: number
  readonly #tweaks: number
  readonly #white: number
  readonly #stream: number
  readonly #out: number
  /** Views by length in cipher blocks: update() needs one, and making one per call costs as much as a small call. */
  readonly #inputViews: (Uint8Array | undefined)[] = new Array<undefined>(BATCH_UNITS + 1).fill(undefined)
  readonly #whiteViews: (Uint8Array | undefined)[] = new Array<undefined>(CHUNK_BYTES / CIPHER_BLOCK_BYTES + 1).fill(undefined)
  /** What lies in the whitened area: pieces of requests, in order. */
  readonly #pieceOf: XtsRequest[] = []
  readonly #pieceBytes = new Int32Array(CHUNK_BYTES / CIPHER_BLOCK_BYTES)
  #pieces = 0
  #filled = 0
  #free: XtsRequest | null = null

  /**
   * `reportThrow` is told what a callback or a cipher throws.
   * @throws RangeError when the heap has no room for the working memory.
   */
  constructor(accel: Accel, reportThrow: (where: string, thrown: unknown) => void) {
    const start = accel.heap.alloc(this.scratchBytes)
    if (start < 0) {
      throw new RangeError(`xts: wanted ${this.scratchBytes} bytes of the dma heap, found it exhausted; free buffers or bdevs`)
    }
    this.accel = accel
    this.#reportThrow = reportThrow
    this.#kernels = kernelsOf(accel.heap)
    this.#u8 = accel.heap.u8
    this.#white = start
    this.#stream = start + CHUNK_BYTES
    this.#out = start + 2 * CHUNK_BYTES
    this.#inputs = start + 3 * CHUNK_BYTES
    this.#tweaks = this.#inputs + TWEAK_BYTES
  }

  /** A request of the pool. */
  take(): XtsRequest {
    const request = this.#free
    if (request === null) return new XtsRequest()
    this.#free = request.next
    request.next = null
    return request
  }

  /** Carries out up to a batch of what is queued, oldest first, and calls back for those that are done. */
  runBatch(queue: XtsQueue, key: XtsKey, unitBytes: number, encrypt: boolean): void {
    if (queue.head === null) return
    const units = this.#plan(queue, key, unitBytes)
    try {
      this.#encryptTweaks(key.tweakCipher, units)
      this.#transform(queue, encrypt ? key.encryptCipher : key.decryptCipher, unitBytes)
    } catch (thrown) {
      this.#reportThrow('a cipher of AES-XTS', thrown)
      this.#pieces = 0
      this.#filled = 0
      failBatch(queue)
    }
    this.#finish(queue, encrypt ? this.encrypted : this.decrypted)
  }

  /** Decides how many units of which requests go into this batch, and writes their tweak inputs. */
  #plan(queue: XtsQueue, key: XtsKey, unitBytes: number): number {
    const most = Math.min(BATCH_UNITS, Math.max(1, Math.floor(BATCH_BYTES / unitBytes)))
    let units = 0
    for (let request = queue.head; request !== null && units < most; request = request.next) {
      const n = Math.min(request.unitsLeft, most - units)
      request.batchUnits = n
      const hi = Math.floor(request.unit / 0x1_0000_0000)
      this.#kernels.xtsTweaks(this.#inputs + units * CIPHER_BLOCK_BYTES, request.unit, hi, n, key.tweakMode)
      request.unit += n
      request.unitsLeft -= n
      units += n
    }
    return units
  }

  #encryptTweaks(cipher: EcbCipher, units: number): void {
    let view = this.#inputViews[units]
    if (view === undefined) {
      view = this.#u8.subarray(this.#inputs, this.#inputs + units * CIPHER_BLOCK_BYTES) // cold: kept
      this.#inputViews[units] = view
    }
    cipher.update(view, this.#u8, this.#tweaks)
  }

  #transform(queue: XtsQueue, cipher: EcbCipher, unitBytes: number): void {
    let tweak = this.#tweaks
    for (let request = queue.head; request !== null && request.batchUnits > 0; request = request.next) {
      let unitsLeft = request.batchUnits
      let unitLeftBytes = unitBytes
      while (unitsLeft > 0) {
        const room = CHUNK_BYTES - this.#filled
        if (unitBytes > CHUNK_BYTES && room > 0) {
          // A unit longer than the area goes on in the next one; its tweak stands where it was left.
          const bytes = Math.min(unitLeftBytes, room)
          this.#whiten(request, tweak, bytes, 1)
          unitLeftBytes -= bytes
          if (unitLeftBytes > 0) continue
          unitLeftBytes = unitBytes
          unitsLeft--
          tweak += CIPHER_BLOCK_BYTES
        } else if (unitBytes <= room) {
          const n = Math.min(unitsLeft, Math.floor(room / unitBytes))
          this.#whiten(request, tweak, unitBytes, n)
          unitsLeft -= n
          tweak += n * CIPHER_BLOCK_BYTES
        } else {
          this.#flush(cipher)
        }
      }
    }
    this.#flush(cipher)
  }

  /** Appends `units` pieces of `bytes` each to the whitened area. */
  #whiten(request: XtsRequest, tweak: number, bytes: number, units: number): void {
    const at = this.#filled
    const length = bytes * units
    const white = this.#white + at
    let src = request.srcOff
    if (src >= 0) {
      request.srcOff = src + length
    } else {
      src = white
      this.#gather(request, white, length)
    }
    this.#kernels.xtsXor(white, src, this.#stream + at, tweak, bytes, units)
    this.#pieceOf[this.#pieces] = request
    this.#pieceBytes[this.#pieces++] = length
    this.#filled = at + length
  }

  /** Runs the whitened area through the cipher, and its pieces on to where they go. */
  #flush(cipher: EcbCipher): void {
    const filled = this.#filled
    if (filled === 0) return
    const blocks = filled / CIPHER_BLOCK_BYTES
    let view = this.#whiteViews[blocks]
    if (view === undefined) {
      view = this.#u8.subarray(this.#white, this.#white + filled) // cold: kept
      this.#whiteViews[blocks] = view
    }
    cipher.update(view, this.#u8, this.#out)
    const kernels = this.#kernels
    let at = 0
    for (let i = 0; i < this.#pieces; i++) {
      const request = this.#pieceOf[i]!
      const bytes = this.#pieceBytes[i]!
      const out = this.#out + at
      const dst = request.dstOff
      if (dst >= 0) {
        kernels.xor2(dst, out, this.#stream + at, bytes)
        request.dstOff = dst + bytes
      } else {
        kernels.xor2(out, out, this.#stream + at, bytes)
        this.#scatter(request, out, bytes)
      }
      at += bytes
    }
    this.#pieces = 0
    this.#filled = 0
  }

  #gather(request: XtsRequest, to: number, lengthBytes: number): void {
    let left = lengthBytes
    while (left > 0) {
      const iov = request.iovs[request.srcIndex]!
      const n = Math.min(left, iov.len - request.srcAt)
      this.accel.copy(this.#u8, to, iov.buf, iov.off + request.srcAt, n)
      to += n
      left -= n
      request.srcAt += n
      if (request.srcAt < iov.len) continue
      request.srcIndex++
      request.srcAt = 0
    }
  }

  #scatter(request: XtsRequest, from: number, lengthBytes: number): void {
    if (!request.inPlace) {
      this.accel.copy(request.dst, request.dstAt, this.#u8, from, lengthBytes)
      request.dstAt += lengthBytes
      return
    }
    let left = lengthBytes
    while (left > 0) {
      const iov = request.iovs[request.dstIndex]!
      const n = Math.min(left, iov.len - request.dstAt)
      this.accel.copy(iov.buf, iov.off + request.dstAt, this.#u8, from, n)
      from += n
      left -= n
      request.dstAt += n
      if (request.dstAt < iov.len) continue
      request.dstIndex++
      request.dstAt = 0
    }
  }

  /** Calls back for the requests that have no unit left. A callback may queue new ones. */
  #finish(queue: XtsQueue, stat: CryptoOpStat): void {
    for (let request = queue.head; request !== null && request.batchUnits > 0; request = queue.head) {
      request.batchUnits = 0
      if (request.unitsLeft > 0) return
      queue.shift()
      const { cb, arg, errno } = request
      if (errno === 0) {
        stat.executed++
        stat.numBytes += request.lengthBytes
      } else {
        stat.failed++
      }
      request.clear()
      request.next = this.#free
      this.#free = request
      try {
        cb(arg, errno)
      } catch (thrown) {
        this.#reportThrow('a callback of AES-XTS', thrown)
      }
    }
  }
}

const EIO = 5

/** Nobody knows which bytes were transformed: every request that took part fails. */
function failBatch(queue: XtsQueue): void {
  for (let request = queue.head; request !== null && request.batchUnits > 0; request = request.next) {
    request.errno = -EIO
    request.unitsLeft = 0
  }
}
