// SPDX-License-Identifier: Apache-2.0
// data plane
import type { IoCallback, Iov } from '@bdevkit/module-sdk'
import { ERRNO, IoType } from '@bdevkit/module-sdk'
import { Access } from '../io/access.js'
import { IoFlag, type BdevIo } from '../io/bdev-io.js'
import { extOf } from '../io/io-ext.js'
import { submitIo } from '../io/io-submit.js'
import { fill, inRange, iovsHold, succeedEmpty, type DescChannel } from './desc-channel.js'

// Submission of types that are no plain READ, WRITE or range: each checks in the order that SPDK checks in.

export function submitCompareAndWrite<Arg>(
  channel: DescChannel,
  compareIovs: readonly Iov[],
  compareIovCnt: number,
  writeIovs: readonly Iov[],
  writeIovCnt: number,
  offsetBlocks: number,
  numBlocks: number,
  cb: IoCallback<Arg>,
  arg: Arg,
): number {
  const { bdev } = channel
  if ((channel.desc.access & Access.Write) === 0) return -ERRNO.EBADF
  if (!inRange(bdev, offsetBlocks, numBlocks) || numBlocks > bdev.acwuBlocks) return -ERRNO.EINVAL
  const lengthBytes = numBlocks * channel.blockSizeBytes
  if (numBlocks > 0 && (compareIovCnt === 0 || writeIovCnt === 0)) return -ERRNO.EINVAL
  if (!iovsHold(compareIovs, compareIovCnt, lengthBytes) || !iovsHold(writeIovs, writeIovCnt, lengthBytes)) return -ERRNO.EINVAL
  if ((bdev.allowedTypes & (1 << IoType.CompareAndWrite)) === 0) return -ERRNO.ENOTSUP
  const io = channel.ch.pool.take()
  if (io === null) return -ERRNO.ENOMEM
  fill(channel, io, IoType.CompareAndWrite, offsetBlocks, numBlocks, cb, arg)
  io.iovs = compareIovs
  io.iovCnt = compareIovCnt
  const ext = extOf(io)
  ext.fusedIovs = writeIovs
  ext.fusedIovCnt = writeIovCnt
  if (numBlocks === 0) succeedEmpty(io)
  else submitIo(io)
  return 0
}

export function submitCopy<Arg>(channel: DescChannel, dst: number, src: number, numBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
  const { bdev } = channel
  if ((channel.desc.access & Access.Write) === 0) return -ERRNO.EBADF
  if (!inRange(bdev, dst, numBlocks) || !inRange(bdev, src, numBlocks)) return -ERRNO.EINVAL
  if ((bdev.allowedTypes & (1 << IoType.Copy)) === 0) return -ERRNO.ENOTSUP
  const io = channel.ch.pool.take()
  if (io === null) return -ERRNO.ENOMEM
  fill(channel, io, IoType.Copy, dst, numBlocks, cb, arg)
  io.iovCnt = 0
  extOf(io).srcOffsetBlocks = src
  if (numBlocks === 0 || dst === src) succeedEmpty(io)
  else submitIo(io)
  return 0
}

export function submitZcopyStart<Arg>(channel: DescChannel, offsetBlocks: number, numBlocks: number, populate: boolean, cb: IoCallback<Arg>, arg: Arg): number {
  const { bdev } = channel
  if ((channel.desc.access & Access.Write) === 0) return -ERRNO.EBADF
  if (!inRange(bdev, offsetBlocks, numBlocks)) return -ERRNO.EINVAL
  if ((bdev.allowedTypes & (1 << IoType.Zcopy)) === 0 || channel.hidesMetadata) return -ERRNO.ENOTSUP
  const io = channel.ch.pool.take()
  if (io === null) return -ERRNO.ENOMEM
  fill(channel, io, IoType.Zcopy, offsetBlocks, numBlocks, cb, arg)
  io.iovs = io.own
  io.iovCnt = 0
  io.flags |= IoFlag.ZcopyOpen
  const ext = extOf(io)
  ext.zcopyStart = true
  ext.zcopyPopulate = populate
  ext.zcopyCommit = false
  submitIo(io)
  return 0
}

export function submitSeek<Arg>(channel: DescChannel, type: number, offsetBlocks: number, cb: IoCallback<Arg>, arg: Arg): number {
  if (channel.desc.access === 0) return -ERRNO.EBADF
  if (!inRange(channel.bdev, offsetBlocks, 1)) return -ERRNO.EINVAL
  const io = channel.ch.pool.take()
  if (io === null) return -ERRNO.ENOMEM
  fill(channel, io, type, offsetBlocks, 0, cb, arg)
  io.iovCnt = 0
  extOf(io).seekOffsetBlocks = Infinity
  submitIo(io)
  return 0
}

/** A raw NVMe command of 64 bytes with its data and metadata. */
export function submitNvme<Arg>(
  channel: DescChannel,
  type: number,
  cmd: Uint8Array,
  iovs: readonly Iov[],
  iovCnt: number,
  lengthBytes: number,
  md: Iov | null,
  cb: IoCallback<Arg>,
  arg: Arg,
): number {
  // Whether it reads or writes is not looked at: every raw command needs write permission.
  if ((channel.desc.access & Access.Write) === 0) return -ERRNO.EBADF
  if ((channel.bdev.supportedTypes & (1 << neededType(type, md))) === 0) return -ERRNO.ENOTSUP
  if (cmd.length !== 64 || !iovsHold(iovs, iovCnt, lengthBytes) || (iovCnt === 0 && lengthBytes > 0)) return -ERRNO.EINVAL
  if (md !== null && !(md.off >= 0 && md.len >= 0 && md.off + md.len <= md.buf.length)) return -ERRNO.EINVAL
  const io = channel.ch.pool.take()
  if (io === null) return -ERRNO.ENOMEM
  fill(channel, io, type, 0, 0, cb, arg)
  io.iovs = iovs as BdevIo['iovs']
  io.iovCnt = iovCnt
  const ext = extOf(io)
  // The command is the submitter's to change once this returns.
  ext.nvmeCmd = cmd.slice() // cold: raw commands
  ext.nvmeLengthBytes = lengthBytes
  ext.nvmeMd = md
  submitIo(io)
  return 0
}

/** A scatter list needs no type of its own, as in SPDK: a module with NVME_IO, or with NVME_IO_MD for metadata, takes it. */
function neededType(type: number, md: Iov | null): number {
  if (type !== IoType.NvmeIovMd) return type
  return md === null ? IoType.NvmeIo : IoType.NvmeIoMd
}

export function submitNvmeReset<Arg>(channel: DescChannel, cb: IoCallback<Arg>, arg: Arg): number {
  if (channel.desc.access === 0) return -ERRNO.EBADF
  if ((channel.bdev.supportedTypes & (1 << IoType.NvmeNssr)) === 0) return -ERRNO.ENOTSUP
  const io = channel.ch.pool.take()
  if (io === null) return -ERRNO.ENOMEM
  fill(channel, io, IoType.NvmeNssr, 0, 0, cb, arg)
  io.iovCnt = 0
  submitIo(io)
  return 0
}
