// SPDX-License-Identifier: Apache-2.0
import { BdevError, BdevEventType, IoType, type Bdev, type BdevDesc, type BdevEvent } from '@bdevkit/module-sdk'
import { zeroesNatively, type NbdHost } from './host.js'
import { BLOCK_BYTES_MAX, PAYLOAD_BYTES_MAX, READ_INLINE_BYTES_MAX, READ_INLINE_UNLENT_BYTES_MAX } from './limits.js'
import { STRING_BYTES_MAX, TransmissionFlag } from './protocol.js'

/** A bdev that clients can ask for. */
export interface ExportOptions {
  /** Name that clients ask for; `''` is the default export, and so is the first one where no export has that name. */
  name: string
  /** Name, alias or UUID of the bdev. */
  bdevName: string
  /** Refuse writes; the bdev is opened for reading. Default false. */
  readOnly?: boolean
  /** Shown by clients that list exports. */
  description?: string
  /**
   * Whether a client may spread its requests over several connections, default true. That is right for every bdev on
   * which a FLUSH covers all writes that completed before it, whoever sent them: all connections share one bdev here. Say
   * false for a bdev whose module keeps a write cache per channel, or for a test of clients that must do with one connection.
   */
  multiConn?: boolean
}

/** What a connection or a list of exports needs of a bdev, fixed when it is attached. */
export interface ExportGeometry {
  /** Size in bytes. */
  readonly sizeBytes: number
  readonly blockSizeBytes: number
  /** Advertised minimum: block size, or the write unit where that is larger. */
  readonly minimumBytes: number
  /** Advertised preference. */
  readonly preferredBytes: number
  /** What the bdev asks of its buffers. */
  readonly alignBytes: number
  /** Whether reads may borrow. */
  readonly lends: boolean
  /** Longest read that goes into the reply buffer. */
  readonly inlineBytes: number
  /** Whether zeroing beats writing zeros. */
  readonly fastZero: boolean
  /** Whether the bdev takes writes: a file that was opened readonly does not. */
  readonly canWrite: boolean
  readonly canFlush: boolean
  readonly canTrim: boolean
}

/** Somebody who uses an export's descriptor: a connection. */
export interface ExportUser {
  /** The bdev goes away: stop using it and say `detach` when nothing is in flight. */
  onRemove(): void
}

/**
 * One export: the bdev's name, and while the bdev exists its one descriptor, shared by the connections. After a removal
 * the name stays, and a new bdev of that name is opened by the next client that asks.
 */
export class NbdExport {
  readonly options: ExportOptions
  readonly users = new Set<ExportUser>()
  readonly #host: NbdHost
  #desc: BdevDesc | null = null
  #removed = false
  #closed = false

  /**
   * Opens the bdev.
   * @throws BdevError ENODEV no such bdev; EPERM it is claimed; EINVAL its block size cannot be served, or a name is too long.
   */
  constructor(host: NbdHost, options: ExportOptions) {
    this.#host = host
    this.options = options
    for (const text of [options.name, options.description ?? '']) {
      if (Buffer.byteLength(text) > STRING_BYTES_MAX || text.includes('\0')) {
        throw new BdevError('EINVAL', `nbd export "${options.name.slice(0, 64)}": wanted at most ${STRING_BYTES_MAX} bytes without NUL`)
      }
    }
    this.#open()
  }

  /** Name that clients ask for. */
  get name(): string {
    return this.options.name
  }

  /** The open descriptor, null while the bdev is gone. */
  get desc(): BdevDesc | null {
    return this.#desc
  }

