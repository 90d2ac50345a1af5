// SPDX-License-Identifier: Apache-2.0

/** Linux errno numbers by name: SPDK answers `-ERRNO[name]` on its data plane and as the code of a JSON-RPC error. */
export const ERRNO = {
  EPERM: 1, ENOENT: 2, EIO: 5, ENXIO: 6, EBADF: 9, EAGAIN: 11, ENOMEM: 12, EACCES: 13, EFAULT: 14, EBUSY: 16, EEXIST: 17,
  ENODEV: 19, ENOTDIR: 20, EISDIR: 21, EINVAL: 22, ENFILE: 23, EMFILE: 24, ETXTBSY: 26, EFBIG: 27, ENOSPC: 28, EROFS: 30,
  EPIPE: 32, ERANGE: 34, ENAMETOOLONG: 36, ELOOP: 40, EOVERFLOW: 75,
  EILSEQ: 84, ENOTSUP: 95, EADDRINUSE: 98, ECONNRESET: 104, ESHUTDOWN: 108, ETIMEDOUT: 110, ECONNREFUSED: 111, EALREADY: 114,
  EINPROGRESS: 115, ECANCELED: 125,
} as const
/** Name of an errno, e.g. `'EINVAL'`. */
export type ErrnoName = keyof typeof ERRNO

/** Options of {@link BdevError}. */
export interface BdevErrorOptions {
  /** What led to this error. */
  cause?: unknown
}

/**
 * A failure of the control plane: a stable code, and a message that says who, what was wanted, what was found and what to do.
 * Recognise it by its `code`, never by `instanceof`: a process may hold two copies of this package.
 */
export class BdevError extends Error {
  /** An errno name where SPDK returns an errno, `BDEV_E_*` otherwise. It does not change within a major version. */
  readonly code: ErrnoName | `BDEV_E_${string}`
  /** The negative errno, or -EIO where `code` is no errno name. */
  readonly errno: number

  constructor(code: ErrnoName | `BDEV_E_${string}`, message: string, options: BdevErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'BdevError'
    this.code = code
    this.errno = -((ERRNO as Record<string, number>)[code] ?? ERRNO.EIO)
  }
}

/**
 * A failure whose JSON-RPC code and text are fixed by SPDK and are not an errno and its text, thrown by an RPC handler.
 * Everything else a handler throws is answered as its errno, or as an internal error.
 */
export class RpcError extends Error {
  /** `code` on the wire. */
  readonly rpcCode: number
  /** `message` on the wire. */
  readonly rpcMessage: string

  constructor(rpcCode: number, rpcMessage: string, options: BdevErrorOptions = {}) {
    super(rpcMessage, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'RpcError'
    this.rpcCode = rpcCode
    this.rpcMessage = rpcMessage
  }
}

/**
 * States what must hold because the framework checked it before.
 * @throws Error with `message` where it does not hold: a bug, never bad input.
 */
export function assert(condition: unknown, message = 'assertion failed'): asserts condition {
  if (!condition) throw new Error(message)
}
