// SPDX-License-Identifier: Apache-2.0
import type { BdevEvent, BdevIo as SdkBdevIo } from '@bdevkit/module-sdk'
import { BdevError, BdevEventType, IoType } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import type { Desc } from '../descriptor/desc.js'
import type { DescChannel } from '../descriptor/desc-channel.js'
import { HandleOperations, type Submit, type Take } from './handle-operations.js'
import type { Host } from './host.js'
import { ZcopyBuffer } from './zcopy-buffer.js'

/** How an application opens a bdev. */
export interface BdevOpenOptions {
  /** Ask for write permission. Default false. */
  write?: boolean
  /** Show blocks without their interleaved metadata. Default false. */
  hideMetadata?: boolean
  /** Who opens it, for messages. */
  owner?: string
  /** Wait as long as this for the bdev to appear, in milliseconds. Default 0. */
  timeoutMs?: number
  /** Told of removal and resize. On removal the handle closes itself, after its I/O has ended. */
  onEvent?(event: BdevEvent): void
}

/** Options of one I/O. */
export interface IoOptions {
  /** Aborts the I/O (ABORT to the bdev). The promise settles when the I/O has ended, whichever way. */
  signal?: AbortSignal
}

/** Options of an I/O that moves data. */
export interface DataOptions extends IoOptions {
  /**
   * Separate metadata of the blocks: filled by a read, written by a write, compared by a compare. Without it, a write leaves the
   * metadata as it is. Only where the bdev has separate metadata.
   */
  metadata?: Uint8Array
}

/** Options of a write. */
export interface WriteOptions extends DataOptions {
  /** Make this write durable before it is answered. Default false. */
  fua?: boolean
}

/** Options of a ZCOPY. */
export interface ZcopyOptions extends IoOptions {
  /** Show what the range holds. Default true. */
  populate?: boolean
}

function lengthOf(buffers: readonly Uint8Array[]): number {
  let sum = 0
  for (const buf of buffers) sum += buf.length
  return sum
}

/**
 * An open bdev for applications: offsets and lengths are bytes and multiples of the block size, every method returns a
 * promise that settles when the I/O has completed, and rejects with a `BdevError` of the errno that SPDK would give.
 */
export class BdevHandle {
  readonly #desc: Desc
  readonly #channel: DescChannel
  readonly #operations: HandleOperations
  readonly #borrowed = new Set<ZcopyBuffer>()
  #closed: Promise<void> | null = null

  private constructor(desc: Desc, channel: DescChannel) {
    this.#desc = desc
    this.#channel = channel
    this.#operations = new HandleOperations(desc, channel)
  }

  /** Use `Host.open`. @internal */
  static async open(host: Host, name: string, options: BdevOpenOptions): Promise<BdevHandle> {
    let handle: BdevHandle | null = null
    let removed = false
    const owner = options.owner ?? 'application'
    const openOptions = {
      write: options.write ?? false,
      hideMetadata: options.hideMetadata ?? false,
      onEvent: (event: BdevEvent) => {
        try {
          return options.onEvent?.(event)
        } finally {
          if (event.type === BdevEventType.Remove) {
            removed = true
            void handle?.close()
          }
        }
      },
    }
    const { timeoutMs = 0 } = options
    const desc = timeoutMs === 0 ? host.openFor(name, openOptions, owner, null) : await host.asyncOpens.open(name, openOptions, timeoutMs, owner, null)
    const channel = await new Promise<DescChannel | null>(resolve => desc.thread.execMsg(() => resolve(desc.getIoChannel()), undefined))
    if (channel === null) {
      desc.thread.execMsg(() => desc.close(), undefined)
      throw new BdevError('ENOMEM', `open of bdev "${name}": no channel could be made; the log says why`)
    }
    handle = new BdevHandle(desc, channel)
    if (removed) void handle.close()
    return handle
  }

  /** The bdev. */
  get bdev(): Bdev {
    return this.#desc.bdev
  }

  /** The descriptor, for claims. */
  get desc(): Desc {
    return this.#desc
  }

