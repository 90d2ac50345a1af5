// SPDX-License-Identifier: Apache-2.0
import { IO_TYPE_NAMES, IoStatus, IoType } from '@bdevkit/module-sdk'
import { IoFlag, Iov, type BdevIo } from './bdev-io.js'
import { EXT_TYPES } from './io-ext.js'
import { isForwarded } from './io-forward.js'

/** Byte that strict mode leaves in buffers of completed I/O. */
export const POISON = 0xdb

/** Types whose buffers are the module's, or which may be read or written: nobody knows. */
const UNSHADOWED = EXT_TYPES & ~(1 << IoType.CompareAndWrite)

interface Shadow {
  readonly iovs: readonly Iov[]
  readonly iovCnt: number
}

/**
 * Strict mode: the module works on a copy of the submitter's buffers, cut into the same pieces, and the object is never
 * used again. A module that touches a buffer after it completed the I/O then reads poison, or writes where nobody looks.
 */
export function shadowBuffers(io: BdevIo): void {
  io.flags |= IoFlag.Retire
  if (io.iovCnt === 0 || ((1 << io.type) & UNSHADOWED) !== 0 || isForwarded(io) || (io.flags & IoFlag.Shadow) !== 0) return
  const accel = io.bdev.host.accel
  const original: Shadow = { iovs: io.iovs as Iov[], iovCnt: io.iovCnt }
  const shadow: Iov[] = []
  for (let i = 0; i < io.iovCnt; i++) {
    const { buf, off, len } = io.iovs[i]!
    const copy = new Uint8Array(len)
    if (io.type === IoType.Read) copy.fill(POISON)
    else accel.copy(copy, 0, buf, off, len)
    shadow.push(new Iov(copy, 0, len))
  }
  io.parts = original
  io.iovs = shadow
  io.flags |= IoFlag.Shadow
}

/** Gives the submitter's buffers back, with what was read. */
export function restoreBuffers(io: BdevIo): void {
  const shadow = io.iovs
  const original = io.parts as Shadow
  io.iovs = original.iovs
  io.parts = null
  const accel = io.bdev.host.accel
  for (let i = 0; i < original.iovCnt; i++) {
    const { buf, off, len } = original.iovs[i]!
    const from = shadow[i]!
    if (io.type === IoType.Read) {
      if (io.status === IoStatus.Success) accel.copy(buf, off, from.buf, from.off, len)
    } else if (accel.compare(buf, off, from.buf, from.off, len) >= 0) {
      io.pool.module.log.error(`module "${io.pool.module.name}", or one below it, changed the buffer of a ${IO_TYPE_NAMES[io.type]} to bdev "${io.bdev.name}"; it must work on a copy`)
    }
    from.buf.fill(POISON)
  }
}

/** Strict mode: reading the data of a freed I/O throws, so that the reader is named. */
export function trapFields(io: BdevIo): void {
  const name = io.pool.module.name
  const trap = (field: string) => ({
    configurable: true,
    get: () => {
      throw new Error(`io.${field} was read after the I/O was freed (module "${name}", strict mode)`)
    },
  })
  Object.defineProperties(io, { iovs: trap('iovs'), iovCnt: trap('iovCnt'), offsetBlocks: trap('offsetBlocks'), numBlocks: trap('numBlocks') })
}
