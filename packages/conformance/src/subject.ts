// SPDX-License-Identifier: Apache-2.0
import { ERRNO, IO_TYPE_NAMES, IoStatus, ioStatusName, IoType } from '@bdevkit/module-sdk'
import type { Bdev, BdevHost, DifContext } from '@bdevkit/module-sdk'
import type { Driver, Outcome } from './driver.js'
import { check } from './failure.js'
import { firstDifference, pattern, Scatter } from './memory.js'
import { inBlocks, placed, stamp } from './protection.js'

const nameOf = (type: IoType): string => (IO_TYPE_NAMES[type] ?? `type ${type}`).toUpperCase()

/** "succeeded", or how an I/O ended instead. */
export function endingOf({ rc, status }: Outcome): string {
  if (rc !== 0) return `was refused with ${rc}`
  if (status === undefined) return 'did not end'
  return status === IoStatus.Success ? 'succeeded' : `ended with status ${ioStatusName(status)}`
}

/** The bdev that a case looks at, with the checks that cases are made of. Offsets and lengths count blocks. */
export class Subject {
  readonly host: BdevHost
  readonly bdev: Bdev
  readonly driver: Driver
  /** False for bdevs whose reads return zeros whatever was written. */
  readonly keepsData: boolean
  readonly #scatters: Scatter[] = []
  readonly #inBlocks: DifContext | null

  constructor(host: BdevHost, bdev: Bdev, driver: Driver, keepsData: boolean) {
    this.host = host
    this.bdev = bdev
    this.driver = driver
    this.keepsData = keepsData
    this.#inBlocks = inBlocks(host, bdev)
  }

  supports(type: IoType): boolean {
    return this.bdev.ioTypeSupported(type)
  }

  /** At least `count` blocks, in whole write units. */
  blocks(count: number): number {
    const unit = this.bdev.writeUnitSizeBlocks
    return Math.ceil(count / unit) * unit
  }

  /** At least `lengthBytes`, in whole write units. */
  blocksOf(lengthBytes: number): number {
    return this.blocks(Math.ceil(lengthBytes / this.bdev.blockSizeBytes))
  }

  bytes(numBlocks: number): number {
    return numBlocks * this.bdev.blockSizeBytes
  }

  /** A scatter list of `pieces` bytes, released with the subject. */
  scatter(pieces: readonly number[], plain = false, alignBytes = this.bdev.requiredAlignmentBytes): Scatter {
    const scatter = new Scatter(this.host, pieces, alignBytes, plain)
    this.#scatters.push(scatter)
    return scatter
  }

  /** What `lengthBytes` from block `offsetBlocks` hold after a write with `seed`. */
  data(offsetBlocks: number, numBlocks: number, seed: number): Uint8Array {
    return stamp(this.host, this.#inBlocks, offsetBlocks, pattern(this.bytes(offsetBlocks), this.bytes(numBlocks), seed))
  }

  /** A buffer with that data. */
  filled(offsetBlocks: number, numBlocks: number, seed: number): Scatter {
    const scatter = this.scatter([this.bytes(numBlocks)])
    scatter.set(this.data(offsetBlocks, numBlocks, seed))
    return scatter
  }

  /** Checks the ending of an I/O whose type the bdev declares, or does not. Returns whether it was carried out. */
  judge(type: IoType, outcome: Outcome): boolean {
    if (this.supports(type)) {
      check(outcome.rc === 0 && outcome.status === IoStatus.Success,
        `${nameOf(type)} is declared by ioTypeSupported, but it ${endingOf(outcome)}`,
        'serve the type in submitRequest, or answer false for it in ioTypeSupported')
      return true
    }
    check(outcome.rc === -ERRNO.ENOTSUP || (outcome.rc === 0 && outcome.status !== IoStatus.Success),
      `${nameOf(type)} is not declared by ioTypeSupported, but it ${endingOf(outcome)}`,
      'refuse it with -ENOTSUP or fail it; or declare it')
    return false
  }

  /** Writes the data of `seed`; returns whether the bdev takes writes. The buffers must stay as they were. */
  async write(
    offsetBlocks: number,
    numBlocks: number,
    seed: number,
    pieces?: readonly number[],
    plain?: boolean,
  ): Promise<boolean> {
    const bytes = this.data(offsetBlocks, numBlocks, seed)
    const scatter = this.scatter(pieces ?? [bytes.length], plain)
    scatter.set(bytes)
    const written = this.judge(IoType.Write, await this.driver.write(scatter.iovs, offsetBlocks, numBlocks))
    check(firstDifference(scatter.get(), bytes) === -1, 'WRITE changed the buffers that it was given',
      'the submitter owns them; transform data in a buffer of your own')
    check(scatter.gapsIntact(), 'WRITE wrote to memory beside the buffers that it was given',
      'only READ may write, and only to the iov.len bytes at iov.off')
    return written
  }

  /** Reads `numBlocks` and returns them. */
  async read(offsetBlocks: number, numBlocks: number, pieces?: readonly number[], plain?: boolean): Promise<Uint8Array> {
    const scatter = this.scatter(pieces ?? [this.bytes(numBlocks)], plain)
    this.judge(IoType.Read, await this.driver.read(scatter.iovs, offsetBlocks, numBlocks))
    check(scatter.gapsIntact(), 'READ wrote to memory beside the buffers that it was given',
      'element i takes iov.len bytes at iov.off, then the next element goes on; mind iovCnt and iov.len')
    return scatter.get()
  }

  /** Reads and compares with `wanted`, or with zeros where the bdev keeps no data. */
  async expect(offsetBlocks: number, wanted: Uint8Array, pieces?: readonly number[], plain?: boolean): Promise<void> {
    const found = await this.read(offsetBlocks, wanted.length / this.bdev.blockSizeBytes, pieces, plain)
    this.same(offsetBlocks, found, wanted)
  }

  /** Checks that `found`, read from `offsetBlocks` on, is `wanted`. */
  same(offsetBlocks: number, found: Uint8Array, wanted: Uint8Array): void {
    const right = placed(this.host, this.#inBlocks, offsetBlocks, this.keepsData ? wanted : new Uint8Array(wanted.length), found)
    const at = firstDifference(found, right)
    if (at === -1) return
    const block = offsetBlocks + Math.floor(at / this.bdev.blockSizeBytes)
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(at, at + 8)).toString('hex')
    const place = `block ${block} of ${this.bdev.numBlocks}, byte ${at % this.bdev.blockSizeBytes}`
    const hint = this.keepsData ? 'look at offsetBlocks and numBlocks, and at every element of iovs up to iovCnt'
      : 'keepsData: false promises that every read returns zeros'
    check(false, `${place} (byte ${at} of ${wanted.length}): wanted ${hex(right)}, read ${hex(found)}`, hint)
  }

  /** Gives all memory back. */
  release(): void {
    for (const scatter of this.#scatters.splice(0)) scatter.release()
  }
}
