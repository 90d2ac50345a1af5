// SPDX-License-Identifier: Apache-2.0
import { BdevError, DifFlag, DifType, method } from '@bdevkit/module-sdk'
import type { Bdev, BdevHost, DifContext, RpcCall } from '@bdevkit/module-sdk'
import { nullFn, type NullDisk, type NullModule } from './bdev-null.js'
import { nullDifFn } from './null-dif.js'

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
      md_size: { ...uint32('Metadata bytes per block, behind its data: 0, 8, 16, 32, 64 or 128'), default: 0 },
      dif_type: { ...integer('Protection type 0 to 3; above 0 needs metadata', -0x8000_0000, 0x7fff_ffff), default: 0 },
      dif_is_head_of_md: { type: 'boolean', default: false, description: 'Protection information starts the metadata' },
      dif_pi_format: { ...uint32('Format of the protection information: its guard has 16 (0), 32 (1) or 64 bits (2)'), default: 0 },
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

/** Size, and what is kept in the metadata. Nobody gives application tags, so they are not checked. */
function blocks(p: CreateParams) {
  const { md_size: mdSizeBytes = 0, dif_type: difType = DifType.Disable } = p
  const checksRefTag = difType === DifType.Type1 || difType === DifType.Type2
  return {
    blockSizeBytes: p.block_size + mdSizeBytes,
    mdSizeBytes,
    mdInterleave: true,
    difType,
    difIsHeadOfMd: p.dif_is_head_of_md ?? false,
    difPiFormat: p.dif_pi_format ?? 0,
    difCheckFlags: difType === DifType.Disable ? 0 : DifFlag.GuardCheck | (checksRefTag ? DifFlag.ReftagCheck : 0),
  }
}

/** @throws BdevError EINVAL a parameter breaks SPDK's rules; what registration throws. */
export function nullBdevCreate(module: NullModule, host: BdevHost, p: CreateParams): string {
  const reason = refusal(p)
  if (reason !== undefined) throw new BdevError('EINVAL', `null bdev "${p.name}": ${reason}`)
  const geometry = blocks(p)
  const dif: DifContext | null = geometry.difType === DifType.Disable ? null : host.accel.dif.context(geometry)
  const ctx: NullDisk = { module, dif, difFailures: 0 }
  return host.registerBdev({
    ...geometry,
    name: p.name,
    ctx,
    fn: dif === null ? nullFn : nullDifFn,
    productName: 'Null disk',
    numBlocks: p.num_blocks,
    physBlockSizeBytes: p.physical_block_size || p.block_size,
    preferredWriteGranularityBlocks: p.preferred_write_granularity ?? 0,
    preferredWriteAlignmentBlocks: p.preferred_write_alignment ?? 0,
    optimalWriteSizeBlocks: p.optimal_write_size ?? 0,
    preferredUnmapGranularityBlocks: p.preferred_unmap_granularity ?? 0,
    preferredUnmapAlignmentBlocks: p.preferred_unmap_alignment ?? 0,
    // Protection information differs from block to block: no memory holds it for all.
    lendsReadBuffers: dif === null,
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
    block_size: bdev.dataBlockSizeBytes,
    physical_block_size: bdev.physBlockSizeBytes,
    md_size: bdev.mdSizeBytes,
    dif_type: bdev.difType,
    dif_is_head_of_md: bdev.difIsHeadOfMd,
    dif_pi_format: bdev.difPiFormat,
    uuid: bdev.uuid,
    preferred_write_granularity: bdev.preferredWriteGranularityBlocks,
    preferred_write_alignment: bdev.preferredWriteAlignmentBlocks,
    optimal_write_size: bdev.optimalWriteSizeBlocks,
    preferred_unmap_granularity: bdev.preferredUnmapGranularityBlocks,
    preferred_unmap_alignment: bdev.preferredUnmapAlignmentBlocks,
  },
})
