// SPDX-License-Identifier: Apache-2.0
import { close, constants, fstatSync, open as openCallback, readFileSync, type Stats } from 'node:fs'
import { stat, statfs } from 'node:fs/promises'
import { BdevError, ERRNO, type ErrnoName } from '@bdevkit/module-sdk'

/** An open file or block device. */
export interface AioFile {
  readonly fd: number
  readonly filename: string
  /** Whether the page cache is passed by (O_DIRECT). */
  readonly direct: boolean
  /** Whether its data lies in memory, so that nothing ever waits for a device. */
  readonly inMemory: boolean
  /** Its folder in /sys, where it is a block device. */
  readonly sysfs: string | null
  /** Logical block size of a block device in bytes, 0 for a file: any will do. */
  readonly blockSizeBytes: number
}

/** `f_type` of file systems without a device: tmpfs, ramfs. */
const MEMORY_FILE_SYSTEMS = [0x0102_1994, 0x8584_58f6]

/** Sizes in /sys count units of this many bytes, whatever the block size is. */
const SYSFS_UNIT_BYTES = 512

/**
 * Opens a file or a block device, with O_DIRECT where `direct` asks for it and the file system allows it.
 * @throws BdevError of the errno that opening failed with; EISDIR a directory; EINVAL another kind of file.
 */
export async function openFile(who: string, filename: string, readonly: boolean, direct: boolean): Promise<AioFile> {
  const access = readonly ? constants.O_RDONLY : constants.O_RDWR
  try {
    // Looked at before it is opened: to open a FIFO waits, to open a device may set it off.
    checkKind(who, filename, await stat(filename))
    // O_NONBLOCK means nothing to files and disks; should it be a FIFO by now, open does not wait.
    const flags = access | constants.O_NONBLOCK
    let fd = direct ? await openFd(filename, flags | constants.O_DIRECT).catch(() => -1) : -1
    const isDirect = fd >= 0
    if (fd < 0) fd = await openFd(filename, flags)
    try {
      return await describe(who, filename, fd, isDirect)
    } catch (error) {
      close(fd)
      throw error
    }
  } catch (error) {
    throw asBdevError(who, `wanted to open "${filename}" for ${readonly ? 'reading' : 'reading and writing'}`, error)
  }
}

/** A descriptor that nobody closes but {@link closeFile}: the handle of node:fs/promises would, when it is collected. */
function openFd(filename: string, flags: number): Promise<number> {
  return new Promise((resolve, reject) => openCallback(filename, flags, (error, fd) => (error === null ? resolve(fd) : reject(error))))
}

async function describe(who: string, filename: string, fd: number, direct: boolean): Promise<AioFile> {
  const stats = fstatSync(fd)
  checkKind(who, filename, stats)
  if (!stats.isBlockDevice()) {
    const { type } = await statfs(`/proc/self/fd/${fd}`)
    return { fd, filename, direct, inMemory: MEMORY_FILE_SYSTEMS.includes(type), sysfs: null, blockSizeBytes: 0 }
  }
  const sysfs = `/sys/dev/block/${deviceNumber(stats.rdev)}`
  // A partition has no queue of its own: its disk, the folder above, has.
  const blockSizeBytes = readNumber(`${sysfs}/queue/logical_block_size`) || readNumber(`${sysfs}/../queue/logical_block_size`)
  return { fd, filename, direct, inMemory: false, sysfs, blockSizeBytes }
}

function checkKind(who: string, filename: string, stats: Stats): void {
  if (stats.isFile() || stats.isBlockDevice()) return
  if (stats.isDirectory()) throw new BdevError('EISDIR', `${who}: wanted a file or a block device, but "${filename}" is a directory`)
  throw new BdevError('EINVAL', `${who}: wanted a file or a block device, but "${filename}" is neither; give the path of one`)
}

/** `major:minor` of what stat calls a device number (gnu_dev_major, gnu_dev_minor). */
function deviceNumber(rdev: number): string {
  const device = BigInt(rdev)
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn)
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffff_ffffn)
  return `${major}:${minor}`
}

function readNumber(file: string): number {
  try {
    return Number(readFileSync(file, 'latin1')) || 0
  } catch {
    return 0
  }
}

/** Its size now, in bytes; 0 where it is gone. */
export function sizeOf({ fd, sysfs }: AioFile): number {
  if (sysfs !== null) return readNumber(`${sysfs}/size`) * SYSFS_UNIT_BYTES
  try {
    return fstatSync(fd).size
  } catch {
    return 0
  }
}

/** Closes it. */
export function closeFile({ fd, filename }: AioFile): Promise<void> {
  return new Promise((resolve, reject) => {
    close(fd, error => (error === null || error === undefined ? resolve() : reject(asBdevError(`"${filename}"`, 'wanted to close it', error))))
  })
}

function asBdevError(who: string, wanted: string, error: unknown): BdevError {
  const { name, code, message } = error as { name?: string; code?: string; message?: string }
  if (name === 'BdevError') return error as BdevError
  const errno = code !== undefined && code in ERRNO ? (code as ErrnoName) : 'EIO'
  return new BdevError(errno, `${who}: ${wanted}, found: ${message ?? String(error)}`, { cause: error })
}
