// SPDX-License-Identifier: Apache-2.0
import { BdevError, ERRNO } from '@bdevkit/module-sdk'
import type { Desc } from '../descriptor/desc.js'
import { ioError } from './handle-operations.js'
import { ioErrno } from './io-errno.js'

/** Reads blocks for the control plane of a module: see `BdevHost.readBlocks`. */
export function readBlocks(desc: Desc, offsetBlocks: number, numBlocks: number): Promise<Uint8Array> {
  const name = desc.bdev.name
  return new Promise((resolve, reject) => {
    desc.thread.execMsg(() => {
      const channel = desc.getIoChannel()
      if (channel === null) {
        reject(new BdevError('ENOMEM', `${desc.owner}: read of bdev "${name}": no channel could be made; the log says why`))
        return
      }
      const buf = new Uint8Array(numBlocks * desc.blockSizeBytes)
      const end = (errno: number): void => {
        channel.put()
        if (errno === 0) resolve(buf)
        else reject(ioError('read', name, errno))
      }
      const start = (): void => {
        const rc = channel.readBlocks(buf, 0, offsetBlocks, numBlocks, (io, success) => {
          const errno = success ? 0 : ioErrno(io)
          io.free()
          end(errno)
        }, null)
        if (rc === -ERRNO.ENOMEM && channel.queueIoWait({ fn: start, arg: undefined }) === 0) return
        if (rc !== 0) end(rc)
      }
      start()
    }, undefined)
  })
}
