// SPDX-License-Identifier: Apache-2.0
// data plane
import { BdevError, ERRNO, IoStatus, IoType } from '@bdevkit/module-sdk'
import type {
  BdevFnTable, BdevHost, BdevIo, BdevSpec, CryptoChannel, CryptoKey, DescChannel, DmaBuffer, IoDevice, IoWaitEntry, VbdevBase,
} from '@bdevkit/module-sdk'

/** One crypto bdev. */
export interface Crypto {
  readonly name: string
  readonly base: VbdevBase
  readonly key: CryptoKey
  readonly device: IoDevice<CryptoThread>
  /** READs and WRITEs that have not ended, on all threads. */
  busy: number
  /** A RESET that its base has carried out, and that waits for them. */
  reset: BdevIo | null
}

/** One thread's share of a crypto bdev. */
export interface CryptoThread {
  readonly crypto: Crypto
  readonly base: DescChannel
  readonly xts: CryptoChannel
}

/** What crypto keeps with each I/O (`io.ctx`), made once per pooled object. */
export class CryptoIo {
  io: BdevIo<CryptoIo> | null = null
  channel: CryptoThread | null = null
  /** What a WRITE becomes, in a buffer of the pool: the one that it came with is its submitter's. */
  encrypted: DmaBuffer | null = null
  readonly wait: IoWaitEntry<CryptoIo> = { fn: writeEncrypted, arg: this }
}

const cryptoFn: BdevFnTable<Crypto, CryptoThread, CryptoIo> = {
  async destruct({ device, base }) { // cold: removal
    await device.unregister() // cold: removal
    await base.close() // cold: removal
  },
  ioTypeSupported(crypto, type) {
    switch (type) {
      case IoType.Read:
      case IoType.Write:
      case IoType.Unmap:
      case IoType.Flush:
      case IoType.Reset:
        return crypto.base.ioTypeSupported(type)
      default: // WRITE_ZEROES too: the framework then writes zeroes, which are encrypted as other data is
        return false
    }
  },
  getIoChannel(crypto) {
    return crypto.device.getIoChannel()
  },
  submitRequest(channel, io) {
    const one = io.ctx
    one.io = io
    one.channel = channel
    switch (io.type) {
      case IoType.Read:
        channel.crypto.busy++
        return io.forwardThen(channel.base, readFromBase)
      case IoType.Write:
        channel.crypto.busy++
        return io.getAuxBuf(encryptInto)
      case IoType.Unmap:
      case IoType.Flush:
        return io.forward(channel.base)
      case IoType.Reset:
        return io.forwardThen(channel.base, baseWasReset)
      default:
        return io.complete(IoStatus.Failed)
    }
  },
  dumpInfoJson({ name, base, key }) {
    return { crypto: { base_bdev_name: base.bdev.name, name, key_name: key.name } } // cold: for bdev_get_bdevs
  },
}

/** Metadata is not for crypto: a separate one is left alone, an interleaved one is encrypted with its block, as in SPDK. */
const NO_METADATA = { mdSizeBytes: 0, mdInterleave: false, difType: 0, difIsHeadOfMd: false } as const

/**
 * The bdev `name` on `base`: of the same size and shape. It never lends: what lies on the base is encrypted.
 * @throws BdevError EINVAL the base's blocks cannot be encrypted with that key; ENOTSUP the base has protection information.
 */
