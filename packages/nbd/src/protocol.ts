// SPDX-License-Identifier: Apache-2.0
/**
 * Numbers of the NBD protocol, as of https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md. "proto.md" in a
 * comment of this package is that page; the words after it are the heading there. All fields are big-endian.
 */

// proto.md "Newstyle negotiation"
/** First eight bytes of a server: `NBDMAGIC`. */
export const NBD_MAGIC = 0x4e42_444d_4147_4943n
/** `IHAVEOPT`: the newstyle server's second word, and the head of each client option. */
export const IHAVEOPT = 0x4948_4156_454f_5054n
/** Head of an option reply. */
export const OPTION_REPLY_MAGIC = 0x0003_e889_0455_65a9n

// proto.md "Handshake flags" and "Client flags": the same two bits.
export const FLAG_FIXED_NEWSTYLE = 1
export const FLAG_NO_ZEROES = 2

/** proto.md "Option types". */
export const Opt = {
  ExportName: 1,
  Abort: 2,
  List: 3,
  StartTls: 5,
  Info: 6,
  Go: 7,
  StructuredReply: 8,
  ListMetaContext: 9,
  SetMetaContext: 10,
} as const

/** proto.md "Option reply types". */
export const Rep = {
  Ack: 1,
  Server: 2,
  Info: 3,
  MetaContext: 4,
  ErrUnsup: 0x8000_0001,
  ErrPolicy: 0x8000_0002,
  ErrInvalid: 0x8000_0003,
  ErrPlatform: 0x8000_0004,
  ErrTlsReqd: 0x8000_0005,
  ErrUnknown: 0x8000_0006,
  ErrShutdown: 0x8000_0007,
  ErrBlockSizeReqd: 0x8000_0008,
  ErrTooBig: 0x8000_0009,
} as const

/** Information types of `NBD_REP_INFO`. */
export const Info = { Export: 0, Name: 1, Description: 2, BlockSize: 3 } as const

/** proto.md "Transmission flags". */
export const TransmissionFlag = {
  HasFlags: 1 << 0,
  ReadOnly: 1 << 1,
  SendFlush: 1 << 2,
  SendFua: 1 << 3,
  Rotational: 1 << 4,
  SendTrim: 1 << 5,
  SendWriteZeroes: 1 << 6,
  SendDf: 1 << 7,
  CanMultiConn: 1 << 8,
  SendCache: 1 << 10,
  SendFastZero: 1 << 11,
} as const

// proto.md "Request message": magic 4, flags 2, type 2, cookie 8, offset 8, length 4.
export const REQUEST_MAGIC = 0x2560_9513
export const REQUEST_BYTES = 28
// proto.md "Simple reply message": magic 4, error 4, cookie 8.
export const SIMPLE_REPLY_MAGIC = 0x6744_6698
export const SIMPLE_REPLY_BYTES = 16
// proto.md "Structured reply chunk message": magic 4, flags 2, type 2, cookie 8, payload length 4.
export const STRUCTURED_REPLY_MAGIC = 0x668e_33ef
export const CHUNK_BYTES = 20
/** An OFFSET_DATA chunk before its data: the chunk's head and the 64-bit offset. */
export const OFFSET_DATA_BYTES = CHUNK_BYTES + 8

/** proto.md "Request types". */
export const Cmd = {
  Read: 0,
  Write: 1,
  Disc: 2,
  Flush: 3,
  Trim: 4,
  Cache: 5,
  WriteZeroes: 6,
  BlockStatus: 7,
} as const

/** proto.md "Command flags". */
export const CmdFlag = { Fua: 1, NoHole: 2, Df: 4, ReqOne: 8, FastZero: 16 } as const

/** proto.md "Structured reply flags". */
export const REPLY_FLAG_DONE = 1

/** proto.md "Structured reply types". */
export const Chunk = { None: 0, OffsetData: 1, OffsetHole: 2, BlockStatus: 5, Error: 0x8001, ErrorOffset: 0x8002 } as const

/** proto.md "Error values": the only ones that may go over the wire. */
export const NbdError = {
  Perm: 1,
  Io: 5,
  NoMem: 12,
  Inval: 22,
  NoSpc: 28,
  Overflow: 75,
  NotSup: 95,
  Shutdown: 108,
} as const

/** proto.md "Conventions": no string is longer. */
export const STRING_BYTES_MAX = 4096
/** proto.md "The base: metadata namespace". */
export const BASE_ALLOCATION = 'base:allocation'
/** The id under which {@link BASE_ALLOCATION} is negotiated; any number will do, 0 is left to LIST_META_CONTEXT. */
export const BASE_ALLOCATION_ID = 1
/** The port that IANA gave to NBD. */
export const NBD_PORT = 10809

const cmdNames = ['read', 'write', 'disconnect', 'flush', 'trim', 'cache', 'write zeroes', 'block status']

/** A command's name for people. */
export function cmdName(type: number): string {
  return cmdNames[type] ?? `command ${type}`
}
