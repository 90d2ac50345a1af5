// SPDX-License-Identifier: Apache-2.0
import { RpcClient, type GraphNode } from '@bdevkit/rpc'
import { formatBytes, out } from './output.js'

/** Options of `bdev tree`. */
export interface TreeOptions {
  /** Path of the server's socket. */
  socket: string
  json?: boolean
}

/** `bdev tree`: what stands on what, from the top, with who claims it and who has it open. */
export async function tree(options: TreeOptions): Promise<number> {
  const client = await RpcClient.connect(options.socket)
  try {
    const nodes = (await client.call('bdevkit_get_graph')) as GraphNode[]
    if (options.json === true) out(JSON.stringify(nodes, null, 2))
    else for (const line of treeLines(nodes)) out(line)
    return 0
  } finally {
    await client.close()
  }
}

/** The graph as lines. A bdev that several stand on is shown under each, and its own bases under the first only. */
export function treeLines(nodes: readonly GraphNode[]): string[] {
  if (nodes.length === 0) return ['no bdevs']
  const lines: string[] = []
  const shown = new Set<string>()
  const bases = new Set(nodes.flatMap(node => node.bases))
  const add = (node: GraphNode, indent: string, mark: string): void => {
    const again = shown.has(node.name) && node.bases.length > 0
    shown.add(node.name)
    lines.push(`${indent}${mark}${describe(node)}${again ? ' (shown above)' : ''}`)
    if (again) return
    const below = node.bases.map(name => nodes.find(other => other.name === name)).filter(base => base !== undefined)
    const deeper = mark === '' ? '' : indent + (mark.startsWith('├') ? '│  ' : '   ')
    below.forEach((base, i) => add(base, deeper, i === below.length - 1 ? '└─ ' : '├─ '))
  }
  for (const node of nodes) if (!bases.has(node.name)) add(node, '', '')
  return lines
}

function describe({ name, product_name, num_blocks, block_size, claim_type, claimed_by, opened_by }: GraphNode): string {
  const users = opened_by.filter(({ owner }) => !claimed_by.some(module => owner.includes(`"${module}"`)))
  const notes = [
    `${formatBytes(num_blocks * block_size)} in blocks of ${block_size}`,
    ...(claim_type === null ? [] : [`claimed by ${claimed_by.join(', ')} (${claim_type})`]),
    ...users.map(({ owner, write }) => `open by ${owner}${write ? ' for writing' : ''}`),
  ]
  return `${name}  ${product_name}, ${notes.join(', ')}`
}
