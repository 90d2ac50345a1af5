/** Linux errno numbers by name: SPDK answers `-ERRNO[name]` on its data plane and as the code of a JSON-RPC error. */
export declare const ERRNO: {
    readonly EPERM: 1;
    readonly ENOENT: 2;
    readonly EIO: 5;
    readonly EBADF: 9;
    readonly EAGAIN: 11;
    readonly ENOMEM: 12;
    readonly EACCES: 13;
    readonly EFAULT: 14;
    readonly EBUSY: 16;
    readonly EEXIST: 17;
    readonly ENODEV: 19;
    readonly EINVAL: 22;
    readonly ENFILE: 23;
    readonly EMFILE: 24;
    readonly EFBIG: 27;
    readonly ENOSPC: 28;
    readonly EROFS: 30;
    readonly EPIPE: 32;
    readonly ERANGE: 34;
    readonly ENAMETOOLONG: 36;
    readonly EOVERFLOW: 75;
    readonly EILSEQ: 84;
    readonly ENOTSUP: 95;
    readonly EADDRINUSE: 98;
    readonly ECONNRESET: 104;
    readonly ESHUTDOWN: 108;
    readonly ETIMEDOUT: 110;
    readonly ECONNREFUSED: 111;
    readonly EALREADY: 114;
    readonly EINPROGRESS: 115;
    readonly ECANCELED: 125;
};
/** Name of an errno, e.g. `'EINVAL'`. */
export type ErrnoName = keyof typeof ERRNO;
/** Options of {@link BdevError}. */
export interface BdevErrorOptions {
    /** What led to this error. */
    cause?: unknown;
}
/**
 * A failure of the control plane: a stable code, and a message that says who, what was wanted, what was found and what to do.
 * Recognise it by its `code`, never by `instanceof`: a process may hold two copies of this package.
 */
export declare class BdevError extends Error {
    /** An errno name where SPDK returns an errno, `BDEV_E_*` otherwise. It does not change within a major version. */
    readonly code: ErrnoName | `BDEV_E_${string}`;
    /** The negative errno, or -EIO where `code` is no errno name. */
    readonly errno: number;
    constructor(code: ErrnoName | `BDEV_E_${string}`, message: string, options?: BdevErrorOptions);
}
/**
 * A failure whose JSON-RPC code and text are fixed by SPDK and are not an errno and its text, thrown by an RPC handler.
 * Everything else a handler throws is answered as its errno, or as an internal error.
 */
export declare class RpcError extends Error {
    /** `code` on the wire. */
    readonly rpcCode: number;
    /** `message` on the wire. */
    readonly rpcMessage: string;
    constructor(rpcCode: number, rpcMessage: string, options?: BdevErrorOptions);
}
/**
 * States what must hold because the framework checked it before.
 * @throws Error with `message` where it does not hold: a bug, never bad input.
 */
export declare function assert(condition: unknown, message?: string): asserts condition;
