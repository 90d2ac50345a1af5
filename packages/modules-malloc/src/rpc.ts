// SPDX-License-Identifier: Apache-2.0
import { BdevError, method } from '@bdevkit/module-sdk'
import type { Bdev, BdevHost, RpcCall } from '@bdevkit/module-sdk'
import { mallocFn, type MallocDisk, type MallocModule } from './bdev-malloc.js'

const integer = (description: string, minimum: number, maximum: number) => ({ type: 'integer', minimum, maximum, description })
const uint32 = (description: string) => integer(description, 0, 0xffff_ffff)
const int32 = (description: string) => integer(description, -0x8000_0000, 0x7fff_ffff)
const uint64 = (description: string) => integer(description, 0, Number.MAX_SAFE_INTEGER)
const object = (required: string[], properties: object) => ({ type: 'object', additionalProperties: false, required, properties })
const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
const uuid = { type: 'string', pattern: UUID, description: 'UUID; default: random' }

type CreateNumbers = 'physical_block_size' | 'optimal_io_boundary' | 'md_size' | 'dif_type' | 'dif_pi_format' | 'numa_id'
type CreateParams = { name?: string; num_blocks: number; block_size: number; uuid?: string } &
  { [Name in 'md_interleave' | 'dif_is_head_of_md']?: boolean } & { [Name in CreateNumbers]?: number }

export const rpc = {
  bdev_malloc_create: method<CreateParams, string>({
    description: 'Create a RAM disk; answers its name',
    cli: {
      positional: ['num_blocks', 'block_size'],
      mebibytes: { num_blocks: 'block_size' },
      flags: {
        name: '-b', uuid: '-u', physical_block_size: '-p', optimal_io_boundary: '-o', md_size: '-m',
        md_interleave: '-i', dif_type: '-t', dif_is_head_of_md: '-d', dif_pi_format: '-f', numa_id: '-n',
      },
    },
    result: { type: 'string' },
    params: object(['num_blocks', 'block_size'], {
      name: { type: 'string', description: 'Name of the bdev; default: `Malloc0`, `Malloc1`, …' },
      num_blocks: uint64('Size in blocks, above 0'),
      block_size: uint32('Block size in bytes, a multiple of 512'),
      physical_block_size: uint32('Block size of the medium in bytes, a multiple of 512; default: `block_size`'),
      uuid,
      optimal_io_boundary: { ...uint32('Boundary, in blocks, that one I/O should not cross; 0 = none'), default: 0 },
      md_size: { ...uint32('Metadata bytes per block; only 0 works yet'), default: 0 },
      md_interleave: { type: 'boolean', default: false, description: 'Metadata follows each block instead of lying apart' },
      dif_type: { ...int32('Protection type 0 to 3; above 0 needs metadata'), default: 0 },
      dif_is_head_of_md: { type: 'boolean', default: false, description: 'Protection information starts the metadata' },
      dif_pi_format: { ...uint32('Format of the protection information'), default: 0 },
      numa_id: { ...int32('NUMA node of the memory; only -1, any, is there'), default: -1 },
    }),
  }),
  bdev_malloc_delete: method<{ name: string }, boolean>({
    description: 'Delete a RAM disk and its data',
    cli: { positional: ['name'] },
    result: { type: 'boolean' },
    params: object(['name'], { name: { type: 'string', description: 'Name of the bdev' } }),
  }),
}

function refusal(p: CreateParams): string | undefined {
  const { physical_block_size: physBlockSize = 0, md_size: mdSize = 0, dif_type: difType = 0, numa_id: numaId = -1 } = p
  if (p.num_blocks === 0) return 'num_blocks must be above 0'
  if (p.block_size === 0 || p.block_size % 512 !== 0) return `block_size must be a multiple of 512, but is ${p.block_size}`
  if (physBlockSize % 512 !== 0) return `physical_block_size must be a multiple of 512, but is ${physBlockSize}`
  if (![0, 8, 16, 32, 64, 128].includes(mdSize)) return `md_size must be 0, 8, 16, 32, 64 or 128, but is ${mdSize}`
  if (difType < 0 || difType > 3) return `dif_type must be 0 to 3, but is ${difType}`
  if (difType !== 0 && mdSize === 0) return `dif_type ${difType} needs an md_size`
  return numaId === -1 ? undefined : `numa_id must be -1, but is ${numaId}: memory is not bound to NUMA nodes`
}

/** @throws BdevError EINVAL a parameter breaks SPDK's rules; ENOTSUP metadata; ENOMEM no room; what registration throws. */
export function mallocBdevCreate(module: MallocModule, host: BdevHost, p: CreateParams): string {
  while (p.name === undefined && host.bdevByName(`Malloc${module.nextName}`) !== undefined) module.nextName++
  const name = p.name ?? `Malloc${module.nextName}`
  const reason = refusal(p)
  if (reason !== undefined) throw new BdevError('EINVAL', `malloc bdev "${name}": ${reason}`)
  if (p.md_size) throw new BdevError('ENOTSUP', `malloc bdev "${name}": md_size ${p.md_size} is not supported yet; leave it out`)
  const lengthBytes = p.num_blocks * p.block_size
  const extents = Number.isSafeInteger(lengthBytes) ? module.dma.allocBulk(lengthBytes) : undefined
  if (extents === undefined) {
    throw new BdevError('ENOMEM', `malloc bdev "${name}": no memory for ${lengthBytes} bytes; make it smaller`)
  }
  const disk: MallocDisk = { module, extents, buf: extents[0].buf, off: extents[0].off, len: extents[0].len, stepping: 0 }
  try {
    host.registerBdev({
      name,
      ctx: disk,
      fn: mallocFn,
      productName: 'Malloc disk',
      blockSizeBytes: p.block_size,
      numBlocks: p.num_blocks,
      physBlockSizeBytes: p.physical_block_size || p.block_size,
      writeCache: true,
      optimalIoBoundaryBlocks: p.optimal_io_boundary ?? 0,
      splitOnOptimalIoBoundary: true,
      numaId: p.numa_id ?? -1,
      lendsReadBuffers: extents.length === 1,
      ...(p.uuid !== undefined && { uuid: p.uuid }),
    })
  } catch (error) {
    module.dma.freeBulk(extents)
    throw error
  }
  if (p.name === undefined) module.nextName++
  return name
}

/** The call that makes `bdev` again, without its data: SPDK's members in SPDK's order. */
export const mallocCreateCall = (bdev: Bdev): RpcCall => ({
  method: 'bdev_malloc_create',
  params: {
    name: bdev.name,
    num_blocks: bdev.numBlocks,
    block_size: bdev.blockSizeBytes,
    physical_block_size: bdev.physBlockSizeBytes,
    uuid: bdev.uuid,
    optimal_io_boundary: bdev.optimalIoBoundaryBlocks,
    md_size: 0,
    dif_type: 0,
    dif_is_head_of_md: false,
    dif_pi_format: 0,
    numa_id: -1,
  },
})
