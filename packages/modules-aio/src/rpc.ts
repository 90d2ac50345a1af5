// SPDX-License-Identifier: Apache-2.0
import { BdevError, method } from '@bdevkit/module-sdk'
import type { BdevHost, DmaBuffer, OffloadQueue } from '@bdevkit/module-sdk'
import { closeFile, openFile, sizeOf, type AioFile } from './aio-file.js'
import { aioFn, hotRemove, type AioDisk } from './bdev-aio.js'

const uint32 = (description: string) => ({ type: 'integer', minimum: 0, maximum: 0xffff_ffff, description })
const flag = (description: string) => ({ type: 'boolean', default: false, description })
const object = (required: string[], properties: object) => ({ type: 'object', additionalProperties: false, required, properties })
const name = { type: 'string', description: 'Name of the bdev' }
const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'

type CreateParams = { name: string; filename: string; block_size?: number; uuid?: string } &
  { [Name in 'readonly' | 'fallocate' | 'nowait']?: boolean }
type NameOnly = { name: string }

export const rpc = {
  bdev_aio_create: method<CreateParams, string>({
    description: 'Make a bdev of a file or a block device; answers its name',
    cli: { positional: ['filename', 'name', 'block_size'], flags: { readonly: '-r', uuid: '-u', nowait: '--no-wait' } },
    result: { type: 'string' },
    params: object(['name', 'filename'], {
      name,
      filename: { type: 'string', description: 'Path of the file or block device, taken as it is' },
      block_size: { ...uint32('Block size in bytes, a power of two from 512 on; 0 = that of the block device'), default: 0 },
      readonly: flag('Open it for reading only'),
      fallocate: flag('Deallocate on UNMAP and WRITE_ZEROES; true is ENOTSUP here'),
      uuid: { type: 'string', pattern: UUID, description: 'UUID; default: random' },
      nowait: flag('Never block in the kernel (RWF_NOWAIT); true is ENOTSUP here'),
    }),
  }),
  bdev_aio_rescan: method<NameOnly, boolean>({
    cli: { positional: ['name'] },
    result: { type: 'boolean' },
    description: 'Look at the size of the file again', params: object(['name'], { name }),
  }),
  bdev_aio_delete: method<NameOnly, boolean>({
    cli: { positional: ['name'] },
    result: { type: 'boolean' },
    description: 'Delete an aio bdev; the file stays', params: object(['name'], { name }),
  }),
}

/** The block size to use. @throws BdevError EINVAL it breaks SPDK's rules. */
function chooseBlockSize(host: BdevHost, who: string, wantedBytes: number, file: AioFile): number {
  const refuse = (reason: string): never => {
    throw new BdevError('EINVAL', `${who}: ${reason}`)
  }
  const found = file.blockSizeBytes
  if (wantedBytes === 0 && found === 0) refuse(`"${file.filename}" has no block size of its own; give block_size`)
  if (wantedBytes === 0) return found
  if (wantedBytes < found) refuse(`wanted block_size to be at least that of "${file.filename}", ${found}, found ${wantedBytes}`)
  if (found !== 0 && wantedBytes !== found) host.log.warn(`${who}: block_size ${wantedBytes} is not that of "${file.filename}", ${found}`)
  if (wantedBytes < 512 || (wantedBytes & (wantedBytes - 1)) !== 0) refuse(`wanted block_size to be a power of two of at least 512, found ${wantedBytes}`)
  return wantedBytes
}

/** Alignment of buffers: the device's own block size where a larger one was asked for. Memory has pages of 64 KiB at most. */
const alignmentOf = (file: AioFile, blockSizeBytes: number): number => Math.min(file.blockSizeBytes || blockSizeBytes, 65_536)

/** Whether reads with O_DIRECT work with blocks of that size: on a disk with larger blocks they are -EINVAL. */
async function directWorks(host: BdevHost, queue: OffloadQueue, file: AioFile, blockSizeBytes: number, alignBytes: number): Promise<boolean> {
  if (sizeOf(file) < blockSizeBytes) return true
  const buffer = host.dma.alloc(blockSizeBytes, alignBytes)
  if (buffer === undefined) return true
  const result = await new Promise<number>(resolve => {
    const done = (_: DmaBuffer, bytes: number): void => resolve(bytes)
    const errno = queue.read(file.fd, 0, [buffer], 1, blockSizeBytes, done, buffer)
    if (errno !== 0) resolve(errno)
  })
  host.dma.free(buffer)
  return result !== -22
}

