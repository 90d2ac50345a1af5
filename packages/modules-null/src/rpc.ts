// SPDX-License-Identifier: Apache-2.0
import { BdevError, method } from '@bdevkit/module-sdk'
import type { Bdev, BdevHost, RpcCall } from '@bdevkit/module-sdk'
import { nullFn, type NullModule } from './bdev-null.js'

const integer = (description: string, minimum: number, maximum: number) => ({ type: 'integer', minimum, maximum, description })
const uint32 = (description: string) => integer(description, 0, 0xffff_ffff)
const uint64 = (description: string) => integer(description, 0, Number.MAX_SAFE_INTEGER)
const object = (required: string[], properties: object) => ({ type: 'object', additionalProperties: false, required, properties })
const name = { type: 'string', description: 'Name of the bdev' }
const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
const uuid = { type: 'string', pattern: UUID, description: 'UUID; default: random' }

type CreateNumbers = 'physical_block_size' | 'md_size' | 'dif_type' | 'dif_pi_format' | 'preferred_write_granularity' |
  'preferred_write_alignment' | 'optimal_write_size' | 'preferred_unmap_granularity' | 'preferred_unmap_alignment'
type CreateParams = { name: string; num_blocks: number; block_size: number; uuid?: string; dif_is_head_of_md?: boolean } &
  { [Name in CreateNumbers]?: number }
type ResizeParams = { name: string; new_size: number }

export const rpc = {
  bdev_null_create: method<CreateParams, string>({
    description: 'Create a bdev that returns zeros and drops writes; answers its name',
    cli: {
      positional: ['name', 'num_blocks', 'block_size'],
      mebibytes: { num_blocks: 'block_size' },
      flags: {
        uuid: '-u', physical_block_size: '-p', md_size: '-m', dif_type: '-t', dif_is_head_of_md: '-d',
        dif_pi_format: '-f', preferred_write_alignment: '-a', preferred_write_granularity: '-g',
        optimal_write_size: '-s', preferred_unmap_alignment: '-c', preferred_unmap_granularity: '-r',
      },
    },
    result: { type: 'string' },
    params: object(['name', 'num_blocks', 'block_size'], {
      name,
      num_blocks: uint64('Size in blocks, above 0'),
      block_size: uint32('Block size in bytes, a multiple of 512'),
      physical_block_size: uint32('Block size of the medium in bytes, a multiple of 512; default: `block_size`'),
      uuid,
      md_size: { ...uint32('Metadata bytes per block; only 0 works yet'), default: 0 },
      dif_type: { ...integer('Protection type 0 to 3; above 0 needs metadata', -0x8000_0000, 0x7fff_ffff), default: 0 },
      dif_is_head_of_md: { type: 'boolean', default: false, description: 'Protection information starts the metadata' },
      dif_pi_format: { ...uint32('Format of the protection information'), default: 0 },
      preferred_write_granularity: { ...uint32('Granularity that writes should have, in blocks'), default: 0 },
      preferred_write_alignment: { ...uint32('Alignment that writes should have, in blocks'), default: 0 },
      optimal_write_size: { ...uint32('Best write size, in blocks'), default: 0 },
      preferred_unmap_granularity: { ...uint32('Granularity that unmaps should have, in blocks'), default: 0 },
      preferred_unmap_alignment: { ...uint32('Alignment that unmaps should have, in blocks'), default: 0 },
    }),
  }),
  bdev_null_resize: method<ResizeParams, boolean>({
    description: 'Grow a null bdev',
    cli: { positional: ['name', 'new_size'] },
    result: { type: 'boolean' },
    params: object(['name', 'new_size'], { name, new_size: uint64('New size in MiB, not below the present one') }),
  }),
  bdev_null_delete: method<{ name: string }, boolean>({
    description: 'Delete a null bdev',
    cli: { positional: ['name'] },
    result: { type: 'boolean' },
    params: object(['name'], { name }),
  }),
}

