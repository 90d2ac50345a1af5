// SPDX-License-Identifier: Apache-2.0
import { NBD_PORT } from './protocol.js'
import type { NbdAddress } from './sockets.js'

/** The URI of an export, after https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md. */
export function nbdUri(address: NbdAddress, exportName: string): string {
  const name = exportName === '' ? '' : encodeURIComponent(exportName)
  if ('path' in address) return `nbd+unix:///${name}?socket=${encodeURIComponent(address.path).replaceAll('%2F', '/')}`
  const host = address.host ?? '127.0.0.1'
  const port = address.port ?? NBD_PORT
  return `nbd://${host.includes(':') ? `[${host}]` : host}${port === NBD_PORT ? '' : `:${port}`}/${name}`
}