  /** Block size in bytes: without the metadata where that is hidden. */
  get blockSizeBytes(): number {
    return this.#desc.blockSizeBytes
  }

  /** Size in bytes. */
  get sizeBytes(): number {
    return this.bdev.numBlocks * this.blockSizeBytes
  }

  /** Reads `lengthBytes` from `offsetBytes` into memory of its own. */
  async read(offsetBytes: number, lengthBytes: number, options: DataOptions = {}): Promise<Uint8Array> {
    const [, blocks] = this.#blocks('read', offsetBytes, lengthBytes)
    const buf = new Uint8Array(blocks * this.blockSizeBytes)
    await this.readInto(buf, offsetBytes, options)
    return buf
  }

  /** Fills `buf` from `offsetBytes` on. */
  async readInto(buf: Uint8Array, offsetBytes: number, options: DataOptions = {}): Promise<void> {
    const [at, blocks] = this.#blocks('read', offsetBytes, buf.length)
    const md = this.#metadata('read', blocks, options)
    await this.#run('read', (channel, cb, op) => channel.readBlocksWithMd(buf, 0, md, 0, at, blocks, cb as never, op), options)
  }

  /** Writes `data` at `offsetBytes`. The buffer must stay unchanged until the promise settles. */
  async write(data: Uint8Array, offsetBytes: number, options: WriteOptions = {}): Promise<void> {
    const [at, blocks] = this.#blocks('write', offsetBytes, data.length)
    const md = this.#metadata('write', blocks, options)
    await this.#run('write', (channel, cb, op) => channel.writeBlocksWithMd(data, 0, md, 0, at, blocks, cb as never, op), options)
    if (options.fua === true) await this.#makeDurable(at, blocks)
  }

  /** Fills `buffers`, one after the other, from `offsetBytes` on. */
  async readv(buffers: readonly Uint8Array[], offsetBytes: number, options: IoOptions = {}): Promise<void> {
    const [at, blocks] = this.#blocks('read', offsetBytes, lengthOf(buffers))
    if (blocks === 0) return
    const iovs = buffers.map(buf => ({ buf, off: 0, len: buf.length }))
    await this.#run('read', (channel, cb, op) => channel.readvBlocks(iovs, iovs.length, at, blocks, cb as never, op), options)
  }

  /** Writes `buffers`, one after the other, at `offsetBytes`. They must stay unchanged until the promise settles. */
  async writev(buffers: readonly Uint8Array[], offsetBytes: number, options: WriteOptions = {}): Promise<void> {
    const [at, blocks] = this.#blocks('write', offsetBytes, lengthOf(buffers))
    if (blocks === 0) return
    const iovs = buffers.map(buf => ({ buf, off: 0, len: buf.length }))
    await this.#run('write', (channel, cb, op) => channel.writevBlocks(iovs, iovs.length, at, blocks, cb as never, op), options)
    if (options.fua === true) await this.#makeDurable(at, blocks)
  }

  /** Compares; rejects with EILSEQ where the data differs. */
  async compare(data: Uint8Array, offsetBytes: number, options: DataOptions = {}): Promise<void> {
    const [at, blocks] = this.#blocks('compare', offsetBytes, data.length)
    const md = this.#metadata('compare', blocks, options)
    const iovs = [{ buf: data, off: 0, len: data.length }]
    await this.#run('compare', (channel, cb, op) => channel.comparevBlocksWithMd(iovs, data.length === 0 ? 0 : 1, md, 0, at, blocks, cb as never, op), options)
  }

  /** Deallocates a range. */
  async unmap(offsetBytes: number, lengthBytes: number, options: IoOptions = {}): Promise<void> {
    const [at, blocks] = this.#blocks('unmap', offsetBytes, lengthBytes)
    await this.#run('unmap', (channel, cb, op) => channel.unmapBlocks(at, blocks, cb as never, op), options)
  }

  /** Zeroes a range. */
  async writeZeroes(offsetBytes: number, lengthBytes: number, options: IoOptions = {}): Promise<void> {
    const [at, blocks] = this.#blocks('write_zeroes', offsetBytes, lengthBytes)
    await this.#run('write_zeroes', (channel, cb, op) => channel.writeZeroesBlocks(at, blocks, cb as never, op), options)
  }

