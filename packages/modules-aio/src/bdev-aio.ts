// SPDX-License-Identifier: Apache-2.0
// data plane
import { ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { Bdev, BdevFnTable, BdevHost, BdevIo, IoDevice, OffloadQueue, RpcCall } from '@bdevkit/module-sdk'
import { closeFile, sizeOf, type AioFile } from './aio-file.js'

/** What `bdev_aio_create` was told, with its defaults. */
export interface AioOptions {
  readonly filename: string
  readonly readonly: boolean
  readonly blockSizeOverride: boolean
}

/** One file as a disk; context of its bdev and of its channels. */
export interface AioDisk extends AioOptions {
  readonly host: BdevHost
  readonly name: string
  readonly file: AioFile
  readonly queue: OffloadQueue
  readonly device: IoDevice<AioDisk>
  /** READs, WRITEs and FLUSHes that the module has. */
  outstanding: number
  /** FLUSHes that the fdatasync under way answers, newest first. */
  syncing: AioIo | null
  /** FLUSHes that came since: what they cover may have been written after it began. */
  syncNext: AioIo | null
  /** Result of the first fdatasync that failed: what it could not write is lost, so that none is believed from then on. */
  syncError: number
  /** The RESET that waits for what is outstanding. */
  reset: BdevIo | null
  removing: boolean
}

/** Scratch of one I/O: its place in a list of FLUSHes. */
export interface AioIoContext {
  next: AioIo | null
}
export type AioIo = BdevIo<AioIoContext>

export const aioFn: BdevFnTable<AioDisk, AioDisk, AioIoContext> = {
  // cold: once a bdev
  async destruct(disk) {
    await disk.device.unregister() // cold: once a bdev
    await disk.queue.close() // cold: once a bdev
    await closeFile(disk.file) // cold: once a bdev
  },
  ioTypeSupported(disk, type) {
    const { Read, Write, Flush, Reset } = IoType
    return type === Read || (type === Write && !disk.readonly) || type === Flush || type === Reset
  },
  getIoChannel(disk) {
    return disk.device.getIoChannel()
  },
  submitRequest(disk, io) {
    const { bdev, type } = io
    if (type === IoType.Read || type === IoType.Write) {
      const positionBytes = io.offsetBlocks * bdev.blockSizeBytes
      const lengthBytes = io.numBlocks * bdev.blockSizeBytes
      disk.outstanding++
      const errno =
        type === IoType.Read
          ? disk.queue.read(disk.file.fd, positionBytes, io.iovs, io.iovCnt, lengthBytes, transferred, io)
          : disk.queue.write(disk.file.fd, positionBytes, io.iovs, io.iovCnt, lengthBytes, transferred, io)
      if (errno !== 0) fail(disk, io, errno)
    } else if (type === IoType.Flush) {
      disk.outstanding++
      flush(disk, io)
    } else if (type === IoType.Reset) {
      disk.reset = io
      resetIfIdle(disk)
    } else {
      io.complete(IoStatus.Failed)
    }
  },
  // cold: for bdev_get_bdevs
  dumpInfoJson: ({ filename, blockSizeOverride, readonly, file }) => ({
    aio: { filename, block_size_override: blockSizeOverride, readonly, fallocate: false, nowait: false, direct: file.direct },
  }),
  // cold: for save_config
  writeConfigJson: bdev => [createCall(bdev)],
}

/** The call that makes `bdev` again: SPDK's members in SPDK's order. */
function createCall({ name, uuid, blockSizeBytes, ctx: { filename, readonly, blockSizeOverride } }: Bdev<AioDisk>): RpcCall {
  const start = blockSizeOverride ? { name, block_size: blockSizeBytes } : { name }
  return { method: 'bdev_aio_create', params: Object.assign(start, { filename, readonly, fallocate: false, uuid, nowait: false }) }
}

function transferred(io: AioIo, result: number): void {
  const disk = io.bdev.ctx as AioDisk
  if (result !== io.numBlocks * io.bdev.blockSizeBytes) return fail(disk, io, result)
  disk.outstanding--
  io.complete(IoStatus.Success)
  if (disk.reset !== null) resetIfIdle(disk)
}

/** Ends an I/O with a negative errno, or with the length of a transfer that ended early. */
function fail(disk: AioDisk, io: AioIo, result: number): void {
  disk.outstanding--
  if (result === -ERRNO.EAGAIN || result === -ERRNO.ENOMEM) {
    io.complete(IoStatus.Nomem)
  } else if (disk.removing || sizeOf(disk.file) === 0) {
    hotRemove(disk)
    io.completeAio(-ERRNO.ENODEV)
  } else {
    disk.host.log.error(describeFailure(disk, io, result))
    if (result < 0) io.completeAio(result)
    else io.complete(IoStatus.Failed)
  }
  if (disk.reset !== null) resetIfIdle(disk)
}

function describeFailure(disk: AioDisk, io: AioIo, result: number): string {
  const what = io.type === IoType.Write ? 'write' : io.type === IoType.Read ? 'read' : 'fdatasync'
  const found = result < 0 ? `errno ${-result}` : `only ${result} bytes: the file is shorter than the bdev`
  return `aio bdev "${disk.name}": ${what} of "${disk.filename}" at block ${io.offsetBlocks}, ${io.numBlocks} blocks: ${found}`
}

/**
 * A FLUSH is answered by an fdatasync that was issued after every write that had completed before it. One runs at a time:
 * those that arrive meanwhile share the next one.
 */
function flush(disk: AioDisk, io: AioIo): void {
  if (disk.syncError !== 0) {
    disk.outstanding--
    return io.completeAio(disk.syncError)
  }
  io.ctx.next = disk.syncNext
  disk.syncNext = io
  if (disk.syncing === null) sync(disk)
}

function sync(disk: AioDisk): void {
  disk.syncing = disk.syncNext
  disk.syncNext = null
  const errno = disk.queue.sync(disk.file.fd, synced, disk)
  if (errno !== 0) synced(disk, errno)
}

function synced(disk: AioDisk, result: number): void {
  if (result < 0 && result !== -ERRNO.EAGAIN && disk.syncError === 0) {
    disk.syncError = result
    disk.host.log.error(
      `aio bdev "${disk.name}": fdatasync of "${disk.filename}" failed with errno ${-result}; what it was to save may be lost, ` +
        'so every FLUSH fails from now on: check the device, then delete and create the bdev',
    )
  }
  let io = disk.syncing
  disk.syncing = null
  while (io !== null) {
    const next: AioIo | null = io.ctx.next
    io.ctx.next = null
    disk.outstanding--
    if (result === -ERRNO.EAGAIN) io.complete(IoStatus.Nomem)
    else io.completeAio(disk.syncError)
    io = next
  }
  if (disk.syncNext !== null && disk.syncing === null) sync(disk)
  if (disk.reset !== null) resetIfIdle(disk)
}

function resetIfIdle(disk: AioDisk): void {
  const io = disk.reset
  if (io === null || disk.outstanding > 0) return
  disk.reset = null
  io.complete(IoStatus.Success)
}

/** The device is gone: so is the bdev. */
export function hotRemove(disk: AioDisk): void {
  if (disk.removing) return
  disk.removing = true
  disk.host.log.error(`aio bdev "${disk.name}": "${disk.filename}" has no bytes any more: it was removed or truncated; removing the bdev`)
  disk.host.appThread.sendMsg(unregister, disk)
}

function unregister({ host, name }: AioDisk): void {
  const failed = (error: Error): void => host.log.warn(`hot removal of aio bdev "${name}": ${error.message}`) // cold: once a bdev
  host.unregisterBdev(name).catch(failed)
}