/**
 * @throws BdevError of the errno that opening failed with; EINVAL a parameter breaks SPDK's rules; ENOTSUP `fallocate` or
 * `nowait`; EISDIR; what registration throws.
 */
export async function aioBdevCreate(host: BdevHost, p: CreateParams): Promise<string> {
  const who = `aio bdev "${p.name}"`
  if (p.fallocate) throw new BdevError('ENOTSUP', `${who}: fallocate needs a system call that Node does not have; leave it out`)
  const { filename, readonly = false, block_size: wantedBytes = 0 } = p
  let file = await openFile(who, filename, readonly, true)
  let queue: OffloadQueue | undefined
  try {
    if (p.nowait) throw new BdevError('ENOTSUP', `${who}: nowait needs RWF_NOWAIT, which Node does not have; leave it out: nothing blocks anyway`)
    const blockSizeBytes = chooseBlockSize(host, who, wantedBytes, file)
    const alignBytes = alignmentOf(file, blockSizeBytes)
    const sizeBytes = sizeOf(file)
    if (sizeBytes % blockSizeBytes !== 0) throw new BdevError('EINVAL', `${who}: wanted the size of "${filename}" to be a multiple of block size ${blockSizeBytes}, found ${sizeBytes} bytes`)
    if (file.direct && !file.inMemory) {
      queue = host.offload.openQueue({ name: p.name, alignBytes })
      if (!(await directWorks(host, queue, file, blockSizeBytes, alignBytes))) {
        host.log.notice(`${who}: "${filename}" takes no O_DIRECT with blocks of ${blockSizeBytes} bytes; it is used through the page cache`)
        const cached = await openFile(who, filename, readonly, false)
        await closeFile(file)
        file = cached
      }
    }
    queue ??= host.offload.openQueue({ name: p.name, inMemory: file.inMemory, alignBytes: file.direct ? alignBytes : 1 })
    return register(host, p, file, queue, blockSizeBytes, alignBytes)
  } catch (error) {
    await queue?.close()
    await closeFile(file)
    throw error
  }
}

function register(host: BdevHost, p: CreateParams, file: AioFile, queue: OffloadQueue, blockSizeBytes: number, alignBytes: number): string {
  const device = host.registerIoDevice<AioDisk>({ name: p.name, createChannel: () => disk })
  const disk: AioDisk = {
    host, name: p.name, file, queue, device,
    filename: p.filename, readonly: p.readonly ?? false, blockSizeOverride: (p.block_size ?? 0) !== 0,
    outstanding: 0, syncing: null, syncNext: null, syncError: 0, reset: null, removing: false,
  }
  try {
    return host.registerBdev({
      name: p.name,
      ctx: disk,
      fn: aioFn,
      productName: 'AIO disk',
      blockSizeBytes,
      numBlocks: sizeOf(file) / blockSizeBytes,
      requiredAlignmentBytes: alignBytes,
      writeCache: true,
      ...(p.uuid !== undefined && { uuid: p.uuid }),
    }).name
  } catch (error) {
    void device.unregister()
    throw error
  }
}

/** @throws BdevError ENODEV no such bdev, or it is no aio bdev; EBUSY the file has shrunk while the bdev is open. */
export function aioBdevRescan(host: BdevHost, { name: wanted }: NameOnly): boolean {
  const bdev = host.bdevByName(wanted)
  if (bdev === undefined || bdev.moduleName !== 'aio') {
    const found = bdev === undefined ? 'there is no such bdev' : `it belongs to module "${bdev.moduleName}"`
    throw new BdevError('ENODEV', `bdev_aio_rescan: wanted an aio bdev "${wanted}", but ${found}`)
  }
  const disk = bdev.ctx as AioDisk
  const numBlocks = Math.floor(sizeOf(disk.file) / bdev.blockSizeBytes)
  if (numBlocks === 0) hotRemove(disk)
  else if (numBlocks !== bdev.numBlocks) {
    host.log.notice(`aio bdev "${bdev.name}": "${disk.filename}" is resized from ${bdev.numBlocks} to ${numBlocks} blocks`)
    host.notifyBlockcntChange(bdev, numBlocks)
  }
  return true
}
