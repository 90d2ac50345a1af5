// SPDX-License-Identifier: Apache-2.0

const KiB = 1024
const MiB = 1024 * KiB

/** Largest payload of one READ or WRITE, as advertised. proto.md "Size constraints" asks for at least 2^25. */
export const PAYLOAD_BYTES_MAX = 32 * MiB
/** A WRITE that is longer than allowed, up to this, is read and dropped and answered; beyond, the connection ends. */
export const PAYLOAD_SKIP_BYTES_MAX = 64 * MiB
/** Largest minimum block size that proto.md "Size constraints" allows to advertise. */
export const BLOCK_BYTES_MAX = 64 * KiB

/** Receive buffer of a connection. */
export const RECEIVE_BYTES = 256 * KiB
/** Reply buffer of a connection; replies of one turn lie in it one behind the other. */
export const REPLY_BYTES = 256 * KiB
/** What a connection costs in any case. */
export const BASE_BYTES = RECEIVE_BYTES + REPLY_BYTES
/** What a connection may hold on top without standing in line: small requests go on while others hold all memory there is. */
export const RESERVED_BYTES = 256 * KiB
/** Reads up to this go into the reply buffer, behind their reply's head, where longer ones can borrow the bdev's memory. */
export const READ_INLINE_BYTES_MAX = 16 * KiB
/** The same where they cannot, and a longer one needs a buffer of its own. */
export const READ_INLINE_UNLENT_BYTES_MAX = 64 * KiB
/** A payload that still lacks this much is received straight into its own buffer. */
export const RECEIVE_DIRECT_BYTES_MIN = 32 * KiB
/** A payload up to this may wait for its rest where its beginning lies. */
export const RECEIVE_BEHIND_BYTES_MAX = 128 * KiB
/** Receive buffers that one connection may leave pinned by writes in flight; further payloads are copied out. */
export const PINNED_RECEIVE_MAX = 4
/** Smallest buffer of the pool. */
export const BUFFER_BYTES_MIN = 4 * KiB
/** Free buffers that the server keeps for later; more go back to the DMA heap. */
export const CACHED_BYTES_MAX = 64 * MiB
/** Reads that borrow the bdev's memory, of one connection and of the server: each holds an I/O until the peer has read it. */
export const LENT_PER_CONNECTION_MAX = 128
export const LENT_TOTAL_MAX = 4096

/** Bytes received and to be sent at which replies are no longer held for company. */
export const HOLD_BYTES_MAX = 64 * KiB
/** How often holding replies may be in vain after it has worked. */
export const HOLD_CREDIT_MAX = 16
/** Batches of requests after which holding is tried again where it did not work. */
export const HOLD_PROBE_EVENTS = 32

/** Option data that is kept; what is longer is skipped and answered with NBD_REP_ERR_TOO_BIG. */
export const OPTION_BYTES_MAX = 64 * KiB
/** Option data that is skipped; what is longer ends the connection. */
export const OPTION_SKIP_BYTES_MAX = MiB
/** Options of one handshake; after a LIST, as many again for each export. */
export const OPTIONS_MAX = 32
/** Unsent option replies at which a handshake ends. */
export const HANDSHAKE_UNSENT_BYTES_MAX = 4 * MiB
/** A text in an error reply is cut here. */
export const ERROR_TEXT_BYTES_MAX = 200

/**
 * What peers may take. A connection costs {@link RECEIVE_BYTES} and {@link REPLY_BYTES} in any case, and may hold
 * {@link RESERVED_BYTES} for small requests; `connectionBytes` and `totalBytes` bound what comes on top. Where a bound is
 * reached the server stops reading; it does not fail requests.
 */
export interface NbdLimits {
  /** Connections at a time; a further one is closed at once. Default 256. */
  connections: number
  /** Payload and replies that one connection may hold, in bytes, default 64 MiB, at least 32 MiB. */
  connectionBytes: number
  /** Payload and replies that all connections may hold, in bytes, default 256 MiB, at least `connectionBytes`. */
  totalBytes: number
  /** Replies that wait for the peer to read, in bytes, at which its requests are no longer read. Default 8 MiB. */
  unsentBytes: number
  /** Requests of one connection in flight. Default 1024. */
  requests: number
  /** From the connection to the end of the handshake, in milliseconds. Default 10 000. */
  handshakeTimeoutMs: number
  /** From the head of a WRITE to the end of its payload, in milliseconds. Default 30 000. */
  payloadTimeoutMs: number
  /**
   * While another connection waits for memory, a peer that holds some and neither sends its payload nor reads its replies
   * is dropped after this, in milliseconds. Default 2000.
   */
  pressureTimeoutMs: number
  /** From a disconnect request to the end of the connection where the peer does not read the last replies. Default 5000. */
  closeTimeoutMs: number
  /** From the removal of a bdev to the end of its last connection, in milliseconds. Default 500. */
  removeTimeoutMs: number
}

/** What {@link NbdLimits} says where nothing else is asked for. */
export const DEFAULT_LIMITS: Readonly<NbdLimits> = {
  connections: 256,
  connectionBytes: 64 * MiB,
  totalBytes: 256 * MiB,
  unsentBytes: 8 * MiB,
  requests: 1024,
  handshakeTimeoutMs: 10_000,
  payloadTimeoutMs: 30_000,
  pressureTimeoutMs: 2000,
  closeTimeoutMs: 5000,
  removeTimeoutMs: 500,
}

/**
 * The limits with the defaults filled in.
 * @throws RangeError where one is no positive integer, or two do not fit together.
 */
export function resolveLimits(given: Partial<NbdLimits> = {}): NbdLimits {
  const limits = { ...DEFAULT_LIMITS, ...given }
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value <= 0) {
      throw new RangeError(`nbd: limit ${name}: wanted a positive integer, found ${String(value)}`)
    }
  }
  if (limits.connectionBytes < PAYLOAD_BYTES_MAX) {
    throw new RangeError(`nbd: limit connectionBytes: wanted at least one payload (${PAYLOAD_BYTES_MAX}), found ${limits.connectionBytes}`)
  }
  if (limits.totalBytes < limits.connectionBytes) {
    throw new RangeError(`nbd: limit totalBytes: wanted at least connectionBytes (${limits.connectionBytes}), found ${limits.totalBytes}`)
  }
  return limits
}
