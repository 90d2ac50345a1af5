// SPDX-License-Identifier: Apache-2.0
import { CLAIM_TYPE_NAMES, type Bdev, type Host } from '@bdevkit/core'
import { ClaimType, type Json, type JsonObject } from '@bdevkit/module-sdk'
import type { RpcRegistry } from '../registry.js'

/** One bdev of `bdevkit_get_graph`. */
export interface GraphNode {
  name: string
  product_name: string
  module: string
  block_size: number
  num_blocks: number
  /** Names of the bdevs that it stands on. */
  bases: string[]
  /** Name of the claim on it, null for none. */
  claim_type: string | null
  /** Modules that hold it. */
  claimed_by: string[]
  /** Who has it open. */
  opened_by: { owner: string; write: boolean }[]
}

const text = { type: 'string' }
const NODE = {
  type: 'object',
  required: ['name', 'product_name', 'module', 'block_size', 'num_blocks', 'bases', 'claim_type', 'claimed_by', 'opened_by'],
  properties: {
    name: text,
    product_name: text,
    module: text,
    block_size: { type: 'integer' },
    num_blocks: { type: 'integer' },
    bases: { type: 'array', items: text },
    claim_type: { type: ['string', 'null'] },
    claimed_by: { type: 'array', items: text },
    opened_by: {
      type: 'array',
      items: { type: 'object', required: ['owner', 'write'], properties: { owner: text, write: { type: 'boolean' } } },
    },
  },
}

/** Adds `bdevkit_get_graph`: what stands on what, who claims it, and who has it open. A method of our own. */
export function registerGraphMethods(registry: RpcRegistry, host: Host): void {
  registry.register(
    'bdevkit_get_graph',
    { description: 'What stands on what, who claims it, and who has it open.', result: { type: 'array', items: NODE } },
    () => bdevGraph(host),
    { sentParams: 'ignore' },
  )
}

/** Every bdev in the order of registration, with what it stands on. */
export function bdevGraph(host: Host): GraphNode[] {
  return host.bdevs.map(bdev => ({
    name: bdev.name,
    product_name: bdev.productName,
    module: bdev.module.name,
    block_size: bdev.blockSizeBytes,
    num_blocks: bdev.numBlocks,
    bases: basesOf(host, bdev),
    claim_type: bdev.claims.type === ClaimType.None ? null : (CLAIM_TYPE_NAMES[bdev.claims.type] ?? 'unknown'),
    claimed_by: [...new Set(bdev.claims.holders.map(({ module }) => module?.name ?? 'application'))],
    opened_by: bdev.descs.map(({ owner, write }) => ({ owner, write })),
  }))
}

// A descriptor tells which module has opened a bdev, not for which of its bdevs: that, SPDK's modules say in `driver_specific`, or by name.
function basesOf(host: Host, bdev: Bdev): string[] {
  const words = new Set<string>()
  collectStrings(bdev.callPlain<JsonObject>('dumpInfoJson', bdev.ctx) ?? {}, words)
  return host.bdevs
    .filter(base => base !== bdev && base.descs.some(desc => desc.module === bdev.module))
    .filter(({ name }) => words.has(name) || isPartOf(bdev.name, name) || bdev.name === `EE_${name}`)
    .map(({ name }) => name)
}

function isPartOf(name: string, base: string): boolean {
  return name.startsWith(`${base}p`) && /^\d+$/.test(name.slice(base.length + 1))
}

function collectStrings(value: Json, into: Set<string>): void {
  if (typeof value === 'string') into.add(value)
  else if (typeof value === 'object' && value !== null)
    for (const member of Object.values(value)) collectStrings(member as Json, into)
}
