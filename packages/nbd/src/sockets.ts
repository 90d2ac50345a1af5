// SPDX-License-Identifier: Apache-2.0
import { lstatSync, unlinkSync } from 'node:fs'
import { Socket, connect, createServer, type OnReadOpts, type Server, type SocketConstructorOpts } from 'node:net'
import { BdevError } from '@bdevkit/module-sdk'
import type { Receiver } from './connection.js'

/** Seconds of silence after which TCP asks whether the peer is there. */
const KEEP_ALIVE_S = 60

/** The members of a socket's handle that are used here. */
interface Handle {
  readonly fd: number
  readonly writeQueueSize?: number
}

type WithHandle = { _handle: Handle | null }

/** Options of `net.Socket` that its types leave out: a handle to adopt, and buffers of our own to read into. */
interface Options extends SocketConstructorOpts {
  handle?: Handle
  onread?: OnReadOpts
}

/**
 * Moves an accepted connection (of a server with `pauseOnConnect`) to a socket that reads into the receiver's own buffers.
 * Node offers that for sockets it connects, and for those it accepts only by way of the handle.
 */
export function adoptSocket(accepted: Socket, receiver: Receiver): Socket {
  const from = accepted as unknown as WithHandle
  const handle = from._handle!
  from._handle = null
  const isTcp = accepted.remoteFamily !== undefined
  accepted.destroy()
  const options: Options = { handle, allowHalfOpen: true, onread: onread(receiver) }
  const socket = new Socket(options)
  if (isTcp) {
    socket.setNoDelay(true)
    socket.setKeepAlive(true, KEEP_ALIVE_S * 1000)
  }
  return socket
}

/** A socket on a file descriptor of a pipe or socket, that reads into the receiver's own buffers. */
export function openReader(fd: number, receiver: Receiver): Socket {
  const options: Options = { fd, readable: true, writable: false, allowHalfOpen: true, onread: onread(receiver) }
  return new Socket(options)
}

/** A socket on a file descriptor of a pipe or socket, for writing. */
export function openWriter(fd: number): Socket {
  return new Socket({ fd, readable: false, writable: true, allowHalfOpen: true })
}

/** Bytes that the event loop has taken from a socket and the kernel has not taken from the event loop. */
export function writeQueueBytes(socket: Socket): number {
  return (socket as unknown as WithHandle)._handle?.writeQueueSize ?? 0
}

/** A socket's descriptor, non-blocking; -1 where there is none to be had. */
export function descriptorOf(socket: Socket): number {
  return (socket as unknown as WithHandle)._handle?.fd ?? -1
}

function onread(receiver: Receiver): OnReadOpts {
  return { buffer: () => receiver.nextBuffer(), callback: lengthBytes => receiver.received(lengthBytes) }
}

/** Where to listen. */
export type NbdAddress =
  | {
      /** A Unix socket. */
      path: string
    }
  | {
      /** A TCP address, default 127.0.0.1. */
      host?: string
      /** Default 10809; 0 lets the system choose. */
      port?: number
    }

/**
 * Listens on an address. A socket file that nobody listens on any more is removed first.
 * @throws BdevError EADDRINUSE somebody listens there; EEXIST the path is something else than a socket; EACCES, or EINVAL for the rest.
 */
export async function listenOn(address: NbdAddress, defaultPort: number, onSocket: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, onSocket)
  if ('path' in address) await removeStaleSocket(address.path)
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => reject(listenError(address, error)))
    server.once('listening', resolve)
    if ('path' in address) server.listen(address.path)
    else server.listen(address.port ?? defaultPort, address.host ?? '127.0.0.1')
  })
  server.removeAllListeners('error')
  return server
}

async function removeStaleSocket(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return
  if (!stat.isSocket()) {
    throw new BdevError('EEXIST', `nbd: cannot listen on "${path}": wanted a free name or a socket, found another kind of file; choose another path`)
  }
  const alive = await new Promise<boolean>(resolve => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'))
  })
  if (alive) throw new BdevError('EADDRINUSE', `nbd: cannot listen on "${path}": another server answers there; stop it or choose another path`)
  try {
    unlinkSync(path)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw listenError({ path }, thrown as NodeJS.ErrnoException)
  }
}

function listenError(address: NbdAddress, error: NodeJS.ErrnoException): BdevError {
  const where = 'path' in address ? `"${address.path}"` : `${address.host ?? '127.0.0.1'}:${address.port ?? ''}`
  const code = error.code === 'EADDRINUSE' ? 'EADDRINUSE' : error.code === 'EACCES' || error.code === 'EPERM' ? 'EACCES' : 'EINVAL'
  return new BdevError(code, `nbd: cannot listen on ${where}: ${error.message}`, { cause: error })
}
