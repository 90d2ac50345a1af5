// SPDX-License-Identifier: Apache-2.0
// data plane
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { Bdev, BdevFnTable, BdevHost, BdevIo, IoDevice } from '@bdevkit/module-sdk'

/**
 * The kit's base bdev: a RAM disk that answers every I/O by a later message, so that I/O of the module above it is really
 * outstanding. It serves every type that the kit knows.
 */
export interface KitRam {
  readonly host: BdevHost
  readonly device: IoDevice<null>
  /** What it serves. */
  readonly types: readonly number[]
  /** Longer ones take its place when it grows. */
  bytes: Uint8Array
  /** So many I/Os still end with `Nomem`. */
  nomem: number
}

/** Namespace of the kit's UUIDs: what a module derives from its base's is the same in every host. */
export const KIT_UUID_NAMESPACE = 'f3a6c1de-54ab-4a0e-9a7b-6f0e2d1c8b47'

const { Read, Write, Unmap, Flush, Reset, WriteZeroes, Compare, Abort, CompareAndWrite, Copy, Zcopy, SeekData, SeekHole } = IoType
/** Every type that the kit knows. */
export const KIT_TYPES: readonly number[] = [Read, Write, Unmap, Flush, Reset, WriteZeroes, Compare, Abort, CompareAndWrite, Copy, Zcopy, SeekData, SeekHole]

const kitRamFn: BdevFnTable<KitRam, null> = {
  destruct() {},
  ioTypeSupported(ram, type) {
    return ram.types.includes(type)
  },
  getIoChannel(ram) {
    return ram.device.getIoChannel()
  },
  submitRequest(_channel, io) {
    const ram = io.bdev.ctx as KitRam
    if (ram.nomem > 0 && io.type !== Reset && io.type !== Abort) {
      ram.nomem--
      io.complete(IoStatus.Nomem)
    } else io.thread.sendMsg(carryOut, io)
  },
}

function carryOut(io: BdevIo): void {
  const { host, bytes } = io.bdev.ctx as KitRam
  const at = io.offsetBlocks * io.bdev.blockSizeBytes
  const lengthBytes = io.numBlocks * io.bdev.blockSizeBytes
  switch (io.type) {
    case IoType.Read:
      if (io.iovCnt === 0) io.lend(bytes, at, lengthBytes)
      else host.accel.copyToIovs(io.iovs, io.iovCnt, bytes, at, lengthBytes)
      return io.complete(IoStatus.Success)
    case IoType.Write:
      host.accel.copyFromIovs(bytes, at, io.iovs, io.iovCnt, lengthBytes)
      return io.complete(IoStatus.Success)
    case IoType.Compare: {
      const equal = host.accel.compareIovs(io.iovs, io.iovCnt, bytes, at, lengthBytes) === -1
      return io.complete(equal ? IoStatus.Success : IoStatus.Miscompare)
    }
    case IoType.CompareAndWrite: {
      const equal = host.accel.compareIovs(io.iovs, io.iovCnt, bytes, at, lengthBytes) === -1
      if (equal) host.accel.copyFromIovs(bytes, at, io.fusedIovs, io.fusedIovCnt, lengthBytes)
      return io.complete(equal ? IoStatus.Success : IoStatus.Miscompare)
    }
    case IoType.Copy: {
      const from = io.srcOffsetBlocks * io.bdev.blockSizeBytes
      bytes.copyWithin(at, from, from + lengthBytes)
      return io.complete(IoStatus.Success)
    }
    case IoType.Zcopy:
      if (io.zcopyStart) io.lend(bytes, at, lengthBytes)
      return io.complete(IoStatus.Success)
    case IoType.SeekData:
    case IoType.SeekHole:
      io.setSeekOffset(seek(io, bytes))
      return io.complete(IoStatus.Success)
    case IoType.Unmap:
    case IoType.WriteZeroes:
      bytes.fill(0, at, at + lengthBytes)
      return io.complete(IoStatus.Success)
    case IoType.Flush:
    case IoType.Reset:
      return io.complete(IoStatus.Success)
    default:
      return io.complete(IoStatus.Failed)
  }
}

/** A block of zeros is a hole. */
function seek(io: BdevIo, bytes: Uint8Array): number {
  const size = io.bdev.blockSizeBytes
  for (let block = io.offsetBlocks; block < io.bdev.numBlocks; block++) {
    const isHole = bytes.subarray(block * size, (block + 1) * size).every(byte => byte === 0) // cold: SEEK
    if (isHole === (io.type === IoType.SeekHole)) return block
  }
  return Infinity
}

/** Registers a base bdev. */
export function kitRamCreate(ram: KitRam, name: string, blockSizeBytes: number): Bdev {
  const numBlocks = ram.bytes.length / blockSizeBytes
  const productName = 'Conformance RAM'
  // The same in every host, as UUIDs of vbdevs are derived from it.
  const uuid = ram.host.uuidV5(KIT_UUID_NAMESPACE, new TextEncoder().encode(name))
  return ram.host.registerBdev({ name, uuid, ctx: ram, fn: kitRamFn, productName, numBlocks, blockSizeBytes, lendsReadBuffers: true, acwuBlocks: 8 })
}

/** Makes a base bdev a quarter larger; what it holds stays. */
export function kitRamGrow(bdev: Bdev): void {
  const ram = bdev.ctx as KitRam
  const bytes = new Uint8Array(ram.bytes.length + ram.bytes.length / 4)
  bytes.set(ram.bytes)
  ram.bytes = bytes
  ram.host.notifyBlockcntChange(bdev, bytes.length / bdev.blockSizeBytes)
}