  /** Makes every write that has completed durable. */
  async flush(options: IoOptions = {}): Promise<void> {
    await this.#run('flush', (channel, cb, op) => channel.flushBlocks(0, this.bdev.numBlocks, cb as never, op), options)
  }

  /** Marks a range as unreadable until it is written again. Rejects with ENOTSUP where the bdev cannot. */
  async writeUncorrectable(offsetBytes: number, lengthBytes: number, options: IoOptions = {}): Promise<void> {
    const [at, blocks] = this.#blocks('write_uncorrectable', offsetBytes, lengthBytes)
    await this.#run('write_uncorrectable', (channel, cb, op) => channel.writeUncorrectableBlocks(at, blocks, cb as never, op), options)
  }

  /**
   * Writes `data` where the range equals `expected`, with no other write in between; rejects with EILSEQ, and writes nothing,
   * where it differs. At most `bdev.acwuBlocks` blocks, else EINVAL.
   */
  async compareAndWrite(expected: Uint8Array, data: Uint8Array, offsetBytes: number, options: IoOptions = {}): Promise<void> {
    if (expected.length !== data.length) {
      throw new BdevError('EINVAL', `compare_and_write on bdev "${this.bdev.name}": wanted two buffers of one length, found ${expected.length} and ${data.length} bytes`)
    }
    const [at, blocks] = this.#blocks('compare_and_write', offsetBytes, data.length)
    const compare = [{ buf: expected, off: 0, len: expected.length }]
    const write = [{ buf: data, off: 0, len: data.length }]
    const submit: Submit = (channel, cb, op) => channel.comparevAndWritevBlocks(compare, 1, write, 1, at, blocks, cb as never, op)
    await this.#run('compare_and_write', submit, options)
  }

  /** Copies inside the bdev. The ranges may overlap. */
  async copy(dstOffsetBytes: number, srcOffsetBytes: number, lengthBytes: number, options: IoOptions = {}): Promise<void> {
    const [dst, blocks] = this.#blocks('copy', dstOffsetBytes, lengthBytes)
    const [src] = this.#blocks('copy', srcOffsetBytes, lengthBytes)
    await this.#run('copy', (channel, cb, op) => channel.copyBlocks(dst, src, blocks, cb as never, op), options)
  }

  /**
   * Borrows the bdev's own buffer for a range, filled with what is there if `populate` (the default). Give it back with
   * `end(true)` to make its content the bdev's, or `end(false)`. Needs write permission; rejects with ENOTSUP where the bdev
   * lends none.
   */
  async zcopyStart(offsetBytes: number, lengthBytes: number, options: ZcopyOptions = {}): Promise<ZcopyBuffer> {
    const [at, blocks] = this.#blocks('zcopy', offsetBytes, lengthBytes)
    const { populate = true } = options
    let buffer!: ZcopyBuffer
    const take: Take = io => {
      const pieces = io.iovs.slice(0, io.iovCnt).map(({ buf, off, len }) => buf.subarray(off, off + len))
      buffer = new ZcopyBuffer(pieces, async commit => {
        try {
          const submit: Submit = (channel, cb, op) => channel.zcopyEnd(io, commit, cb as never, op)
          await this.#operations.run('zcopy', submit, { whileClosing: true })
        } finally {
          this.#borrowed.delete(buffer)
        }
      })
      this.#borrowed.add(buffer)
      return true
    }
    await this.#run('zcopy', (channel, cb, op) => channel.zcopyStart(at, blocks, populate, cb as never, op), options, take)
    return buffer
  }

  /** Offset of the next data at or after `offsetBytes`, `undefined` where there is none. Where the bdev does not know, all is data. */
  seekData(offsetBytes: number, options: IoOptions = {}): Promise<number | undefined> {
    return this.#seek('seek_data', offsetBytes, options)
  }

  /** Offset of the next unallocated block at or after `offsetBytes`, `undefined` where there is none. */
  seekHole(offsetBytes: number, options: IoOptions = {}): Promise<number | undefined> {
    return this.#seek('seek_hole', offsetBytes, options)
  }

