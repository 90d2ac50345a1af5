// SPDX-License-Identifier: Apache-2.0
// data plane
import type { Connection } from './connection.js'
import { rangeError } from './errors.js'
import { PAYLOAD_BYTES_MAX } from './limits.js'
import { Cmd, CmdFlag, NbdError, TransmissionFlag, cmdName } from './protocol.js'
import type { NbdRequest } from './request.js'

/** The error of a request that cannot start, 0 for one that can (proto.md "Request types", "Command flags", "Error values"). */
export function checkRequest(
  conn: Connection,
  type: number,
  flags: number,
  offsetBytes: number,
  offsetLow: number,
  lengthBytes: number,
): number {
  const offered = conn.transmissionFlags
  let allowed = (offered & TransmissionFlag.SendFua) !== 0 ? CmdFlag.Fua : 0
  switch (type) {
    case Cmd.Read:
      if ((offered & TransmissionFlag.SendDf) !== 0) allowed |= CmdFlag.Df
      break
    case Cmd.Write:
      if ((offered & TransmissionFlag.ReadOnly) !== 0) return NbdError.Perm
      break
    case Cmd.Flush:
      if ((offered & TransmissionFlag.SendFlush) === 0 || offsetBytes !== 0 || lengthBytes !== 0) return NbdError.Inval
      break
    case Cmd.Trim:
      if ((offered & TransmissionFlag.ReadOnly) !== 0) return NbdError.Perm
      if ((offered & TransmissionFlag.SendTrim) === 0) return NbdError.Inval
      break
    case Cmd.Cache:
      break
    case Cmd.WriteZeroes:
      if ((offered & TransmissionFlag.ReadOnly) !== 0) return NbdError.Perm
      allowed |= CmdFlag.NoHole | CmdFlag.FastZero
      break
    case Cmd.BlockStatus:
      if (!conn.baseAllocation || lengthBytes === 0) return NbdError.Inval
      allowed |= CmdFlag.ReqOne
      break
    default:
      return NbdError.Inval
  }
  if ((flags & ~allowed) !== 0) return NbdError.Inval
  if (((offsetLow | lengthBytes) & (conn.geometry.minimumBytes - 1)) !== 0) return NbdError.Inval
  if (offsetBytes + lengthBytes > conn.sizeBytes) return rangeError(type)
  if (lengthBytes > PAYLOAD_BYTES_MAX) {
    if (type === Cmd.Write) return NbdError.Inval
    if (type === Cmd.Read) return conn.structuredReplies ? NbdError.Overflow : NbdError.Inval
  }
  if ((flags & CmdFlag.FastZero) !== 0 && !conn.geometry.fastZero) return NbdError.NotSup
  return 0
}

/** What is wrong with a request, for the text of a structured reply. */
export function refusalText(conn: Connection, request: NbdRequest, error: number): string {
  const what = `${cmdName(request.type)} of ${request.lengthBytes} bytes at ${request.offsetBytes}`
  if (error === NbdError.Perm) return `${what}: the export is read-only`
  if (request.offsetBytes + request.lengthBytes > conn.sizeBytes) return `${what}: the export ends at ${conn.sizeBytes}`
  if (error === NbdError.NotSup) return `${what}: zeroing is not faster than writing here`
  return `${what}, flags ${request.flags}: wanted multiples of ${conn.geometry.minimumBytes} bytes, at most ${PAYLOAD_BYTES_MAX} of payload, flags as offered`
}