export function cryptoAttach(host: BdevHost, base: VbdevBase, name: string, key: CryptoKey): BdevSpec<Crypto> {
  key.channel(base.bdev.blockSizeBytes)
  if (base.bdev.difType !== 0) {
    throw new BdevError(
      'ENOTSUP',
      `crypto bdev "${name}": base bdev "${base.bdev.name}" has protection information, which encrypted data does not fit; make the base without`,
    )
  }
  const device: IoDevice<CryptoThread> = host.registerIoDevice({
    name,
    createChannel() {
      const below = base.getIoChannel()
      if (below === null) throw new Error(`no channel of base bdev "${base.bdev.name}"`)
      return { crypto, base: below, xts: key.channel(base.bdev.blockSizeBytes) }
    },
    destroyChannel(channel) {
      channel.base.put()
    },
  })
  const crypto: Crypto = { name, base, key, device, busy: 0, reset: null }
  // A WRITE is encrypted into one buffer of the pool; whole units of writing stay together.
  const { blockSizeBytes, writeUnitSizeBlocks: unit } = base.bdev
  const maxRwSizeBlocks = Math.max(1, Math.floor(host.iobuf.largeBufBytes / blockSizeBytes / unit)) * unit
  return Object.assign(base.geometry(), NO_METADATA, { maxRwSizeBlocks, name, ctx: crypto, fn: cryptoFn, productName: 'crypto' })
}

/** The reader's buffers hold what the base keeps. */
function readFromBase(child: BdevIo, io: BdevIo<CryptoIo>): void {
  const one = io.ctx
  const { crypto, xts } = one.channel!
  if (child.status === IoStatus.Success) {
    xts.decrypt(io.iovs, io.iovCnt, io.offsetBlocks, io.numBlocks, decrypted, one)
    return
  }
  crypto.busy--
  io.completeFrom(child)
  answerReset(crypto)
}

function decrypted(one: CryptoIo, errno: number): void {
  end(one, errno === 0 ? IoStatus.Success : IoStatus.Failed)
}

function encryptInto({ xts }: CryptoThread, io: BdevIo<CryptoIo>, buffer: DmaBuffer | null): void {
  const one = io.ctx
  if (buffer === null) {
    end(one, IoStatus.Aborted)
    return
  }
  one.encrypted = buffer
  xts.encrypt(buffer.buf, buffer.off, io.iovs, io.iovCnt, 0, io.offsetBlocks, io.numBlocks, encrypted, one)
}

function encrypted(one: CryptoIo, errno: number): void {
  if (errno === 0) {
    writeEncrypted(one)
    return
  }
  putEncrypted(one)
  end(one, IoStatus.Failed)
}

function writeEncrypted(one: CryptoIo): void {
  const io = one.io!
  const { buf, off } = one.encrypted!
  const { base, crypto } = one.channel!
  let rc: number
  do rc = base.writeBlocks(buf, off, io.offsetBlocks, io.numBlocks, written, one)
  while (rc === -ERRNO.ENOMEM && base.queueIoWait(one.wait) !== 0)
  if (rc === 0 || rc === -ERRNO.ENOMEM) return
  putEncrypted(one)
  crypto.busy--
  io.completeAio(rc)
  answerReset(crypto)
}

function written(child: BdevIo, _success: boolean, one: CryptoIo): void {
  const { crypto } = one.channel!
  putEncrypted(one)
  crypto.busy--
  one.io!.completeFrom(child)
  child.free()
  answerReset(crypto)
}

function putEncrypted(one: CryptoIo): void {
  one.io!.putAuxBuf(one.encrypted!)
  one.encrypted = null
}

function end(one: CryptoIo, status: IoStatus): void {
  const { crypto } = one.channel!
  crypto.busy--
  one.io!.complete(status)
  answerReset(crypto)
}

/** The base holds nothing more; what is still being encrypted or decrypted ends before the RESET does. */
function baseWasReset(child: BdevIo, io: BdevIo<CryptoIo>): void {
  const { crypto } = io.ctx.channel!
  if (child.status !== IoStatus.Success || crypto.busy === 0) io.completeFrom(child)
  else crypto.reset = io
}

function answerReset(crypto: Crypto): void {
  const { reset } = crypto
  if (reset === null || crypto.busy > 0) return
  crypto.reset = null
  reset.thread.execMsg(succeed, reset)
}

function succeed(reset: BdevIo): void {
  reset.complete(IoStatus.Success)
}
