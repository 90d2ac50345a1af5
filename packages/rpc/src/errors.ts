// SPDX-License-Identifier: Apache-2.0
import { errnoName, errnoOf, strerror } from './strerror.js'

/** Codes of JSON-RPC 2.0, and SPDK's -1 for a method that exists but not in the current state. */
export const JSONRPC_PARSE_ERROR = -32700
export const JSONRPC_INVALID_REQUEST = -32600
export const JSONRPC_METHOD_NOT_FOUND = -32601
export const JSONRPC_INVALID_PARAMS = -32602
export const JSONRPC_INTERNAL_ERROR = -32603
export const JSONRPC_INVALID_STATE = -1

/** SPDK's text for a parameter that did not decode. */
export const DECODE_FAILED = 'spdk_json_decode_object failed'

/** The `error` member of an answer. SPDK sends no `data`. */
export interface RpcErrorObject {
  readonly code: number
  readonly message: string
}

/** An error answer: thrown by {@link RpcRegistry.call} and by the client. */
export class RpcCallError extends Error {
  override readonly name = 'RpcCallError'
  readonly method: string
  /** `error.code` of the answer. */
  readonly rpcCode: number
  /** `error.message` of the answer. */
  readonly rpcMessage: string
  /** Errno name where the answer carries an errno, `BDEV_E_RPC` otherwise. -1 counts as EPERM only with EPERM's text. */
  readonly code: string

  constructor(method: string, error: RpcErrorObject, reason?: string) {
    super(`${method}: ${reason === undefined ? '' : `${reason}: `}${error.message} (code ${error.code})`)
    this.method = method
    this.rpcCode = error.code
    this.rpcMessage = error.message
    const named = error.code > -4096 && (error.code !== JSONRPC_INVALID_STATE || error.message === strerror(1))
    this.code = (named ? errnoName(-error.code) : undefined) ?? 'BDEV_E_RPC'
  }
}

/** What becomes of a value thrown by a handler: the answer, and whether the log has to tell what the answer cannot. */
export interface MappedError {
  readonly error: RpcErrorObject
  /** True when the value is no answer by itself: a bug, or an error of no known code. */
  readonly unexpected: boolean
}

/**
 * Maps whatever a handler threw to an answer. Errors come from other packages, perhaps from another copy of the SDK, so they
 * are known by their members, never by `instanceof`: a numeric `rpcCode` with `rpcMessage` is sent as it is, an errno name in
 * `code` becomes the negative number with strerror's text, anything else is -32603 with a neutral text.
 */
export function mapHandlerError(thrown: unknown): MappedError {
  if (typeof thrown === 'object' && thrown !== null) {
    const { rpcCode, rpcMessage, code } = thrown as { rpcCode?: unknown; rpcMessage?: unknown; code?: unknown }
    if (typeof rpcCode === 'number' && Number.isInteger(rpcCode)) {
      return { error: { code: rpcCode, message: typeof rpcMessage === 'string' ? rpcMessage : 'Error' }, unexpected: false }
    }
    const errno = typeof code === 'string' ? errnoOf(code) : undefined
    if (errno !== undefined) return { error: { code: -errno, message: strerror(errno) }, unexpected: false }
  }
  return { error: { code: JSONRPC_INTERNAL_ERROR, message: 'Internal error' }, unexpected: true }
}

/** One line for the log: the message of an error, the text of anything else. */
export function reasonText(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message
  try {
    return String(thrown)
  } catch {
    return 'a value that has no text'
  }
}