function refusal(p: CreateParams): string | undefined {
  const { physical_block_size: physBlockSize = 0, md_size: mdSize = 0, dif_type: difType = 0 } = p
  if (p.num_blocks === 0) return 'num_blocks must be above 0'
  if (p.block_size === 0 || p.block_size % 512 !== 0) return `block_size must be a multiple of 512, but is ${p.block_size}`
  if (physBlockSize % 512 !== 0) return `physical_block_size must be a multiple of 512, but is ${physBlockSize}`
  if (![0, 8, 16, 32, 64, 128].includes(mdSize)) return `md_size must be 0, 8, 16, 32, 64 or 128, but is ${mdSize}`
  if (difType < 0 || difType > 3) return `dif_type must be 0 to 3, but is ${difType}`
  return difType !== 0 && mdSize === 0 ? `dif_type ${difType} needs an md_size` : undefined
}

/** @throws BdevError EINVAL a parameter breaks SPDK's rules; ENOTSUP metadata; what registration throws. */
export function nullBdevCreate(module: NullModule, host: BdevHost, p: CreateParams): string {
  const reason = refusal(p)
  if (reason !== undefined) throw new BdevError('EINVAL', `null bdev "${p.name}": ${reason}`)
  if (p.md_size) throw new BdevError('ENOTSUP', `null bdev "${p.name}": md_size ${p.md_size} is not supported yet; leave it out`)
  return host.registerBdev({
    name: p.name,
    ctx: module,
    fn: nullFn,
    productName: 'Null disk',
    blockSizeBytes: p.block_size,
    numBlocks: p.num_blocks,
    physBlockSizeBytes: p.physical_block_size || p.block_size,
    preferredWriteGranularityBlocks: p.preferred_write_granularity ?? 0,
    preferredWriteAlignmentBlocks: p.preferred_write_alignment ?? 0,
    optimalWriteSizeBlocks: p.optimal_write_size ?? 0,
    preferredUnmapGranularityBlocks: p.preferred_unmap_granularity ?? 0,
    preferredUnmapAlignmentBlocks: p.preferred_unmap_alignment ?? 0,
    lendsReadBuffers: true,
    ...(p.uuid !== undefined && { uuid: p.uuid }),
  }).name
}

/** @throws BdevError ENODEV no such bdev; EINVAL it is not a null bdev, or would shrink. */
export function nullBdevResize(host: BdevHost, { name, new_size: newSizeMib }: ResizeParams): boolean {
  const bdev = host.bdevByName(name)
  if (bdev === undefined) throw new BdevError('ENODEV', `bdev_null_resize: there is no bdev "${name}"`)
  const numBlocks = Math.floor((newSizeMib * 1024 * 1024) / bdev.blockSizeBytes)
  if (bdev.moduleName !== 'null' || numBlocks < bdev.numBlocks) {
    throw new BdevError('EINVAL', `bdev_null_resize: wanted a null bdev of at most ${numBlocks} blocks, ` +
      `but "${name}" belongs to module "${bdev.moduleName}" and has ${bdev.numBlocks}`)
  }
  host.notifyBlockcntChange(bdev, numBlocks)
  return true
}

/** The call that makes `bdev` again: SPDK's members in SPDK's order. */
export const nullCreateCall = (bdev: Bdev): RpcCall => ({
  method: 'bdev_null_create',
  params: {
    name: bdev.name,
    num_blocks: bdev.numBlocks,
    block_size: bdev.blockSizeBytes,
    physical_block_size: bdev.physBlockSizeBytes,
    md_size: 0,
    dif_type: 0,
    dif_is_head_of_md: false,
    dif_pi_format: 0,
    uuid: bdev.uuid,
    preferred_write_granularity: bdev.preferredWriteGranularityBlocks,
    preferred_write_alignment: bdev.preferredWriteAlignmentBlocks,
    optimal_write_size: bdev.optimalWriteSizeBlocks,
    preferred_unmap_granularity: bdev.preferredUnmapGranularityBlocks,
    preferred_unmap_alignment: bdev.preferredUnmapAlignmentBlocks,
  },
})
