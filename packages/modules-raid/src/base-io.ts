// SPDX-License-Identifier: Apache-2.0
// I/O of the control plane to one member: a promise each.
import { BdevError, ERRNO, IO_TYPE_NAMES, ioStatusName, IoType } from '@bdevkit/module-sdk'
import type { BdevIo, DescChannel, IoCallback } from '@bdevkit/module-sdk'

/** Submits by `submit` and waits for the end; where the pool is empty, it waits first. @throws BdevError EIO it failed. */
function carryOut(leg: DescChannel, type: IoType, submit: (cb: IoCallback<null>) => number): Promise<void> {
  return completed(leg, type, submit).then(io => io.free())
}

/** As `carryOut`; the caller frees the I/O. */
function completed(leg: DescChannel, type: IoType, submit: (cb: IoCallback<null>) => number): Promise<BdevIo> {
  const what = `${IO_TYPE_NAMES[type]} of bdev "${leg.bdev.name}"`
  return new Promise((resolve, reject) => {
    const start = (): void => {
      const rc = submit((io, success) => {
        if (success) {
          resolve(io)
          return
        }
        const { status } = io
        io.free()
        reject(new BdevError('EIO', `${what}: it ended with status ${ioStatusName(status)}`))
      })
      if (rc === 0) return
      if (rc !== -ERRNO.ENOMEM) reject(new BdevError('EIO', `${what}: it was refused with ${rc}`))
      else if (leg.queueIoWait({ fn: start, arg: undefined }) !== 0) start()
    }
    leg.thread.execMsg(start, undefined)
  })
}

/** Separate metadata beside the data. */
export interface BaseMd {
  readonly buf: Uint8Array
  readonly off: number
}

export function readBase(leg: DescChannel, buf: Uint8Array, off: number, offsetBlocks: number, numBlocks: number, md?: BaseMd): Promise<void> {
  if (md === undefined) return carryOut(leg, IoType.Read, cb => leg.readBlocks(buf, off, offsetBlocks, numBlocks, cb, null))
  return carryOut(leg, IoType.Read, cb => leg.readBlocksWithMd(buf, off, md.buf, md.off, offsetBlocks, numBlocks, cb, null))
}

/** Reads without a buffer, for members that lend their memory: it is the answered I/O's, until that is freed. */
export function borrowBase(leg: DescChannel, offsetBlocks: number, numBlocks: number): Promise<BdevIo> {
  return completed(leg, IoType.Read, cb => leg.readvBlocks([], 0, offsetBlocks, numBlocks, cb, null))
}

export function writeBase(leg: DescChannel, buf: Uint8Array, off: number, offsetBlocks: number, numBlocks: number, md?: BaseMd): Promise<void> {
  if (md === undefined) return carryOut(leg, IoType.Write, cb => leg.writeBlocks(buf, off, offsetBlocks, numBlocks, cb, null))
  return carryOut(leg, IoType.Write, cb => leg.writeBlocksWithMd(buf, off, md.buf, md.off, offsetBlocks, numBlocks, cb, null))
}

/** Makes what was written last, where the member has a FLUSH. */
export async function flushBase(leg: DescChannel): Promise<void> {
  if (!leg.bdev.ioTypeSupported(IoType.Flush)) return
  await carryOut(leg, IoType.Flush, cb => leg.flushBlocks(0, leg.bdev.numBlocks, cb, null))
}
