// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto'
import { link, lstat, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { SOCKET_PATH_BYTES_MAX } from './limits.js'

/** A socket path that cannot be served: `code` is an errno name. */
export class RpcListenError extends Error {
  override readonly name = 'RpcListenError'
  readonly code: string
  /** The socket path. */
  readonly path: string

  constructor(code: string, path: string, message: string, options?: ErrorOptions) {
    super(`RPC socket "${path}": ${message}`, options)
    this.code = code
    this.path = path
  }
}

/** The right to serve one socket path, held by this process as the file `<path>.lock`. */
export interface SocketLock {
  /** Gives the path up. */
  release(): Promise<void>
}

const ATTEMPTS = 16

/**
 * Takes `<path>.lock` for this process and removes a socket nobody serves any more. SPDK flock()s this file; Node has no
 * flock, so the file holds the owner's pid and start time and counts while that very process lives. A server that holds the
 * path in another way (SPDK's flock, another pid namespace) is found by connecting to it.
 * @throws RpcListenError ENAMETOOLONG; EADDRINUSE a live process serves the path; EEXIST the path is no socket;
 * ENOENT, EACCES, … the folder cannot be used.
 */
export async function lockSocketPath(path: string): Promise<SocketLock> {
  const lengthBytes = Buffer.byteLength(path)
  if (lengthBytes === 0 || lengthBytes > SOCKET_PATH_BYTES_MAX || path.includes('\0')) {
    const limit = `a path of 1 to ${SOCKET_PATH_BYTES_MAX} bytes without NUL`
    throw new RpcListenError('ENAMETOOLONG', path, `wanted ${limit}, found ${lengthBytes} bytes; choose a shorter one`)
  }
  const lockPath = `${path}.lock`
  const content = `${await describeProcess(process.pid)}\n`
  await acquire(path, lockPath, content)
  const release = async () => {
    if ((await readOrEmpty(lockPath)) === content) await rm(lockPath, { force: true })
  }
  try {
    await removeStaleSocket(path)
  } catch (error) {
    await release()
    throw error
  }
  return { release }
}

async function acquire(path: string, lockPath: string, content: string): Promise<void> {
  // Linked into place whole: nobody ever reads a lock without its owner.
  const draft = `${lockPath}.${process.pid}.${randomBytes(4).toString('hex')}`
  try {
    await writeFile(draft, content, { flag: 'wx', mode: 0o600 })
  } catch (cause) {
    throw folderError(path, cause as NodeJS.ErrnoException)
  }
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      try {
        return await link(draft, lockPath)
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw folderError(path, cause as NodeJS.ErrnoException)
      }
      const owner = await readOrEmpty(lockPath)
      if (owner !== undefined) {
        if (await isAlive(owner)) {
          const pid = Number.parseInt(owner, 10)
          const who = pid === process.pid ? 'this process' : `process ${pid}`
          throw new RpcListenError(
            'EADDRINUSE',
            path,
            `wanted to serve it, found it served by ${who}; stop that one or choose another path`,
          )
        }
        await removeStaleLock(lockPath, owner)
      }
    }
    throw new RpcListenError(
      'EADDRINUSE',
      path,
      `wanted "${lockPath}", found other processes taking it again and again; try once more`,
    )
  } finally {
    await rm(draft, { force: true })
  }
}

/** Moves the lock aside and removes it; puts it back where it meanwhile became somebody else's. */
async function removeStaleLock(lockPath: string, stale: string): Promise<void> {
  const aside = `${lockPath}.stale.${process.pid}.${randomBytes(4).toString('hex')}`
  try {
    await rename(lockPath, aside)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return
    throw cause
  }
  if ((await readOrEmpty(aside)) !== stale) await link(aside, lockPath).catch(() => undefined)
  await rm(aside, { force: true })
}

async function removeStaleSocket(path: string): Promise<void> {
  let isSocket: boolean
  try {
    isSocket = (await lstat(path)).isSocket()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return
    throw folderError(path, cause as NodeJS.ErrnoException)
  }
  if (!isSocket) {
    throw new RpcListenError(
      'EEXIST',
      path,
      'wanted a free path or an old socket, found another kind of file; choose another path',
    )
  }
  if (await answers(path)) {
    throw new RpcListenError(
      'EADDRINUSE',
      path,
      'wanted to serve it, found another server that answers; stop that one or choose another path',
    )
  }
  await rm(path, { force: true })
}

/** Only a refused connection shows that nobody listens; anything else (a full backlog, no permission) is somebody. */
function answers(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'))
  })
}

/** Pid and, where /proc tells, the time it started: a pid alone may have been given to another process since. */
async function describeProcess(pid: number): Promise<string> {
  const startTime = await startTimeTicks(pid)
  return startTime === undefined ? `${pid}` : `${pid} ${startTime}`
}

async function isAlive(owner: string): Promise<boolean> {
  const [pidText, startTime] = owner.trim().split(' ')
  const pid = Number(pidText)
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const found = await startTimeTicks(pid)
  return startTime === undefined || found === undefined || startTime === found
}

/** Field 22 of /proc/PID/stat, counted after the command name, which may itself hold spaces and parentheses. */
async function startTimeTicks(pid: number): Promise<string | undefined> {
  const stat = await readOrEmpty(`/proc/${pid}/stat`)
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
}

/** At most a kilobyte matters, and a lock file is ours to write; `undefined` when there is no such file. */
async function readOrEmpty(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'latin1')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    return ''
  }
}

function folderError(path: string, cause: NodeJS.ErrnoException): RpcListenError {
  const folder = dirname(path)
  const advice =
    cause.code === 'ENOENT'
      ? `there is no folder "${folder}"; create it or choose another path`
      : `${cause.message}; choose another path`
  return new RpcListenError(cause.code ?? 'EIO', path, `wanted to write into "${folder}": ${advice}`, { cause })
}
