// SPDX-License-Identifier: Apache-2.0
import { BdevError, DifFlag, DifType, method } from '@bdevkit/module-sdk'
import type { Bdev, BdevHost, RpcCall } from '@bdevkit/module-sdk'
import { mallocFn, type MallocDisk, type MallocModule } from './bdev-malloc.js'
import { makeBlank, mallocMdFn, writeBlankMd, type MallocMd } from './malloc-md.js'

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
      md_size: { ...uint32('Metadata bytes per block: 0, 8, 16, 32, 64 or 128'), default: 0 },
      md_interleave: { type: 'boolean', default: false, description: 'Metadata follows each block instead of lying apart' },
      dif_type: { ...int32('Protection type 0 to 3; above 0 needs metadata'), default: 0 },
      dif_is_head_of_md: { type: 'boolean', default: false, description: 'Protection information starts the metadata' },
      dif_pi_format: { ...uint32('Format of the protection information: its guard has 16 (0), 32 (1) or 64 bits (2)'), default: 0 },
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

/** Size, and what is kept in the metadata. Nobody gives application tags, so they are not checked. */
function blocks(p: CreateParams) {
  const { md_size: mdSizeBytes = 0, md_interleave: mdInterleave = false, dif_type: difType = DifType.Disable } = p
  const checksRefTag = difType === DifType.Type1 || difType === DifType.Type2
  return {
    blockSizeBytes: p.block_size + (mdInterleave ? mdSizeBytes : 0),
    numBlocks: p.num_blocks,
    mdSizeBytes,
    mdInterleave,
    difType,
    difIsHeadOfMd: p.dif_is_head_of_md ?? false,
    difPiFormat: p.dif_pi_format ?? 0,
    difCheckFlags: difType === DifType.Disable ? 0 : DifFlag.GuardCheck | (checksRefTag ? DifFlag.ReftagCheck : 0),
  }
}

type Blocks = ReturnType<typeof blocks>

/** @throws BdevError ENOMEM no room. */
function allocate(module: MallocModule, name: string, lengthBytes: number) {
  const extents = Number.isSafeInteger(lengthBytes) ? module.dma.allocBulk(lengthBytes) : undefined
  if (extents === undefined) {
    throw new BdevError('ENOMEM', `malloc bdev "${name}": no memory for ${lengthBytes} bytes; make it smaller`)
  }
  return extents
}

/** @throws BdevError EINVAL there can be no such protection information; ENOMEM no room. */
function makeMd(module: MallocModule, host: BdevHost, name: string, geometry: Blocks): MallocMd | null {
  const { mdSizeBytes, mdInterleave, difType, blockSizeBytes, numBlocks } = geometry
  if (mdSizeBytes === 0) return null
  const dif = difType === DifType.Disable ? null : host.accel.dif.context(geometry)
  const blank = makeBlank(host, dif, blockSizeBytes - (mdInterleave ? mdSizeBytes : 0), mdSizeBytes)
  const extents = mdInterleave ? [] : allocate(module, name, numBlocks * mdSizeBytes)
  const apart = { ...geometry, blockSizeBytes: blockSizeBytes - (mdInterleave ? mdSizeBytes : 0), mdInterleave: false }
  const tag = { buf: new Uint8Array(mdSizeBytes), off: 0, dif: dif === null ? null : host.accel.dif.context(apart) }
  return { extents, dif, blank, tag, iovs: host.allocIovs(1), failures: 0 }
}

/** @throws BdevError EINVAL a parameter breaks SPDK's rules; ENOMEM no room; what registration throws. */
export function mallocBdevCreate(module: MallocModule, host: BdevHost, p: CreateParams): string {
  while (p.name === undefined && host.bdevByName(`Malloc${module.nextName}`) !== undefined) module.nextName++
  const name = p.name ?? `Malloc${module.nextName}`
  const reason = refusal(p)
  if (reason !== undefined) throw new BdevError('EINVAL', `malloc bdev "${name}": ${reason}`)
  const geometry = blocks(p)
  const md = makeMd(module, host, name, geometry)
  let extents: MallocDisk['extents'] = []
  try {
    extents = allocate(module, name, geometry.numBlocks * geometry.blockSizeBytes)
    const disk: MallocDisk = { module, extents, buf: extents[0].buf, off: extents[0].off, len: extents[0].len, md, stepping: 0 }
    // What was never written is zero. Protection information is not.
    if (md?.dif) writeBlankMd(disk, { ...geometry, dataBlockSizeBytes: p.block_size }, 0, p.num_blocks)
    host.registerBdev({
      ...geometry,
      name,
      ctx: disk,
      fn: md === null ? mallocFn : mallocMdFn,
      productName: 'Malloc disk',
      physBlockSizeBytes: p.physical_block_size || p.block_size,
      writeCache: true,
      optimalIoBoundaryBlocks: p.optimal_io_boundary ?? 0,
      splitOnOptimalIoBoundary: true,
      numaId: p.numa_id ?? -1,
      lendsReadBuffers: extents.length === 1 && (md?.extents.length ?? 0) <= 1,
      ...(p.uuid !== undefined && { uuid: p.uuid }),
    })
  } catch (error) {
    module.dma.freeBulk(extents)
    module.dma.freeBulk(md?.extents ?? [])
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
    block_size: bdev.dataBlockSizeBytes,
    physical_block_size: bdev.physBlockSizeBytes,
    uuid: bdev.uuid,
    optimal_io_boundary: bdev.optimalIoBoundaryBlocks,
    md_size: bdev.mdSizeBytes,
    ...(bdev.mdInterleave && { md_interleave: true }),
    dif_type: bdev.difType,
    dif_is_head_of_md: bdev.difIsHeadOfMd,
    dif_pi_format: bdev.difPiFormat,
    numa_id: -1,
  },
})