  /**
   * The descriptor, opened again where the bdev had gone and came back. Null where there is none now.
   */
  attach(): BdevDesc | null {
    if (this.#closed || this.#removed) return null
    if (this.#desc === null) {
      try {
        this.#open()
      } catch (thrown) {
        this.#host.log.info(`nbd export "${this.name}": ${(thrown as Error).message}`)
      }
    }
    return this.#desc
  }

  /** A user has put its channel. */
  detach(user: ExportUser): void {
    this.users.delete(user)
    this.#closeIfUnused()
  }

  /** Takes no further users; the descriptor closes with the last one. */
  close(): void {
    this.#closed = true
    this.#closeIfUnused()
  }

  /** Size and shape of the bdev now. */
  geometry(bdev: Bdev): ExportGeometry {
    // A client knows no metadata: where it is interleaved, blocks are served without.
    const blockSizeBytes = bdev.dataBlockSizeBytes
    const lends = bdev.lendsReadBuffers && !bdev.mdInterleave
    const unitBytes = blockSizeBytes * bdev.writeUnitSizeBlocks
    const minimumBytes = isPowerOfTwo(unitBytes) && unitBytes <= BLOCK_BYTES_MAX ? unitBytes : blockSizeBytes
    const boundaryBytes = bdev.optimalIoBoundaryBlocks * blockSizeBytes
    const preferredBytes = Math.max(
      4096,
      minimumBytes,
      isPowerOfTwo(bdev.physBlockSizeBytes) && bdev.physBlockSizeBytes <= BLOCK_BYTES_MAX ? bdev.physBlockSizeBytes : 0,
      isPowerOfTwo(boundaryBytes) && boundaryBytes <= PAYLOAD_BYTES_MAX ? boundaryBytes : 0,
    )
    return {
      sizeBytes: bdev.numBlocks * blockSizeBytes,
      blockSizeBytes,
      minimumBytes,
      preferredBytes,
      alignBytes: bdev.requiredAlignmentBytes,
      lends,
      inlineBytes: lends ? READ_INLINE_BYTES_MAX : READ_INLINE_UNLENT_BYTES_MAX,
      fastZero: zeroesNatively(bdev),
      canWrite: bdev.ioTypeSupported(IoType.Write),
      canFlush: bdev.writeCache || bdev.ioTypeSupported(IoType.Flush),
      canTrim: bdev.ioTypeSupported(IoType.Unmap),
    }
  }

  /**
   * proto.md "Transmission flags". FLUSH and FUA wherever something below may be volatile; a FUA is a write and a FLUSH.
   * Zeroing never deallocates, so NO_HOLE is kept without doing anything for it.
   */
  transmissionFlags(geometry: ExportGeometry, structuredReplies: boolean): number {
    let flags: number = TransmissionFlag.HasFlags | TransmissionFlag.SendCache
    if (structuredReplies) flags |= TransmissionFlag.SendDf
    if (this.options.multiConn ?? true) flags |= TransmissionFlag.CanMultiConn
    if (this.options.readOnly === true || !geometry.canWrite) return flags | TransmissionFlag.ReadOnly
    if (geometry.canFlush) flags |= TransmissionFlag.SendFlush | TransmissionFlag.SendFua
    if (geometry.canTrim) flags |= TransmissionFlag.SendTrim
    return flags | TransmissionFlag.SendWriteZeroes | TransmissionFlag.SendFastZero
  }

  #open(): void {
    const { bdevName, readOnly = false } = this.options
    const options = { write: !readOnly, owner: `nbd export "${this.name}"`, onEvent: (event: BdevEvent) => this.#onEvent(event) }
    let desc = this.#host.openBdev(bdevName, options)
    if (desc.bdev.mdInterleave) {
      desc.close()
      desc = this.#host.openBdev(bdevName, { ...options, hideMetadata: true })
    }
    const { blockSizeBytes } = desc
    if (!isPowerOfTwo(blockSizeBytes) || blockSizeBytes > BLOCK_BYTES_MAX) {
      desc.close()
      throw new BdevError(
        'EINVAL',
        `nbd export "${this.name}": wanted a block size that is a power of two up to ${BLOCK_BYTES_MAX}, found ${blockSizeBytes} ` +
          `on bdev "${bdevName}"; NBD cannot serve others`,
      )
    }
    this.#desc = desc
    this.#removed = false
  }

  #onEvent(event: BdevEvent): void {
    if (event.type === BdevEventType.Resize) {
      this.#host.log.notice(
        `nbd export "${this.name}": bdev "${event.bdev.name}" has ${event.bdev.numBlocks} blocks now; new connections see it, ` +
          `${this.users.size} open ones keep their size`,
      )
      return
    }
    if (event.type !== BdevEventType.Remove || this.#removed) return
    this.#removed = true
    this.#host.log.notice(`nbd export "${this.name}": bdev "${event.bdev.name}" is being removed; ${this.users.size} connection(s) end`)
    for (const user of [...this.users]) user.onRemove()
    this.#closeIfUnused()
  }

  #closeIfUnused(): void {
    if (this.users.size > 0 || !(this.#removed || this.#closed)) return
    const desc = this.#desc
    this.#desc = null
    this.#removed = false
    desc?.close()
  }
}

function isPowerOfTwo(n: number): boolean {
  return n > 0 && Number.isSafeInteger(n) && 2 ** Math.round(Math.log2(n)) === n
}
