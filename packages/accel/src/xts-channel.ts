// SPDX-License-Identifier: Apache-2.0
// data plane
import type { Thread } from '@bdevkit/module-sdk'
import type { Accel, Iov } from './accel.js'
import type { XtsEngine } from './xts-engine.js'
import { INCR_512_FIRST, type XtsKey } from './xts-key.js'
import { XtsQueue, type XtsRequest } from './xts-request.js'

/** One thread's use of one key, for blocks of one size. Requests are carried out once a turn, all together. */
export class XtsChannel {
  readonly thread: Thread
  readonly #accel: Accel
  readonly #engine: XtsEngine
  readonly #key: XtsKey
  readonly #blockSizeBytes: number
  readonly #unitBytes: number
  readonly #unitsPerBlock: number
  readonly #encrypts = new XtsQueue()
  readonly #decrypts = new XtsQueue()
  #queued = false

  /** @throws RangeError when blocks of that size cannot be cut into data units. */
  constructor(engine: XtsEngine, key: XtsKey, blockSizeBytes: number, thread: Thread) {
    const unitBytes = key.unitBytes(blockSizeBytes)
    if (unitBytes === undefined) throw new RangeError(`xts: blocks of ${blockSizeBytes} bytes are no whole data units`)
    this.thread = thread
    this.#accel = engine.accel
    this.#engine = engine
    this.#key = key
    this.#blockSizeBytes = blockSizeBytes
    this.#unitBytes = unitBytes
    this.#unitsPerBlock = key.tweakMode >= INCR_512_FIRST ? blockSizeBytes / unitBytes : 1
  }

  /** See `CryptoChannel` of the contract. */
  encrypt<Arg>(
    dst: Uint8Array,
    dstOff: number,
    iovs: readonly Iov[],
    iovCnt: number,
    skipBytes: number,
    offsetBlocks: number,
    numBlocks: number,
    cb: (arg: Arg, errno: number) => void,
    arg: Arg,
  ): void {
    const lengthBytes = numBlocks * this.#blockSizeBytes
    this.#accel.checkRange('encrypt', 'destination', dst, dstOff, lengthBytes)
    const request = this.#start('encrypt', iovs, iovCnt, skipBytes, offsetBlocks, numBlocks)
    request.dst = dst
    request.dstAt = dstOff
    request.dstOff = dst === this.#accel.heap.u8 ? dstOff : -1
    request.cb = cb
    request.arg = arg
    this.#encrypts.append(request)
    this.#schedule()
  }

  /** See `CryptoChannel` of the contract. */
  decrypt<Arg>(
    iovs: readonly Iov[],
    iovCnt: number,
    offsetBlocks: number,
    numBlocks: number,
    cb: (arg: Arg, errno: number) => void,
    arg: Arg,
  ): void {
    const request = this.#start('decrypt', iovs, iovCnt, 0, offsetBlocks, numBlocks)
    request.dstOff = request.srcOff
    request.dstIndex = request.srcIndex
    request.dstAt = request.srcAt
    request.cb = cb
    request.arg = arg
    this.#decrypts.append(request)
    this.#schedule()
  }

  /** Takes a request with its source. @throws RangeError where the iovecs do not hold it. */
  #start(
    call: string,
    iovs: readonly Iov[],
    iovCnt: number,
    skipBytes: number,
    offsetBlocks: number,
    numBlocks: number,
  ): XtsRequest {
    const lengthBytes = numBlocks * this.#blockSizeBytes
    if (!(Number.isSafeInteger(numBlocks) && numBlocks > 0 && Number.isSafeInteger(offsetBlocks) && offsetBlocks >= 0)) {
      throw new RangeError(`accel.${call}: wanted one or more blocks, found ${numBlocks} from block ${offsetBlocks} on`)
    }
    let index = -1
    let at = 0
    let before = 0
    for (let i = 0; i < iovCnt; i++) {
      const { buf, off, len } = iovs[i]!
      this.#accel.checkRange(call, 'iovec', buf, off, len)
      if (index < 0 && before + len > skipBytes) {
        index = i
        at = skipBytes - before
      }
      before += len
    }
    if (!(skipBytes >= 0 && before >= skipBytes + lengthBytes)) {
      throw new RangeError(
        `accel.${call}: wanted ${lengthBytes} bytes from byte ${skipBytes} of ${iovCnt} iovecs on, found ${before} in all; ` +
          'check iovCnt and each len',
      )
    }
    const request = this.#engine.take()
    const first = iovs[index]!
    request.lengthBytes = lengthBytes
    request.unit = offsetBlocks * this.#unitsPerBlock
    request.unitsLeft = lengthBytes / this.#unitBytes
    request.iovs = iovs
    request.srcIndex = index
    request.srcAt = at
    request.srcOff = first.buf === this.#accel.heap.u8 && first.len - at >= lengthBytes ? first.off + at : -1
    return request
  }

  #schedule(): void {
    if (this.#queued) return
    this.#queued = true
    this.thread.sendMsg(runChannel, this)
  }

  /** Runs one batch of each kind; what is left waits for the thread's other messages. */
  run(): void {
    this.#queued = false
    this.#engine.runBatch(this.#encrypts, this.#key, this.#unitBytes, true)
    this.#engine.runBatch(this.#decrypts, this.#key, this.#unitBytes, false)
    if (this.#encrypts.head !== null || this.#decrypts.head !== null) this.#schedule()
  }
}

function runChannel(channel: XtsChannel): void {
  channel.run()
}
