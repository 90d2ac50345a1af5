// SPDX-License-Identifier: Apache-2.0
// Power that goes after a given number of I/O to the disks of a rig.
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevIo } from '@bdevkit/module-sdk'
import { RECORD_PLACES } from '../src/own-record.js'
import { Disk, type Rig } from './support.js'

/** Disks that answer nothing any more after `after` I/O; what they then hold in part is in `remains`. */
export class Power {
  readonly #disks: readonly Disk[]
  readonly #held: BdevIo[] = []
  #left: number
  /** How many I/O there were, and how many of them wrote a record of the journal. */
  seen = 0
  records = 0

  constructor(disks: readonly Disk[], after: number) {
    this.#disks = disks
    this.#left = after
    for (const disk of disks) {
      disk.caches = true
      disk.holds = io => {
        this.seen++
        if (io.type === IoType.Write && isRecord(io)) this.records++
        if (this.#left-- > 0) return false
        this.#held.push(io)
        return true
      }
    }
  }

  /** Whether it has gone. */
  get off(): boolean {
    return this.#left < 0
  }

  /** What is on the disks: of what was not flushed, and of what was under way, each block or not. */
  remains(keep: () => boolean): Disk[] {
    return this.#disks.map(disk => {
      const same = new Disk(disk.name, disk.numBlocks, disk.blockSizeBytes, disk.uuid)
      same.bytes = disk.bytes.slice()
      same.unflushed.push(...disk.unflushed)
      same.caches = true
      for (const io of this.#held) if (io.bdev.ctx === disk && io.type === IoType.Write) same.write(io.offsetBlocks * disk.blockSizeBytes, payloadOf(io))
      same.crash(keep)
      return same
    })
  }

  /** Ends what hangs, and the host with it. */
  async clear(rig: Rig): Promise<void> {
    for (const disk of this.#disks) {
      disk.holds = null
      disk.fails = () => IoStatus.Failed
    }
    for (const io of this.#held.splice(0)) io.complete(IoStatus.Failed)
    await rig.stop()
  }
}

function isRecord({ bdev, offsetBlocks }: BdevIo): boolean {
  const at = offsetBlocks * bdev.blockSizeBytes
  return at === RECORD_PLACES.journalA.offsetBytes || at === RECORD_PLACES.journalB.offsetBytes
}

function payloadOf(io: BdevIo): Uint8Array {
  return Buffer.concat(io.iovs.slice(0, io.iovCnt).map(({ buf, off, len }) => buf.slice(off, off + len)))
}
