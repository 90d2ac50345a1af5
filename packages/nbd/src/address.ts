// SPDX-License-Identifier: Apache-2.0
import { isIPv4 } from 'node:net'
import { resolve } from 'node:path'
import { BdevError } from '@bdevkit/module-sdk'
import type { NbdAddress } from './sockets.js'

/** sizeof(sockaddr_un.sun_path) - 1 on Linux. */
const SOCKET_PATH_BYTES_MAX = 107

/**
 * `unix:PATH`, `tcp:HOST:PORT`, `tcp:[IPV6]:PORT` or `tcp:PORT`, as people write it. The path comes back absolute: clients need it so.
 * @throws BdevError EINVAL it is none of these, or the path is too long for a socket.
 */
export function parseNbdAddress(text: string): NbdAddress {
  if (text.startsWith('unix:')) {
    if (text.length === 'unix:'.length || text.includes('\0')) throw new BdevError('EINVAL', 'wanted a path after unix:')
    const path = resolve(text.slice('unix:'.length))
    const lengthBytes = Buffer.byteLength(path)
    if (lengthBytes > SOCKET_PATH_BYTES_MAX) {
      throw new BdevError('EINVAL', `a socket path has at most ${SOCKET_PATH_BYTES_MAX} bytes, and ${path} has ${lengthBytes}.`)
    }
    return { path }
  }
  const tcp = /^tcp:(?:(?:\[([^\]]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text)
  const port = Number(tcp?.[3])
  if (tcp === null || port > 65_535) throw new BdevError('EINVAL', 'wanted unix:PATH, tcp:HOST:PORT or tcp:[IPV6]:PORT.')
  return { host: tcp[1] ?? (tcp[2] === undefined || tcp[2] === '' ? '127.0.0.1' : tcp[2]), port }
}

/** An address as {@link parseNbdAddress} reads it. */
export function nbdAddressText(address: NbdAddress): string {
  if ('path' in address) return `unix:${address.path}`
  const { host = '127.0.0.1', port = 0 } = address
  return `tcp:${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Whether only this machine reaches the address. A name other than localhost may be anything. */
export function isLocalAddress(address: NbdAddress): boolean {
  if ('path' in address) return true
  const host = address.host ?? '127.0.0.1'
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}

/** @throws BdevError EPERM other machines could reach the address, with neither encryption nor passwords. */
export function refuseRemote(who: string, address: NbdAddress): void {
  if (isLocalAddress(address)) return
  throw new BdevError(
    'EPERM',
    `${who}: NBD has neither encryption nor passwords here, and ${nbdAddressText(address)} can be reached from other machines: whoever ` +
      'reaches it reads and writes all exports. Use 127.0.0.1, or start the server with --insecure-listen',
  )
}
