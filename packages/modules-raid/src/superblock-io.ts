// SPDX-License-Identifier: Apache-2.0
// Superblocks on members: control plane.
import type { Bdev, BdevDesc, BdevHost, DescChannel } from '@bdevkit/module-sdk'
import { flushBase, writeBase } from './base-io.js'
import { hasSignature, parseSuperblock, SUPERBLOCK_HEADER_BYTES, type Superblock, type SuperblockResult } from './superblock.js'

/**
 * Looks for a superblock on an open bdev.
 * @throws BdevError of the read that failed.
 */
export async function loadSuperblock(host: BdevHost, desc: BdevDesc): Promise<SuperblockResult> {
  const { bdev } = desc
  const blocksOf = (bytes: number): number => Math.ceil(bytes / bdev.dataBlockSizeBytes)
  if (blocksOf(SUPERBLOCK_HEADER_BYTES) > bdev.numBlocks) return { why: 'no room' }
  const first = withoutMetadata(bdev, await host.readBlocks(desc, 0, blocksOf(SUPERBLOCK_HEADER_BYTES)))
  const result = parseSuperblock(first)
  if (!('needBytes' in result)) return announced(host, bdev.name, first, result)
  if (blocksOf(result.needBytes) > bdev.numBlocks) return announced(host, bdev.name, first, { why: `length ${result.needBytes} on ${bdev.numBlocks} blocks` })
  const all = withoutMetadata(bdev, await host.readBlocks(desc, 0, blocksOf(result.needBytes)))
  return announced(host, bdev.name, all, parseSuperblock(all))
}

/** The superblock is in the data of the blocks, one after the other. */
function withoutMetadata({ blockSizeBytes, dataBlockSizeBytes }: Bdev, bytes: Uint8Array): Uint8Array {
  if (blockSizeBytes === dataBlockSizeBytes) return bytes
  const blocks = Array.from({ length: bytes.length / blockSizeBytes }, (_, i) => bytes.subarray(i * blockSizeBytes, i * blockSizeBytes + dataBlockSizeBytes))
  return Buffer.concat(blocks)
}

/** What is nearly a superblock is worth a word. */
function announced(host: BdevHost, name: string, bytes: Uint8Array, result: SuperblockResult): SuperblockResult {
  if ('why' in result && hasSignature(bytes)) host.log.warn(`bdev "${name}" has a raid superblock that is not valid: ${result.why}; it is left alone`)
  if ('superblock' in result && result.superblock.versionMinor > 0) {
    host.log.warn(`the raid superblock of bdev "${name}" has minor version ${result.superblock.versionMinor}, newer than 0; what it adds is not known here`)
  }
  return result
}

/**
 * Writes bytes to the first blocks of a member, filled up with zeros, and makes them last.
 * @throws BdevError EIO.
 */
export async function writeSuperblock(leg: DescChannel, bytes: Uint8Array): Promise<void> {
  const { blockSizeBytes, dataBlockSizeBytes } = leg.bdev
  const numBlocks = Math.ceil(bytes.length / dataBlockSizeBytes)
  const buf = new Uint8Array(numBlocks * blockSizeBytes)
  for (let i = 0; i < numBlocks; i++) buf.set(bytes.subarray(i * dataBlockSizeBytes, (i + 1) * dataBlockSizeBytes), i * blockSizeBytes)
  await writeBase(leg, buf, 0, 0, numBlocks)
  await flushBase(leg)
}

/** Finds the entry of a superblock that is about `slot`: that of the member in it, else one of a former member. */
export function entryOfSlot(superblock: Superblock, slot: number): Superblock['entries'][number] | undefined {
  return superblock.entries.find(entry => entry.slot === slot)
}