  /** Resets the bdev. */
  async reset(): Promise<void> {
    await this.#run('reset', (channel, cb, op) => channel.reset(cb as never, op), {})
  }

  /**
   * Tells of this handle's I/O that lasts `timeoutS` seconds or longer: looked for once a second, and told again each second
   * while it lasts. 0 ends it. To end such an I/O abort its signal, or `reset`.
   * @throws BdevError EINVAL a negative time; EBADF the handle is closed.
   */
  setTimeout(timeoutS: number, onTimeout: ((io: SdkBdevIo) => void) | null): Promise<void> {
    return this.#onThread(() => this.#desc.setTimeout(timeoutS, onTimeout))
  }

  /** Waits for its I/O, then closes. Calling it again gives the same promise. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  /** As `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    const closed = this.#operations.close()
    await Promise.allSettled([...this.#borrowed].map(buffer => buffer.end(false)))
    await closed
    await this.#onThread(() => {
      this.#channel.put()
      this.#desc.close()
    })
  }

  /** After an await no thread is current; a descriptor wants its own. */
  #onThread(work: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#desc.thread.execMsg(() => {
        try {
          work()
          resolve()
        } catch (thrown) {
          reject(thrown as Error)
        }
      }, undefined)
    })
  }

  async #makeDurable(offsetBlocks: number, numBlocks: number): Promise<void> {
    if (!this.bdev.ioTypeSupported(IoType.Flush)) return
    await this.#run('flush', (channel, cb, op) => channel.flushBlocks(offsetBlocks, numBlocks, cb as never, op), {})
  }

  async #seek(what: 'seek_data' | 'seek_hole', offsetBytes: number, options: IoOptions): Promise<number | undefined> {
    const size = this.blockSizeBytes
    const [at] = this.#blocks(what, offsetBytes, size)
    let found = Infinity
    const take: Take = io => void (found = io.seekOffsetBlocks)
    const submit: Submit = (channel, cb, op) =>
      what === 'seek_data' ? channel.seekData(at, cb as never, op) : channel.seekHole(at, cb as never, op)
    await this.#run(what, submit, options, take)
    return found === Infinity ? undefined : found * size
  }

  #blocks(what: string, offsetBytes: number, lengthBytes: number): [number, number] {
    const size = this.blockSizeBytes
    const fits = (bytes: number): boolean => Number.isSafeInteger(bytes) && bytes >= 0 && bytes % size === 0
    if (!fits(offsetBytes) || !fits(lengthBytes)) {
      throw new BdevError('EINVAL', `${what} on bdev "${this.bdev.name}": wanted offset and length to be multiples of its block size ${size}, found ${offsetBytes} and ${lengthBytes}`)
    }
    if (offsetBytes + lengthBytes > this.sizeBytes) {
      throw new BdevError('EINVAL', `${what} on bdev "${this.bdev.name}": wanted a range within its ${this.sizeBytes} bytes, found ${lengthBytes} bytes at ${offsetBytes}`)
    }
    return [offsetBytes / size, lengthBytes / size]
  }

  /** @throws BdevError EINVAL there is no separate metadata, or it has another length. */
  #metadata(what: string, blocks: number, { metadata }: DataOptions): Uint8Array | null {
    if (metadata === undefined) return null
    const { mdSizeBytes, mdInterleave } = this.#desc
    if (mdSizeBytes === 0 || mdInterleave) throw new BdevError('EINVAL', `${what} on bdev "${this.bdev.name}": metadata was given, but the bdev has no separate metadata; leave it out`)
    if (metadata.length === blocks * mdSizeBytes) return metadata
    throw new BdevError('EINVAL', `${what} on bdev "${this.bdev.name}": wanted ${blocks * mdSizeBytes} bytes of metadata, found ${metadata.length}`)
  }

  #run(what: string, submit: Submit, options: IoOptions, take: Take | null = null): Promise<void> {
    return this.#operations.run(what, submit, { ...options, take })
  }
}
