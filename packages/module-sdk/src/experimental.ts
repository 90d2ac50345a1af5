// SPDX-License-Identifier: Apache-2.0
/**
 * Contract that no module uses yet: it may change in any release. A module names what it uses in its manifest
 * (`"requires": ["nvme-passthru@1"]`) and is refused by hosts that do not offer it.
 * @packageDocumentation
 */
import type { DescChannel } from './bdev.js'
import type { BdevIo, IoCallback } from './bdev-io.js'
import type { Iov } from './dma.js'

/** Capabilities, `name@version`, that this release of the SDK describes. */
export const EXPERIMENTAL_CAPABILITIES: readonly string[] = ['nvme-passthru@1']

/**
 * A raw NVMe command as its module sees it: types `NvmeAdmin`, `NvmeIo`, `NvmeIoMd` and `NvmeIovMd`. Its data is in `iovs`, as
 * `nvmeLengthBytes` bytes; `offsetBlocks` and `numBlocks` are 0. It completes with `completeNvme`.
 */
export interface NvmeBdevIo<IoCtx = any> extends BdevIo<IoCtx> {
  /** The submission queue entry, 64 bytes, opcode first. The I/O's own copy. */
  readonly nvmeCmd: Uint8Array
  /** Bytes of data. */
  readonly nvmeLengthBytes: number
  /** Metadata of `NvmeIoMd`, and of `NvmeIovMd` where there is any. */
  readonly nvmeMd: Iov | null
}

/**
 * Submission of raw NVMe commands. Each returns as `DescChannel` says; every command needs write permission (-EBADF),
 * because what it does is not looked at, and a bdev that reports the type (-ENOTSUP). `cmd` is copied.
 */
export interface NvmeDescChannel extends DescChannel {
  /** An admin command. */
  nvmeAdminPassthru<Arg>(cmd: Uint8Array, iovs: readonly Iov[], iovCnt: number, lengthBytes: number, cb: IoCallback<Arg>, arg: Arg): number
  /** An I/O command. Rate limits count it, and it waits while blocks are locked. */
  nvmeIoPassthru<Arg>(cmd: Uint8Array, iovs: readonly Iov[], iovCnt: number, lengthBytes: number, cb: IoCallback<Arg>, arg: Arg): number
  /** An I/O command with metadata. */
  nvmeIoPassthruMd<Arg>(
    cmd: Uint8Array, iovs: readonly Iov[], iovCnt: number, lengthBytes: number, md: Iov, cb: IoCallback<Arg>, arg: Arg,
  ): number
  /** An I/O command with a scatter list and perhaps metadata, for a bdev that reports `NvmeIo`, or `NvmeIoMd` if there is metadata. */
  nvmeIovPassthruMd<Arg>(
    cmd: Uint8Array, iovs: readonly Iov[], iovCnt: number, lengthBytes: number, md: Iov | null, cb: IoCallback<Arg>, arg: Arg,
  ): number
  /** Resets the NVM subsystem. Needs no write permission. */
  nvmeNssr<Arg>(cb: IoCallback<Arg>, arg: Arg): number
}
